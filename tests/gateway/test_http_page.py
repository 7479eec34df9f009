"""The examples of docs/http.md: those with curl are run, those in Python as well."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from served import PATIENCE, accepted

from inferq.gateway.problems import Kind

PAGE = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
SHELL = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [command.replace("\\\n", " ") for block in SHELL for command in re.split(r"\n(?=curl)", block.strip())]


def as_served(text):
    """The page's model is `digits`; the tests have one of four numbers called `sums`."""
    return text.replace("digits", "sums")


def batch_of_one(http):
    content = {"content": b"[0, 0, 5, 13]", "headers": {"Content-Type": "application/x-ndjson"}}
    return http.post("/v1/models/sums/batches", **content).json()["id"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
@pytest.mark.parametrize("command", COMMANDS)
def test_curl(live, command, tmp_path):
    job_id = accepted(live)
    (tmp_path / "rows.ndjson").write_text("[0, 0, 5, 13]\n")
    (tmp_path / "rows.csv").write_text("0,0,5,13\n")
    url = str(live.base_url).rstrip("/")
    line = as_served(command).replace("$GATEWAY", url).replace("$ID", job_id)
    line = line.replace("$BATCH", batch_of_one(live)).replace("order-12", job_id).replace("monday", job_id)
    ended = subprocess.run(
        ["sh", "-ec", f"{line} --write-out '\\n%{{http_code}}'"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
        cwd=tmp_path,
    )
    body, _, status = ended.stdout.rpartition("\n")
    assert status in ("200", "202", "204"), body
    if "Prefer: wait" in command or "infer" in command:
        assert status == "200"
        told = json.loads(body)
        assert told.get("state", "succeeded") == "succeeded"
        assert told["outputs"]
    if "/events" in command:
        assert body.count("event: state") >= 1
    elif status != "204":
        assert isinstance(json.loads(body), dict)


def test_python(live, capsys):
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(as_served(code).replace("http://127.0.0.1:8000", str(live.base_url)), {})
    [output] = json.loads(capsys.readouterr().out)
    assert output == pytest.approx(18)


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node.js on this machine")
def test_javascript(live, tmp_path):
    [code] = re.findall(r"```js\n(.*?)```", PAGE, re.DOTALL)
    script = tmp_path / "page.mjs"
    script.write_text(as_served(code).replace("http://127.0.0.1:8000", str(live.base_url).rstrip("/")))
    ended = subprocess.run(["node", script], capture_output=True, text=True, timeout=PATIENCE, check=True)
    [output] = json.loads(ended.stdout)
    assert output == pytest.approx(18)


def test_every_problem_that_a_caller_can_mend_is_on_the_page():
    told = set(re.findall(r"`([a-z-]+)`", PAGE[PAGE.index("| status | type |") :]))
    assert {kind.slug for kind in Kind if kind not in (Kind.INTERNAL, Kind.NOT_IN_TIME)} <= told
