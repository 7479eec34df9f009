"""A prediction as the gateway writes it, as a `Result`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inferq.job import Result, Timings, id_of
from inferq_core.states import ErrorCode, State

_CODES = {code.value: code for code in ErrorCode}


def result_of(document: Mapping[str, Any]) -> Result:
    """The result of a prediction that has ended. Unknown members are passed over: the gateway may be newer."""
    timings = document["timings"]
    error = document["error"] or {}
    code = error.get("code")
    return Result(
        id=id_of(document["id"]),
        state=State(document["state"]),
        outputs=document["outputs"],
        model=document["model"],
        version=document["version"],
        variant=document["variant"],
        attempt=document["attempts"],
        batch_id=None,
        batch_rows=document["batch_rows"] or 0,
        timings=Timings(queued=timings["queued"], predicted=timings["predicted"], total=timings["total"]),
        error_code=None if code is None else _CODES.get(code, ErrorCode.MODEL_ERROR),
        error_message=error.get("message"),
    )
