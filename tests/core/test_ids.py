"""Ids that nobody has to keep: told again from a key and the first of them."""

from uuid import UUID

import pytest

from inferq_core.ids import MAX_NUMBERED, NumberedIds, new_job_id, parse_job_id, parse_job_ids, routing_hash

KEY = b"k" * 32
IDS = NumberedIds(KEY, 1_767_225_600_123)
NUMBERS = [0, 1, 2, 999, 2**20 - 1, 2**20, 2**31, MAX_NUMBERED - 1]


@pytest.mark.parametrize("number", NUMBERS)
def test_each_is_a_uuid_of_version_7_with_the_time_of_the_first(number):
    job_id = IDS.at(number)
    assert parse_job_id(job_id) == job_id
    assert UUID(job_id).version == 7
    assert UUID(job_id).variant == "specified in RFC 4122"
    assert UUID(job_id).int >> 80 == IDS.started_ms


def test_they_are_ordered_like_their_numbers():
    assert [IDS.at(number) for number in NUMBERS] == sorted(IDS.at(number) for number in NUMBERS)


def test_the_key_and_the_first_tell_them_all():
    again = NumberedIds.from_first(KEY, IDS.at(0))
    assert [again.at(number) for number in NUMBERS] == [IDS.at(number) for number in NUMBERS]


def test_without_the_key_one_id_does_not_tell_the_next():
    tail = (1 << 42) - 1
    tails = [UUID(IDS.at(number)).int & tail for number in range(1_000)]
    others = [UUID(NumberedIds(b"another", IDS.started_ms).at(number)).int & tail for number in range(1_000)]
    assert len({*tails, *others}) == 2_000


def test_jobs_of_one_run_are_spread_over_the_variants():
    """A rollout splits by the sign and size of the hash of an id; neighbours must not fall together."""
    low = sum(routing_hash(IDS.at(number)) < 0 for number in range(10_000))
    assert 4_700 < low < 5_300


def test_many_ids_are_read_as_each_alone():
    ids = [new_job_id() for _ in range(5)]
    assert parse_job_ids(ids) == ids
    assert parse_job_ids([]) == []
    odd = [ids[0].upper(), "no id", 7, None, ids[1]]
    assert parse_job_ids(odd) == [ids[0], ids[1]]
    with pytest.raises(TypeError):
        parse_job_ids(7)
