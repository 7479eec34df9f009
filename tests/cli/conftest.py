"""The command run in this process, on a home of its own with registered examples."""

import logging
import subprocess
import sys
from dataclasses import dataclass

import pytest

from inferq import load_settings
from inferq.cli.main import main
from inferq.local.embedded import EmbeddedBroker
from inferq_core.ids import JobId, new_batch_id
from inferq_core.redis_lists import client_of
from inferq_core.states import ErrorCode, State
from inferq_core.store import open_store
from inferq_core.store.records import BatchLog, Outcome
from inferq_models import register
from inferq_models.examples import breast_cancer, docstrings


@dataclass
class Ended:
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def broker_url(tmp_path_factory):
    settings = load_settings(home=tmp_path_factory.mktemp("broker"))
    broker = EmbeddedBroker(settings)
    yield settings.broker
    broker.stop()


@pytest.fixture
def home(tmp_path, monkeypatch, broker_url):
    """An empty home, and an empty broker for whoever asks."""
    with client_of(broker_url, connect_timeout=5, timeout=5) as client:
        client.flushall()
    monkeypatch.setenv("INFERQ_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("INFERQ_BROKER_URL", broker_url)
    return tmp_path / "home"


@pytest.fixture
def run(home, monkeypatch, capsys):
    """Run `inferq ARGUMENTS` and return how it ended."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["inferq", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as ending:
            code = ending.code or 0
        captured = capsys.readouterr()
        return Ended(int(code), captured.out, captured.err)

    handlers = logging.root.handlers[:]
    yield call
    logging.root.handlers[:] = handlers


@pytest.fixture
def process(home):
    """Start `inferq ARGUMENTS` as a process of its own, which does not outlive the test."""
    started = []

    def start(*arguments, **options):
        command = [sys.executable, "-m", "inferq.cli.main", *map(str, arguments)]
        started.append(subprocess.Popen(command, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options))
        return started[-1]

    yield start
    for child in started:
        child.kill()
        child.wait(timeout=60)


@pytest.fixture(scope="session")
def examples():
    return {"cancer": breast_cancer.build(), "docstrings": docstrings.build()}


@pytest.fixture
def models(home, examples):
    """The examples, registered; named columns and texts."""
    for name, example in examples.items():
        register(name, example.estimator, example.X_train[:50], settings=load_settings())
    return examples


@pytest.fixture
def end_job(home):
    """End a job as a worker would."""

    def end(job_id, state=State.SUCCEEDED, code=None):
        store = open_store(load_settings())
        batch = new_batch_id()
        store.claim(batch, [JobId(job_id)], worker="test", lease=60)
        outputs, message = ("[7]", None) if state is State.SUCCEEDED else (None, "it raised ValueError")
        outcome = Outcome(JobId(job_id), state, outputs, code, message, version=1, batch_rows=1)
        store.complete(batch, [outcome], BatchLog(1, 1, 0.0))
        store.close()

    return end


@pytest.fixture
def fail_job(end_job):
    return lambda job_id: end_job(job_id, State.FAILED, ErrorCode.MODEL_ERROR)
