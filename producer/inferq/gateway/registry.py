"""Models and versions as OpenAPI describes them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from inferq.gateway.schemas import EXAMPLE_TIME, MAX_NUMBER, ExistingVersion, Form, MethodName
from inferq_core.settings import DAY


class Model(BaseModel):
    """A model and its settings; null stands for the installation's default."""

    name: str = Field(description="Its name.", examples=["iris"])
    queue: str | None = Field(description="The queue its predictions go through.", examples=["predictions"])
    max_batch_rows: int | None = Field(description="Rows that one batch may have.", examples=[256])
    time_limit_seconds: float | None = Field(description="Seconds that a batch may take.", examples=[300.0])
    latency_target_seconds: float | None = Field(description="Seconds that a batch shall take.", examples=[0.1])
    max_backlog: int | None = Field(description="Rows that may wait or run before more are refused.", examples=[5000])
    created_at: datetime = Field(description="When it was registered first (UTC).", examples=[EXAMPLE_TIME])


class ModelList(BaseModel):
    """The models."""

    models: list[Model] = Field(description="By name.")


class ModelDetails(Model):
    """A model with its aliases."""

    aliases: dict[str, int] = Field(description="Number of the version by alias.", examples=[{"champion": 3}])
    newest_version: int | None = Field(description="The highest number there is.", examples=[4])


class SettingsRequest(Form):
    """Settings to change. Those that are left out stay, null stands for the installation's default."""

    queue: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        description="Queue of what is enqueued from now on; a worker must serve it.",
        examples=["heavy"],
    )
    max_batch_rows: int | None = Field(
        default=None, ge=1, le=MAX_NUMBER, description="Rows that one batch may have.", examples=[512]
    )
    time_limit_seconds: float | None = Field(
        default=None,
        gt=0,
        le=DAY,
        allow_inf_nan=False,
        description="Seconds that a batch may take before its process is ended.",
        examples=[30.0],
    )
    latency_target_seconds: float | None = Field(
        default=None,
        gt=0,
        le=DAY,
        allow_inf_nan=False,
        description="Seconds that a batch shall take; null: no target.",
        examples=[0.1],
    )
    max_backlog: int | None = Field(
        default=None,
        ge=1,
        le=MAX_NUMBER,
        description="Rows that may wait or run before more are refused; null: any number.",
        examples=[5000],
    )


class AliasRequest(Form):
    """The version that an alias shall stand for."""

    version: ExistingVersion = Field(description="Its number, or another alias of it.", examples=[3, "challenger"])


class AliasMoved(BaseModel):
    """What an alias stands for now, and stood for before."""

    model: str = Field(description="Name of the model.", examples=["iris"])
    alias: str = Field(description="The alias.", examples=["champion"])
    version: int = Field(description="Number of the version.", examples=[3])
    previous_version: int | None = Field(description="The one before; null when the alias is new.", examples=[2])


class ModelColumn(BaseModel):
    """A column of the rows."""

    name: str | None = Field(description="Its name; null in models that know columns by position.", examples=["age"])
    kind: Literal["numeric", "categorical", "text"] = Field(description="What it means.", examples=["numeric"])
    dtype: str = Field(description="Its type when the model was fitted.", examples=["float64"])
    nullable: bool = Field(description="Whether null is taken.", examples=[False])
    categories: list[str | int | float | bool] | None = Field(
        description="The categories it knows, where it is categorical in pandas' sense.", examples=[["basic", "pro"]]
    )


class VersionDetails(BaseModel):
    """A version: what it takes and gives. It never changes, but for its aliases."""

    model: str = Field(description="Name of the model.", examples=["iris"])
    version: int = Field(description="Its number.", examples=[3])
    aliases: list[str] = Field(description="Names that stand for it now.", examples=[["champion"]])
    digest: str = Field(description="SHA-256 of the artifact.", examples=["9f86d081884c7d65…"])
    runtime: Literal["sklearn", "onnx"] = Field(description="What computes it.", examples=["onnx"])
    sklearn_version: str = Field(description="The scikit-learn it was fitted with.", examples=["1.9.1"])
    layout: Literal["matrix", "objects", "frame", "texts"] = Field(
        description="matrix, objects: rows by position; frame: by column name; texts: a text a row.", examples=["frame"]
    )
    columns: list[ModelColumn] = Field(description="In the model's order.")
    methods: list[MethodName] = Field(description="What can be asked of it.", examples=[["predict", "predict_proba"]])
    classes: list[str | int | float | bool] | None = Field(
        description="A classifier's labels in the order of predict_proba.", examples=[["cat", "dog"]]
    )
    outputs: int = Field(description="Values that predict gives for a row.", examples=[1])
    created_at: datetime = Field(description="When it was registered (UTC).", examples=[EXAMPLE_TIME])


class VersionList(BaseModel):
    """The versions of a model."""

    versions: list[VersionDetails] = Field(description="The oldest first.")


class AliasList(BaseModel):
    """The aliases of a model."""

    aliases: dict[str, int] = Field(description="Number of the version by alias.", examples=[{"champion": 3}])
