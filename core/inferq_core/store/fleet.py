"""Heartbeats of workers: who lives, what they received last, what they hold back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, Row, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from inferq_core.store.part import Part
from inferq_core.store.records import WorkerBeat
from inferq_core.store.sql import clock, json_text, read_clock
from inferq_core.store.tables import workers

# Marks of workers that were silent for longer say nothing that newer ones do not say better.
FORGET_AFTER_S = 7 * 86_400.0

Marks = dict[tuple[str, int], float]


class FleetPart(Part):
    """See `contract.Upkeep.beat`, `worker_stopped` and `workers`."""

    def beat(self, beat: WorkerBeat, *, min_interval: float) -> bool:
        """Several processes of one worker may call this; one of them writes. Marks never go back."""
        mine = select(workers).where(workers.c.name == beat.name)

        def is_due(row: Row[Any] | None, now: float) -> bool:
            if row is None or row.stopped_at is not None or row.pid != beat.pid:
                return True
            return bool(row.seen_at <= now - min_interval)

        def look(connection: Connection) -> bool:
            return is_due(connection.execute(mine).one_or_none(), read_clock(connection))

        def work(connection: Connection) -> bool:
            row = connection.execute(mine.with_for_update()).one_or_none()
            now = read_clock(connection)
            if not is_due(row, now):
                return False
            if row is None:
                return _first_beat(connection, beat, now)
            values = _beat_row(beat, _merged(_marks(row.marks), beat.marks), now)
            connection.execute(update(workers).where(workers.c.name == beat.name).values(values))
            return True

        # Most calls end here and take no lock.
        return self._database.read(look) and self._database.write(work, durable=False)

    def worker_stopped(self, name: str) -> None:
        statement = update(workers).where(workers.c.name == name).values(stopped_at=clock())
        self._database.write(lambda connection: connection.execute(statement))

    def workers(self, *, seen_within: float) -> Sequence[WorkerBeat]:
        query = select(workers).where(_lives(seen_within)).order_by(workers.c.name)
        return [_beat(row) for row in self._database.read(lambda connection: connection.execute(query).all())]


def newest_marks(connection: Connection, queue: str) -> Mapping[int, float]:
    """By priority: the newest `published_at` of a message of `queue` that any worker ever received."""
    newest: dict[int, float] = {}
    for text in connection.scalars(select(workers.c.marks)):
        for (name, priority), mark in _marks(text).items():
            if name == queue:
                newest[priority] = max(mark, newest.get(priority, mark))
    return newest


def oldest_buffered(connection: Connection, queue: str, *, seen_within: float) -> Mapping[int, float]:
    """By priority: the oldest `published_at` of a message of `queue` that a living worker holds back."""
    oldest: dict[int, float] = {}
    for text in connection.scalars(select(workers.c.marks).where(_lives(seen_within))):
        for (name, priority), at in _oldest(text).items():
            if name == queue:
                oldest[priority] = min(at, oldest.get(priority, at))
    return oldest


def buffered_rows(connection: Connection, queue: str, *, seen_within: float) -> int:
    """Rows of `queue` that living workers hold back."""
    texts = connection.scalars(select(workers.c.buffered).where(_lives(seen_within)))
    return sum(int(orjson.loads(text).get(queue, 0)) for text in texts)


def _lives(seen_within: float) -> Any:
    return (workers.c.seen_at >= clock() - seen_within) & workers.c.stopped_at.is_(None)


def _first_beat(connection: Connection, beat: WorkerBeat, now: float) -> bool:
    connection.execute(delete(workers).where(workers.c.seen_at < now - FORGET_AFTER_S))
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(workers).values(_beat_row(beat, dict(beat.marks), now)).on_conflict_do_nothing()
    return connection.scalar(statement.returning(workers.c.name)) is not None


def _merged(old: Marks, new: Mapping[tuple[str, int], float]) -> Marks:
    return {key: max(old.get(key, 0.0), new.get(key, 0.0)) for key in old.keys() | new.keys()}


def _beat_row(beat: WorkerBeat, marks: Marks, now: float) -> dict[str, Any]:
    return {
        "name": beat.name,
        "host": beat.host,
        "pid": beat.pid,
        "queues": json_text(list(beat.queues)),
        "concurrency": beat.concurrency,
        "marks": json_text(
            [
                [queue, int(priority), mark, beat.oldest.get((queue, priority))]
                for (queue, priority), mark in sorted(marks.items())
            ]
        ),
        "buffered": json_text(dict(beat.buffered)),
        "costs": json_text({model: list(line) for model, line in beat.costs.items()}),
        "seen_at": now,
        "stopped_at": None,
    }


def _marks(text: str) -> Marks:
    """Without the nulls that an earlier version wrote for infinite ones."""
    return {(queue, priority): mark for queue, priority, mark, *_ in orjson.loads(text) if mark is not None}


def _oldest(text: str) -> Marks:
    """Of workers of an earlier version, which do not report it: nothing."""
    found = ((queue, priority, rest) for queue, priority, _, *rest in orjson.loads(text))
    return {(queue, priority): rest[0] for queue, priority, rest in found if rest and rest[0] is not None}


def _costs(text: str | None) -> dict[str, tuple[float, float]]:
    """Of workers of an earlier version, which do not report them: nothing."""
    return {} if text is None else {model: (fixed, per_row) for model, (fixed, per_row) in orjson.loads(text).items()}


def _beat(row: Row[Any]) -> WorkerBeat:
    return WorkerBeat(
        name=row.name,
        host=row.host,
        pid=row.pid,
        queues=tuple(orjson.loads(row.queues)),
        concurrency=row.concurrency,
        marks=_marks(row.marks),
        buffered=orjson.loads(row.buffered),
        oldest=_oldest(row.marks),
        costs=_costs(row.costs),
    )
