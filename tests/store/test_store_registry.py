"""Models, immutable numbered versions, and aliases that move."""

import pytest
from processes import add_versions, in_processes, in_threads, version

from inferq_core.errors import RegistrationRefused, UnknownModel, UnknownVersion
from inferq_core.store.records import ModelSetting, Runtime


def test_a_model_is_made_and_its_settings_change_one_by_one(store):
    made = store.put_model("digits", queue="heavy", max_batch_rows=64)
    assert (made.name, made.queue, made.max_batch_rows, made.time_limit) == ("digits", "heavy", 64, None)
    changed = store.put_model("digits", time_limit=2.5, latency_target=0.1, max_backlog=500)
    assert (changed.queue, changed.max_batch_rows, changed.time_limit) == ("heavy", 64, 2.5)
    assert (made.latency_target, changed.latency_target) == (None, 0.1)
    assert (made.max_backlog, changed.max_backlog) == (None, 500)
    assert changed.created_at == made.created_at
    assert store.put_model("digits") == changed
    assert store.model("digits") == changed


def test_models_are_listed_by_name(store):
    for name in ("text", "digits"):
        store.put_model(name)
    assert [model.name for model in store.models()] == ["digits", "text"]


def test_an_unknown_model_names_those_that_exist(store):
    with pytest.raises(UnknownModel, match="none"):
        store.model("digits")
    store.put_model("text")
    with pytest.raises(UnknownModel, match=r"'digits'.*text"):
        store.model("digits")


def test_a_version_is_kept_as_it_was_given(store):
    new = version(trusted_types=("a.B", "c.D"), trust_pickle=True, signature='{"n":"ü"}', format="joblib", digest="ff")
    added = store.add_version(new)
    assert added.number == 1
    for name in ("model", "uri", "digest", "format", "trusted_types", "trust_pickle", "sklearn_version", "signature"):
        assert getattr(added, name) == getattr(new, name)
    assert store.version("digits", "1") == added
    assert store.versions("digits") == [added]
    assert store.model("digits").queue is None


def test_a_version_says_what_computes_it_and_why(store):
    plain = store.add_version(version())
    assert (plain.runtime, plain.runtime_reason, plain.onnx_uri, plain.onnx_digest) == (Runtime.SKLEARN, *[None] * 3)
    served = {
        "runtime": Runtime.ONNX,
        "runtime_reason": "quicker",
        "onnx_uri": "file:///a/ff.onnx",
        "onnx_digest": "ff",
    }
    added = store.add_version(version(**served))
    assert {name: getattr(added, name) for name in served} == served
    assert store.version("digits", "2") == added
    assert isinstance(store.version("digits", "2").runtime, Runtime)


def test_versions_of_a_model_are_numbered_from_one(store):
    assert [store.add_version(version()).number for _ in range(3)] == [1, 2, 3]
    assert store.add_version(version("text")).number == 1
    assert [record.number for record in store.versions("digits")] == [1, 2, 3]
    assert store.versions("nothing") == []


def test_adding_a_version_leaves_the_models_settings(store):
    store.put_model("digits", queue="heavy")
    store.add_version(version())
    assert store.model("digits").queue == "heavy"


def test_aliases_point_to_versions_and_move(store):
    first = store.add_version(version(), aliases=("champion", "stable"))
    second = store.add_version(version(digest="01"), aliases=("champion",))
    assert store.version("digits", None) == store.version("digits", "champion") == second
    assert store.version("digits", "stable") == first
    assert store.aliases("digits") == {"champion": 2, "stable": 1}
    store.set_alias("digits", "champion", 1)
    assert store.version("digits", None) == first


@pytest.mark.parametrize("reference", ["3", "0", "-1", "99999999999999999999", "nobody", "", "²", None])
def test_an_unknown_version_names_what_there_is(store, reference):
    store.add_version(version(), aliases=("stable",))
    with pytest.raises(UnknownVersion, match=r"1, stable"):
        store.version("digits", reference)


def test_a_version_of_an_unknown_model(store):
    for reference in ("1", "champion", None):
        with pytest.raises(UnknownModel):
            store.version("digits", reference)
    with pytest.raises(UnknownModel):
        store.set_alias("digits", "champion", 1)


def test_an_alias_needs_a_version(store):
    store.add_version(version())
    with pytest.raises(UnknownVersion):
        store.set_alias("digits", "champion", 2)
    assert store.aliases("digits") == {}


@pytest.mark.parametrize("alias", ["1", "", "-x", "a b", "x" * 65, "schön"])
def test_an_alias_that_could_be_mistaken_is_refused(store, alias):
    with pytest.raises(RegistrationRefused, match="alias"):
        store.add_version(version(), aliases=(alias,))
    assert store.versions("digits") == []
    store.add_version(version())
    with pytest.raises(RegistrationRefused, match="alias"):
        store.set_alias("digits", alias, 1)


