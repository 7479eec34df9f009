"""TLS, users and sockets: producer, worker and notification agree about each, and none falls back to less."""

import re
import socket
import ssl
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest
import redis
from brokers import AMQP_URL, Commands, Line, Redis, Taker, connect, depth, missing, no_rabbitmq, publish, redis_binary
from certificates import Authority
from checks import assert_each_succeeded_once, register_model, rows_for
from harness import System, wait_for
from misbehaving import Raiser
from pydantic import SecretStr

from inferq import Client
from inferq.local.embedded import server_binary
from inferq_core.broker import SET_ASIDE_QUEUE
from inferq_core.broker_url import is_redis
from inferq_core.buckets import buckets_of
from inferq_core.errors import BrokerUnavailable
from inferq_core.ids import new_job_id
from inferq_core.notify import Notifier, ReplyListener
from inferq_core.policy.rate import RateLimit
from inferq_core.redis_lists import depth as depth_of
from inferq_core.settings import Settings
from inferq_core.states import State
from inferq_core.store.records import StoredResult
from inferq_monitoring.checks.broker import check_broker
from inferq_monitoring.doctor import examine
from inferq_monitoring.findings import Level

PASSWORD = "p@ss/w:rd?#%;ü"
ENCODED = "p%40ss%2Fw%3Ard%3F%23%25%3B%C3%BC"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"), "our-authority")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("stranger"), "another-authority")


class TlsRedis(Redis):
    """Speaks TLS only."""

    def __init__(self, folder, authority, alternative="IP:127.0.0.1"):
        self.authority = authority.certificate
        certificate, key = authority.certify(folder.name, alternative)
        files = {"--tls-cert-file": certificate, "--tls-key-file": key, "--tls-ca-cert-file": self.authority}
        self._options = [
            "--port",
            "0",
            "--tls-auth-clients",
            "no",
            *(str(part) for pair in files.items() for part in pair),
        ]
        super().__init__(folder, redis_binary())

    def start(self):
        self.client = redis.Redis(port=self.port, ssl=True, ssl_cert_reqs="none", ssl_check_hostname=False)
        self._command += [*self._options, "--tls-port", str(self.port)]
        self.url = self.trusting(self.authority)
        super().start()

    def trusting(self, authority, extra=""):
        return f"rediss://127.0.0.1:{self.port}/0?ssl_ca_certs={authority}{extra}"


@pytest.fixture(scope="module")
def tls_redis(authority, tmp_path_factory):
    with closing(TlsRedis(tmp_path_factory.mktemp("right"), authority)) as server:
        yield server


@pytest.fixture(scope="module")
def misnamed_redis(authority, tmp_path_factory):
    """Its certificate is of another host."""
    with closing(TlsRedis(tmp_path_factory.mktemp("misnamed"), authority, "DNS:other.example.com")) as server:
        yield server


class At:
    """A broker that is known by its URL only."""

    def __init__(self, url):
        self.url = url


RESULT = StoredResult(
    id=new_job_id(),
    state=State.SUCCEEDED,
    model="sum",
    version=1,
    variant=None,
    outputs=[1.0],
    error_code=None,
    error_message=None,
    attempt=1,
    batch_id=None,
    batch_rows=1,
    worker=None,
    created_at=0.0,
    claimed_at=None,
    predicted_at=None,
    completed_at=1.0,
)


def assert_all_get_through(url, queue_name):
    """Producer, worker's transport, doctor, and, but for AMQP, notification."""
    publish(At(url), queue_name, range(3))
    with closing(Taker(At(url), queue_name)) as taker:
        assert taker.take(3) == [0, 1, 2]
        taker.ack()
    assert check_broker(Settings(broker_url=url))[0].level is Level.OK
    if not is_redis(url):
        return
    heard = []
    with closing(ReplyListener(url, lambda results, _: heard.extend(results))) as listener:
        listener.start()
        assert listener.is_live
        with closing(Notifier(url)) as notifier:
            notifier.notify({listener.reply_to: [RESULT]})
        wait_for(lambda: heard == [RESULT], timeout=10, what="the notification")


