"""The gateway against its own description: schemathesis makes requests of it, and checks what is answered."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from served import process_of

CASES = 2_000


@pytest.mark.timeout(600)
def test_answers_are_as_described(worked, tmp_path):
    settings = worked.model_copy(update={"max_wait": 2.0, "log_level": "WARNING"})
    with process_of(settings, tmp_path / "gateway.log") as gateway:
        url = str(gateway.http.base_url).rstrip("/")
        command = [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "--config-file",
            str(Path(__file__).parent / "schemathesis.toml"),
        ]
        command += [
            "run",
            f"{url}/openapi.json",
            "--checks",
            "all",
            "--max-examples",
            "100",
            "--seed",
            "1",
            "--no-color",
        ]
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": str(Path(__file__).parent / "schemathesis_hooks.py")}
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=540, check=False, cwd=tmp_path, env=environment
        )
        assert ended.returncode == 0, ended.stdout[-8_000:] + ended.stderr
        assert int(re.search(r"(\d+) generated", ended.stdout)[1]) >= CASES
        assert gateway.http.get("/v1/health/ready").status_code == 200
    assert "request_failed" not in (tmp_path / "gateway.log").read_text()
