"""A short run of `make fuzz`, and that its guard sees what it is there for."""

import importlib
import os
import pickle
import socket
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from fuzzing import one
from guard import Ran, nothing_runs
from targets import TARGETS


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_whatever_arrives_is_taken_or_refused_and_runs_nothing(target):
    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
    @given(st.integers(0, 2**32))
    def read(number):
        one(target, "test", number)

    read()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_some_inputs_are_refused(target):
    """A target that took everything would prove nothing."""
    assert not all(one(target, "refusals", number) for number in range(100))


@pytest.mark.parametrize(
    "action",
    [
        lambda: os.system("true"),
        lambda: eval(compile("1 + 1", "<input>", "eval")),
        lambda: pickle.loads(b"cos\nsystem\n."),
        lambda: socket.socket().connect(("127.0.0.1", 1)),
        lambda: Path(os.devnull).open("w"),  # noqa: SIM115 - it does not open
        lambda: importlib.import_module("a_stranger"),
    ],
)
def test_the_guard_sees_what_runs_even_when_it_is_swallowed(action, tmp_path, monkeypatch):
    (tmp_path / "a_stranger.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)

    def swallow():
        try:
            action()
        except BaseException:
            return

    with pytest.raises(Ran), nothing_runs():
        swallow()


def test_the_guard_lets_pass_what_runs_nothing():
    with nothing_runs():
        assert float("1.5") == 1.5
