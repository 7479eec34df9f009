"""/v1/models: what can be asked, and what it takes. `administration` has what can be changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from inferq.gateway.descriptions import responses
from inferq.gateway.documents import answer, moment
from inferq.gateway.problems import Kind
from inferq.gateway.registry import AliasList, ModelDetails, ModelList, VersionDetails, VersionList
from inferq.gateway.services import services_of
from inferq.options import is_text
from inferq_core.errors import UnknownModel, UnknownVersion
from inferq_core.signature import Signature
from inferq_core.store.contract import Store
from inferq_core.store.records import ModelRecord, VersionRecord

router = APIRouter(prefix="/v1/models", tags=["models"])

Name = Annotated[str, Path(description="Name of the model.", examples=["iris"])]
Reference = Annotated[str, Path(description="Number or alias of the version.", examples=["champion"])]


@router.get("", summary="List models", responses=responses({200: {"model": ModelList}}))
async def models(request: Request) -> Response:
    """All that are registered, by name."""
    services = services_of(request)
    caller = await services.caller(request)
    found = await services.ask(lambda store: store.models())
    return answer({"models": [described(record) for record in found if caller.may_ask(record.name)]})


@router.get(
    "/{model}",
    summary="Read a model",
    responses=responses({200: {"model": ModelDetails}}, Kind.UNKNOWN_MODEL, Kind.INVALID_INPUT),
)
async def model_details(request: Request, model: Name) -> Response:
    """Its settings, its aliases, and the number of its newest version."""

    def look(store: Store) -> dict[str, Any]:
        record = store.model(known(model))
        newest = max((version.number for version in store.versions(model)), default=None)
        return described(record) | {"aliases": dict(store.aliases(model)), "newest_version": newest}

    return await told(request, model, look)


@router.get(
    "/{model}/versions",
    summary="List versions",
    responses=responses({200: {"model": VersionList}}, Kind.UNKNOWN_MODEL, Kind.INVALID_INPUT),
)
async def versions(request: Request, model: Name) -> Response:
    """The versions of a model, the oldest first. They never change."""

    def look(store: Store) -> dict[str, Any]:
        store.model(known(model))
        aliases = store.aliases(model)
        return {"versions": [_version(record, aliases) for record in store.versions(model)]}

    return await told(request, model, look)


@router.get(
    "/{model}/versions/{version}",
    summary="Read a version",
    responses=responses({200: {"model": VersionDetails}}, Kind.UNKNOWN_MODEL, Kind.UNKNOWN_VERSION, Kind.INVALID_INPUT),
)
async def version_details(request: Request, model: Name, version: Reference) -> Response:
    """What it takes and gives."""

    def look(store: Store) -> dict[str, Any]:
        return _version(find_version(store, model, version), store.aliases(model))

    return await told(request, model, look)


@router.get(
    "/{model}/aliases",
    summary="List aliases",
    responses=responses({200: {"model": AliasList}}, Kind.UNKNOWN_MODEL, Kind.INVALID_INPUT),
)
async def aliases(request: Request, model: Name) -> Response:
    """Movable names of versions; `champion` is who answers when no version is asked for."""

    def look(store: Store) -> dict[str, Any]:
        store.model(known(model))
        return {"aliases": dict(store.aliases(model))}

    return await told(request, model, look)


async def told(request: Request, model: str, look: Callable[[Store], Any]) -> Response:
    """What `look` finds, for a caller that may ask for the model."""
    services = services_of(request)
    (await services.caller(request)).require_model(model)
    return answer(await services.ask(look))


def known(name: str) -> str:
    """The name. Raises UnknownModel for what no model can be called."""
    if not is_text(name):
        raise UnknownModel(f"no model is called {name!r}")
    return name


def find_version(store: Store, model: str, reference: str | None) -> VersionRecord:
    """Raises UnknownModel, UnknownVersion."""
    if reference is not None and not is_text(reference):
        raise UnknownVersion(f"no version is called {reference!r}")
    return store.version(known(model), reference)


def described(record: ModelRecord) -> dict[str, Any]:
    """A model and its settings, as `registry.Model`."""
    return {
        "name": record.name,
        "queue": record.queue,
        "max_batch_rows": record.max_batch_rows,
        "time_limit_seconds": record.time_limit,
        "latency_target_seconds": record.latency_target,
        "max_backlog": record.max_backlog,
        "created_at": moment(record.created_at),
    }


def _version(record: VersionRecord, aliases: Any) -> dict[str, Any]:
    signature = Signature.from_json(record.signature)
    return {
        "model": record.model,
        "version": record.number,
        "aliases": sorted(alias for alias, number in aliases.items() if number == record.number),
        "digest": record.digest,
        "runtime": record.runtime,
        "sklearn_version": record.sklearn_version,
        "layout": signature.layout,
        "columns": orjson.loads(signature.to_json())["columns"],
        "methods": list(signature.methods),
        "classes": None if signature.classes is None else list(signature.classes),
        "outputs": signature.n_outputs,
        "created_at": moment(record.created_at),
    }
