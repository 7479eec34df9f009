"""A PostgreSQL of our own on a free port: one that may be killed."""

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
from harness import free_port, wait_for

# Debian keeps the server's binaries off the path.
DEBIAN = "/usr/lib/postgresql"


def binaries():
    """The folder of initdb and postgres, or None."""
    found = sorted(Path(DEBIAN).glob("*/bin/initdb")) or list(filter(None, [shutil.which("initdb")]))
    return Path(found[-1]).resolve().parent if found else None


class PostgresCluster:
    """PostgreSQL refuses to run as root: as root it runs as `postgres`, in a folder of that user."""

    def __init__(self):
        self._user = "postgres" if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="inferq-cluster-"))
        if self._user:
            shutil.chown(self._folder, self._user)
        self.port = free_port()
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"
        self.process = None
        try:
            self._make()
        except BaseException:
            self.close()
            raise

    def _make(self):
        data = self._folder / "data"
        self._run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync")
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 10.0.0.0/8 trust\n")  # the hosts of `hosts.py`
        self._command = [binaries() / "postgres", "-D", data, "-p", self.port, "-k", self._folder]
        self._command += ["-c", "listen_addresses=*", "-c", "max_connections=200"]
        self.start()

    def _run(self, program, *arguments):
        command = [str(part) for part in (binaries() / program, *arguments)]
        subprocess.run(command, check=True, user=self._user, stdout=subprocess.DEVNULL, cwd=self._folder)

    def start(self):
        command = [str(part) for part in self._command]
        with (self._folder / "log").open("a") as log:
            self.process = subprocess.Popen(command, user=self._user, stdout=log, stderr=log, cwd=self._folder)
        wait_for(self._answers, timeout=60, what="PostgreSQL")

    def _answers(self):
        try:
            psycopg.connect(host="127.0.0.1", port=self.port, user="postgres", dbname="postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def stop_immediately(self):
        """As in a crash: without a checkpoint, every connection cut."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(60)

    def freeze(self):
        """Keep the connections and answer nothing, as behind a network that swallows everything."""
        for process in self._all():
            process.suspend()

    def thaw(self):
        for process in self._all():
            with suppress(psutil.NoSuchProcess):  # a backend whose client went away
                process.resume()

    def _all(self):
        first = psutil.Process(self.process.pid)
        return [first, *first.children(recursive=True)]

    def close(self):
        if self.process is not None:
            self.thaw()
            self.stop_immediately()
        shutil.rmtree(self._folder)
