"""Starting gateways: in a thread of this process, and as `inferq gateway`."""

import os
import re
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from inferq.gateway.app import create_app
from inferq.gateway.serving import Server
from inferq_core.keys import digest_of, new_key
from inferq_core.store.records import KeyScope, NewKey

PATIENCE = 60
ROW = [1.0, 2.0, 3.0, 4.0]


class ServedHere:
    """A gateway on a free port, in a thread; hands out a client of it."""

    def __init__(self, installation):
        self.server = Server(create_app(installation.settings, installation.store))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=lambda: self.server.run([self.listener]))

    def __enter__(self):
        port = self.listener.getsockname()[1]
        self.thread.start()
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE)
        return self.http

    def __exit__(self, *_):
        self.http.close()
        self.server.should_exit = True
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


@dataclass
class Gateway:
    process: subprocess.Popen
    http: httpx.Client
    log: Path

    @property
    def address(self):
        return self.http.base_url.host, self.http.base_url.port


@contextmanager
def process_of(settings, log, *arguments):
    """`inferq gateway` on a free port, ready. It is ended by SIGTERM unless it has ended already."""
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "inferq.cli.main", "gateway", "--port", "0", *arguments],
            env={**os.environ, **settings.environment()},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        try:
            told = process.stdout.readline()
            url = re.search(r"http://[^/]+", told)
            assert url, log.read_text()
            with httpx.Client(base_url=url[0], timeout=PATIENCE) as http:
                yield Gateway(process, http, log)
        finally:
            process.terminate()
            process.wait(PATIENCE)
            process.stdout.close()


def bearing(store, *scopes, models=None):
    """Headers with a new key."""
    key_id, text = new_key()
    store.add_key(NewKey(key_id, "test", digest_of(text), scopes or [KeyScope.SUBMIT], models))
    return {"Authorization": f"Bearer {text}"}


def enqueue(http, rows=(ROW,), model="sums", headers=None, **fields):
    """The answer to a request for a prediction."""
    return http.post(f"/v1/models/{model}/predictions", json={"inputs": list(rows), **fields}, headers=headers)


def accepted(http, **options):
    """The id of a new prediction."""
    answer = enqueue(http, **options)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def assert_problem(answer, status, slug):
    """It is the problem, in the form of RFC 9457; its members."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (status, f"urn:inferq:problem:{slug}"), answer.text
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    return problem
