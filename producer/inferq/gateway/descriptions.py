"""How routes are described in OpenAPI, beyond what FastAPI finds by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from inferq.gateway.headers import KEY_PATTERN, MAX_KEY
from inferq.gateway.problems import MEDIA_TYPE, RETRY_UNAVAILABLE, Kind
from inferq.gateway.schemas import InferenceError, ProblemDocument

# Whatever the route is.
EVERYWHERE = (
    Kind.INVALID_HEADER,
    Kind.UNAUTHORIZED,
    Kind.WRONG_HOST,
    Kind.RATE_LIMITED,
    Kind.HEADERS_TOO_LARGE,
    Kind.UNAVAILABLE,
    Kind.INTERNAL,
)
# Where a body is read.
WITH_BODY = (Kind.INVALID_JSON, Kind.BODY_TIMEOUT, Kind.TOO_LARGE, Kind.UNSUPPORTED_MEDIA_TYPE, Kind.INVALID_INPUT)

TEXT = {"type": "string"}
_REF = "#/components/schemas/{model}"
_RETRY_AFTER = {"description": "Seconds after which to try again.", "schema": {"type": "integer"}}
_RETRYING = (Kind.UNAVAILABLE, Kind.RATE_LIMITED, Kind.BACKLOG_FULL)

_LIMIT_HEADERS = {
    "RateLimit-Policy": {
        "description": "For keys with a limit: q requests at once, in w seconds there are as many again "
        "(draft-ietf-httpapi-ratelimit-headers).",
        "schema": TEXT,
        "example": '"key";q=200;w=2',
    },
    "RateLimit": {
        "description": "For keys with a limit: r requests are left now, all of them in t seconds.",
        "schema": TEXT,
        "example": '"key";r=199;t=1',
    },
}

SECURITY = {"type": "http", "scheme": "bearer", "description": "A key that `inferq keys create` printed."}

PREFER = {
    "name": "Prefer",
    "in": "header",
    "description": "`wait=n`: answer when it has ended, but after n seconds at the latest (RFC 7240).",
    "schema": TEXT,
    "example": "wait=5",
}

KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same model, version, method and inputs is the same prediction, however often "
    "it is sent.",
    "schema": TEXT | {"maxLength": MAX_KEY, "pattern": KEY_PATTERN},
    "example": '"8e03978e-40d5-43dd-bc93-6894a57f9324"',
}
TRACE = {"name": "traceparent", "in": "header", "description": "W3C Trace Context; kept.", "schema": TEXT}


def responses(answers: Mapping[int | str, dict[str, Any]], *kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: its answers, and the problems that it can meet besides those that every one can."""
    return {**answers, **{status: _problem(members) for status, members in _by_status(kinds).items()}}


def inference_responses(answers: Mapping[int | str, dict[str, Any]], *kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """The same for a route of the Open Inference Protocol, which has a form of errors of its own."""
    schema = {"$ref": _REF.format(model=InferenceError.__name__)}
    return {
        **answers,
        **{
            status: {
                "description": "; ".join(kind.title for kind in members),
                "content": {"application/json": {"schema": schema}},
            }
            for status, members in _by_status(kinds).items()
        },
    }


def header(description: str, example: str) -> dict[str, Any]:
    return {"description": description, "schema": TEXT, "example": example}


def body(form: type[BaseModel]) -> dict[str, Any]:
    """`requestBody` of a route that reads its body itself."""
    schema = {"$ref": _REF.format(model=form.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def describe(app: FastAPI, forms: Sequence[type[BaseModel]]) -> dict[str, Any]:
    """The OpenAPI document, made once. `forms`: bodies that routes read themselves."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            openapi_version="3.1.0",
            routes=app.routes,
            tags=app.openapi_tags,
        )
        described: list[type[BaseModel]] = [*forms, ProblemDocument, InferenceError]
        _, definitions = models_json_schema([(form, "validation") for form in described], ref_template=_REF)
        document.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
        document["components"]["securitySchemes"] = {"key": SECURITY}
        _describe_limits(document)
        document["security"] = [{"key": []}, {}]
        app.openapi_schema = document
    return app.openapi_schema


def _by_status(kinds: Iterable[Kind]) -> dict[int, list[Kind]]:
    by_status: dict[int, list[Kind]] = {}
    for kind in (*kinds, *EVERYWHERE):
        by_status.setdefault(kind.status, []).append(kind)
    return by_status


def _problem(kinds: Iterable[Kind]) -> dict[str, Any]:
    members = list(kinds)
    described: dict[str, Any] = {
        "description": "; ".join(f"{kind.title} (`{kind.uri}`)" for kind in members),
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": _REF.format(model=ProblemDocument.__name__)},
                "example": {
                    "type": members[0].uri,
                    "title": members[0].title,
                    "status": members[0].status,
                    "detail": "…",
                    "request_id": "7b1f0c5e",
                },
            }
        },
    }
    if any(kind in _RETRYING for kind in members):
        described["headers"] = {"Retry-After": _RETRY_AFTER | {"example": RETRY_UNAVAILABLE}}
    return described


def _describe_limits(document: dict[str, Any]) -> None:
    """Every answer to a key that has a limit tells how much of it is left."""
    document["components"]["headers"] = _LIMIT_HEADERS
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in _LIMIT_HEADERS}
    for operations in document["paths"].values():
        for operation in operations.values():
            for described in operation["responses"].values():
                described["headers"] = described.get("headers", {}) | headers
