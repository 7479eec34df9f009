"""Which variant a job meets: a function of its hash, the model and the weights."""

import math
from itertools import pairwise

import pytest
from splits import rollout_of

from inferq_core.ids import new_job_id, routing_hash
from inferq_models.routing import place, route

KEYS = [routing_hash(f"customer-{number}") for number in range(10_000)]


def canaries(weight, hashes=KEYS, model="digits"):
    split = rollout_of(weight, model)
    return {each for each in hashes if route(None, each, split).variant == "canary"}


@pytest.mark.parametrize("ids", [False, True], ids=["routing keys", "job ids"])
@pytest.mark.parametrize("weight", [1, 10, 100, 333, 500, 900, 999])
def test_the_weights_are_kept(weight, ids):
    """Within five standard deviations of the binomial distribution."""
    hashes = [routing_hash(new_job_id()) for _ in KEYS] if ids else KEYS
    share, count = weight / 1000, len(hashes)
    assert abs(len(canaries(weight, hashes)) - count * share) <= 5 * math.sqrt(count * share * (1 - share))


def test_nothing_and_all():
    assert canaries(0) == set()
    assert canaries(1000) == set(KEYS)


def test_who_met_the_canary_meets_it_again_when_it_grows():
    grown = [canaries(weight) for weight in (5, 50, 51, 300, 1000)]
    assert all(small < large for small, large in pairwise(grown))


def test_it_is_not_always_the_same_who_are_tried_on():
    both = canaries(500) & canaries(500, model="churn")
    assert 2_250 < len(both) < 2_750


def test_places_never_change():
    """They are the same on every host, and in every version of inferq."""
    assert [place(each, "digits") for each in (0, 1, -1, 2**63 - 1, -(2**63))] == [216, 755, 105, 536, 615]


def test_who_names_a_version_gets_it():
    for split in (None, rollout_of(1000)):
        assert (route("7", 0, split).reference, route("7", 0, split).variant) == ("7", None)
    assert (route(None, 0, None).reference, route(None, 0, None).variant) == ("champion", "primary")