def assert_all_are_refused(url, queue_name, reason, caplog):
    with pytest.raises(BrokerUnavailable, match=reason) as refused:
        publish(At(url), queue_name, [1])
    assert "\n" not in str(refused.value)
    with pytest.raises(Exception, match=reason), connect(url) as connection:
        connection.connect()
    (finding,) = check_broker(Settings(broker_url=url))
    assert finding.level is Level.FAIL
    if not is_redis(url):
        return
    caplog.clear()
    with closing(ReplyListener(url, lambda *_: None)) as listener, closing(Notifier(url)) as notifier:
        listener.start()
        assert not listener.is_live
        notifier.notify({"somebody": [RESULT]})
    told = {record.getMessage(): str(record.reason) for record in caplog.records if hasattr(record, "reason")}
    for event in ("replies_lost", "notify_failed"):
        assert re.search(reason, told[event])


def test_all_speak_tls(tls_redis, queue_name):
    assert_all_get_through(tls_redis.url, queue_name)


def test_an_unknown_authority_is_refused(tls_redis, stranger, queue_name, caplog):
    assert_all_are_refused(tls_redis.trusting(stranger.certificate), queue_name, "certificate verify failed", caplog)


def test_without_an_authority_the_systems_count(tls_redis, queue_name, caplog):
    url = tls_redis.url.partition("?")[0]
    assert_all_are_refused(url, queue_name, "certificate verify failed", caplog)


def test_the_certificate_of_another_host_is_refused_unless_the_url_says_otherwise(misnamed_redis, queue_name, caplog):
    assert_all_are_refused(misnamed_redis.url, queue_name, "certificate verify failed.*(IP|Hostname)", caplog)
    assert_all_get_through(f"{misnamed_redis.url}&ssl_check_hostname=false", queue_name)
    assert_all_get_through(f"{misnamed_redis.url}&ssl_cert_reqs=none", queue_name)


def test_plaintext_is_never_spoken(many_broker, authority, queue_name, caplog):
    """Not to a server that speaks nothing else; what a listener hears is the beginning of a handshake of TLS."""
    with pytest.raises(BrokerUnavailable):
        publish(At(f"rediss://127.0.0.1:{many_broker.port}/0"), queue_name, [1])
    assert depth(many_broker, queue_name) == 0
    with closing(Eavesdropper()) as eavesdropper:
        url = f"rediss://user:password@127.0.0.1:{eavesdropper.port}/0?ssl_ca_certs={authority.certificate}"
        assert_all_are_refused(url, queue_name, "(?i)ssl|closed|reset", caplog)
        assert len(eavesdropper.heard) >= 5
        assert {words[0] for words in eavesdropper.heard} == {TLS_HANDSHAKE}


TLS_HANDSHAKE = 0x16


class Eavesdropper:
    """Hears the first words of whoever connects, and hangs up."""

    def __init__(self):
        self.heard = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        with suppress(OSError):  # closed
            while True:
                with self._listener.accept()[0] as caller:
                    self.heard.append(caller.recv(64))

    def close(self):
        self._listener.close()


def test_whole_jobs_travel_over_tls(tls_redis, stranger, tmp_path):
    system = System(tmp_path, tls_redis, None)
    try:
        register_model(system, "sum", Raiser())
        wrong = system.start_worker(INFERQ_BROKER_URL=tls_redis.trusting(stranger.certificate))
        wait_for(lambda: "certificate verify failed" in wrong.log.read_text(), timeout=60, what="the worker to say it")
        rows = rows_for(20)
        jobs = system.client.submit_many("sum", rows)
        assert system.states(jobs).keys() == {job.id for job in jobs}
        assert system.store.counts() == {("sum", State.QUEUED): 20}
        system.start_worker()
        assert_each_succeeded_once(system, jobs, rows)
        assert wrong.poll() is None, "it tries again: certificates are renewed"
    finally:
        system.close()


@pytest.fixture
def tls_line(authority, request):
    """Makes lines on which RabbitMQ speaks TLS, for a name."""
    if reason := no_rabbitmq():
        missing(reason)
    lines = []

    def make(alternative):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.certify(f"rabbitmq-{len(lines)}", alternative))
        lines.append(Line(5672, context))
        return lines[-1].port

    yield make
    for line in lines:
        line.close()


def test_amqp_over_tls_is_verified_as_well(tls_line, authority, stranger, queue_name, caplog):
    right, misnamed = (
        f"amqps://guest:guest@127.0.0.1:{tls_line(name)}//" for name in ("IP:127.0.0.1", "DNS:o.example")
    )
    try:
        assert_all_get_through(f"{right}?ssl_ca_certs={authority.certificate}", queue_name)
        for url, reason in (
            (f"{right}?ssl_ca_certs={stranger.certificate}", "certificate verify failed"),
            (right, "certificate verify failed"),
            (f"{misnamed}?ssl_ca_certs={authority.certificate}", "certificate verify failed"),
        ):
            assert_all_are_refused(url, queue_name, reason, caplog)
        assert_all_get_through(f"{misnamed}?ssl_ca_certs={authority.certificate}&ssl_check_hostname=false", queue_name)
    finally:
        with connect(f"{AMQP_URL}//") as connection:
            connection.channel().queue_delete(queue_name)


