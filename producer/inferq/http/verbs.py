"""What a client can ask of a gateway, as flows (see `exchange`), for both clients."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import quote

from inferq.http.asking import Asking
from inferq.http.chunks import Chunk
from inferq.http.exchange import Call, Flow, Pause, answered
from inferq.http.pace import Pace
from inferq.http.problems import About, Answer
from inferq.http.results import result_of
from inferq.http.rows import encode_rows, encode_value, needs_names
from inferq.job import Handle, Result, id_of, some_unfinished, still_unfinished
from inferq_core.errors import GatewayError
from inferq_core.spelling import JobId
from inferq_core.states import State

# Ids that one request may be about, see the gateway's `MAX_IDS`.
MAX_IDS = 500
# Seconds for which what is known of a model is believed.
FRESH_SECONDS = 1.0
_JSON = {"Content-Type": "application/json"}


class Verbs:
    """Flows for one gateway. Safe for threads."""

    def __init__(self, retry_for: float) -> None:
        self._retry_for = retry_for
        self._named: dict[tuple[str, str | None], tuple[float, bool]] = {}

    def submit(self, asking: Asking, rows: Any) -> Flow[JobId]:
        named = needs_names(rows) and (yield from self.named(asking))
        body = asking.body("inputs", encode_rows(rows, named=named))
        call = Call("POST", f"{_model(asking.model)}/predictions", body, {**_JSON, **asking.headers})
        answer = yield from self._answered(call, About(model=asking.model, key=asking.key))
        return id_of(_member(answer, "id", str))

    def accept(self, asking: Asking, chunk: Chunk) -> Flow[list[JobId]]:
        """The ids of the jobs that the items have become, all or none."""
        body = asking.body("items", chunk.text)
        call = Call("POST", f"{_model(asking.model)}/predictions:enqueue", body, {**_JSON, **asking.headers})
        about = About(model=asking.model, key=asking.key, first=chunk.first)
        return [id_of(text) for text in _member((yield from self._answered(call, about)), "ids", list)]

    def named(self, asking: Asking) -> Flow[bool]:
        """Whether the model's columns have names. Raises UnknownModel, UnknownVersion."""
        read_at, named = self._named.get((asking.model, asking.version), (float("-inf"), False))
        if time.monotonic() - read_at < FRESH_SECONDS:
            return named
        reference = quote(asking.version or "champion", safe="")
        call = Call("GET", f"{_model(asking.model)}/versions/{reference}")
        answer = yield from self._answered(call, About(model=asking.model))
        named = bool(_member(answer, "layout", str) == "frame")
        self._named[asking.model, asking.version] = time.monotonic(), named
        return named

    def state(self, job_id: str) -> Flow[State]:
        return State(_member((yield from self._read(id_of(job_id))), "state", str))

    def eta(self, job_id: str) -> Flow[float | None]:
        eta = (yield from self._read(id_of(job_id))).document.get("eta_seconds")
        return None if eta is None else float(eta)

    def result(self, job_id: str, timeout: float | None) -> Flow[Result]:
        """Raises WaitTimeout when it has not ended in time."""
        known = id_of(job_id)
        pace = Pace(timeout)
        while True:
            wait = pace.wait()
            answer = yield from self._read(known, wait)
            state = State(_member(answer, "state", str))
            if state.terminal:
                return result_of(answer.document)
            if pace.is_over:
                raise still_unfinished(known, state, timeout)
            yield Pause(pace.rest(wait))

    def as_completed(self, jobs: Iterable[Handle | str], timeout: float | None) -> Iterator[Flow[list[Result]]]:
        """Flows, each of which tells some that have ended. Raises WaitTimeout when some have not in time."""
        ids = list(dict.fromkeys(map(id_of, jobs)))
        left = dict.fromkeys(ids)
        if not ids:
            return
        pace = Pace(timeout)
        yield self._look(left)
        while left and not pace.is_over:
            yield self._next_look(left, pace)
        if left and timeout:
            yield self._look(left)
        if left:
            raise some_unfinished(len(left), len(ids), timeout)

    def cancel_many(self, jobs: Iterable[Handle | str]) -> Flow[dict[JobId, State]]:
        found: dict[JobId, State] = {}
        for ids in _windows(list(map(id_of, jobs))):
            answer = yield from self._about(ids, "cancel")
            found |= {id_of(text): State(state) for text, state in _member(answer, "found", dict).items()}
        return found

    def retry_many(self, jobs: Iterable[Handle | str]) -> Flow[list[JobId]]:
        new: list[JobId] = []
        for ids in _windows(list(map(id_of, jobs))):
            answer = yield from self._about(ids, "retry")
            new += [id_of(text) for text in _member(answer, "ids", list)]
        return new

    def feedback_many(self, feedback: Iterable[tuple[Handle | str, Any]]) -> Flow[None]:
        told = [(id_of(job), encode_value(actual, "actual")) for job, actual in feedback]
        for start in range(0, len(told), MAX_IDS):
            window = told[start : start + MAX_IDS]
            items = b",".join(b'{"id":"%s","actual":%s}' % (job_id.encode(), actual) for job_id, actual in window)
            call = Call("POST", "/v1/predictions:feedback", b'{"feedback":[%s]}' % items, _JSON)
            yield from self._answered(call, About(ids=tuple(job_id for job_id, _ in window)))

    def _read(self, job_id: JobId, wait: int = 0) -> Flow[Answer]:
        call = Call("GET", f"/v1/predictions/{job_id}", headers=_preferring(wait), wait=wait)
        return (yield from self._answered(call, About(ids=(job_id,))))

    def _look(self, left: dict[JobId, None]) -> Flow[list[Result]]:
        """Ask for all of them: first, because an id that was never issued is told before anything else, and last."""
        ended: list[Result] = []
        for ids in _windows(list(left)):
            ended += yield from self._query(ids)
        for result in ended:
            del left[result.id]
        return ended

    def _next_look(self, left: dict[JobId, None], pace: Pace) -> Flow[list[Result]]:
        """Wait for the next ids; they move behind the others, so that each gets its turn."""
        ids = [job_id for job_id, _ in zip(left, range(MAX_IDS), strict=False)]
        wait = min(pace.wait(), 1) if len(left) > len(ids) else pace.wait()
        ended = yield from self._query(ids, wait)
        for job_id in ids:
            left[job_id] = left.pop(job_id)
        for result in ended:
            del left[result.id]
        if not ended:
            yield Pause(pace.rest(wait))
        else:
            pace.hurry()
        return ended

    def _query(self, ids: Sequence[JobId], wait: int = 0) -> Flow[list[Result]]:
        answer = yield from self._about(ids, "query", wait)
        return [result_of(document) for document in _member(answer, "predictions", list)]

    def _about(self, ids: Sequence[JobId], verb: str, wait: int = 0) -> Flow[Answer]:
        body = b'{"ids":%s}' % encode_value(ids, "ids")
        call = Call("POST", f"/v1/predictions:{verb}", body, {**_JSON, **_preferring(wait)}, wait)
        return (yield from self._answered(call, About(ids=tuple(ids))))

    def _answered(self, call: Call, about: About) -> Flow[Answer]:
        return answered(call, about, self._retry_for)


def _model(model: str) -> str:
    return f"/v1/models/{quote(model, safe='')}"


def _preferring(wait: int) -> dict[str, str]:
    return {"Prefer": f"wait={wait}"} if wait else {}


def _windows(ids: Sequence[JobId]) -> Iterator[Sequence[JobId]]:
    return (ids[start : start + MAX_IDS] for start in range(0, len(ids), MAX_IDS))


def _member(answer: Answer, name: str, kind: type[Any]) -> Any:
    """Raises GatewayError when the answer is of another form: what answered is no gateway."""
    document = answer.document
    if isinstance(document, dict) and isinstance(document.get(name), kind):
        return document[name]
    raise GatewayError(f"the answer has no {name!r}: is this the address of a gateway?", status=answer.status)
