"""Where the output goes: a reader that has enough, another encoding, a terminal with and without colours."""

import contextlib
import os
import pty
import re
from contextlib import closing

import pytest

from inferq import load_settings
from inferq_core.store import open_store
from inferq_core.store.records import LogEntry

ESCAPE = b"\x1b"
COLOUR = re.compile(rb"\x1b\[(\d+;)*[39]\d")
ENTRIES = 5_000


@pytest.fixture
def many_logs(home):
    with closing(open_store(load_settings())) as store:
        store.append([LogEntry("info", "counted", {"n": number}) for number in range(ENTRIES)])


def test_a_reader_that_has_enough_is_no_error(process, many_logs):
    child = process("logs", "--limit", ENTRIES)
    assert b"counted" in child.stdout.readline()
    child.stdout.close()
    assert child.stderr.read() == b""
    child.stderr.close()
    assert child.wait(timeout=60) == 1


@pytest.mark.parametrize("command", ["--help", "jobs list --help", "models list", "logs --json", "db stats", "doctor"])
def test_a_reader_that_is_gone_is_no_error(process, many_logs, command):
    reader, writer = os.pipe()
    os.close(reader)
    child = process(*command.split(), stdout=writer)
    os.close(writer)
    _, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (1, b"")


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "latin-1"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
    ids=["latin-1", "ascii"],
)
class TestAnotherEncoding:
    def test_text(self, process, many_logs, environment):
        child = process("doctor", env=os.environ | environment)
        out, err = child.communicate(timeout=60)
        assert (child.returncode, err) == (3, b"")
        assert b"inferq models register NAME FILE" in out

    def test_json_is_utf_8(self, process, home, environment):
        with closing(open_store(load_settings())) as store:
            store.append([LogEntry("info", "counted", {"where": "Łódź"})])
        out, err = process("logs", "--json", env=os.environ | environment).communicate(timeout=60)
        assert "Łódź".encode() in out
        assert err == b""

    def test_what_is_wrong(self, process, environment):
        child = process("result", "Łódź", env=os.environ | environment)
        out, err = child.communicate(timeout=60)
        assert (child.returncode, out, err.count(b"\n")) == (4, b"", 1)
        assert b"is not the id of a job" in err


def in_a_terminal(process, *arguments, **environment):
    """All that a terminal would be sent."""
    screen, terminal = pty.openpty()
    child = process(*arguments, stdout=terminal, env=os.environ | {"TERM": "xterm-256color"} | environment)
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # EIO: nobody writes any more
        while piece := os.read(screen, 65536):
            shown += piece
    os.close(screen)
    child.communicate(timeout=60)
    return shown


@pytest.mark.parametrize("command", ["doctor", "--help"])
def test_colours_are_for_terminals_that_want_them(process, home, monkeypatch, command):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert COLOUR.search(in_a_terminal(process, command))
    assert not COLOUR.search(in_a_terminal(process, command, NO_COLOR="1"))
    out, _ = process(command).communicate(timeout=60)
    assert out
    assert ESCAPE not in out
