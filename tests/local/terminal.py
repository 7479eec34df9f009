"""`inferq up` as a person has it in a terminal: what it says, what runs under it, and how it is stopped."""

import subprocess
import sys
import threading
from pathlib import Path

import psutil
from harness import wait_for

INFERQ = [sys.executable, "-m", "inferq.cli.main"]


def run(*command, environment):
    """An `inferq` command that ends by itself."""
    return subprocess.run(
        [*INFERQ, *command], env=environment, check=False, capture_output=True, text=True, timeout=120
    )


class Up:
    """A running `inferq up`."""

    def __init__(self, environment):
        self.home = Path(environment["INFERQ_HOME"])
        self.port = int(environment["INFERQ_FLOWER_PORT"])
        self.gateway_port = int(environment["INFERQ_GATEWAY_PORT"])
        self.lines = []
        self.process = subprocess.Popen([*INFERQ, "up"], env=environment, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def said(self):
        return "".join(self.lines)

    def wait_said(self, *words):
        """The first line with all the words."""

        def found():
            ended = not self._reader.is_alive()
            line = next((line for line in list(self.lines) if all(word in line for word in words)), None)
            assert line or not ended, f"inferq up ended: {self.said}"
            return line

        return wait_for(found, timeout=60, what=f"{words} in {self.lines}")

    def child(self, role):
        """The newest process of a role, as `up` names it."""
        if role == "broker":
            return next(child for child in psutil.Process(self.pid).children() if child.name() == "valkey-server")
        return next(child for child in psutil.Process(self.pid).children() if role in child.cmdline())

    def tree(self):
        return psutil.Process(self.pid).children(recursive=True)

    def stop(self, signal):
        """Send the signal and wait; the exit code."""
        self.process.send_signal(signal)
        return self.wait()

    def wait(self):
        code = self.process.wait(60)
        self._reader.join(60)
        return code

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)


def living(processes):
    """Those that have not ended; one that nobody has asked about yet has."""
    return [process for process in processes if _lives(process)]


def _lives(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
