"""/v2: the Open Inference Protocol, for clients of KServe, Triton and their like. Its requests wait for the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from inferq.aio import AsyncJob
from inferq.gateway.access import Caller
from inferq.gateway.bodies import read_form
from inferq.gateway.descriptions import WITH_BODY, body, inference_responses
from inferq.gateway.documents import answer
from inferq.gateway.headers import traceparent_of
from inferq.gateway.models import find_version, known
from inferq.gateway.problems import Fault, Kind, Problem, pointer
from inferq.gateway.services import Services, services_of
from inferq.gateway.tensors import Tensor, inputs_of, outputs_of, rows_of, tensor_of
from inferq.options import OneOptions
from inferq_core.errors import InferqError
from inferq_core.signature import Signature
from inferq_core.states import ErrorCode, State
from inferq_core.store.contract import Store
from inferq_core.store.records import KeyScope, StoredResult

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

Name = Annotated[str, Path(description="Name of the model.", examples=["iris"])]
Reference = Annotated[str, Path(description="Number or alias of the version.", examples=["3"])]
Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"
]
# What is no fault of the gateway: the rows made the model fail.
_OF_ROWS = (ErrorCode.MODEL_ERROR, ErrorCode.INVALID_INPUT)


class InferInput(BaseModel):
    """A tensor. What else it has is passed over, as the protocol wants."""

    model_config = ConfigDict(strict=True)

    name: str = Field(description="A column's name; any, where the model takes one tensor.", examples=["input"])
    shape: list[Annotated[int, Field(ge=0)]] = Field(
        min_length=1, max_length=8, description="Rows first.", examples=[[1, 4]]
    )
    datatype: Datatype = Field(description="Of its elements.", examples=["FP64"])
    data: list[Any] = Field(
        description="The elements in row-major order, flat or nested.", examples=[[5.1, 3.5, 1.4, 0.2]]
    )


class InferOutput(BaseModel):
    """A tensor that is wanted."""

    model_config = ConfigDict(strict=True)

    name: str = Field(description="The method that gives it.", examples=["predict"])


class InferRequest(BaseModel):
    """An inference request."""

    model_config = ConfigDict(strict=True)

    id: str | None = Field(default=None, description="Given back.", examples=["42"])
    inputs: list[InferInput] = Field(min_length=1, description="The rows.")
    outputs: list[InferOutput] | None = Field(
        default=None, max_length=4, description="What is wanted; without it `predict`."
    )


class InferTensor(BaseModel):
    """A tensor of the answer."""

    name: str = Field(description="The method.", examples=["predict"])
    datatype: Datatype = Field(description="Of its elements.", examples=["INT64"])
    shape: list[int] = Field(description="Rows first.", examples=[[2]])
    data: list[Any] = Field(description="The elements in row-major order.", examples=[[0, 2]])


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
    extensions: list[str] = Field(description="Extensions of the protocol.", examples=[[]])


class Live(BaseModel):
    """It lives."""

    live: bool = Field(description="Always true.", examples=[True])


class Ready(BaseModel):
    """It can take work."""

    ready: bool = Field(description="Always true: otherwise the status is another.", examples=[True])


class ModelReady(Ready):
    """The model can be asked."""

    name: str = Field(description="Name of the model.", examples=["iris"])


@router.get("", summary="What this server is", responses=inference_responses({200: {"model": ServerMetadata}}))
async def server() -> Response:
    """Needs no key."""
    return answer({"name": "inferq", "version": metadata.version("inferq"), "extensions": []})


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
_INFERRED: dict[int | str, dict[str, Any]] = {200: {"model": InferResponse}}


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
    openapi_extra=body(InferRequest),
)
async def infer(request: Request, model: Name) -> Response:
    """Enqueues the rows and waits for the answer, INFERQ_MAX_WAIT seconds at the most."""
    return await _infer(request, model, None)


@router.post(
    "/models/{model}/versions/{version}/infer",
    summary="Infer with a version",
    responses=inference_responses(_INFERRED, *_INFER),
    openapi_extra=body(InferRequest),
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
    asked = await read_form(request, InferRequest, services.settings.max_body_bytes)
    tensors = [Tensor(each.name, each.datatype, each.shape, each.data) for each in asked.inputs]
    signature = Signature.from_json(record.signature)
    methods = _methods(signature, asked)
    rows = rows_of(signature, tensors)
    wait = services.settings.max_wait
    options: OneOptions = {
        "version": version,
        "deadline": wait,
        "owner": caller.key_id,
        "traceparent": traceparent_of(request),
    }
    jobs = await _enqueue(services, model, rows, methods, options)
    results = await asyncio.gather(*(services.waits.result(job.id, wait) for job in jobs))
    ended = [result for result in results if result is not None]
    if len(ended) < len(jobs):
        await services.client.cancel_many([job.id for job in jobs])
        raise _too_late(services)
    outputs = [tensor_of(method, _outputs_of(result)) for method, result in zip(methods, ended, strict=True)]
    return answer(
        {
            "model_name": model,
            "model_version": str(ended[0].version),
            "id": asked.id or jobs[0].id,
            "outputs": outputs,
        }
    )


async def _enqueue(
    services: Services, model: str, rows: list[Any], methods: Sequence[str], options: OneOptions
) -> list[AsyncJob]:
    """A job for each method, or none."""
    jobs: list[AsyncJob] = []
    try:
        for method in methods:
            one: OneOptions = {**options, "method": method}
            jobs.append(await services.client.submit(model, rows, **one))
    except InferqError:
        await services.client.cancel_many(jobs)
        raise
    return jobs


def _methods(signature: Signature, asked: InferRequest) -> list[str]:
    """Raises Problem for an output that the model has not."""
    wanted = [each.name for each in asked.outputs or ()] or ["predict"]
    offered = [method.value for method in signature.methods]
    for place, name in enumerate(wanted):
        if name not in offered:
            expected = f"one of {', '.join(offered)}"
            detail = f"output: expected {expected}, got {name[:60]!r}"
            raise Problem(Kind.INVALID_INPUT, detail, [Fault(detail, pointer=pointer("outputs", place, "name"))])
    return list(dict.fromkeys(wanted))


def _outputs_of(result: StoredResult) -> list[Any]:
    """Raises Problem for a prediction that ended without."""
    if result.state is State.SUCCEEDED:
        outputs: list[Any] = result.outputs
        return outputs
    detail = f"{result.error_code}: {result.error_message}"
    if result.error_code in _OF_ROWS:
        raise Problem(Kind.INVALID_INPUT, detail)
    raise Problem(Kind.NOT_IN_TIME if result.state is not State.FAILED else Kind.INTERNAL, detail)


def _too_late(services: Services) -> Problem:
    detail = f"no answer within {services.settings.max_wait:g} s, or the gateway is about to stop; it was cancelled"
    return Problem(Kind.NOT_IN_TIME, detail)
