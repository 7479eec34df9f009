"""When the keeper takes a queue for silent."""

from inferq_workers.keeper import SILENCE_S, Keeper


def keeper():
    return Keeper(store=None, publisher=None, settings=None, name="k")


def test_a_queue_that_was_just_emptied_is_not_silent():
    one = keeper()
    assert not one._is_silent("q", 5, now=0.0)
    assert not one._is_silent("q", 0, now=1.0)
    assert not one._is_silent("q", 0, now=SILENCE_S)
    assert one._is_silent("q", 0, now=1.0 + SILENCE_S)


def test_a_message_in_between_begins_it_anew():
    one = keeper()
    one._is_silent("q", 0, now=0.0)
    one._is_silent("q", 1, now=1.0)
    assert not one._is_silent("q", 0, now=SILENCE_S)
    assert not one._is_silent("other", 0, now=SILENCE_S)
    assert one._is_silent("q", 0, now=2 * SILENCE_S)
