"""inferq for applications: enqueue predictions, poll or wait for their results.

from inferq import Client

with Client() as client:
    job = client.submit("digits", rows)
    print(job.result(timeout=10).outputs)
"""

from inferq.client import Client
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
from inferq_core.settings import Settings, load_settings
from inferq_core.states import ErrorCode, Method, Priority, State

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
