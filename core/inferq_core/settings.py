"""All settings, read once from the environment (`INFERQ_*`) into one typed object and passed on."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from inferq_core.errors import SettingsError
from inferq_core.receivers import Networks, parse_networks

# What a queue may be called, here, in a model's settings and in messages.
QUEUE_NAME = re.compile(r"[\w.-]{1,64}")
# A folder with one of these cannot be written into a URL without surprises.
_URL_CHARACTERS = frozenset("?#%\0")
DAY = 86_400.0
# What `inferq.http` reads where an application runs: no setting of the system.
CLIENT_VARIABLES = frozenset({"INFERQ_GATEWAY_URL", "INFERQ_GATEWAY_KEY"})
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]*://")
_SUSPICIOUS = re.compile(r"@|password|passwd|pwd", re.IGNORECASE)
_QUERY_PART = re.compile(r"^([^=]*)=.*$", re.DOTALL)

# sockaddr_un holds 108 bytes on Linux, 104 on macOS, the final zero included.
UNIX_SOCKET_PATH_MAX = 103
# user:password as HTTP basic authentication carries it; printable ASCII, because clients disagree about the rest.
CREDENTIALS = r"[!-9;-~][ -9;-~]*:[ -~]+"
# As browsers write it (RFC 6454): in small letters, the port only where it is not the scheme's own. No wildcard: every
# page that anybody visits could ask then.
ORIGIN = r"https?://([a-z0-9-]+(\.[a-z0-9-]+)*|\[[0-9a-f:.]+\])(:[0-9]{1,5})?"


class Settings(BaseSettings):
    """Every setting has a default that works on one machine with nothing installed."""

    model_config = SettingsConfigDict(
        env_prefix="INFERQ_",
        extra="ignore",
        frozen=True,
        validate_default=True,
        regex_engine="python-re",  # pydantic's own takes 25 MB, and 0.2 s of every start, for a repeated \w
    )

    home: Path = Field(
        default=Path("~/.inferq"), description="Folder of the embedded broker, the SQLite store and the artifacts"
    )
    broker_url: SecretStr | None = Field(
        default=None, description="URL of the broker, see docs/brokers.md; default: the embedded one under `home`"
    )
    store_url: SecretStr | None = Field(
        default=None, description="SQLAlchemy URL (sqlite or postgresql+psycopg); default: SQLite under `home`"
    )
    artifacts_url: SecretStr | None = Field(
        default=None, description="fsspec URL of the artifacts; default: under `home`"
    )
    # Far below a machine's memory, so that a crafted file cannot exhaust it, and above the forests that people serve.
    max_artifact_bytes: int = Field(
        default=2 * 1024**3, ge=1, description="Bytes that an artifact may have, as it lies and unpacked"
    )
    queue: str = Field(
        default="predictions", description="Queue of models that name none", pattern=rf"^{QUEUE_NAME.pattern}\Z"
    )
    queues: str = Field(
        default="predictions",
        description="Queues that a worker serves, separated by commas",
        pattern=rf"^{QUEUE_NAME.pattern}(,{QUEUE_NAME.pattern})*\Z",
    )
    concurrency: int = Field(default=0, ge=0, description="Pool processes of a worker; 0: one per core")
    target_wait: float = Field(
        default=1.0, gt=0, description="Seconds that a backlog may take to be worked off (worker --autoscale)"
    )
    scale_down_after: float = Field(
        default=10.0, gt=0, description="Seconds for which fewer processes must be enough before some are ended"
    )
    max_rows_per_job: int = Field(default=10_000, ge=1, description="Rows that one job may have")
    max_job_bytes: int = Field(
        default=16 * 1024 * 1024, ge=1, description="Bytes that the rows of one job may have, as JSON"
    )
    max_batch_rows: int = Field(default=512, ge=1, description="Rows of a batch, for models that set none")
    time_limit: float = Field(
        default=300.0, gt=0, le=DAY, description="Seconds a batch may take, for models that set none"
    )
    lease: float = Field(
        default=20.0, ge=1, le=DAY, description="Seconds for which a batch claims its jobs before renewing"
    )
    sweep_interval: float = Field(default=5.0, gt=0, le=DAY, description="Seconds between two sweeps of the keeper")
    orphan_after: float = Field(
        default=10.0, gt=0, le=DAY, description="Seconds after which a queued job without a message is published again"
    )
    stuck_after: float = Field(
        default=30.0,
        gt=0,
        le=DAY,
        description="Seconds an idle worker gets nothing of what waits before it connects anew, and then ends",
    )
    max_solo_crashes: int = Field(default=2, ge=1, description="Deaths of a process with one job alone before it fails")
    max_attempts: int = Field(default=20, ge=1, description="Claims of one job, whatever ended them, before it fails")
    retention_days: float | None = Field(
        default=None,
        gt=0,
        le=36_500,
        description="Days after which the keeper deletes what has ended, see docs/operations.md; default: never",
    )
    max_loaded_models: int = Field(default=16, ge=1, description="Model versions that a pool process keeps loaded")
    memory_limit_mib: int | None = Field(
        default=None,
        ge=1,
        description="MiB of memory that a pool process may take, see docs/operations.md; default: any",
    )
    flower_auth: SecretStr | None = Field(
        default=None, description="user:password of Flower's pages; default: made once, kept under `home`"
    )
    flower_address: str = Field(default="127.0.0.1", min_length=1, description="Address that Flower listens on")
    flower_port: int = Field(default=5555, ge=1, le=65535, description="Port that Flower listens on")
    gateway_address: str = Field(default="127.0.0.1", min_length=1, description="Address that the gateway listens on")
    gateway_port: int = Field(default=8000, ge=0, le=65535, description="Port that the gateway listens on; 0: any free")
    max_body_bytes: int = Field(
        default=32 * 1024 * 1024, ge=1, description="Bytes that the body of one HTTP request may have"
    )
    max_batch_body_bytes: int = Field(
        default=4 * 1024**3, ge=1, description="Bytes that the body of a batch over HTTP may have"
    )
    max_wait: float = Field(
        default=60.0, gt=0, le=DAY, description="Seconds for which one HTTP request may wait for a result"
    )
    webhook_timeout: float = Field(
        default=15.0, gt=0, le=300, description="Seconds that a receiver of webhooks may take for one delivery"
    )
    webhook_retries: str = Field(
        default="5,300,1800,7200,18000,36000,50400,72000,86400",
        pattern=r"^\d{1,7}(\.\d{1,3})?(,\d{1,7}(\.\d{1,3})?){0,99}\Z",
        description="Seconds from each failed delivery of a webhook to the next try, separated by commas",
    )
    webhook_allow: str = Field(
        default="", description="Networks (CIDR, separated by commas) besides the internet that webhooks may go to"
    )
    event_stream: str | None = Field(
        default=None,
        pattern=rf"^{QUEUE_NAME.pattern}\Z",
        description="Redis stream to which the deliverer adds an event for every job that ends; default: none",
    )
    event_stream_length: int = Field(default=100_000, ge=1, description="Events that the stream keeps, roughly")
    cors_origins: str = Field(
        default="",
        description="Origins whose pages may ask the gateway, separated by commas: https://app.example.com",
        pattern=rf"^({ORIGIN}(,{ORIGIN})*)?\Z",
    )
    log_level: str = Field(default="INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)\Z", description="Level of log records")

    @field_validator("home")
    @classmethod
    def _fits_a_url(cls, home: Path) -> Path:
        if found := sorted(_URL_CHARACTERS & set(str(home))):
            raise ValueError(f"a folder with {' and '.join(found)} in its name cannot be used: choose another")
        try:
            os.fsencode(home.expanduser())
        except RuntimeError:
            raise ValueError("nobody knows this user's home: write the folder out") from None
        except UnicodeError:
            raise ValueError("the name of the folder cannot be written to a disk: choose another") from None
        return home

    @field_validator("flower_auth")
    @classmethod
    def _has_user_and_password(cls, auth: SecretStr | None) -> SecretStr | None:
        if auth is not None and not re.fullmatch(CREDENTIALS, auth.get_secret_value()):
            raise ValueError("write user:password, in printable ASCII")
        return auth

    @field_validator("webhook_allow")
    @classmethod
    def _has_networks(cls, text: str) -> str:
        parse_networks(text)
        return text

    @property
    def webhook_schedule(self) -> tuple[float, ...]:
        """Seconds from each failed delivery to the next try."""
        return tuple(map(float, self.webhook_retries.split(",")))

    @property
    def webhook_networks(self) -> Networks:
        return parse_networks(self.webhook_allow)

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
        """The artifacts' URL, password included: never print it, see `redact`."""
        if self.artifacts_url is not None:
            return self.artifacts_url.get_secret_value()
        return (self.home_path / "artifacts").as_uri()

    @property
    def served_queues(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.queues.split(",")))

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(filter(None, self.cors_origins.split(","))))

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
        raise SettingsError("; ".join(_shown(problem) for problem in error.errors(include_url=False))) from None


