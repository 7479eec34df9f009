"""What prove.sh runs in a container: work.py COMMAND [N]; see `main`."""

import json
import sys
import time
from collections import Counter
from contextlib import closing

from inferq import Client, State
from inferq_core.settings import load_settings
from inferq_core.store import open_store
from inferq_models import register
from inferq_models.examples import digits

SECONDS = 240.0


def rows(count):
    pixels = digits.build().X_test.tolist()
    return [pixels[number % len(pixels)] for number in range(count)]


def tell(**facts):
    print(json.dumps(facts))


def submit(count):
    with Client() as client:
        jobs = client.submit_many("digits", rows(count))
        results = [job.result() for job in client.as_completed(jobs, timeout=SECONDS)]
    states = Counter(str(result.state) for result in results)
    tell(submitted=count, **states)
    return states == {"succeeded": count}


def enqueue(count):
    with Client() as client:
        jobs = client.submit_many("digits", rows(count))
    tell(enqueued=len(jobs))
    return True


def number_of(store, *states):
    return sum(number for (_, state), number in store.counts().items() if state in states)


def unfinished(store):
    return number_of(store, State.QUEUED, State.RUNNING)


def running(store):
    return number_of(store, State.RUNNING)


def succeeded(store):
    return number_of(store, State.SUCCEEDED)


def wait(look, name, wanted):
    with closing(open_store(load_settings())) as store:
        deadline = time.monotonic() + SECONDS
        while (value := look(store)) != wanted and time.monotonic() < deadline:
            time.sleep(0.2)
    tell(**{name: value})
    return value == wanted


def main(command, count="0"):
    match command:
        case "register":
            example = digits.build()
            version = register("digits", example.estimator, example.X_train, example.y_train)
            tell(model=version.model, version=version.number)
            return True
        case "submit":
            return submit(int(count))
        case "enqueue":
            return enqueue(int(count))
        case "workers":
            return wait(lambda store: len(store.workers(seen_within=10.0)), "workers", int(count))
        case "beyond":
            return wait(lambda store: min(succeeded(store), int(count)), "succeeded", int(count))
        case "idle":
            return wait(running, "running", 0)
        case "finish":
            return wait(unfinished, "unfinished", 0)
        case "counts":
            with closing(open_store(load_settings())) as store:
                tell(**{f"{model} {state}": number for (model, state), number in store.counts().items()})
            return True
    raise SystemExit(f"unknown command {command}")


if __name__ == "__main__":
    sys.exit(0 if main(*sys.argv[1:]) else 1)
