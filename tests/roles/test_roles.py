"""PostgreSQL over TLS, under the roles of `inferq db roles`: enough for each component, and no more."""

import os
import shutil
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from certificates import Authority
from checks import assert_each_succeeded_once, register_model, rows_for
from cluster import PostgresCluster, binaries
from given import LOG, accepted, claim_again, finished, succeeded
from harness import running, wait_for
from misbehaving import Raiser
from psycopg import sql
from receiving import Receiving

import inferq_migrations
from inferq import Client
from inferq_core.errors import StoreForbidden, StoreUnavailable
from inferq_core.ids import new_batch_id
from inferq_core.settings import load_settings
from inferq_core.store import open_store
from inferq_core.store.roles import WRITES, Role, roles_sql
from inferq_core.store.tables import metadata

OWNER, PASSWORD = "inferq_owner", "a-password"
PERMISSION = psycopg.errors.InsufficientPrivilege


class Secured:
    """A database `inferq` on a server of our own that speaks TLS only; its roles have passwords."""

    def __init__(self, folder):
        self._ours, self._stranger = Authority(folder, "ours"), Authority(folder, "stranger")
        self._cluster = PostgresCluster()
        try:
            self._secure()
            inferq_migrations.upgrade(self.url(OWNER))
            with self.connect(OWNER) as connection:
                connection.execute(roles_sql())
                for role in Role:
                    connection.execute(sql.SQL(f"ALTER ROLE {role} PASSWORD {{}}").format(PASSWORD))
        except BaseException:
            self.close()
            raise

    def _secure(self):
        with psycopg.connect(self._cluster.url.replace("+psycopg", ""), autocommit=True) as connection:
            data = Path(connection.execute("SHOW data_directory").fetchone()[0])
            for source, name in zip(self._ours.certify("server", "DNS:localhost"), ("crt", "key"), strict=True):
                shutil.copy(source, data / f"server.{name}")
                os.chown(data / f"server.{name}", data.stat().st_uid, data.stat().st_gid)
                (data / f"server.{name}").chmod(0o600)
            connection.execute(f"CREATE ROLE {OWNER} LOGIN CREATEROLE PASSWORD '{PASSWORD}'")
            connection.execute(f"CREATE DATABASE inferq OWNER {OWNER}")
            connection.execute("ALTER SYSTEM SET ssl = on")
            (data / "pg_hba.conf").write_text("hostssl all all all scram-sha-256\n")
            connection.execute("SELECT pg_reload_conf()")
        wait_for(self._speaks_tls, timeout=30, what="TLS")

    def _speaks_tls(self):
        try:
            self.connect(OWNER).close()
        except psycopg.OperationalError:
            return False
        return True

    def url(self, role, *, host="localhost", trusted=True, mode="verify-full"):
        authority = (self._ours if trusted else self._stranger).certificate
        address = f"{host}:{self._cluster.port}/inferq?sslmode={mode}&sslrootcert={authority}"
        return f"postgresql+psycopg://{role}:{PASSWORD}@{address}"

    def connect(self, role):
        return psycopg.connect(self.url(role).replace("+psycopg", ""), autocommit=True)

    def store(self, role, **options):
        return closing(open_store(load_settings(store_url=self.url(role, **options))))

    def close(self):
        self._cluster.close()


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    if binaries() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no initdb")
        pytest.skip("no initdb: install PostgreSQL's server")
    server = Secured(tmp_path_factory.mktemp("certificates"))
    yield server
    server.close()


def test_verified_tls_is_spoken(secured):
    with secured.connect(Role.SUBMIT) as connection:
        assert connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (True,)
    with secured.store(Role.SUBMIT) as store:
        assert store.store_id


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"trusted": False}, "certificate verify failed"),
        ({"host": "127.0.0.1"}, "does not match host name|certificate"),
        ({"mode": "disable"}, "no encryption"),
    ],
)
def test_a_stranger_another_host_and_plaintext_are_refused(secured, options, reason):
    with secured.store(Role.SUBMIT, **options) as store, pytest.raises(StoreUnavailable, match=reason):
        store.now()


def test_every_component_works_under_its_role(secured, tmp_path, redis_binary):
    here = {"webhook_allow": "127.0.0.0/8"}
    with running(tmp_path, redis_binary, secured.url(OWNER), **here) as system, closing(Receiving()) as receiver:
        register_model(system, "sum", Raiser())
        worker = system.start_worker(INFERQ_STORE_URL=secured.url(Role.WORKER))
        keeper = system.start_keeper()
        deliverer = system.start_deliverer(INFERQ_STORE_URL=secured.url(Role.DELIVERER))
        rows = rows_for(30)
        submitting = load_settings(store_url=secured.url(Role.SUBMIT), broker_url=system.broker.url, **here)
        with Client(submitting) as application:
            jobs = application.submit_many("sum", rows)
            assert_each_succeeded_once(system, jobs, rows)
            application.feedback(jobs[0].id, actual=1)
            again = application.retry(jobs[1])
            assert again.result(timeout=60).outputs == [float(rows[1].sum())]
            keyed = application.submit("sum", rows[:1], idempotency_key="once")
            assert application.submit("sum", rows[:1], idempotency_key="once").id == keyed.id
            assert keyed.result(timeout=60).outputs == [float(rows[0].sum())]
            application.submit("sum", rows[:1], webhook=receiver.url())
            wait_for(lambda: receiver.received, timeout=60, what="the webhook")
        wait_for(lambda: system.store.elected("keeper"), timeout=60, what="the keeper to sweep")
        assert [system.stop(worker), system.stop(keeper), system.stop(deliverer)] == [0, 0, 0]
        assert "may not do this" not in system.logs()
        purged = [step for step in system.store.purge(before=system.store.now() + 1) if step.get("results")]
        assert sum(step["results"] for step in purged) == len(rows) + 3


