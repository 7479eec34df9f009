"""What the shell offers at Tab beside commands and options. It is quick, and says nothing when the store is away."""

from __future__ import annotations

from contextlib import closing

from inferq_core.settings import load_settings
from inferq_core.states import Priority
from inferq_core.store import open_store
from inferq_monitoring.doctor import ask

# Seconds that somebody who pressed Tab waits for names.
PATIENCE = 1.0


def model_names(incomplete: str) -> list[str]:
    """Registered models that begin like this; none when they cannot be known in time."""
    try:
        names = ask(PATIENCE, _model_names)
    except Exception:  # noqa: BLE001 - an error would be printed into the line that is typed
        return []
    return [name for name in names if name.startswith(incomplete)]


def priorities(incomplete: str) -> list[str]:
    return [member.label for member in Priority if member.label.startswith(incomplete)]


def _model_names() -> list[str]:
    settings = load_settings()
    if settings.store_url is None and not settings.home_path.exists():
        return []  # opening the store would make it
    with closing(open_store(settings)) as store:
        return [model.name for model in store.models()]
