"""Every error that inferq raises on purpose.

InferqError
├── InvalidInput            rows or options that the model cannot take
├── IdempotencyConflict     the key was used before with another payload
├── UnknownJob              an id that was never issued, or is of a purged job
├── UnknownModel            no model of that name
├── UnknownVersion          the model has no such version or alias
├── UnknownRollout          the model has no rollout
├── UnknownKey              no key of the gateway has this id
├── UnknownWebhook          no webhook of a model has this id
├── UnknownDelivery         no delivery of a webhook has this id
├── UnknownUpload           an id of no upload, or of a purged one
├── UploadEnded             rows for an upload that takes none any more
├── JobUnfinished           a job that has to end first
├── BacklogFull             the system cannot take more of a model, or not in time
├── JobFailed               `Job.result()` of a job that ended without a result
├── WaitTimeout             the wait ended before the job did
├── ArtifactRejected        an artifact that must not, or cannot, be loaded
├── RegistrationRefused     a model that cannot become a version
├── UnusableOutput          what a model returned cannot be a result
├── SettingsError           a setting that is missing or wrong
├── StoreError
│   ├── StoreUnavailable    the database cannot be reached
│   ├── StoreForbidden      the database role lacks a right
│   ├── StoreMismatch       the database is not the one that was expected
│   └── SchemaOutdated      migrations are missing
├── BrokerUnavailable       the broker cannot be reached
├── AlreadyRunning          an embedded broker runs on this home already
├── GatewayError            the HTTP gateway refused, or answered what cannot be read
│   ├── KeyRefused          it takes no such key, or the key may not do this
│   └── GatewayUnavailable  it, or the store behind it, does not answer
├── Interrupted             a person stopped the command
└── MessageRejected         a message that is not ours, or is damaged
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inferq_core.states import ErrorCode


class InferqError(Exception):
    """The root: catch it to catch everything that inferq raises on purpose."""


class InvalidInput(InferqError, ValueError):
    """The rows do not fit the model's signature. Nothing was stored. Correct the rows and submit again.

    Where one value is at fault: `place`, its path in the rows (row, and column by number or name; both from 0),
    `expected` and `got`.
    """

    def __init__(
        self, message: str, *, place: tuple[int | str, ...] = (), expected: str | None = None, got: str | None = None
    ) -> None:
        super().__init__(message)
        self.place = place
        self.expected = expected
        self.got = got


class IdempotencyConflict(InferqError):
    """The idempotency key stands for another payload. Use a new key for a new request."""


class UnknownJob(InferqError, LookupError):
    """No job has this id in this store: it was never issued, or the job was purged. Check it and INFERQ_STORE_URL."""


class UnknownModel(InferqError, LookupError):
    """No model of this name is registered. `inferq models list` shows those that are."""


class UnknownVersion(InferqError, LookupError):
    """The model has no such version or alias. `inferq models show NAME` lists them."""


class UnknownRollout(InferqError, LookupError):
    """The model has no rollout: its champion answers alone."""


class UnknownKey(InferqError, LookupError):
    """No key of the HTTP gateway has this id. `inferq keys list` shows them."""


class UnknownWebhook(InferqError, LookupError):
    """No webhook of a model has this id. `inferq webhooks list` shows them."""


class UnknownDelivery(InferqError, LookupError):
    """No delivery of a webhook has this id: it never was, or was purged. `inferq webhooks deliveries` shows them."""


class UnknownUpload(InferqError, LookupError):
    """No upload has this id in this store: it was never begun, or was purged. Check it and INFERQ_STORE_URL."""


class UploadEnded(InferqError):
    """The upload was cancelled, or another request with its key goes on with it. Nothing was stored."""


class BacklogFull(InferqError):
    """The model's backlog is at its bound, or the job could not begin before its deadline. Nothing was stored.

    `retry_after`: seconds until it would fit at the learned rate; None when that cannot be told, or when it never fits.
    `never_fits`: it has more rows than the bound. `reason`: which bound it is, in words.
    """

    def __init__(self, model: str, reason: str, retry_after: float | None, *, never_fits: bool = False) -> None:
        when = "" if retry_after is None else f"; try again in about {retry_after:.3g} s"
        super().__init__(f"model {model!r} takes no more now: {reason}{when}")
        self.model = model
        self.reason = reason
        self.retry_after = retry_after
        self.never_fits = never_fits


class JobFailed(InferqError):
    """The job ended without a result; `code` says why and `job_id` names it."""

    def __init__(self, job_id: str, code: ErrorCode, message: str) -> None:
        super().__init__(f"job {job_id} ended as {code}: {message}")
        self.job_id = job_id
        self.code = code
        self.message = message


class JobUnfinished(InferqError):
    """Only a job that has ended is retried. Wait for it, or cancel it."""


class WaitTimeout(InferqError, TimeoutError):
    """The time to wait is over and the job is not. The job goes on; wait again or poll later."""


class ArtifactRejected(InferqError):
    """The artifact was changed, holds types nobody approved, or cannot be read. Register it again."""


class RegistrationRefused(InferqError, ValueError):
    """The model cannot become a version; the message says what to change."""


class UnusableOutput(InferqError, ValueError):
    """The model returned NaN, another number of rows than it was given, or something that JSON cannot hold."""


class SettingsError(InferqError, ValueError):
    """A setting is missing or has a wrong value; the message names it."""


class StoreError(InferqError):
    """Something is wrong with the database."""


class StoreUnavailable(StoreError):
    """The database does not answer. Check INFERQ_STORE_URL and that the server runs."""


class StoreForbidden(StoreError):
    """The role in INFERQ_STORE_URL may not do this. Use another one; `inferq db roles` prints what each may do."""


class StoreMismatch(StoreError):
    """The database is not the one that was expected (another store id, another host)."""


class SchemaOutdated(StoreError):
    """The database lacks migrations. Run `inferq db upgrade`."""


class BrokerUnavailable(InferqError):
    """The broker does not answer. Check INFERQ_BROKER_URL and that the server runs."""


class AlreadyRunning(InferqError):
    """Only one embedded broker may run on a home folder. Stop the other, or set another INFERQ_HOME."""


class GatewayError(InferqError):
    """The HTTP gateway refused for a reason that has no class of its own, or what answered is no gateway.

    `status` is that of the answer, `request_id` stands in the gateway's log.
    """

    def __init__(self, message: str, *, status: int | None = None, request_id: str | None = None) -> None:
        super().__init__(message if request_id is None else f"{message} (request {request_id})")
        self.status = status
        self.request_id = request_id


class KeyRefused(GatewayError):
    """The gateway needs a key, does not know this one, or the key lacks a scope. `inferq keys create` makes one."""


class GatewayUnavailable(GatewayError):
    """The gateway, or the store behind it, does not answer, or says "later" for too long.

    It may have done what was asked all the same: submit with an idempotency key of your own to be able to ask again.
    """


class Interrupted(InferqError):
    """A person stopped the command in the middle. The message says what was done by then and how to go on."""


class MessageRejected(InferqError, ValueError):
    """A message that does not come from this system, or that is damaged. It is set aside."""
