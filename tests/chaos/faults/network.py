"""Three worker hosts, one of which loses its way to the broker, or to the store, and finds it again."""

import time

from harness import wait_for
from hosts import BROKER, STORE, Host, Unpermitted
from sqlalchemy import make_url

from faults.fault import Fault, Unfit

HOSTS = 3


class Hosts:
    """The hosts of a scene, and a worker on each."""

    def __init__(self, scene):
        self._hosts = []
        self.workers = []
        try:
            for number in range(HOSTS):
                self._hosts.append(Host(number))
        except Unpermitted:
            self.close()
            raise
        addresses = " ".join(host.addresses[BROKER] for host in self._hosts)
        scene.broker.client.config_set("bind", f"127.0.0.1 {addresses}")
        scene.broker.client.config_set("protected-mode", "no")
        self.workers += [start_worker(scene, host) for host in self._hosts]
        self.wait_for_heartbeats(scene)
        self.first = self._hosts[0]

    def wait_for_heartbeats(self, scene):
        """Of the worker that is on no host, too."""
        wait_for(
            lambda: len(scene.system.store.workers(seen_within=10)) > HOSTS, timeout=120, what="the hosts' heartbeats"
        )

    def close(self):
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.wait(120)
        for host in self._hosts:
            host.close()


def start_worker(scene, host):
    store = make_url(scene.system.settings.store).set(host=host.addresses[STORE])
    return scene.system.start_worker(
        within=host.run_here,
        INFERQ_BROKER_URL=f"redis://{host.addresses[BROKER]}:{scene.broker.port}/0",
        INFERQ_STORE_URL=store.render_as_string(hide_password=False),
    )


class _Cut(Fault):
    backends = ("postgresql",)  # a SQLite store has one host
    outage = True
    end: int

    def prepare(self, scene):
        try:
            self._hosts = scene.once(Hosts)
        except Unpermitted as error:
            raise Unfit(f"no network namespaces: {error}") from None

    def strike(self, scene):
        self._hosts.first.cut(self.end)
        try:
            time.sleep(max(scene.pace.outage, scene.pace.lease + 2 * scene.pace.sweep_interval))
        finally:
            self._hosts.first.heal(self.end)

    def check(self, scene):
        assert all(worker.poll() is None for worker in self._hosts.workers), "a worker died of a cut"
        self._hosts.wait_for_heartbeats(scene)


class CutFromBroker(_Cut):
    name = "one of three hosts cut from the broker"
    end = BROKER


class CutFromStore(_Cut):
    name = "one of three hosts cut from the store"
    end = STORE


FAULTS = [CutFromBroker, CutFromStore]
