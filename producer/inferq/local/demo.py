"""`inferq demo`: the main job on real data, with one process killed in the middle; nothing in it is fake."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from inferq.client import Client
from inferq.job import Job, Result
from inferq.local import figures as report
from inferq.local import gateway
from inferq.local.crash import HalfWayCrash
from inferq.local.figures import Figures
from inferq.local.scaling import scaling_table, watch_scaling
from inferq.local.system import LocalSystem
from inferq_core.errors import GatewayError, SettingsError, WaitTimeout
from inferq_core.policy.autoscale import Bounds
from inferq_core.settings import Settings
from inferq_core.states import Priority, State
from inferq_core.store.contract import Store
from inferq_core.store.records import VersionRecord
from inferq_models import register
from inferq_models.examples import digits

MODEL = "digits"
INTERACTIVE_JOBS = 50
# Small batches, so that a run this short still has many in flight when the process is killed.
MAX_BATCH_ROWS = 32
# The worker follows the backlog between these bounds; quickly, so that a run this short shows it.
PROCESSES = Bounds(minimum=1, maximum=4)
SCALING = {"target_wait": 0.2, "scale_down_after": 2.0}
# Seconds in which all jobs must end, the kill and its recovery included.
FINISH_SECONDS = 60.0
# Seconds that the gateway may take for the one prediction that is asked for by HTTP.
HTTP_WAIT = 30


def run_demo(settings: Settings, json_file: Path | None) -> bool:
    """Run it, print the table and write `json_file`. True when every job has one result and the accuracy is right."""
    console = Console()
    _require_writable(json_file)
    console.print(
        "Fitting a random forest on half of digits (1,797 images of 8 by 8, from scikit-learn)", soft_wrap=True
    )
    example = digits.build()
    settings = settings.model_copy(update=SCALING)
    with LocalSystem(
        settings,
        lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True),
        autoscale=PROCESSES,
    ) as system:
        version = register(
            MODEL,
            example.estimator,
            example.X_train,
            example.y_train,
            store=system.store,
            settings=settings,
            max_batch_rows=MAX_BATCH_ROWS,
        )
        console.print(f"model   {version.model} version {version.number}", highlight=False)
        with Client(settings, store=system.store) as client:
            figures = _run(client, system, version, example, console)
        over_http = _ask_by_http(system, example.X_test[0].tolist(), int(example.y_test[0]))
        scaling = watch_scaling(system.store, system.worker.pid, PROCESSES)
    console.print(*report.tables(figures), scaling_table(scaling))
    console.print(over_http, markup=False, highlight=False, soft_wrap=True)
    if json_file is not None:
        text = orjson.dumps(asdict(figures), option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)
        json_file.write_bytes(text + b"\n")
    if figures.good:
        console.print("Every accepted job has exactly one result, and the accuracy is the offline one.", style="green")
    else:
        console.print(
            f"Something is wrong: see the figures above and the logs in {settings.home_path / 'logs'}", style="red"
        )
    return figures.good


def _run(client: Client, system: LocalSystem, version: VersionRecord, example: Any, console: Console) -> Figures:
    rows, truth = example.X_test, example.y_test
    pinned = str(version.number)
    started = time.monotonic()
    with _progress(console) as progress:
        bulk = _submit_bulk(client, rows, pinned, progress)
        crash = HalfWayCrash(system.worker.pid, lambda: _half_done(system.store, bulk))
        try:
            single = [
                client.submit(MODEL, rows[index], version=pinned, priority=Priority.INTERACTIVE)
                for index in range(INTERACTIVE_JOBS)
            ]
            _wait(client, system, [*bulk, *single], progress)
        finally:
            killed = crash.finish()
    elapsed = time.monotonic() - started
    jobs = [*bulk, *single]
    indices = [*range(len(bulk)), *range(len(single))]
    client.feedback_many((job, truth[index].item()) for job, index in zip(jobs, indices, strict=True))
    offline = example.estimator.predict(rows[indices]) == truth[indices]
    return _figures(
        client, system.store, jobs, single, version=version, killed=killed, elapsed=elapsed, offline=offline
    )


def _ask_by_http(system: LocalSystem, row: list[float], truth: int) -> str:
    """Send one image through the gateway; what to say of it, with the line to do it again. Raises GatewayError."""
    if not system.has_gateway:
        return "No prediction by HTTP: the gateway is not installed (pip install 'inferq[gateway]')"
    asked = (system.settings, system.gateway_key, MODEL, [[int(value) for value in row]], HTTP_WAIT)
    told = gateway.predict(*asked)
    if told["state"] != State.SUCCEEDED:
        raise GatewayError(f"the prediction by HTTP ended as {told['state']}: {told['error']}")
    return (
        f"By HTTP an image of a {truth} was answered with {told['outputs'][0]}. The same while `inferq up` runs:\n"
        f"{gateway.curl(*asked)}"
    )


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


def _submit_bulk(client: Client, rows: Any, version: str, progress: Progress) -> list[Job]:
    stream = client.submit_stream(MODEL, rows, version=version)
    return list(progress.track(stream, total=len(rows), description="submitting"))


def _half_done(store: Store, jobs: Sequence[Job]) -> bool:
    """Whether half of the jobs have ended and one is with a batch."""
    states = store.states([job.id for job in jobs]).values()
    return 2 * sum(state.terminal for state in states) >= len(jobs) and State.RUNNING in states


def _wait(client: Client, system: LocalSystem, jobs: Sequence[Job], progress: Progress) -> None:
    """Return when all have ended, or the time is over: the figures tell what is missing."""
    task = progress.add_task("finishing", total=len(jobs))
    left = set(jobs)
    deadline = time.monotonic() + FINISH_SECONDS
    while left and time.monotonic() < deadline:
        system.tend()
        try:
            for job in client.as_completed(left, timeout=1.0):
                left.discard(job)
                progress.advance(task)
        except WaitTimeout:
            continue


def _figures(
    client: Client,
    store: Store,
    jobs: Sequence[Job],
    single: Sequence[Job],
    *,
    version: VersionRecord,
    killed: int | None,
    elapsed: float,
    offline: Any,
) -> Figures:
    """Everything from the store, read anew; `offline` tells for each job whether the model is right without inferq."""
    results: dict[Job, Result] = {}
    for job in jobs:
        try:
            results[job] = client.result(job.id)
        except WaitTimeout:
            continue
    every = list(results.values())
    truth = {job_id: record.actual for job_id, record in store.feedback([job.id for job in jobs]).items()}
    attempts = [store.view(job.id).attempts for job in jobs]
    return Figures(
        model=version.model,
        version=version.number,
        accepted=len({job.id for job in jobs}),
        succeeded=report.count(every, State.SUCCEEDED),
        failed=len(every) - report.count(every, State.SUCCEEDED),
        missing=len(jobs) - len(every),
        attempts=sum(attempts),
        extra_attempts=sum(max(number - 1, 0) for number in attempts),
        killed_process=killed,
        elapsed=elapsed,
        throughput=len(every) / elapsed,
        latency=report.latency(every),
        latency_interactive=report.latency([results[job] for job in single if job in results]),
        batch_rows=report.batch_sizes(every),
        feedback=len(truth),
        accuracy=report.accuracy(every, truth),
        offline_accuracy=float(offline.mean()),
    )


def _require_writable(file: Path | None) -> None:
    """Raises SettingsError now rather than after the work."""
    if file is not None:
        try:
            file.open("a").close()
        except OSError as error:
            raise SettingsError(f"--out {file} cannot be written: {error.strerror}") from error
