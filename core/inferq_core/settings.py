"""All settings, read once from the environment (`INFERQ_*`) into one typed object and passed on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from inferq_core.errors import SettingsError

# sockaddr_un holds 108 bytes on Linux, 104 on macOS, the final zero included.
UNIX_SOCKET_PATH_MAX = 103


class Settings(BaseSettings):
    """Every setting has a default that works on one machine with nothing installed."""

    model_config = SettingsConfigDict(env_prefix="INFERQ_", extra="ignore", frozen=True, validate_default=True)

    home: Path = Field(
        default=Path("~/.inferq"), description="Folder of the embedded broker, the SQLite store and the artifacts"
    )
    broker_url: SecretStr | None = Field(
        default=None, description="redis://, rediss:// or amqp:// URL; default: the embedded broker under `home`"
    )
    store_url: SecretStr | None = Field(
        default=None, description="SQLAlchemy URL (sqlite or postgresql+psycopg); default: SQLite under `home`"
    )
    artifacts_url: str | None = Field(default=None, description="fsspec URL of the artifacts; default: under `home`")
    queue: str = Field(default="predictions", description="Queue of models that name none", pattern=r"^[\w.-]{1,64}$")
    queues: str = Field(
        default="predictions", description="Queues that a worker serves, separated by commas", min_length=1
    )
    concurrency: int = Field(default=0, ge=0, description="Pool processes of a worker; 0: one per core")
    target_wait: float = Field(
        default=1.0, gt=0, description="Seconds that a backlog may take to be worked off (worker --autoscale)"
    )
    scale_down_after: float = Field(
        default=10.0, gt=0, description="Seconds for which fewer processes must be enough before some are ended"
    )
    max_rows_per_job: int = Field(default=10_000, ge=1, description="Rows that one job may have")
    max_batch_rows: int = Field(default=256, ge=1, description="Rows of a batch, for models that set none")
    time_limit: float = Field(default=300.0, gt=0, description="Seconds a batch may take, for models that set none")
    lease: float = Field(default=20.0, ge=1, description="Seconds for which a batch claims its jobs before renewing")
    sweep_interval: float = Field(default=5.0, gt=0, description="Seconds between two sweeps of the keeper")
    orphan_after: float = Field(
        default=10.0, gt=0, description="Seconds after which a queued job without a message is published again"
    )
    max_solo_crashes: int = Field(default=2, ge=1, description="Deaths of a process with one job alone before it fails")
    max_attempts: int = Field(default=20, ge=1, description="Claims of one job, whatever ended them, before it fails")
    max_loaded_models: int = Field(default=16, ge=1, description="Model versions that a pool process keeps loaded")
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Level of log records")

    @property
    def home_path(self) -> Path:
        return self.home.expanduser().absolute()

    @property
    def embedded_broker(self) -> bool:
        return self.broker_url is None

    @property
    def broker_socket(self) -> Path:
        """Unix socket of the embedded broker.

        Raises SettingsError when the path is longer than the operating system allows.
        """
        path = self.home_path / "broker.sock"
        if len(os.fsencode(path)) > UNIX_SOCKET_PATH_MAX:
            message = (
                f"INFERQ_HOME={self.home_path} is too long for a unix socket ({UNIX_SOCKET_PATH_MAX} bytes at the "
                "most): choose a shorter folder, or set INFERQ_BROKER_URL"
            )
            raise SettingsError(message)
        return path

    @property
    def broker(self) -> str:
        """The broker's URL, password included: never print it, see `redact`."""
        if self.broker_url is not None:
            return self.broker_url.get_secret_value()
        return f"redis+socket://{self.broker_socket}"

    @property
    def store(self) -> str:
        """The store's URL, password included: never print it, see `redact`."""
        if self.store_url is not None:
            return self.store_url.get_secret_value()
        return f"sqlite:///{self.home_path / 'inferq.db'}"

    @property
    def artifacts(self) -> str:
        return self.artifacts_url or (self.home_path / "artifacts").as_uri()

    @property
    def served_queues(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.queues.split(",") if name.strip())

    def make_home(self) -> Path:
        """Create `home` (mode 0700). Raises SettingsError when it cannot be written."""
        home = self.home_path
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"INFERQ_HOME={home} cannot be made: {error.strerror}. Set another folder") from error
        if not os.access(home, os.W_OK | os.X_OK):
            raise SettingsError(f"INFERQ_HOME={home} cannot be written by this user. Set another folder")
        return home

    def environment(self) -> dict[str, str]:
        """The settings as `INFERQ_*` variables, for child processes."""
        plain = {
            name: value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            for name, value in self
            if value is not None
        }
        return {f"INFERQ_{name.upper()}": value for name, value in plain.items()}


def load_settings(**overrides: Any) -> Settings:
    """Settings from `overrides`, then the environment, then the defaults.

    Raises SettingsError that names each wrong variable, its value and what it takes.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        problems = "; ".join(
            f"INFERQ_{'_'.join(str(part) for part in problem['loc']).upper()}={problem['input']!r}: {problem['msg']}"
            for problem in error.errors(include_url=False)
        )
        raise SettingsError(problems) from None


def redact(url: str) -> str:
    """`url` without its password, for logs and messages."""
    head, separator, tail = url.rpartition("@")
    if not separator:
        return url
    scheme, _, credentials = head.partition("://")
    user = credentials.partition(":")[0]
    return f"{scheme}://{user}:***@{tail}" if ":" in credentials else f"{scheme}://{user}@{tail}"
