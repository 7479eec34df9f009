"""No route answers without the password, whether Flower would guard it or not."""

import base64
import re

import psutil
import pytest
from asking import INPUT, PASSWORD, USER
from flower.urls import handlers

METHODS = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")


def paths():
    """Every route of Flower, with something in place of its groups, and ours."""
    patterns = [handler.regex.pattern if hasattr(handler, "regex") else handler[0] for handler in handlers]
    theirs = [re.sub(r"\(.*?\)", "x", pattern).replace("/?", "").rstrip("$") for pattern in patterns]
    return [path if path.startswith("/") else "/no/such/page" for path in theirs] + [
        "/inferq",
        "/inferq/static/page.js",
        "/static/css/flower.css",
    ]


def test_the_routes_that_are_known_to_be_open_are_among_them():
    assert {"/metrics", "/healthcheck", "/inferq", "/api/tasks", "/login"} <= set(paths())


@pytest.mark.parametrize("path", paths())
def test_without_the_password_every_route_refuses(browser, path):
    for method in METHODS:
        answer = browser.get(path, credentials=None, method=method)
        assert (answer.status, answer.headers["Www-Authenticate"].split()[0]) == (401, "Basic"), method
        assert len(answer.text) < 200


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic !",
        "Basic " + base64.b64encode(b"anna").decode(),
        "Basic " + base64.b64encode(f"{USER}:{PASSWORD} ".encode()).decode(),
        "Basic " + base64.b64encode(f"{USER}:".encode()).decode(),
        "Basic " + base64.b64encode("ännä:ö".encode("latin-1")).decode(),
        "Bearer " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(),
        f"Basic {USER}:{PASSWORD}",
    ],
)
def test_nothing_but_the_password_opens(browser, header):
    assert browser.get("/metrics", credentials=None, headers={"Authorization": header}).status == 401


def test_a_large_body_is_refused_as_well(browser):
    answer = browser.get("/api/task/send-task/x", credentials=None, method="POST", body=b"x" * 100_000)
    assert answer.status == 401


@pytest.mark.parametrize(
    "path", ["/metrics", "/healthcheck", "/inferq", "/api/tasks", "/tasks", "/static/css/flower.css"]
)
def test_with_it_they_answer(browser, path):
    assert browser.get(path).status == 200


def test_only_this_machine_reaches_it(busy):
    listening = [
        connection.laddr.ip
        for connection in psutil.Process(busy.flower.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening == ["127.0.0.1"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/task/send-task/inferq.predict",
        "/api/task/async-apply/inferq.recover",
        "/api/task/revoke/{batch}",
        "/api/worker/shutdown/{worker}",
        "/api/worker/pool/shrink/{worker}",
    ],
)
def test_its_buttons_do_nothing(busy, path):
    path = path.format(
        batch=busy.batch_id, worker=f"worker-{busy.worker.pid}@{busy.store.workers(seen_within=60)[0].host}"
    )
    answer = busy.browser.get(path, method="POST", body=b'{"args": [[%f]]}' % INPUT)
    assert answer.status == 403