def unknown_variables() -> list[str]:
    """INFERQ_* variables of the environment that are no setting: most likely misspelled."""
    known = {f"INFERQ_{name.upper()}" for name in Settings.model_fields} | CLIENT_VARIABLES
    return sorted(name for name in os.environ if name.upper().startswith("INFERQ_") and name.upper() not in known)


def _shown(problem: ErrorDetails) -> str:
    name = str(problem["loc"][0])
    secret = "SecretStr" in str(Settings.model_fields[name].annotation)
    return f"INFERQ_{name.upper()}={'***' if secret else repr(problem['input'])}: {problem['msg']}"


def redact(url: str) -> str:
    """`url` without its password, and without the values of its query, for logs and messages.

    What is no URL may hold a password anywhere: nothing of it is shown when it looks as if it did.
    """
    if not _SCHEME.match(url):
        return "***" if _SUSPICIOUS.search(url) else url
    rest, question, query = url.partition("?")
    if "@" in query and "@" not in rest:  # the ? is of a password
        return f"{url.partition('://')[0]}://***"
    if question:
        # An & may be of a password, too: only what is a whole name=value after it is a part of its own.
        query = "&".join(_QUERY_PART.sub(r"\1=***", part) if "=" in part else "***" for part in query.split("&"))
    head, at, tail = rest.rpartition("@")
    if at:
        scheme, _, credentials = head.partition("://")
        user, colon, _ = credentials.partition(":")
        rest = f"{scheme}://{user}{':***' if colon else ''}@{tail}"
    return f"{rest}{question}{query}"
