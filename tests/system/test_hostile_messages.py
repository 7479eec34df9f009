"""What strangers push into a queue: set aside and logged, while the worker lives and the work around it finishes."""

import base64
import pickle
import random
import zlib
from pathlib import Path

import orjson
from checks import assert_each_succeeded_once, register_model, rows_for
from harness import wait_for
from misbehaving import Raiser

from inferq_core.ids import new_job_id
from inferq_core.messages import JobMessage, Limits
from inferq_core.redis_lists import encode
from inferq_core.states import Priority

SET_ASIDE = "inferq.set-aside"
HUGE = 10 * 1024 * 1024


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def envelope(body="[[], {}, {}]", headers=None, properties=None, **fields):
    return orjson.dumps(
        {
            "body": body,
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": {"task": "inferq.predict", "id": "x", "lang": "py"} if headers is None else headers,
            "properties": {
                "delivery_tag": "x",
                "delivery_info": {"exchange": "", "routing_key": "predictions"},
                "priority": 3,
                "body_encoding": "utf-8",
            }
            if properties is None
            else properties,
            **fields,
        }
    )


def ours(store_id, **changes):
    message = JobMessage(
        store_id=store_id,
        model="sum",
        job_ids=[new_job_id()],
        n_rows=1,
        queue="predictions",
        priority=Priority.NORMAL,
        published_at=1.0,
        limits=Limits(10, 10.0),
    )
    payload = orjson.loads(encode(message))
    for path, value in changes.items():
        holder = payload
        *parents, last = path.split("__")
        for name in parents:
            holder = holder[name]
        holder[last.replace("_", "-") if last.startswith("content") else last] = value
    return orjson.dumps(payload)


def items(store_id, trap):
    """Name → what is pushed."""
    pickled = pickle.dumps(Bomb(trap))
    celery_headers = {"task": "inferq.predict", "id": "x"}
    bomb = zlib.compress(b"0" * HUGE, 9)
    noise = random.Random(1).randbytes
    return {
        "random bytes": noise(1000),
        "empty": b"",
        "huge random bytes": noise(HUGE),
        "a huge body": envelope("x" * HUGE),
        "many ids": ours(store_id, body=orjson.dumps([["sum", [str(new_job_id())] * 5000], {}, {}]).decode()),
        "a number": b"17",
        "a list": b"[1, 2]",
        "nothing inside": b"{}",
        "deep": b"[" * 100_000,
        "another store": ours("another-store"),
        "another store, later": ours("another-store", headers__eta="2020-01-01T00:00:00"),
        "an old format": ours(store_id, headers__inferq={"format": 1, "store": store_id}),
        "headers of the wrong kind": envelope(headers=[1]),
        "properties of the wrong kind": envelope(properties=[1]),
        "no delivery_info": envelope(properties={"delivery_tag": "x"}),
        "a task name that cannot be looked up": envelope(headers={"task": ["x"], "id": "y"}),
        "no task": envelope(headers={"id": "x"}),
        "an unknown task": envelope(headers={"task": "os.system", "id": "x"}),
        "the old protocol": envelope(body='{"task": "inferq.predict", "id": "x"}', headers={}),
        "a recovery": envelope(
            orjson.dumps([[str(new_job_id()), [], "worker_lost", "x"], {}, {}]).decode(),
            headers={"task": "inferq.recover", "id": "x"},
        ),
        "one of Celery's own": envelope(
            '[["inferq.recover", []], {}, {}]', headers={"task": "celery.starmap", "id": "x"}
        ),
        "a call without arguments, later": envelope(
            headers={"task": "inferq.predict", "id": "x", "eta": "2020-01-01T00:00:00"}
        ),
        "a pickled body": envelope(
            base64.b64encode(pickled).decode(),
            headers=celery_headers,
            properties={"delivery_info": {}, "body_encoding": "base64"},
            **{"content-type": "application/x-python-serialize", "content-encoding": "binary"},
        ),
        "a pickled body for later": envelope(
            base64.b64encode(pickled).decode(),
            headers={**celery_headers, "eta": "2020-01-01T00:00:00"},
            properties={"delivery_info": {"routing_key": "predictions"}, "body_encoding": "base64"},
            **{"content-type": "application/x-python-serialize", "content-encoding": "binary"},
        ),
        "pickle alone": pickled,
        "not base64": envelope("***", properties={"delivery_info": {}, "body_encoding": "base64"}),
        "an unknown encoding": envelope(properties={"delivery_info": {}, "body_encoding": "rot13"}),
        "a compressed body": envelope(
            base64.b64encode(bomb).decode(),
            headers={**celery_headers, "compression": "application/x-gzip"},
            properties={"delivery_info": {}, "body_encoding": "base64"},
        ),
        "ids that are none": ours(store_id, body='[["sum", ["1", "2"]], {}, {}]'),
        "a time limit of nothing": ours(store_id, headers__timelimit=[0, None]),
        "a priority that is none": ours(store_id, headers__inferq=[2, store_id, 1, "predictions", 99, 1.0, 10, None]),
        "an eta that is none": ours(store_id, headers__eta="whenever"),
    }


def test_what_strangers_send_is_set_aside_and_the_worker_lives(system):
    register_model(system, "sum", Raiser())
    trap = system.folder / "trap"
    strange = items(system.store.store_id, trap)
    rows = rows_for(len(strange) + 1)
    jobs = [system.client.submit("sum", rows[0][None, :])]
    for row, item in zip(rows[1:], strange.values(), strict=True):
        system.broker.client.lpush("predictions\x06\x163", item)
        jobs.append(system.client.submit("sum", row[None, :]))
    worker = system.start_worker()
    assert_each_succeeded_once(system, jobs, rows)
    wait_for(
        lambda: system.broker.client.llen(SET_ASIDE) >= len(strange), timeout=30, what="all of it in the other queue"
    )
    assert worker.poll() is None
    assert worker.log.read_text().count("message_set_aside") == len(strange)
    assert not trap.exists()
    kept = [orjson.loads(item) for item in system.broker.client.lrange(SET_ASIDE, 0, -1)]
    assert len(kept) == len(strange)
    assert all(item["headers"]["inferq_set_aside"] for item in kept)
    assert max(len(item["body"]) for item in kept) < 100_000


def test_the_keeper_lives_as_well(system):
    register_model(system, "sum", Raiser())
    strange = items(system.store.store_id, system.folder / "trap")
    system.broker.client.lpush("maintenance", *strange.values())
    keeper = system.start_keeper()
    wait_for(lambda: system.broker.client.llen(SET_ASIDE) >= len(strange), timeout=60, what="all of it set aside")
    job = system.client.submit("sum", rows_for(1))
    system.broker.client.delete("predictions\x06\x163")
    wait_for(lambda: system.broker.client.llen("predictions\x06\x163"), timeout=60, what="the keeper publishing again")
    assert job.state() == "queued"
    assert keeper.poll() is None
