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


def test_the_verifier_without_a_library():
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "is_genuine" in block)
    place = {}
    exec(code, place)
    old, new, body = new_secret(), new_secret(), b'{"id": 1}'
    headers = signed_headers("an-id", int(time.time()), body, [new, old])
    assert place["is_genuine"](new, headers, body)
    assert place["is_genuine"](old, headers, body)
    assert not place["is_genuine"](new, headers, body + b" ")
    assert not place["is_genuine"](new_secret(), headers, body)
    assert not place["is_genuine"](new, signed_headers("an-id", int(time.time()) - 600, body, [new]), body)


def test_the_published_schedule_is_the_one_that_is_kept():
    told = re.search(r"then after (.*?) \(`INFERQ_WEBHOOK_RETRIES`\)", PAGE, re.DOTALL)[1]
    units = {"s": 1, "min": 60, "h": 3600}
    seconds = [int(number) * units[unit] for number, unit in re.findall(r"(\d+)\s(s|min|h)\b", told)]
    assert tuple(seconds) == Settings().webhook_schedule
