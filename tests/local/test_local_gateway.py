"""The gateway that `inferq up` runs: its key, its port, and a machine where it is not installed."""

import socket

import pytest

from inferq import Settings, SettingsError
from inferq.local import gateway, pages
from inferq.local.system import LocalSystem
from inferq_core.keys import id_in, is_valid
from inferq_core.store import open_store
from inferq_core.store.records import KeyScope


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home")


@pytest.fixture
def store(settings):
    settings.make_home()
    opened = open_store(settings)
    yield opened
    opened.close()


def test_the_key_is_made_once_private_and_good(settings, store):
    file = gateway.local_key(settings, store)
    text = file.read_text().strip()
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    [record] = store.all_keys()
    assert is_valid(record, text)
    assert record.scopes == {KeyScope.ADMIN}
    assert gateway.local_key(settings, store) == file
    assert file.read_text().strip() == text
    assert len(store.all_keys()) == 1


@pytest.mark.parametrize("spoilt", ["revoked", "foreign", "garbage"])
def test_a_key_that_is_no_good_any_more_is_made_anew(settings, store, spoilt):
    file = gateway.local_key(settings, store)
    old = file.read_text()
    if spoilt == "revoked":
        store.revoke_key(id_in(old.strip()))
    else:
        file.write_text("inferq_000000000000_" + "x" * 43 if spoilt == "foreign" else "")
    text = gateway.local_key(settings, store).read_text().strip()
    assert text != old.strip()
    assert is_valid(store.key(id_in(text)), text)
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_is_open_to_others_is_not_used(settings, store):
    (settings.home_path / "gateway").mkdir(mode=0o755)
    with pytest.raises(SettingsError, match="0700"):
        gateway.local_key(settings, store)
    assert not store.all_keys()


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.7", "api.example"])
def test_no_key_is_made_for_a_gateway_that_others_reach(settings, store, address):
    assert gateway.local_key(settings.model_copy(update={"gateway_address": address}), store) is None
    assert not store.all_keys()


def test_it_takes_another_port_when_the_usual_one_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        usual = Settings().model_copy(update={"gateway_port": taken.getsockname()[1]})
        usual.model_fields_set.discard("gateway_port")  # as if it were the default
        assert pages.with_free_port(usual, "gateway").gateway_port != usual.gateway_port
        asked_for = Settings(gateway_port=taken.getsockname()[1])
        assert pages.with_free_port(asked_for, "gateway") is asked_for


def test_where_it_is_not_installed_that_is_one_line(settings, monkeypatch):
    monkeypatch.setattr(gateway, "installed", lambda: False)
    said = []
    LocalSystem(settings, said.append)._start_gateway()()
    assert said == ["gateway not installed: pip install 'inferq[gateway]'"]
