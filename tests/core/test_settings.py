"""Settings: what is taken, what is refused, and what never shows."""

import pytest

from inferq_core.errors import SettingsError
from inferq_core.settings import load_settings, redact


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lease", "inf"),
        ("lease", "nan"),
        ("time_limit", "inf"),
        ("time_limit", "0"),
        ("queues", " , "),
        ("queues", ""),
        ("queue", "a b"),
        ("home", "/tmp/what?"),
        ("home", "/tmp/50%20"),
        ("home", "~nobody-of-this-name"),
        ("concurrency", "-1"),
        ("log_level", "loud"),
        ("cors_origins", "*"),
        ("cors_origins", "null"),
        ("cors_origins", "app.example"),
        ("cors_origins", "https://app.example/"),
        ("cors_origins", "https://*.example"),
        ("cors_origins", "https://app.example, https://b.example"),
        ("cors_origins", "https://APP.example"),
    ],
)
def test_a_wrong_value_is_refused_by_name(name, value, monkeypatch):
    monkeypatch.setenv(f"INFERQ_{name.upper()}", value)
    with pytest.raises(SettingsError, match=f"INFERQ_{name.upper()}="):
        load_settings()


def test_a_home_too_long_for_a_socket_is_one_clear_line(tmp_path):
    with pytest.raises(SettingsError, match="too long for a unix socket"):
        _ = load_settings(home=tmp_path / ("x" * 120)).broker


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:hunter2@localhost/0", "redis://:***@localhost/0"),
        ("rediss://user:hunter2@host:1/0", "rediss://user:***@host:1/0"),
        ("postgresql+psycopg://u:hunter2@h/db", "postgresql+psycopg://u:***@h/db"),
        ("postgresql+psycopg://u:p@ss:hunter2@h/db", "postgresql+psycopg://u:***@h/db"),
        ("postgresql+psycopg://h/db?user=u&password=hunter2", "postgresql+psycopg://h/db?user=***&password=***"),
        ("redis://h/0?password=hunter2", "redis://h/0?password=***"),
        ("sqlite:////var/lib/inferq.db", "sqlite:////var/lib/inferq.db"),
    ],
)
def test_passwords_do_not_show(url, shown):
    assert redact(url) == shown


def test_a_home_that_no_disk_can_have_is_refused():
    for home in ("/tmp/\ud800", "/tmp/\0"):
        with pytest.raises(SettingsError, match="INFERQ_HOME="):
            load_settings(home=home)


def test_secrets_do_not_show_in_the_settings_themselves():
    settings = load_settings(broker_url="redis://:hunter2@h/0", store_url="postgresql+psycopg://u:hunter2@h/db")
    assert "hunter2" not in repr(settings)
    assert settings.environment()["INFERQ_BROKER_URL"] == "redis://:hunter2@h/0"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://me:S3CRET@host/0", "redis://me:***@host/0"),
        ("sentinel://h?sentinel_password=S3&S3CRET", "sentinel://h?sentinel_password=***&***"),
        ("postgresql://h/db?password=S3CRET&sslmode=require", "postgresql://h/db?password=***&sslmode=***"),
        ("host=x password=S3CRET", "***"),
        ("//u:S3CRET@h", "***"),
        ("u:S3CRET@h", "***"),
        ("/var/lib/inferq", "/var/lib/inferq"),
    ],
)
def test_no_password_shows_whatever_the_url_looks_like(url, shown):
    assert redact(url) == shown