def test_only_who_delivers_reads_secrets_and_it_ends_no_job(secured):
    with secured.store(Role.DELIVERER) as deliverer:
        assert deliverer.make_secret("key:roles", "whsec_c2VjcmV0") == ["whsec_c2VjcmV0"]
        with secured.store(Role.SUBMIT) as submit:
            (job_id,) = accepted(submit)
            with pytest.raises(StoreForbidden):
                submit.signing_secrets("key:roles")
        with secured.store(Role.WORKER) as worker, pytest.raises(StoreForbidden):
            worker.signing_secrets("key:roles")
        for forbidden in (
            lambda: deliverer.cancel([job_id]),
            lambda: accepted(deliverer),
            lambda: deliverer.rotate_secret("key:roles", "whsec_", keep=0.0),
        ):
            with pytest.raises(StoreForbidden):
                forbidden()


def test_the_store_of_who_submits_cannot_end_hold_or_change_anything(secured):
    with secured.store(Role.WORKER) as worker, secured.store(Role.SUBMIT) as store:
        (job_id,) = accepted(store)
        for forbidden in (
            lambda: store.claim(new_batch_id(), [job_id], worker="me", lease=60),
            lambda: store.cancel([job_id]),
            lambda: store.put_model("digits", queue="mine"),
            lambda: store.elect("keeper", "me", lease=60),
            lambda: list(store.purge(before=store.now())),
        ):
            with pytest.raises(StoreForbidden, match="inferq db roles"):
                forbidden()
        assert worker.state(job_id) == "queued"


# What the store never asks for, but somebody with the password could.
REFUSED = {
    Role.SUBMIT: [
        "INSERT INTO results SELECT * FROM results",
        "UPDATE results SET outputs = '[1]'",
        "DELETE FROM results",
        "UPDATE jobs SET inputs = '[]'",
        "DELETE FROM jobs",
        "INSERT INTO pending (batch_id) VALUES (NULL)",
        "UPDATE pending SET batch_id = NULL",
        "DELETE FROM pending",
        "INSERT INTO versions SELECT * FROM versions",
        "UPDATE versions SET trust_pickle = true",
        "UPDATE aliases SET number = 1",
        "DELETE FROM models",
        "UPDATE meta SET value = 'x'",
        "DELETE FROM feedback",
        "DELETE FROM logs",
        "TRUNCATE jobs",
        "DROP TABLE jobs",
        "CREATE TABLE mine (id int)",
    ],
    Role.WORKER: [
        "UPDATE results SET outputs = '[1]'",
        "DELETE FROM results",
        "UPDATE jobs SET inputs = '[]'",
        "DELETE FROM jobs",
        "INSERT INTO jobs SELECT * FROM jobs",
        "INSERT INTO versions SELECT * FROM versions",
        "UPDATE versions SET trusted_types = '[]'",
        "UPDATE models SET queue = 'mine'",
        "UPDATE aliases SET number = 1",
        "DELETE FROM models",
        "UPDATE meta SET value = 'x'",
        "DELETE FROM logs",
        "DROP TABLE jobs",
        "TRUNCATE pending",
        "CREATE TABLE mine (id int)",
    ],
}


@pytest.mark.parametrize(("role", "statement"), [(role, line) for role, lines in REFUSED.items() for line in lines])
def test_other_statements_are_refused(secured, role, statement):
    with secured.connect(role) as connection, pytest.raises(PERMISSION):
        connection.execute(statement)


def test_a_worker_may_do_what_workers_do(secured):
    with secured.store(OWNER) as owner, secured.store(Role.WORKER) as worker:
        job_ids = accepted(owner, 2)
        batch_id = new_batch_id()
        assert len(worker.claim(batch_id, job_ids, worker="worker-1", lease=60).jobs) == 2
        assert worker.renew(batch_id, lease=60)
        assert len(worker.release(batch_id, max_attempts=3).requeued) == 2
        assert worker.cancel(job_ids).keys() == set(job_ids)


def test_who_submits_can_make_an_ended_job_pending_and_holds_up_no_worker(secured):
    with secured.store(OWNER) as owner, secured.store(Role.WORKER) as worker:
        (ended,), (other,) = finished(owner), accepted(owner)
        before = owner.result(ended)
        with secured.connect(Role.SUBMIT) as connection:
            columns = "model, queue, priority, n_rows, attempts, solo_crashes, published_at, republished, created_at"
            values = "'digits', 'predictions', 5, 1, 0, 0, 0, 0, 0"
            connection.execute(f"INSERT INTO pending (id, {columns}) VALUES ('{ended}', {values})")
        batch_id, claim = claim_again(worker, [ended, other])
        assert len(claim.jobs) == 2
        outcomes = [succeeded(job.id, outputs="[0]") for job in claim.jobs]
        assert worker.complete(batch_id, outcomes, LOG).ids == {other}
        assert owner.result(ended) == before


def test_the_statements_may_be_run_again_and_take_back_what_was_given(secured):
    with secured.connect(OWNER) as owner:
        owner.execute(f"GRANT DELETE ON results TO {Role.SUBMIT}")
        owner.execute(roles_sql())
    with secured.connect(Role.SUBMIT) as connection, pytest.raises(PERMISSION):
        connection.execute("DELETE FROM results")


def test_every_named_table_is_one_of_ours():
    assert {table for tables in WRITES.values() for table in tables} <= metadata.tables.keys()
