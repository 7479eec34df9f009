"""A Flower of one's own, and how to ask it."""

import base64
import urllib.error
import urllib.request
from dataclasses import dataclass

from harness import RedisServer, System, free_port, wait_for

USER, PASSWORD = "anna", "pass:word with colon"
BROKER_PASSWORD = "only-the-broker-knows"
# A value that is in every input and in no id, time or count.
INPUT = 777123.25


@dataclass
class Answer:
    status: int
    text: str
    headers: dict


class Browser:
    """Asks one Flower, with or without the password."""

    def __init__(self, port, credentials=f"{USER}:{PASSWORD}"):
        self.port = port
        self.credentials = credentials

    def get(self, path, *, credentials="mine", method="GET", body=None, headers=None):
        given = self.credentials if credentials == "mine" else credentials
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method, data=body)
        if given is not None:
            request.add_header("Authorization", f"Basic {base64.b64encode(given.encode()).decode()}")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return Answer(answer.status, answer.read().decode(errors="replace"), dict(answer.headers))
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read().decode(errors="replace"), dict(error.headers))

    def answers(self):
        try:
            return self.get("/inferq").status
        except OSError:
            return None


def make_system(folder, redis_binary, **settings):
    broker = RedisServer(folder, redis_binary)
    broker.client.config_set("requirepass", BROKER_PASSWORD)
    broker.url = f"redis://:{BROKER_PASSWORD}@127.0.0.1:{broker.port}/0"
    return System(folder, broker, None, flower_port=free_port(), **settings)


def start_flower(system):
    """The process, once it answers (with 401 to those without the password)."""
    process = system._start("flower", ["inferq_workers", "flower"], {})
    browser = Browser(system.settings.flower_port)

    def ready():
        assert process.poll() is None, process.log.read_text()
        return browser.answers()

    wait_for(ready, timeout=60, what="Flower")
    return process
