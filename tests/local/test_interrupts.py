"""What the first signal does, and the second."""

import signal

import pytest

from inferq.local.interrupts import SIGNALS, Interrupts


@pytest.fixture
def interrupts():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    made = Interrupts(lambda: made.at_once.append(True))
    made.at_once = []
    made.install()
    yield made
    made.restore()
    assert {number: signal.getsignal(number) for number in SIGNALS} == before


@pytest.mark.parametrize("first", SIGNALS)
def test_the_first_interrupts_and_a_ctrl_c_after_it_ends_at_once(interrupts, first):
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(first)
    assert (interrupts.came, interrupts.at_once) == (True, [])
    signal.raise_signal(signal.SIGINT)
    assert interrupts.at_once == [True]


@pytest.mark.parametrize("repeated", [signal.SIGTERM, signal.SIGHUP])
def test_shells_that_deliver_one_signal_twice_mean_it_once(interrupts, repeated):
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(repeated)
    signal.raise_signal(repeated)
    assert interrupts.at_once == []


def test_while_it_stops_by_itself_a_ctrl_c_ends_at_once(interrupts):
    interrupts.stopping()
    signal.raise_signal(signal.SIGTERM)
    assert interrupts.at_once == []
    signal.raise_signal(signal.SIGINT)
    assert interrupts.at_once == [True]


def test_a_deferred_one_comes_at_the_end(interrupts):
    steps = []

    def start():
        with interrupts.deferred():
            signal.raise_signal(signal.SIGTERM)
            steps.append("the process is known")
        steps.append("never")

    with pytest.raises(KeyboardInterrupt):
        start()
    assert steps == ["the process is known"]


def test_a_deferred_one_is_not_lost_when_something_else_fails(interrupts):
    def start():
        with interrupts.deferred():
            signal.raise_signal(signal.SIGTERM)
            raise OSError("no process left")

    with pytest.raises(KeyboardInterrupt):
        start()
