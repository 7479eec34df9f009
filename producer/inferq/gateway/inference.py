"""/v2: the Open Inference Protocol, for clients of KServe, Triton and their like. Its requests wait for the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from inferq.aio import AsyncJob
from inferq.gateway.access import Caller
from inferq.gateway.binary_tensors import EXTENSION
from inferq.gateway.descriptions import WITH_BODY, body, header, inference_responses
from inferq.gateway.documents import answer
from inferq.gateway.headers import traceparent_of
from inferq.gateway.inference_bodies import BINARY, HEADER, inference_answer, read_inference
from inferq.gateway.inference_schemas import (
    InferOutput,
    InferRequest,
    InferResponse,
    Live,
    ModelMetadata,
    ModelReady,
    Ready,
    ServerMetadata,
)
from inferq.gateway.models import find_version, known
from inferq.gateway.problems import Fault, Kind, Problem, pointer, unavailable
from inferq.gateway.services import Services, services_of
from inferq.gateway.tensors import Rows, inputs_of, outputs_of, rows_of, tensor_of
from inferq.options import OneOptions
from inferq_core.errors import InferqError
from inferq_core.signature import Signature
from inferq_core.states import ErrorCode, Priority, State
from inferq_core.store.contract import Store
from inferq_core.store.records import KeyScope, StoredResult

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

Name = Annotated[str, Path(description="Name of the model.", examples=["iris"])]
Reference = Annotated[str, Path(description="Number or alias of the version.", examples=["3"])]
# What is no fault of the gateway: the rows made the model fail.
_OF_ROWS = (ErrorCode.MODEL_ERROR, ErrorCode.INVALID_INPUT)
_LATE = (ErrorCode.TIME_LIMIT, ErrorCode.DEADLINE_EXCEEDED, ErrorCode.CANCELLED)
_HEADER_LENGTH = {
    "name": HEADER,
    "in": "header",
    "description": "Bytes of the JSON, where tensors follow it as bytes (binary tensor data extension).",
    "schema": {"type": "integer", "minimum": 1},
    "example": 187,
}
_BYTES = {BINARY: {"schema": {"type": "string", "contentMediaType": BINARY}}}


@router.get("", summary="What this server is", responses=inference_responses({200: {"model": ServerMetadata}}))
async def server() -> Response:
    """Needs no key."""
    return answer({"name": "inferq", "version": metadata.version("inferq"), "extensions": [EXTENSION]})


@router.get("/health/live", summary="Is it alive", responses=inference_responses({200: {"model": Live}}))
async def live() -> Response:
    """Needs no key."""
    return answer({"live": True})


@router.get("/health/ready", summary="Can it take work", responses=inference_responses({200: {"model": Ready}}))
async def ready(request: Request) -> Response:
    """Needs no key."""
    services = services_of(request)
    services.require_open()
    await services.ask(lambda store: store.now())
    return answer({"ready": True})


_MODEL = (Kind.UNKNOWN_MODEL, Kind.INVALID_INPUT)
_VERSION = (Kind.UNKNOWN_MODEL, Kind.UNKNOWN_VERSION, Kind.INVALID_INPUT)
_INFER = (*WITH_BODY, Kind.UNKNOWN_MODEL, Kind.UNKNOWN_VERSION, Kind.FORBIDDEN, Kind.BACKLOG_FULL, Kind.NOT_IN_TIME)
_INFERRED: dict[int | str, dict[str, Any]] = {
    200: {
        "model": InferResponse,
        "content": _BYTES,
        "headers": {HEADER: header("Bytes of the JSON, where tensors follow it as bytes.", "187")},
    }
}
_BODY = body(InferRequest)
_BODY["requestBody"]["content"] |= _BYTES
_BODY["parameters"] = [_HEADER_LENGTH]


@router.get(
    "/models/{model}", summary="Model metadata", responses=inference_responses({200: {"model": ModelMetadata}}, *_MODEL)
)
async def model_metadata(request: Request, model: Name) -> Response:
    """Of the champion."""
    return await _metadata(request, model, None)


@router.get(
    "/models/{model}/versions/{version}",
    summary="Version metadata",
    responses=inference_responses({200: {"model": ModelMetadata}}, *_VERSION),
)
async def version_metadata(request: Request, model: Name, version: Reference) -> Response:
    """Of one version."""
    return await _metadata(request, model, version)


@router.get(
    "/models/{model}/ready",
    summary="Can the model be asked",
    responses=inference_responses({200: {"model": ModelReady}}, *_VERSION),
)
async def model_ready(request: Request, model: Name) -> Response:
    """It has a champion. Workers load a model when its first job comes."""
    return await _ready(request, model, None)


@router.get(
    "/models/{model}/versions/{version}/ready",
    summary="Can the version be asked",
    responses=inference_responses({200: {"model": ModelReady}}, *_VERSION),
)
async def version_ready(request: Request, model: Name, version: Reference) -> Response:
    """It exists. Workers load a version when its first job comes."""
    return await _ready(request, model, version)


@router.post(
    "/models/{model}/infer",
    summary="Infer",
    responses=inference_responses(_INFERRED, *_INFER),
    openapi_extra=_BODY,
)
async def infer(request: Request, model: Name) -> Response:
    """Enqueues the rows and waits for the answer, INFERQ_MAX_WAIT seconds at the most."""
    return await _infer(request, model, None)


@router.post(
    "/models/{model}/versions/{version}/infer",
    summary="Infer with a version",
    responses=inference_responses(_INFERRED, *_INFER),
    openapi_extra=_BODY,
)
async def infer_with_version(request: Request, model: Name, version: Reference) -> Response:
    """Like infer."""
    return await _infer(request, model, version)


async def _look(request: Request, model: str, version: str | None, scope: KeyScope | None = None) -> tuple[Caller, Any]:
    """Who asks, and the version. Raises UnknownModel, UnknownVersion, Problem."""
    services = services_of(request)
    caller = await services.caller(request, scope)
    caller.require_model(known(model))
    return caller, await services.ask(lambda store: find_version(store, model, version))


async def _metadata(request: Request, model: str, version: str | None) -> Response:
    _, record = await _look(request, model, version)

    def numbers(store: Store) -> list[str]:
        return [str(each.number) for each in store.versions(model)]

    signature = Signature.from_json(record.signature)
    return answer(
        {
            "name": model,
            "versions": await services_of(request).ask(numbers),
            "platform": record.runtime,
            "inputs": inputs_of(signature),
            "outputs": outputs_of(signature),
        }
    )


async def _ready(request: Request, model: str, version: str | None) -> Response:
    await _look(request, model, version)
    services_of(request).require_open()
    return answer({"name": model, "ready": True})


async def _infer(request: Request, model: str, version: str | None) -> Response:
    services = services_of(request)
    caller, record = await _look(request, model, version, KeyScope.SUBMIT)
    asked, tensors = await read_inference(request, services.settings.max_body_bytes)
    signature = Signature.from_json(record.signature)
    wanted = _wanted(signature, asked)
    # Millions of elements take a while, and others shall not wait for them.
    rows = await asyncio.to_thread(rows_of, signature, tensors)
    wait = services.settings.max_wait
    options: OneOptions = {
        "version": version,
        "priority": Priority.INTERACTIVE,
        "deadline": wait,
        "owner": caller.key_id,
        "traceparent": traceparent_of(request),
    }
    methods = [each.name for each in wanted]
    jobs = await _enqueue(services, model, rows, methods, options)
    request.state.prediction_id = ",".join(job.id for job in jobs)
    results = await asyncio.gather(*(services.waits.result(job.id, wait) for job in jobs))
    ended = [result for result in results if result is not None]
    if len(ended) < len(jobs):
        await services.client.cancel_many([job.id for job in jobs])
        raise _too_late(services)
    outputs = [_tensor(method, result) for method, result in zip(methods, ended, strict=True)]
    document = {"model_name": model, "model_version": _version_of(ended), "id": asked.id or jobs[0].id}
    by_default = asked.parameters is not None and asked.parameters.binary_data_output is True
    return inference_answer(document, outputs, [_is_binary(each, by_default=by_default) for each in wanted])


async def _enqueue(
    services: Services, model: str, rows: Rows, methods: Sequence[str], options: OneOptions
) -> list[AsyncJob]:
    """A job for each method, all for the same variant of a rollout; or none."""
    together = None if len(methods) == 1 else str(uuid4())
    jobs: list[AsyncJob] = []
    try:
        for method in methods:
            one: OneOptions = {**options, "routing_key": together, "method": method}
            jobs.append(await services.client.submit(model, rows, **one))
    except InferqError:
        await services.client.cancel_many(jobs)
        raise
    return jobs


def _wanted(signature: Signature, asked: InferRequest) -> list[InferOutput]:
    """The outputs, each once. Raises Problem for one that the model has not."""
    offered = [method.value for method in signature.methods]
    wanted = asked.outputs or [InferOutput(name="predict" if "predict" in offered else offered[0])]
    for place, each in enumerate(wanted):
        if each.name not in offered:
            expected = f"one of {', '.join(offered)}"
            detail = f"output: expected {expected}, got {each.name[:60]!r}"
            raise Problem(Kind.INVALID_INPUT, detail, [Fault(detail, pointer=pointer("outputs", place, "name"))])
    return list({each.name: each for each in wanted}.values())


def _is_binary(wanted: InferOutput, *, by_default: bool) -> bool:
    said = None if wanted.parameters is None else wanted.parameters.binary_data
    return by_default if said is None else said


def _tensor(method: str, result: StoredResult) -> dict[str, Any]:
    """Raises Problem for a prediction that ended without outputs."""
    if result.state is State.SUCCEEDED:
        return tensor_of(method, result.outputs) | {"parameters": {"prediction_id": result.id}}
    detail = f"{result.error_code}: {result.error_message}"
    if result.error_code in _OF_ROWS:
        raise Problem(Kind.INVALID_INPUT, detail)
    raise Problem(Kind.NOT_IN_TIME if result.error_code in _LATE else Kind.INTERNAL, detail)


def _version_of(results: Sequence[StoredResult]) -> str:
    """Raises Problem when another version became the champion between one output and the next."""
    versions = {result.version for result in results}
    if len(versions) > 1:
        raise unavailable("another version took over between the outputs: ask again")
    return str(versions.pop())


def _too_late(services: Services) -> Problem:
    detail = f"no answer within {services.settings.max_wait:g} s, or the gateway is about to stop; it was cancelled"
    return Problem(Kind.NOT_IN_TIME, detail)
