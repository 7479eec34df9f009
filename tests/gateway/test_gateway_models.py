"""Models, versions and aliases over HTTP, on either store."""

import pytest
from installation import add_version, matrix_signature
from served import assert_problem


def test_models_are_listed_with_their_settings(http, installation):
    installation.store.put_model("sums", max_batch_rows=64, max_backlog=1_000)
    people, sums = http.get("/v1/models").json()["models"]
    assert (people["name"], people["max_batch_rows"], people["queue"]) == ("people", None, None)
    assert (sums["name"], sums["max_batch_rows"], sums["max_backlog"]) == ("sums", 64, 1_000)


def test_a_model_with_its_versions_and_aliases(http, installation):
    add_version(installation.store, "sums", matrix_signature())
    installation.store.set_alias("sums", "challenger", 1)
    told = http.get("/v1/models/sums").json()
    assert (told["aliases"], told["newest_version"]) == ({"champion": 2, "challenger": 1}, 2)
    assert http.get("/v1/models/sums/aliases").json() == {"aliases": {"champion": 2, "challenger": 1}}
    first, second = http.get("/v1/models/sums/versions").json()["versions"]
    assert (first["version"], first["aliases"]) == (1, ["challenger"])
    assert (second["version"], second["aliases"]) == (2, ["champion"])
    for reference, told in (("1", first), ("challenger", first), ("champion", second), ("2", second)):
        assert http.get(f"/v1/models/sums/versions/{reference}").json() == told


def test_a_version_says_what_it_takes(http):
    told = http.get("/v1/models/people/versions/1").json()
    assert (told["layout"], told["methods"], told["classes"]) == ("frame", ["predict"], None)
    assert [column["name"] for column in told["columns"]] == ["age", "city"]
    assert [column["nullable"] for column in told["columns"]] == [True, False]
    assert not {"uri", "trusted_types", "onnx_uri"} & told.keys()


@pytest.mark.parametrize("tail", ["", "/versions", "/versions/1", "/aliases"])
@pytest.mark.parametrize("model", ["nobody", "%00", "%ff"])
def test_an_unknown_model(http, model, tail):
    assert_problem(http.get(f"/v1/models/{model}{tail}"), 404, "unknown-model")


@pytest.mark.parametrize("version", ["9", "ghost", "9" * 30, "%00", "0", "-1"])
def test_an_unknown_version(http, version):
    assert_problem(http.get(f"/v1/models/sums/versions/{version}"), 404, "unknown-version")