def test_passwords_may_have_any_character(tmp_path, queue_name, caplog):
    with closing(Redis(tmp_path, redis_binary())) as broker:
        broker.client.execute_command("ACL", "SETUSER", "né@w", "on", f">{PASSWORD}", "~*", "&*", "+@all")
        url = f"redis://n%C3%A9%40w:{ENCODED}@127.0.0.1:{broker.port}/0"
        assert_all_get_through(url, queue_name)
        broker.client.execute_command("ACL", "SETUSER", "default", "off")
        assert_all_get_through(url, queue_name)
        wrong = url.replace(ENCODED, "wrong")
        assert_all_are_refused(wrong, queue_name, "invalid username-password pair", caplog)


@pytest.mark.parametrize("database", ["", "?virtual_host=2"])
def test_a_socket_and_its_database_mean_the_same_to_all(tmp_path, queue_name, database):
    folder = tmp_path / "with space"
    with closing(Redis(folder, str(server_binary()), "--unixsocket", str(folder / "s.sock"))) as broker:
        url = f"redis+socket://{folder}/s.sock{database}"
        with Commands(broker) as commands:
            assert_all_get_through(url, queue_name)
            assert commands.named("BLMPOP"), "many at once, as over TCP"
        publish(At(url), queue_name, [7])
        number = 2 if database else 0
        with closing(redis.Redis(port=broker.port, db=number)) as client:
            assert depth_of(client, queue_name) == 1


def acl_lines():
    """As the documentation has them."""
    text = (Path(__file__).parents[2] / "docs" / "brokers.md").read_text()
    return [line.split() for line in text.splitlines() if line.startswith("ACL SETUSER ")]


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_the_rights_that_are_documented_do(tls, authority, tmp_path):
    folder = tmp_path / "broker"
    broker = TlsRedis(folder, authority) if tls else Redis(folder, redis_binary())
    for line in acl_lines():
        broker.client.execute_command(*(PASSWORD.join(word.split("PASSWORD")) for word in line))
    scheme, _, place = broker.url.partition("://")
    as_user = f"{scheme}://{{}}:{ENCODED}@{place}".format
    broker.url = as_user("inferq-worker")
    system = System(tmp_path, broker, None, event_stream="inferq.events")
    try:
        register_model(system, "sum", Raiser())
        worker, keeper, deliverer = system.start_worker(), system.start_keeper(), system.start_deliverer()
        wait_for(lambda: system.store.elected("deliverer"), timeout=60, what="the deliverer")
        rows = rows_for(30)
        with Client(system.settings.model_copy(update={"broker_url": SecretStr(as_user("inferq-app"))})) as client:
            jobs = client.submit_many("sum", rows)
            assert client.submit("sum", rows[:1]).result(timeout=60).outputs == [float(rows[0].sum())]
            assert {job.id for job in client.as_completed(jobs, timeout=60)} == {job.id for job in jobs}
            seen = {connected["user"] for connected in broker.client.client_list()}
        wait_for(lambda: broker.client.xlen("inferq.events") == len(jobs) + 1, timeout=60, what="the events")
        buckets = buckets_of(as_user("inferq-gateway"))
        assert buckets.take([("a-key", RateLimit.parse("1/h"))])[0].allowed
        assert not buckets.take([("a-key", RateLimit.parse("1/h"))])[0].allowed
        buckets.close()
        broker.client.lpush("predictions", b"junk")
        wait_for(lambda: broker.client.llen(SET_ASIDE_QUEUE) == 1, timeout=30, what="the junk to be set aside")
        wait_for(lambda: system.store.elected("keeper"), timeout=60, what="the keeper to sweep")
        inspect = system.start_celery("inspect", "ping")
        assert inspect.wait(60) == 0
        assert not [finding for finding in examine(system.settings) if finding.level is Level.FAIL]
        assert {"inferq-app", "inferq-worker"} <= seen
        assert [system.stop(worker), system.stop(keeper), system.stop(deliverer)] == [0, 0, 0]
        assert broker.client.acl_log() == []
    except BaseException:
        sys.stderr.write(f"{system.logs()}\n{broker.client.acl_log()}")
        raise
    finally:
        system.close()
        broker.close()
