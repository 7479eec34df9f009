"""No password is in anything that a whole system writes, stores, shows or answers, whatever goes wrong."""

import base64
import os
import signal
import sys
from contextlib import closing
from pathlib import Path

import pytest
from asking import Browser, start_flower
from checks import finish, register_model, rows_for
from cluster import binaries
from harness import free_port, wait_for
from misbehaving import POISON, Base, Raiser
from pydantic import SecretStr
from telltale import CORES, FLOWER_AUTH, PASSWORDS, Ears, Guarded, encoded, leaks

from inferq import Client, InferqError, JobFailed
from inferq_core.broker import Publisher
from inferq_core.broker_url import sentinels_of
from inferq_core.settings import load_settings
from inferq_core.store import open_store

PATIENCE = 60
# As PostgreSQL says it.
NO_PASSWORD = "password authentication failed"
SHOWS = [
    ("doctor",),
    ("doctor", "--json"),
    ("jobs", "list"),
    ("logs", "--json"),
    ("models", "list"),
    ("models", "show", "sum", "--json"),
    ("db", "stats"),
    ("db", "check"),
]
QUESTIONS = [
    ("report",),
    ("status",),
    *(("inspect", what) for what in ("conf", "stats", "report", "active_queues", "registered")),
]
PAGES = [
    *("/", "/workers", "/tasks", "/broker", "/inferq", "/metrics", "/no/such/page"),
    *("/api/workers?refresh=1", "/api/tasks", "/api/queues/length", "/api/task/types"),
]


@pytest.fixture(scope="module")
def system(tmp_path_factory, redis_binary):
    """One that has been through all this; `told` holds what came of it, by place."""
    if binaries() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no initdb")
        pytest.skip("no initdb: install PostgreSQL's server")
    ears = Ears()
    with ears.listening(), closing(Guarded(tmp_path_factory.mktemp("leaks"), redis_binary)) as system:
        try:
            _live(system)
        except BaseException:
            sys.stderr.write(system.logs())
            raise
        system.told["logged here"] = "\n".join(ears.heard)
        yield system


def _live(system):
    system.workers = [system.start_worker()]
    system.keeper, system.flower = system.start_keeper(), start_flower(system)
    register_model(system, "sum", Raiser())
    register_model(system, "queued", Base(), queue="nobody")
    _jobs_that_end_and_fail(system)
    _a_broker_that_is_away(system)
    _a_store_that_is_away_or_refuses(system)
    _strangers(system)
    _people_who_look(system)
    system.tell_of_processes()
    system.tell_of_store()
    system.told.update(system.broker.holds())
    for process in (*system.workers, system.keeper, system.flower):
        system.stop(process)
    system.tell_of_files()


def _jobs_that_end_and_fail(system):
    system.batch = finish(system, system.client.submit_many("sum", rows_for(5)))
    system.tell("a model that raises", JobFailed, system.client.submit("sum", [[POISON, 0, 0, 0]]).result)
    gone = register_model(system, "gone", Base())
    Path(gone.uri.removeprefix("file://")).unlink()
    system.tell("an artifact that is gone", JobFailed, system.client.submit("gone", rows_for(1)).result)
    system.queued = system.client.submit("queued", rows_for(1))


def _a_broker_that_is_away(system):
    system.broker.kill()
    job = system.client.submit("sum", rows_for(1))
    for process in (*system.workers, system.keeper):
        wait_for(lambda log=process.log: "broker_away" in log.read_text(), timeout=PATIENCE, what="broker_away")
    _ask(system, "without a broker", [("doctor",), ("submit", "sum", "--row", "[1, 2, 3, 4]"), ("up",)])
    system.broker.start()
    finish(system, [job])
    wait_for(lambda: "broker_back" in system.log_of(system.workers[0]), timeout=PATIENCE, what="broker_back")


def _a_store_that_is_away_or_refuses(system):
    system.database.lock_out()
    for process in (*system.workers, system.keeper):
        wait_for(lambda log=process.log: NO_PASSWORD in log.read_text(), timeout=PATIENCE, what="the store to refuse")
    _ask(system, "without a right to the store", [("doctor",), ("jobs", "list")])
    system.database.stop_immediately()
    _ask(system, "without a store", [("doctor",), ("submit", "sum", "--row", "[1, 2, 3, 4]"), ("db", "upgrade")])
    system.database.start()
    system.database.let_in()
    finish(system, [system.client.submit("sum", rows_for(1))])


def _ask(system, occasion, commands):
    started = [system.command(*words) for words in commands]
    system.tell_of_pages(Browser(system.settings.flower_port, FLOWER_AUTH), occasion, PAGES)
    for process in started:
        process.wait(PATIENCE)


