"""Real workers whose broker or store is away when they start, or goes away while they run."""

from contextlib import closing

import numpy as np
import pytest
from brokers import Line, Redis, redis_binary, started
from checks import assert_each_succeeded_once, finish, register_model, rows_for
from harness import free_port, running_on, wait_for
from misbehaving import POISON, Base, Stuck
from sqlalchemy import make_url

from inferq import State


@pytest.fixture
def broker(tmp_path):
    broker = Redis(tmp_path / "broker", redis_binary())
    yield broker
    broker.client.close()
    if broker.process.poll() is None:
        broker.stop()


def running(folder, broker, store_url=None, **settings):
    with running_on(broker, folder, store_url, **settings) as system:
        yield system


@pytest.fixture
def system(tmp_path, broker):
    yield from running(tmp_path, broker, max_batch_rows=1, time_limit=12.0)


@pytest.fixture
def postgres_system(tmp_path, broker, migrated_postgres_url):
    yield from running(tmp_path, broker, migrated_postgres_url)


def submit(system, count):
    rows = rows_for(count)
    return [system.client.submit("sum", row[None, :]) for row in rows], rows


def says(process, word):
    wait_for(lambda: word in process.log.read_text(), timeout=90, what=f"the process to say {word}")


def test_a_broker_that_is_away_at_the_start_is_waited_for(system):
    register_model(system, "sum", Base())
    system.broker.stop()
    worker, keeper, ended = system.start_worker(), system.start_keeper(), system.start_worker()
    for process in (worker, keeper, ended):
        says(process, "broker_away")
    assert system.stop(ended) == 0, "it obeys while it waits"
    jobs, rows = submit(system, 3)  # the keeper publishes them
    system.broker.start()
    assert_each_succeeded_once(system, jobs, rows)
    assert "broker_back" in worker.log.read_text()
    assert "Traceback" not in worker.log.read_text() + keeper.log.read_text()


def test_time_limits_are_kept_while_the_broker_is_away(system):
    register_model(system, "stuck", Stuck())
    register_model(system, "sum", Base())
    worker = system.start_worker()
    job = system.client.submit("stuck", np.array([[POISON, 0.0, 0.0, 0.0]]))
    wait_for(lambda: system.states([job])[job.id] is State.RUNNING, timeout=90, what="the batch to run")
    system.broker.stop()
    says(worker, "Connection to broker lost")
    says(worker, "Hard time limit")
    wait_for(lambda: system.states([job])[job.id] is State.QUEUED, timeout=60, what="the job to be taken back")
    assert "broker_back" not in worker.log.read_text()
    system.broker.start()
    system.start_keeper()
    jobs, rows = submit(system, 3)
    results = finish(system, jobs)
    assert [results[job.id].outputs for job in jobs] == [[float(row.sum())] for row in rows]
    assert worker.poll() is None


def test_a_store_that_is_away_at_the_start_is_waited_for(postgres_system):
    system = postgres_system
    register_model(system, "sum", Base())
    jobs, rows = submit(system, 3)
    port = free_port()
    url = make_url(system.settings.store).set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
    worker = system.start_worker(INFERQ_STORE_URL=url)
    says(worker, "store_unavailable")
    with closing(Line(make_url(system.settings.store).port or 5432, port=port)):
        assert_each_succeeded_once(system, jobs, rows)


def test_a_missing_right_is_said_in_one_line(system):
    system.broker.client.execute_command("ACL", "SETUSER", "w", "on", ">secret", "~*", "&*", "+@all", "-sadd")
    worker = system.start_worker(INFERQ_BROKER_URL=system.broker.url.replace("://", "://w:secret@"))
    assert worker.wait(90) == 3
    log = worker.log.read_text()
    assert "broker_refused" in log
    assert "sadd" in log
    assert "Traceback" not in log
    assert "secret" not in log


def test_a_wrong_password_of_rabbitmq_is_said_in_one_line(tmp_path):
    broker = started("rabbitmq", tmp_path / "broker")
    for system in running(tmp_path, broker):
        worker = system.start_worker(INFERQ_BROKER_URL=broker.url.replace("guest:guest", "guest:secret"))
        assert worker.wait(90) == 3
        log = worker.log.read_text()
        assert "broker_refused" in log
        assert "Traceback" not in log
        assert "secret" not in log
    broker.close()
