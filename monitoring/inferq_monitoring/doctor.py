"""Every check, one after the other. None can hang: each has its time, and what it does not answer by then is said."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import TypeVar

from inferq_core.errors import InferqError
from inferq_core.settings import Settings
from inferq_core.store import open_store
from inferq_core.store.contract import Store
from inferq_monitoring.checks import broker, fetching, fleet, machine, models, store
from inferq_monitoring.findings import Finding, fail, healthy, skipped

# Seconds that a check may take; each of its own questions gives up earlier where it can.
PATIENCE = 12.0
# Seconds for one artifact, which is read whole.
ARTIFACT_PATIENCE = 30.0

Answer = TypeVar("Answer")


class Unanswered(InferqError):
    """A question that got no answer in its time."""


def examine(settings: Settings) -> Iterator[Finding]:
    """What there is to say of the system that `settings` name, as it is found."""
    yield from machine.check_settings(settings)
    yield from within(PATIENCE, "disk", lambda: machine.check_disk(settings))
    broker_findings = within(PATIENCE, "broker", lambda: broker.check_broker(settings))
    yield from broker_findings
    store_findings = within(PATIENCE, "store", lambda: store.check_store(settings))
    yield from store_findings
    if not healthy(store_findings):
        yield skipped("workers", "workers, queues, keeper, messages and models cannot be checked without the store")
        return
    with closing(ask(PATIENCE, lambda: open_store(settings))) as opened:
        yield from _examine_store(opened, settings, broker_answers=healthy(broker_findings))


def _examine_store(opened: Store, settings: Settings, *, broker_answers: bool) -> Iterator[Finding]:
    yield from within(PATIENCE, "clock", lambda: store.check_clock(opened.now))
    if broker_answers:
        yield from within(PATIENCE, "messages", lambda: _check_messages(opened, settings))
    yield from within(PATIENCE, "workers", lambda: fleet.check_fleet(opened, settings))
    if broker_answers:
        yield from within(PATIENCE, "fetching", lambda: fetching.check_fetching(opened, settings))
    yield from within(PATIENCE, "models", lambda: models.check_models(opened))
    if not models.installed():
        yield skipped("artifacts", "artifacts cannot be checked here: pip install 'inferq[worker]'")
        return
    for version in ask(PATIENCE, lambda: models.named_versions(opened)):
        check = partial(models.check_artifact, version, settings)
        yield from within(ARTIFACT_PATIENCE, "artifacts", check)


def _check_messages(opened: Store, settings: Settings) -> list[Finding]:
    wanted = fleet.wanted_queues(opened.stats().backlog, opened.models(), settings)
    return broker.check_messages(settings, opened.store_id, sorted({*wanted, *settings.served_queues}))


def within(seconds: float, check: str, work: Callable[[], Sequence[Finding]]) -> Sequence[Finding]:
    """What `work` finds; one finding that says so when it takes longer than `seconds`, or fails."""
    try:
        return ask(seconds, work)
    except Unanswered as error:
        return [fail(check, str(error), "look at the network and at the load of the server")]
    except InferqError as error:
        return [fail(check, f"cannot be checked: {error}", "see the other findings first")]
    except Exception as error:  # noqa: BLE001 - one check that breaks must not end the others
        told = f"cannot be checked: {type(error).__name__}: {error}"
        return [fail(check, told, "see the other findings first")]


def ask(seconds: float, question: Callable[[], Answer]) -> Answer:
    """The answer to `question`. Raises what it raises, and Unanswered after `seconds`.

    It is asked in a thread, which is left behind then: nothing can be done about a question that nobody answers.
    """
    answers: list[Answer] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            answers.append(question())
        except Exception as error:  # noqa: BLE001 - raised below
            errors.append(error)

    thread = threading.Thread(target=run, name="inferq-doctor", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise Unanswered(f"no answer within {seconds:g} s")
    return answers[0]
