"""What goes in and out under /v2, as pydantic models: requests are checked with them, OpenAPI is made of all."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from inferq.gateway.schemas import EXAMPLE_ID

MAX_SIZE = 2**63 - 1
Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"
]


class InputParameters(BaseModel):
    """Parameters of a tensor. Others are passed over, as the protocol wants."""

    model_config = ConfigDict(strict=True)

    binary_data_size: int | None = Field(
        default=None,
        ge=0,
        le=MAX_SIZE,
        description="Bytes of the tensor, which then follow the JSON in place of `data`.",
        examples=[32],
    )


class OutputParameters(BaseModel):
    """Parameters of a tensor that is wanted."""

    model_config = ConfigDict(strict=True)

    binary_data: bool | None = Field(
        default=None, description="Whether it shall come as bytes after the JSON.", examples=[True]
    )


class RequestParameters(BaseModel):
    """Parameters of a request."""

    model_config = ConfigDict(strict=True)

    binary_data_output: bool | None = Field(
        default=None, description="Whether outputs that do not say so themselves shall come as bytes.", examples=[True]
    )


class InferInput(BaseModel):
    """A tensor. What else it has is passed over, as the protocol wants."""

    model_config = ConfigDict(strict=True)

    name: str = Field(description="A column's name; any, where the model takes one tensor.", examples=["input"])
    shape: list[Annotated[int, Field(ge=0)]] = Field(
        min_length=1, max_length=8, description="Rows first.", examples=[[1, 4]]
    )
    datatype: Datatype = Field(description="Of its elements.", examples=["FP64"])
    data: list[Any] | None = Field(
        default=None,
        description="The elements in row-major order, flat or nested; null where a number is missing.",
        examples=[[5.1, 3.5, 1.4, 0.2]],
    )
    parameters: InputParameters | None = Field(default=None, description="What else there is to say of it.")


class InferOutput(BaseModel):
    """A tensor that is wanted."""

    model_config = ConfigDict(strict=True)

    name: str = Field(description="The method that gives it.", examples=["predict"])
    parameters: OutputParameters | None = Field(default=None, description="How it shall come.")


class InferRequest(BaseModel):
    """An inference request."""

    model_config = ConfigDict(strict=True)

    id: str | None = Field(default=None, description="Given back.", examples=["42"])
    inputs: list[InferInput] = Field(min_length=1, description="The rows.")
    outputs: list[InferOutput] | None = Field(
        default=None, max_length=4, description="What is wanted; without it `predict`."
    )
    parameters: RequestParameters | None = Field(default=None, description="How the answer shall come.")


class TensorParameters(BaseModel):
    """Parameters of a tensor of the answer."""

    prediction_id: str = Field(
        description="The prediction that gave it: `/v1/predictions/{id}`, for feedback, too.", examples=[EXAMPLE_ID]
    )
    binary_data_size: int | None = Field(
        default=None, description="Its bytes, which follow the JSON in place of `data`.", examples=[16]
    )


class InferTensor(BaseModel):
    """A tensor of the answer."""

    name: str = Field(description="The method.", examples=["predict"])
    datatype: Datatype = Field(description="Of its elements.", examples=["INT64"])
    shape: list[int] = Field(description="Rows first.", examples=[[2]])
    data: list[Any] | None = Field(
        default=None, description="The elements in row-major order, unless they follow as bytes.", examples=[[0, 2]]
    )
    parameters: TensorParameters = Field(description="Where it came from, and how it comes.")


class InferResponse(BaseModel):
    """The answer to an inference request."""

    model_name: str = Field(description="Name of the model.", examples=["iris"])
    model_version: str = Field(description="Number of the version that answered.", examples=["3"])
    id: str = Field(description="That of the request; without one, the prediction's.", examples=["42"])
    outputs: list[InferTensor] = Field(description="One for each that was wanted.")


class TensorMetadata(BaseModel):
    """A tensor that a model takes or gives."""

    name: str = Field(description="Its name.", examples=["input"])
    datatype: str = Field(description="Of its elements.", examples=["FP64"])
    shape: list[int] = Field(description="-1 where any length is taken.", examples=[[-1, 4]])


class ModelMetadata(BaseModel):
    """What a model takes and gives."""

    name: str = Field(description="Its name.", examples=["iris"])
    versions: list[str] = Field(description="Its versions.", examples=[["1", "2", "3"]])
    platform: str = Field(description="What computes it.", examples=["sklearn"])
    inputs: list[TensorMetadata] = Field(description="What it takes.")
    outputs: list[TensorMetadata] = Field(description="What it gives, a tensor for each method.")


class ServerMetadata(BaseModel):
    """What this server is."""

    name: str = Field(description="inferq.", examples=["inferq"])
    version: str = Field(description="Its version.", examples=["0.1.0"])
    extensions: list[str] = Field(description="Extensions of the protocol.", examples=[["binary_tensor_data"]])


class Live(BaseModel):
    """It lives."""

    live: bool = Field(description="Always true.", examples=[True])


class Ready(BaseModel):
    """It can take work."""

    ready: bool = Field(description="Always true: otherwise the status is another.", examples=[True])


class ModelReady(Ready):
    """The model can be asked."""

    name: str = Field(description="Name of the model.", examples=["iris"])