@pytest.mark.parametrize("together", [in_processes, in_threads])
def test_racing_registrations_get_every_number_once(store, store_url, together):
    numbers = together(add_versions, [(store_url, 8)] * 4)
    assert sorted(number for part in numbers for number in part) == list(range(1, 33))
    assert store.version("digits", None).number == 32


def changes_of(store, model="digits"):
    return [(entry.event, entry.version, entry.fields) for _, entry in store.read(model=model)]


def test_changes_of_settings_say_who_what_before_and_after(store):
    store.put_model("digits", queue="heavy", max_batch_rows=64, time_limit=2.5)
    changes = {ModelSetting.QUEUE: None, ModelSetting.TIME_LIMIT: 2.5, ModelSetting.MAX_BACKLOG: 9}
    changed = store.change_settings("digits", changes, by="ann")
    assert (changed.queue, changed.max_batch_rows, changed.time_limit, changed.max_backlog) == (None, 64, 2.5, 9)
    assert changed == store.model("digits")
    fields = {
        "before": {"queue": "heavy", "max_backlog": None},
        "after": {"queue": None, "max_backlog": 9},
        "by": "ann",
    }
    assert changes_of(store) == [("settings_changed", None, fields)]
    assert store.change_settings("digits", {}, by="ann") == changed
    assert store.change_settings("digits", changes, by="ann") == changed
    with pytest.raises(RegistrationRefused, match="max_batch_rows=0"):
        store.change_settings("digits", {ModelSetting.QUEUE: "other", ModelSetting.MAX_BATCH_ROWS: 0}, by="ann")
    with pytest.raises(UnknownModel, match=r"'nothing'.*digits"):
        store.change_settings("nothing", {ModelSetting.QUEUE: "heavy"}, by="ann")
    assert store.model("digits") == changed
    assert len(changes_of(store)) == 1


def test_changes_of_aliases_say_who_what_before_and_after(store):
    for _ in range(2):
        store.add_version(version(), aliases=("champion",))
    moved = [store.point_alias("digits", "challenger", reference, by="ann") for reference in ("1", "champion", "2")]
    assert [(change.before, change.after) for change in moved] == [(None, 1), (1, 2), (2, 2)]
    assert store.drop_alias("digits", "challenger", by="bob") == 2
    assert store.aliases("digits") == {"champion": 2}
    assert changes_of(store) == [
        ("alias_moved", 1, {"alias": "challenger", "before": None, "after": 1, "by": "ann"}),
        ("alias_moved", 2, {"alias": "challenger", "before": 1, "after": 2, "by": "ann"}),
        ("alias_removed", 2, {"alias": "challenger", "before": 2, "by": "bob"}),
    ]
    for wrong, change in (
        (UnknownVersion, lambda: store.drop_alias("digits", "challenger", by="ann")),
        (UnknownVersion, lambda: store.point_alias("digits", "challenger", "3", by="ann")),
        (UnknownModel, lambda: store.point_alias("nothing", "challenger", "1", by="ann")),
        (RegistrationRefused, lambda: store.point_alias("digits", "3", "1", by="ann")),
        (RegistrationRefused, lambda: store.drop_alias("digits", "champion", by="ann")),
    ):
        with pytest.raises(wrong):
            change()
    assert len(changes_of(store)) == 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"queue": "two words"}, "'two words'.*letters"),
        ({"max_batch_rows": 0}, "max_batch_rows=0.*at least 1"),
        ({"max_batch_rows": 2**31}, "2147483648.*at most"),
        ({"time_limit": 0}, "time_limit=0.*more than 0"),
        ({"time_limit": float("inf")}, "inf.*86400"),
        ({"time_limit": float("nan")}, "nan.*86400"),
    ],
)
def test_settings_that_no_model_can_have_are_refused(store, settings, words):
    with pytest.raises(RegistrationRefused, match=words):
        store.put_model("digits", **settings)
    assert store.models() == []


def test_an_alias_is_removed_and_can_come_back(store):
    store.add_version(version(), aliases=("champion", "stable"))
    store.remove_alias("digits", "stable")
    assert store.aliases("digits") == {"champion": 1}
    with pytest.raises(UnknownVersion, match=r"'stable'.*champion"):
        store.remove_alias("digits", "stable")
    with pytest.raises(UnknownModel):
        store.remove_alias("nothing", "stable")
    store.set_alias("digits", "stable", 1)
    assert store.version("digits", "stable").number == 1


def test_the_champion_is_moved_never_removed(store):
    store.add_version(version(), aliases=("champion",))
    with pytest.raises(RegistrationRefused, match="champion"):
        store.remove_alias("digits", "champion")
    assert store.aliases("digits") == {"champion": 1}
