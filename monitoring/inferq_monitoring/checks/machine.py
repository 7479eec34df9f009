"""Whether the settings make sense and this machine has room."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from inferq_core.settings import Settings, redact, unknown_variables
from inferq_core.store.engine import parse_url
from inferq_monitoring.findings import Finding, fail, ok, warn

# Bytes: SQLite and the broker's file need some to go on; below the second they are about to stop.
LITTLE_SPACE, NO_SPACE = 2_000_000_000, 200_000_000


def check_settings(settings: Settings) -> list[Finding]:
    return [
        ok("settings", f"home {settings.home_path}, broker {redact(settings.broker)}, store {redact(settings.store)}"),
        *judge_variables(unknown_variables()),
    ]


def judge_variables(unknown: Sequence[str]) -> Iterator[Finding]:
    if unknown:
        verb = "is no setting" if len(unknown) == 1 else "are no settings"
        yield warn("settings", f"{', '.join(unknown)} {verb}", "correct or unset it; the README lists the settings")


def check_disk(settings: Settings) -> list[Finding]:
    return [judge_space(folder, shutil.disk_usage(folder).free) for folder in _folders(settings)]


def _folders(settings: Settings) -> list[Path]:
    """Where this machine writes: the home, and a SQLite store elsewhere; the nearest folders that exist."""
    url = parse_url(settings.store)
    wanted = [settings.home_path]
    if url.get_backend_name() == "sqlite":
        wanted.append(Path(str(url.database)).absolute().parent)
    existing = [next(folder for folder in (path, *path.parents) if folder.is_dir()) for path in wanted]
    return list(dict.fromkeys(existing))


def judge_space(folder: Path, free: int) -> Finding:
    found = f"{free / 1e9:,.1f} GB are free at {folder}"
    if free < NO_SPACE:
        return fail("disk", found, "make room: without it nothing can be stored")
    if free < LITTLE_SPACE:
        return warn("disk", found, "make room soon")
    return ok("disk", found)
