"""What the pages show, and what they never show."""

import json
import re
import subprocess
from urllib.parse import quote

import pytest
from asking import BROKER_PASSWORD, INPUT, PASSWORD, USER, Browser, start_flower
from harness import wait_for

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Time in the page runs this far ahead while nothing is under way: scripts have fetched what they fetch.
    "--virtual-time-budget=8000",
]


def test_a_batch_is_named_by_model_and_number_of_jobs(busy, browser):
    task = json.loads(browser.get("/api/tasks").text)[busy.batch_id]
    assert (task["name"], task["args"], task["kwargs"], task["state"]) == (
        "inferq.predict",
        "sum, 1 job",
        "",
        "SUCCESS",
    )


def test_the_keepers_tasks_do_not_fill_the_history(browser):
    assert {task["name"] for task in json.loads(browser.get("/api/tasks").text).values()} == {"inferq.predict"}


def test_our_page_shows_the_finished_batch(busy, browser):
    row = rows(browser.get("/inferq").text, "inferq-batches")[0]
    assert (row[1:4], row[6], row[8]) == (["sum", "1", "1"], "completed", busy.batch_id)


def test_it_shows_what_waits_by_queue_priority_and_model(browser):
    (row,) = rows(browser.get("/inferq").text, "inferq-waiting")
    assert row[:5] == ["nobody", "bulk", "unserved", "3", "3"]
    depths = {row[0]: row[1:] for row in rows(browser.get("/inferq").text, "inferq-depths")}
    assert depths.keys() == {"nobody", "predictions"}
    assert int(depths["nobody"][0]) >= 1
    assert depths["nobody"][2] == "none"
    assert depths["predictions"] == ["0", "0", "1"]


def test_it_shows_concurrency_and_batch_sizes(busy, browser):
    (worker,) = rows(browser.get("/inferq").text, "inferq-workers")
    assert f":{busy.worker.pid}:" in worker[0]
    assert worker[1:4] == ["predictions", "2", "0"]
    assert rows(browser.get("/inferq").text, "inferq-sizes")[0] == ["1", "1", "100 %"]


@pytest.mark.parametrize("path", ["/", "/tasks", "/broker", "/inferq"])
def test_every_page_leads_to_it(browser, path):
    assert '<a class="nav-link' in browser.get(path).text
    assert re.search(r'href="/inferq"[^>]*>inferq</a>', browser.get(path).text)


def test_inputs_outputs_and_passwords_are_nowhere(busy, browser):
    node = f"worker-{busy.worker.pid}@{busy.store.workers(seen_within=60)[0].host}"
    columns = "draw=1&start=0&length=100&order[0][column]=0&order[0][dir]=asc&columns[0][data]=name&search[value]="
    paths = [
        *("/", "/workers", "/tasks", "/broker", "/inferq", "/metrics", "/healthcheck", "/no/such/page"),
        *(f"/worker/{node}", f"/task/{busy.batch_id}", f"/tasks/datatable?{columns}"),
        *("/api/workers?refresh=1", f"/api/workers?refresh=1&workername={node}", "/api/tasks", "/api/task/types"),
        *("/api/queues/length", f"/api/task/info/{busy.batch_id}", f"/api/task/result/{busy.batch_id}"),
        *("/inferq/static/page.js", "/inferq/static/page.css"),
    ]
    told = {path: browser.get(path).text for path in paths}
    assert busy.batch_id in told[f"/tasks/datatable?{columns}"]
    for secret in (str(int(INPUT)), str(int(INPUT + 6)), PASSWORD, BROKER_PASSWORD):
        assert [path for path, text in told.items() if secret in text] == []


def test_the_logs_hold_no_password(busy):
    written = busy.flower.log.read_text()
    assert PASSWORD not in written
    assert BROKER_PASSWORD not in written


def test_without_any_data_it_says_so(quiet):
    browser = started(quiet)
    page = browser.get("/inferq")
    assert page.status == 200
    for words in ("Nothing waits and nothing runs", "No worker runs", "No batch has finished yet", "No batch yet"):
        assert words in page.text
    assert rows(page.text, "inferq-depths") == [["predictions", "0", "0", "none"]]


def test_without_the_broker_it_says_so(quiet):
    browser = started(quiet)
    quiet.broker.stop()
    page = wait_for(lambda: alerting(browser.get("/inferq")), timeout=60, what="the alert")
    assert page.status == 200
    assert "does not answer" in page.text
    assert BROKER_PASSWORD not in page.text
    assert rows(page.text, "inferq-depths") == [["predictions", "unknown", "0", "none"]]


def test_a_browser_shows_the_finished_batch_and_refreshes(busy, chromium, tmp_path):
    page = dump(chromium, busy.settings.flower_port, "/inferq", tmp_path)
    assert rows(page, "inferq-batches")[0][-1] == busy.batch_id
    assert re.search(r'id="inferq-status"[^>]*>Updated \d', page)
    assert "status-dot-live" in re.search(r'<span[^>]*id="inferq-dot"[^>]*>', page)[0]
    assert re.search(r'<button[^>]*aria-pressed="false"[^>]*>Pause</button>', page)


def test_a_browser_shows_it_among_the_tasks(busy, chromium, tmp_path):
    page = dump(chromium, busy.settings.flower_port, "/tasks", tmp_path)
    assert busy.batch_id in page
    assert "<td>sum, 1 job</td>" in re.sub(r"<td[^>]*>", "<td>", page)


def started(system):
    """A browser that knows the password which Flower made."""
    start_flower(system)
    return Browser(system.settings.flower_port, (system.settings.home / "flower" / "auth").read_text().strip())


def alerting(page):
    return page if 'role="alert"' in page.text else None


def rows(page, section):
    """The cells' texts of the table under the heading with this id."""
    body = page.split(f'id="{section}"')[1].split("<tbody>")[1].split("</tbody>")[0]
    cells = [
        re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    ]
    return [[" ".join(re.sub(r"<[^>]*>", " ", cell).split()) for cell in row] for row in cells]


def dump(chromium, port, path, profile):
    """The document as it is after its scripts ran."""
    url = f"http://{USER}:{quote(PASSWORD)}@127.0.0.1:{port}{path}"
    command = [chromium, *FLAGS, f"--user-data-dir={profile}", "--dump-dom", url]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
