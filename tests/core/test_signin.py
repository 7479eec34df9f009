"""Who may open the pages."""

import os

import pytest

from inferq_core.errors import SettingsError
from inferq_core.private import private_folder, write_once
from inferq_core.settings import load_settings
from inferq_core.signin import flower_address, flower_sign_in


@pytest.fixture
def settings(tmp_path):
    return load_settings(home=tmp_path / "home")


def test_a_password_is_made_once(settings):
    first, second = flower_sign_in(settings), flower_sign_in(settings)
    assert (first.fresh, second.fresh) == (True, False)
    assert first.credentials == second.credentials
    password = first.credentials.get_secret_value().partition(":")[2]
    assert password in first.describe()
    assert password not in second.describe()
    assert str(second.file) in second.describe()
    assert password not in repr(first)


def test_two_homes_have_two_passwords(settings, tmp_path):
    other = load_settings(home=tmp_path / "other")
    assert flower_sign_in(settings).credentials != flower_sign_in(other).credentials


def test_the_setting_goes_first_and_nothing_is_kept(tmp_path):
    settings = load_settings(home=tmp_path / "home", flower_auth="anna:secret:word")
    sign_in = flower_sign_in(settings)
    assert (sign_in.user, sign_in.file, sign_in.fresh) == ("anna", None, False)
    assert "secret" not in sign_in.describe()
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("value", ["", "anna", "anna:", ":word", "anna:wörd", "anna:wo\nrd"])
def test_a_setting_that_is_none_is_refused_without_showing_it(value):
    with pytest.raises(SettingsError) as refused:
        load_settings(flower_auth=value)
    assert str(refused.value).startswith("INFERQ_FLOWER_AUTH=***: ")


def test_a_damaged_file_is_named(settings):
    file = flower_sign_in(settings).file
    file.write_text("nothing\n")
    with pytest.raises(SettingsError, match=str(file)):
        flower_sign_in(settings)


def test_the_address_people_type():
    assert flower_address(load_settings(flower_port=8055)) == "http://127.0.0.1:8055/inferq"
    assert flower_address(load_settings(flower_address="::1")) == "http://[::1]:5555/inferq"


class TestPrivateFolders:
    def test_one_that_is_open_is_refused_and_left_as_it_is(self, tmp_path):
        folder = tmp_path / "open"
        folder.mkdir()
        folder.chmod(0o750)
        with pytest.raises(SettingsError, match="0700"):
            private_folder(folder)
        assert folder.stat().st_mode & 0o777 == 0o750

    def test_a_link_is_refused(self, tmp_path):
        (tmp_path / "link").symlink_to(tmp_path)
        with pytest.raises(SettingsError, match="no folder"):
            private_folder(tmp_path / "link")

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
    def test_that_of_somebody_else_is_refused(self, tmp_path):
        folder = private_folder(tmp_path / "theirs")
        os.chown(folder, 12345, -1)
        with pytest.raises(SettingsError, match="belong"):
            private_folder(folder)

    def test_a_file_is_written_once_and_no_draft_stays(self, tmp_path):
        assert write_once(tmp_path / "a", "first") is True
        assert write_once(tmp_path / "a", "second") is False
        assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a", "first")]
