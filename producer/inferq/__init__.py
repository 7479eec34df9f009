"""inferq for applications: enqueue predictions, poll or wait for their results.

from inferq import Client

with Client() as client:
    job = client.submit("digits", rows)
    print(job.result(timeout=10).outputs)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from inferq.job import Job, Result, Timings
from inferq_core.errors import (
    BacklogFull,
    BrokerUnavailable,
    IdempotencyConflict,
    InferqError,
    InvalidInput,
    JobFailed,
    JobUnfinished,
    SchemaOutdated,
    SettingsError,
    StoreForbidden,
    StoreUnavailable,
    UnknownJob,
    UnknownModel,
    UnknownVersion,
    WaitTimeout,
)
from inferq_core.states import ErrorCode, Method, Priority, State

if TYPE_CHECKING:
    from inferq.client import Client
    from inferq_core.settings import Settings, load_settings

__all__ = [
    "BacklogFull",
    "BrokerUnavailable",
    "Client",
    "ErrorCode",
    "IdempotencyConflict",
    "InferqError",
    "InvalidInput",
    "Job",
    "JobFailed",
    "JobUnfinished",
    "Method",
    "Priority",
    "Result",
    "SchemaOutdated",
    "Settings",
    "SettingsError",
    "State",
    "StoreForbidden",
    "StoreUnavailable",
    "Timings",
    "UnknownJob",
    "UnknownModel",
    "UnknownVersion",
    "WaitTimeout",
    "load_settings",
]

# Loaded when they are asked for: they bring SQLAlchemy, Redis and more, which an application that speaks HTTP
# (`inferq.http`) does without.
_LATER = {"Client": "inferq.client", "Settings": "inferq_core.settings", "load_settings": "inferq_core.settings"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'inferq' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_LATER[name]), name)
    return found
