"""Brokers of every kind that inferq speaks to, and a plain consumer on our transports."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
from contextlib import closing, suppress
from time import monotonic
from uuid import uuid4

import kombu
import pytest
import redis
from harness import RedisServer, free_port, wait_for

from inferq.local.embedded import server_binary
from inferq_core import messages
from inferq_core.broker import Publisher, queue, transport_options
from inferq_core.broker_url import check_url, kombu_url, tls_options
from inferq_core.ids import new_job_id
from inferq_core.messages import JobMessage, Limits
from inferq_core.states import Priority
from inferq_workers.app import transport_of

STORE = "store-of-the-test"
PATIENCE = 30
AMQP_URL = "amqp://guest:guest@127.0.0.1:5672"


class Redis(RedisServer):
    """A Redis or Valkey of our own; it keeps its lists over a restart."""

    is_redis = True

    def __init__(self, folder, binary, *options):
        folder.mkdir(exist_ok=True)
        super().__init__(folder, binary, "--appendonly", "yes", "--appendfsync", "always", *options)

    def cut(self):
        """End every connection but the one that asks for it."""
        for kind in ("normal", "pubsub"):
            self.client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")

    def freeze(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def restart(self):
        self.stop()
        self.start()

    def close(self):
        self.client.close()
        self.stop()


class WatchedRedis(Redis):
    """A Redis of our own with a replica, and a sentinel that watches them."""

    def __init__(self, folder):
        super().__init__(folder, redis_binary())
        (folder / "replica").mkdir()
        self.replica = RedisServer(folder / "replica", redis_binary(), "--replicaof", "127.0.0.1", str(self.port))
        port = free_port()
        settings = folder / "sentinel.conf"
        settings.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor watched 127.0.0.1 {self.port} 1\n"
            "sentinel down-after-milliseconds watched 1000\nsentinel failover-timeout watched 3000\n"
        )
        self.sentinel = redis.Redis(port=port)
        self._watching = subprocess.Popen(
            [redis_binary(), str(settings), "--sentinel"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        # The first one is nobody: whoever is asked next answers.
        self.url = f"sentinel://127.0.0.1:{free_port()},127.0.0.1:{port}/0?master_name=watched"
        wait_for(self._knows_the_replica, timeout=PATIENCE, what="the sentinel")

    def _knows_the_replica(self):
        with suppress(redis.RedisError):
            return any(
                int(replica.get("slave-repl-offset", 0)) > 0 for replica in self.sentinel.sentinel_slaves("watched")
            )
        return False

    def fail_over(self):
        """Kill the primary for good; the sentinel makes the replica the primary."""
        self.process.kill()
        self.process.wait(20)
        self.client = self.replica.client
        wait_for(lambda: self.replica.client.info("replication")["role"] == "master", timeout=PATIENCE, what="failover")

    def close(self):
        self._watching.terminate()
        self._watching.wait(20)
        self.sentinel.close()
        self.replica.stop()
        if self.process.poll() is None:
            super().close()


class RabbitMQ:
    """A virtual host of our own on the machine's server, reached over a line that can be cut."""

    is_redis = False

    def __init__(self):
        self._vhost = f"inferq-test-{uuid4().hex[:12]}"
        rabbitmqctl("add_vhost", self._vhost)
        rabbitmqctl("set_permissions", "-p", self._vhost, "guest", ".*", ".*", ".*")
        self._line = Line(5672)
        self.url = f"amqp://guest:guest@127.0.0.1:{self._line.port}/{self._vhost}"

    def cut(self):
        self._line.cut()

    def close(self):
        self._line.close()
        rabbitmqctl("delete_vhost", self._vhost)


def rabbitmqctl(*arguments):
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    subprocess.run([*as_root, "rabbitmqctl", "--quiet", *arguments], check=True, capture_output=True, timeout=120)


def no_rabbitmq():
    """Why there is none, or None."""
    if shutil.which("rabbitmqctl") is None:
        return "no rabbitmqctl on this machine: install rabbitmq-server"
    try:
        with kombu.Connection(AMQP_URL, connect_timeout=5) as connection:
            connection.connect()
    except Exception as error:
        return f"no RabbitMQ at {AMQP_URL} ({type(error).__name__}: {error}): start rabbitmq-server"
    return None