def _strangers(system):
    """Whose settings are wrong."""
    wrong = {
        "INFERQ_BROKER_URL": [system.broker.with_password("wrong-broker"), f"redis://u:{PASSWORDS['malformed']}@h:1/0"],
        "INFERQ_STORE_URL": [
            system.database.with_password("wrong-store"),
            system.database.with_password("wrong-store", port=free_port()),
            f"postgresql+psycopg://u:{PASSWORDS['malformed']}@h:port/d",
            f"mysql://u:{encoded('malformed')}@h/d",
        ],
        "INFERQ_ARTIFACTS_URL": [
            system.artifacts_with_password("malformed", "/elsewhere"),
            f"nothing://u:{PASSWORDS['malformed']}@h/d",
        ],
        "INFERQ_FLOWER_AUTH": [PASSWORDS["malformed"].replace(":", "")],
    }
    each = [{name: value} for name, values in wrong.items() for value in values]
    doctors = [system.command("doctor", **one) for one in each]
    worker = system.start_worker(**each[0])
    refused = "invalid username-password pair"
    wait_for(lambda: refused in system.log_of(worker), timeout=PATIENCE, what="the broker to refuse")
    for process in doctors:
        assert process.wait(PATIENCE) != 0
    system.stop(worker)
    for one in each:
        ((name, value),) = one.items()
        settings = system.settings.model_copy(update={name.removeprefix("INFERQ_").lower(): SecretStr(value)})
        if name == "INFERQ_STORE_URL":
            system.tell(
                f"a client of {value}", InferqError, lambda settings=settings: Client(settings).submit("sum", [1])
            )


def _people_who_look(system):
    home = system.folder / "home-of-up"
    up = system.command("up", INFERQ_HOME=str(home), INFERQ_FLOWER_PORT=str(free_port()))
    plain = system.start_celery("worker", "-Q", "nowhere", "-c", "1", "-n", "plain@%h")
    wait_for(lambda: "ready" in system.log_of(up) and "ready" in system.log_of(plain), timeout=PATIENCE, what="both")
    system.tell_of_processes()
    ears = system.broker.client.pubsub()
    ears.psubscribe("*")
    # One after the other: the worker answers one question at a time.
    system.answers = {question: system.start_celery(*question) for question in QUESTIONS}
    shows = [system.command(*words) for words in (*SHOWS, ("jobs", "show", system.queued.id))]
    browser = Browser(system.settings.flower_port, FLOWER_AUTH)
    system.batch_id = next(iter(system.batch.values())).batch_id
    node = f"worker-{system.workers[0].pid}@{os.uname().nodename}"
    pages = [f"/worker/{node}", f"/api/workers?refresh=1&workername={node}", f"/task/{system.batch_id}"]
    wait_for(lambda: browser.get(pages[0]).status == 200, timeout=PATIENCE, what="the worker's page")
    system.tell_of_pages(browser, "with all there", [*PAGES, *pages])
    for process in (*system.answers.values(), *shows):
        assert process.wait(2 * PATIENCE) == 0 or process in shows, system.log_of(process)
    for process in (up, plain):
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
    while message := ears.get_message(timeout=0.2):
        system.told[f"published {len(system.told)}"] = repr(message)
    ears.close()


def test_nothing_tells_a_password(system):
    assert leaks(system.told) == []


def test_what_is_made_of_the_settings_does_not_show_them(system):
    sentinel = f"sentinel://u:{encoded('broker')}@h/0?master_name=m&sentinel_password={encoded('sentinel')}"
    with closing(open_store(system.settings)) as store, closing(Publisher(system.settings.broker)) as publisher:
        client = system.client
        things = [system.settings, client, vars(client), store, vars(store), publisher, system.queued]
        things += [sentinels_of(sentinel), load_settings(broker_url=sentinel), client._commit, client._waiter]
        shown = {
            f"{number} {show.__name__}": show(thing) for number, thing in enumerate(things) for show in (repr, str)
        }
    assert leaks(shown) == []
    assert leaks({"dump": system.settings.model_dump_json(), "python": str(system.settings.model_dump())}) == []


def test_the_search_finds_what_is_there(system):
    environment = system.settings.environment()
    assert {name for _, name in leaks(environment)} == {"broker", "store", "flower", "artifacts"}
    header = f"Authorization: Basic {base64.b64encode(FLOWER_AUTH.encode()).decode()}"
    assert leaks({"header": header}) == [("header", "flower, encoded")]
    assert leaks({"url": encoded("broker"), "core": CORES["store"]}) == [("core", "store"), ("url", "broker")]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("file worker-0.log", "broker_away"),
        ("file worker-0.log", NO_PASSWORD),
        ("file keeper-1.log", NO_PASSWORD),
        ("file keeper-1.log", "broker_away"),
        ("logged here", "publish_failed"),
        ("a model that raises", "cannot digest this row"),
        ("an artifact that is gone", "is missing"),
        ("page /inferq without a broker", "does not answer"),
        ("page /inferq without a store", "does not answer"),
        ("table logs", "job_failed"),
        ("table versions", "/artifacts/"),
    ],
)
def test_the_system_was_where_passwords_are_near(system, place, words):
    assert words in system.told[place]


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_the_questions_were_answered(system, question):
    words = {"conf": "inferq:********@127.0.0.1", "stats": '"userid": "inferq"', "report": "inferq:********@127.0.0.1"}
    assert words.get(question[-1], "online") in system.log_of(system.answers[question])
