"""The examples of docs/webhooks.md: those with curl are run, and so is the verifier without a library."""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from served import PATIENCE

from inferq_core.settings import Settings
from inferq_core.signing import new_secret, signed_headers

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
COMMANDS = [block.replace("\\\n", " ").strip() for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)]


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_curl(local_http):
    assert len(COMMANDS) == 4
    for command in COMMANDS:
        line = command.replace("digits", "sums").replace("$GATEWAY", str(local_http.base_url).rstrip("/"))
        ended = subprocess.run(
            ["sh", "-ec", f"{line} --write-out '\\n%{{http_code}}'"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        body, _, code = ended.stdout.rpartition("\n")
        assert code in ("200", "201", "202"), body
        assert isinstance(json.loads(body), dict)


def python_verifier(cases):
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "is_genuine" in block)
    place = {}
    exec(code, place)
    return [place["is_genuine"](secret, headers, body.encode()) for secret, headers, body in cases]


def javascript_verifier(cases, folder):
    if shutil.which("node") is None:
        pytest.skip("no Node.js on this machine")
    (code,) = (block for block in re.findall(r"```js\n(.*?)```", PAGE, re.DOTALL) if "isGenuine" in block)
    ask = "const cases = JSON.parse(process.argv[2]);\nconsole.log(JSON.stringify(cases.map((one) => isGenuine("
    (folder / "page.mjs").write_text(f"{code}\n{ask}one[0], one[1], Buffer.from(one[2])))));\n")
    command = ["node", folder / "page.mjs", json.dumps(cases)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    return json.loads(ended.stdout)


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_the_verifiers_without_a_library(language, tmp_path):
    old, new, body = new_secret(), new_secret(), '{"city": "Zürich"}'
    now = int(time.time())
    headers = signed_headers("an-id", now, body.encode(), [new, old])
    cases = [
        (new, headers, body),
        (old, headers, body),
        (new, headers, body + " "),
        (new_secret(), headers, body),
        (new, {**headers, "webhook-id": "another"}, body),
        (new, signed_headers("an-id", now - 600, body.encode(), [new]), body),
    ]
    verify = {"python": python_verifier, "javascript": lambda cases: javascript_verifier(cases, tmp_path)}[language]
    assert verify(cases) == [True, True, False, False, False, False]


def test_the_published_schedule_is_the_one_that_is_kept():
    told = re.search(r"then after (.*?) \(`INFERQ_WEBHOOK_RETRIES`\)", PAGE, re.DOTALL)[1]
    units = {"s": 1, "min": 60, "h": 3600}
    seconds = [int(number) * units[unit] for number, unit in re.findall(r"(\d+)\s(s|min|h)\b", told)]
    assert tuple(seconds) == Settings().webhook_schedule