class Line:
    """Forwards connections to a port of this machine until it is cut; with `tls`, what comes in is encrypted."""

    def __init__(self, target, tls: ssl.SSLContext | None = None, port=0):
        self._target, self._tls = target, tls
        self._ends = set()
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with suppress(OSError):  # closed
            while True:
                near, _ = self._listener.accept()
                try:
                    near = near if self._tls is None else self._tls.wrap_socket(near, server_side=True)
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    near.close()
                    continue
                self._ends |= {near, far}
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _forward(self, source, sink):
        with suppress(OSError, ValueError):
            while data := source.recv(65_536):
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self):
        for end in list(self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends.clear()

    def close(self):
        self._listener.close()
        self.cut()


def numbered(queue_name, numbers, priority=Priority.NORMAL, rows=1):
    """Messages that tell their number."""
    return [
        JobMessage(
            store_id=STORE,
            model=f"m{number}",
            job_ids=[new_job_id() for _ in range(rows)],
            n_rows=rows,
            queue=queue_name,
            priority=priority,
            published_at=1.0,
            limits=Limits(256, 10.0),
        )
        for number in numbers
    ]


def publish(broker, *args, **options):
    with closing(Publisher(broker.url)) as publisher:
        publisher.publish(numbered(*args, **options))


def depth(broker, queue_name):
    with closing(Publisher(broker.url)) as publisher:
        return publisher.depth(queue_name)


def connect(url, **options):
    """As a worker connects."""
    return kombu.Connection(
        kombu_url(check_url(url)),
        transport=transport_of(url),
        ssl=tls_options(url) or False,
        connect_timeout=4,
        transport_options={**transport_options(url), **options},
    )


class Taker:
    """A consumer that keeps what it gets; nothing is acknowledged until it is said."""

    def __init__(self, broker, *queues, prefetch=0, **options):
        self.got = []
        self.connection = connect(broker.url, **options)
        self.channel = self.connection.channel()
        if prefetch:
            self.channel.basic_qos(0, prefetch, False)
        self.consumer = kombu.Consumer(
            self.channel, [queue(name, broker.url) for name in queues], on_message=self.got.append, auto_declare=True
        )
        self.consumer.consume()

    @property
    def numbers(self):
        """In the order of their coming."""
        return [
            int(messages.decode(message.body, message.headers, STORE).model.removeprefix("m")) for message in self.got
        ]

    def turn(self, seconds=0.2):
        """Take what comes; False when nothing did within the time."""
        try:
            self.connection.drain_events(timeout=seconds)
        except TimeoutError:
            return False
        return True

    def take(self, count):
        """At least so many messages."""

        deadline = monotonic() + PATIENCE
        while len(self.got) < count:
            assert self.turn(1) or monotonic() < deadline, f"{len(self.got)} of {count} messages came"
        return self.numbers

    def ack(self):
        for message in self.got:
            if not message.acknowledged:
                message.ack()

    def close(self):
        self.connection.close()


class Commands:
    """What a server is asked, as it tells (MONITOR)."""

    def __init__(self, broker):
        self._asker = broker.client
        self._client = redis.Redis.from_url(broker.url)
        self._monitor = self._client.monitor()
        self._seen = []

    def __enter__(self):
        self._monitor.__enter__()
        return self

    def __exit__(self, *_):
        self._monitor.connection.disconnect()
        self._client.close()

    def named(self, name):
        """So far: everything that came before a marker of ours."""
        marker = uuid4().hex
        self._asker.echo(marker)
        while True:
            command = self._monitor.next_command()["command"]
            if marker in command:
                return [seen for seen in self._seen if seen.startswith(name)]
            self._seen.append(command)


KINDS = {
    "redis": lambda folder: Redis(folder, redis_binary()),
    "valkey": lambda folder: Redis(folder, str(server_binary())),
    # as before Redis 7
    "redis-without-blmpop": lambda folder: Redis(folder, redis_binary(), "--rename-command", "BLMPOP", ""),
    "sentinel": WatchedRedis,
    "rabbitmq": lambda _: RabbitMQ(),
}
REDIS_KINDS = [kind for kind in KINDS if kind != "rabbitmq"]


def redis_binary():
    return shutil.which("redis-server") or missing("no redis-server on this machine: install it")


def missing(reason):
    """Skip on a laptop, fail where everything must be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def started(kind, folder):
    if kind == "rabbitmq" and (reason := no_rabbitmq()):
        missing(reason)
    return KINDS[kind](folder)
