"""The store crashes, falls silent, is locked, or is full."""

import sqlite3
import time

from disk import fill

from faults.fault import Fault, Unfit
from inferq_core.errors import StoreError


class PostgresRestarted(Fault):
    name = "PostgreSQL restarted, immediate"
    backends = ("postgresql",)
    outage = True

    def strike(self, scene):
        scene.cluster.stop_immediately()
        scene.cluster.start()


class PostgresSilent(Fault):
    name = "PostgreSQL silent"
    backends = ("postgresql",)
    outage = True

    def strike(self, scene):
        scene.cluster.freeze()
        try:
            time.sleep(scene.pace.outage)
        finally:
            scene.cluster.thaw()


class SqliteLocked(Fault):
    name = "SQLite locked by another writer"
    backends = ("sqlite",)
    outage = True

    def strike(self, scene):
        path = scene.system.settings.store.removeprefix("sqlite:///")
        with sqlite3.connect(path, timeout=60, isolation_level=None) as writer:
            writer.execute("BEGIN IMMEDIATE")
            time.sleep(scene.pace.locked)
            writer.execute("ROLLBACK")
        writer.close()


class DiskFull(Fault):
    name = "disk full at commit"
    backends = ("sqlite",)
    outage = True

    def prepare(self, scene):
        if scene.disk is None:
            raise Unfit("a small disk (tmpfs) can only be mounted by root, outside most containers")

    def strike(self, scene):
        filler = fill(scene.disk)
        try:
            self._submit_until_refused(scene)
            time.sleep(scene.pace.locked)
        finally:
            filler.unlink()

    def _submit_until_refused(self, scene):
        """Space that the file has already may be enough for a while; what is accepted until then must be predicted."""
        while True:
            try:
                scene.submit(500)
            except StoreError:
                return


FAULTS = [PostgresRestarted, PostgresSilent, SqliteLocked, DiskFull]
