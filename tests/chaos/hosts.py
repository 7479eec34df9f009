"""Worker hosts in network namespaces: each has one cable to the broker and one to the store, which can be cut."""

import os
import subprocess

BROKER, STORE = 0, 1


class Unpermitted(Exception):
    """Namespaces cannot be made here; the message says why."""


def _ip(*arguments):
    try:
        done = subprocess.run(["ip", *map(str, arguments)], check=False, capture_output=True, text=True)
    except FileNotFoundError:
        raise Unpermitted("no `ip`: install iproute2") from None
    if done.returncode:
        raise Unpermitted(f"ip {' '.join(map(str, arguments))}: {done.stderr.strip()}")


class Host:
    def __init__(self, number):
        mark = os.getpid() % 10_000
        self.name = f"ifq{mark}-{number}"
        self._cables = [f"ifq{mark}-{number}{end}" for end in (BROKER, STORE)]
        # a /30 for each cable: .1 is here, .2 is the host
        self.addresses = [f"10.{77 + number}.{mark % 250}.{4 * end + 1}" for end in (BROKER, STORE)]
        _ip("netns", "add", self.name)
        try:
            self._lay_cables()
        except Unpermitted:
            self.close()
            raise

    def _lay_cables(self):
        self.run_here = ["ip", "netns", "exec", self.name]
        _ip("-n", self.name, "link", "set", "lo", "up")
        for cable, here in zip(self._cables, self.addresses, strict=True):
            there = here[:-1] + str(int(here[-1]) + 1)
            _ip("link", "add", cable, "type", "veth", "peer", "name", "eth" + cable[-1], "netns", self.name)
            _ip("address", "add", f"{here}/30", "dev", cable)
            _ip("link", "set", cable, "up")
            _ip("-n", self.name, "address", "add", f"{there}/30", "dev", "eth" + cable[-1])
            _ip("-n", self.name, "link", "set", "eth" + cable[-1], "up")

    def cut(self, end):
        """Packets vanish in both directions; nobody is told."""
        _ip("link", "set", self._cables[end], "down")

    def heal(self, end):
        _ip("link", "set", self._cables[end], "up")

    def close(self):
        subprocess.run(["ip", "netns", "delete", self.name], check=False)
        for cable in self._cables:  # they go with the namespace, unless it was never reached
            subprocess.run(["ip", "link", "delete", cable], check=False, capture_output=True)
