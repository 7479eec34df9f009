"""Rollouts in the store: what they may be, and what is kept of them."""

from dataclasses import replace

import pytest

from inferq_core.columns import Column, Kind, Layout
from inferq_core.errors import RegistrationRefused, UnknownModel, UnknownRollout, UnknownVersion
from inferq_core.rollout import Role, Variant
from inferq_core.signature import Signature
from inferq_core.states import Method
from inferq_core.store.records import NewVersion

TWO = Signature(
    layout=Layout.MATRIX,
    columns=tuple(Column(None, Kind.NUMERIC, "float64") for _ in range(2)),
    methods=(Method.PREDICT, Method.PREDICT_PROBA),
)
SIGNATURES = [
    TWO,
    TWO,
    replace(TWO, columns=TWO.columns[:1]),
    replace(TWO, methods=(Method.PREDICT,)),
    replace(TWO, columns=(replace(TWO.columns[0], nullable=True), TWO.columns[1])),
]


@pytest.fixture
def registry(store):
    """Versions 1 and 2 are alike, the others are not; 1 is the champion."""
    for signature in SIGNATURES:
        store.add_version(NewVersion("digits", "file:///a", "0", "skops", (), False, "1.9.1", signature.to_json()))
    store.set_alias("digits", "champion", 1)
    store.set_alias("digits", "challenger", 2)
    return store


def pair(primary, canary, weight):
    return Variant(Role.PRIMARY, primary, 1000 - weight), Variant(Role.CANARY, canary, weight)


def test_a_rollout_begins_grows_and_ends(registry):
    assert registry.rollout("digits") is None
    begun = registry.put_rollout("digits", "challenger", 50, by="ann")
    assert begun == registry.rollout("digits")
    assert begun.variants == pair(1, 2, 50)
    # The primary stays what it is, wherever the champion goes, until it is named.
    registry.set_alias("digits", "champion", 2)
    grown = registry.put_rollout("digits", "2", 400, by="bob")
    assert grown.variants == pair(1, 2, 400)
    assert grown.changed_at >= begun.changed_at
    assert registry.put_rollout("digits", "2", 400, by="carl") == grown, "nothing changed, so nobody changed it"
    turned = registry.put_rollout("digits", "1", 10, primary="champion", by="ann")
    assert turned.variants == pair(2, 1, 10)
    assert registry.end_rollout("digits", by="bob") == turned
    assert registry.rollout("digits") is None

    events = registry.rollout_events("digits")
    steps = [(), pair(1, 2, 50), pair(1, 2, 400), pair(2, 1, 10), ()]
    assert [tuple(event.after) for event in reversed(events)] == steps[1:]
    assert [tuple(event.before) for event in reversed(events)] == steps[:-1]
    assert [event.by for event in reversed(events)] == ["ann", "bob", "ann", "bob"]
    assert registry.rollout_events("digits", limit=1) == events[:1]
    logged = [(entry.event, entry.fields["by"]) for _, entry in registry.read(model="digits")]
    assert logged == [("rollout_changed", by) for by in ("ann", "bob", "ann")] + [("rollout_ended", "bob")]


def test_what_cannot_be_a_rollout(registry):
    for canary, weight, primary, error, words in (
        ("1", 5, None, RegistrationRefused, "itself"),
        ("3", 5, None, RegistrationRefused, "other columns"),
        ("4", 5, None, RegistrationRefused, "predict_proba"),
        ("5", 5, None, RegistrationRefused, "other columns"),
        ("2", -1, None, RegistrationRefused, "weight -1"),
        ("2", 1001, None, RegistrationRefused, "weight 1001"),
        ("9", 5, None, UnknownVersion, "9"),
        ("2", 5, "ghost", UnknownVersion, "ghost"),
    ):
        with pytest.raises(error, match=words):
            registry.put_rollout("digits", canary, weight, primary=primary, by="ann")
    with pytest.raises(UnknownModel):
        registry.put_rollout("nobody", "1", 5, by="ann")
    with pytest.raises(UnknownModel):
        registry.end_rollout("nobody", by="ann")
    with pytest.raises(UnknownRollout, match="digits"):
        registry.end_rollout("digits", by="ann")
    assert registry.rollout("digits") is None
    assert registry.rollout_events("digits") == []
