"""Settings and a store of one test's own."""

import pytest

from inferq_core.settings import Settings
from inferq_core.store import open_store


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home")


@pytest.fixture
def registry(settings):
    opened = open_store(settings)
    yield opened
    opened.close()
