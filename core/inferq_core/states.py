"""The states of a job, the reasons why it ended, and how urgent it is."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class State(StrEnum):
    """Where a job is. The last four are terminal: they never change again."""

    QUEUED = "queued"  # accepted and durable, no batch holds it
    RUNNING = "running"  # a batch holds it under a live lease
    SUCCEEDED = "succeeded"  # it has outputs
    FAILED = "failed"  # it has an error code and a message
    EXPIRED = "expired"  # its deadline passed before it was predicted
    CANCELLED = "cancelled"  # somebody took it back

    @property
    def terminal(self) -> bool:
        return self not in (State.QUEUED, State.RUNNING)


# The states in which a job can end.
ENDS = tuple(state for state in State if state.terminal)


class ErrorCode(StrEnum):
    """Why a job ended without outputs."""

    INVALID_INPUT = "invalid_input"  # the version that ran takes other rows than the job has
    MODEL_ERROR = "model_error"  # predict raised, or returned something unusable
    WORKER_LOST = "worker_lost"  # it killed its process, alone, more often than allowed
    TIME_LIMIT = "time_limit"  # it outlasted the model's time limit, alone, more often than allowed
    DEADLINE_EXCEEDED = "deadline_exceeded"  # nobody got to it before its deadline
    CANCELLED = "cancelled"  # somebody took it back
    UNKNOWN_VERSION = "unknown_version"  # the version or alias it names does not exist
    ARTIFACT_REJECTED = "artifact_rejected"  # the artifact was changed, or may not be loaded


class Priority(IntEnum):
    """How urgent a job is; the smaller value leaves the queue first."""

    INTERACTIVE = 0
    NORMAL = 1
    BULK = 2

    @property
    def label(self) -> str:
        return self.name.lower()


class Method(StrEnum):
    """The estimator's method that answers a job (scikit-learn's names)."""

    PREDICT = "predict"
    PREDICT_PROBA = "predict_proba"
    DECISION_FUNCTION = "decision_function"
    TRANSFORM = "transform"
