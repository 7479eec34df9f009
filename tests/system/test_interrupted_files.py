"""`inferq submit --file` with real processes: stopped in the middle, it goes on and doubles nothing."""

import json
import os
import signal
import subprocess
import sys

from checks import register_model
from harness import wait_for
from misbehaving import SlowRows

ROWS = 6_000


def test_a_run_that_was_interrupted_goes_on(system, tmp_path):
    register_model(system, "sum", SlowRows(0.0015))
    system.start_worker()
    file, out = tmp_path / "rows.csv", tmp_path / "results.ndjson"
    file.write_text("".join(f"{row},0,0,0\n" for row in range(ROWS)))

    first = submit(system, file, out)
    wait_for(lambda: out.exists() and out.read_bytes().count(b"\n") > ROWS // 4, timeout=60, what="some answers")
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=60)
    written = out.read_bytes()
    assert first.returncode == 130, said
    assert "run the same command again to continue" in said
    assert written.count(b"\n") < ROWS

    again = submit(system, file, out)
    _, said = again.communicate(timeout=120)
    assert again.returncode == 0, said
    assert "of it were submitted before" in said or "rows were submitted before" in said
    assert out.read_bytes().startswith(written)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(line["row"], line["outputs"]) for line in lines] == [(row, [float(row)]) for row in range(ROWS)]
    assert sum(system.store.counts().values()) == ROWS


def submit(system, file, out):
    command = [sys.executable, "-m", "inferq.cli.main", "submit", "sum", "--file", str(file), "--out", str(out)]
    environment = {**os.environ, **system.settings.environment()}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
