"""What goes wrong is one readable line; a traceback only with --debug."""

import os
import signal

import pytest

from inferq.cli import logs


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["logs", "--limit", "many"], ["'--limit'", "'many'", "integer", "`inferq logs --help`"]),
        (["logs", "--limit", "0"], ["'--limit'", "'0'", "greater"]),
        (["logs", "--colour"], ["--colour", "`inferq logs --help`"]),
        (["resul"], ["'resul'", "Did you mean 'result'"]),
        (["models", "shwo"], ["'shwo'", "`inferq models --help`"]),
        (["result"], ["Missing", "ID"]),
        (["result", "a", "b"], ["(b)"]),
        (["--debug"], ["Missing command"]),
        (["--debug", "logs", "--limit", "many"], ["'many'"]),
    ],
)
def test_wrong_usage_names_what_was_wrong(run, arguments, words):
    ended = run(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("inferq: ")
    assert ended.err.count("\n") == 1
    assert all(word in ended.err for word in words)


def test_a_fault_of_the_program_is_one_line_too(run, home, monkeypatch):
    def break_down(settings):
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(logs, "open_store", break_down)
    ended = run("logs")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert all(word in ended.err for word in ("RuntimeError", "first line second line", "--debug"))
    with pytest.raises(RuntimeError):
        run("--debug", "logs")


def test_ctrl_c_ends_without_a_traceback(run, home, monkeypatch):
    def interrupt(settings):
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(logs, "open_store", interrupt)
    ended = run("logs")
    assert (ended.code, ended.err) == (130, "inferq: interrupted\n")


def test_a_home_that_is_a_file_is_one_line(run, home, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("INFERQ_HOME", str(tmp_path / "file"))
    ended = run("logs")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert str(tmp_path / "file") in ended.err
