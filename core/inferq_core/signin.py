"""Who may open the Flower pages: the setting, else a password made once and kept under the home."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from inferq_core.errors import SettingsError
from inferq_core.private import private_folder, write_once
from inferq_core.settings import CREDENTIALS, Settings

FILE = "auth"
USER = "inferq"
PASSWORD_BYTES = 18


@dataclass(frozen=True, slots=True)
class SignIn:
    credentials: SecretStr  # user:password
    file: Path | None  # where they are kept; None: they come from the setting
    fresh: bool  # made by this call, so nobody has seen the password yet

    @property
    def user(self) -> str:
        return self.credentials.get_secret_value().partition(":")[0]

    def describe(self) -> str:
        """For the terminal. Shows the password when it is fresh, and only then."""
        if self.file is None:
            return f"user {self.user}, password from INFERQ_FLOWER_AUTH"
        if self.fresh:
            password = self.credentials.get_secret_value().partition(":")[2]
            return f"user {self.user}, password {password} (shown once, kept in {self.file})"
        return f"user {self.user}, password in {self.file}"


def flower_address(settings: Settings) -> str:
    """What people type into a browser."""
    host = f"[{settings.flower_address}]" if ":" in settings.flower_address else settings.flower_address
    return f"http://{host}:{settings.flower_port}/inferq"


def flower_folder(settings: Settings) -> Path:
    """What Flower keeps, readable by this user only. Raises SettingsError."""
    return private_folder(settings.make_home() / "flower")


def flower_sign_in(settings: Settings) -> SignIn:
    """The credentials; the first call without a setting makes them. Raises SettingsError."""
    if settings.flower_auth is not None:
        return SignIn(settings.flower_auth, None, fresh=False)
    file = flower_folder(settings) / FILE
    fresh = not file.exists() and write_once(file, f"{USER}:{secrets.token_urlsafe(PASSWORD_BYTES)}\n")
    kept = file.read_text().strip()
    if not re.fullmatch(CREDENTIALS, kept):
        raise SettingsError(f"{file} holds no user:password: remove it, another is made")
    return SignIn(SecretStr(kept), file, fresh=fresh)
