"""Times as people write and read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from inferq_core.errors import InvalidInput

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}
_MINUTE, _HOUR, _DAY = _UNITS["m"], _UNITS["h"], _UNITS["d"]


def parse_since(text: str, now: float) -> float:
    """Seconds since 1970 for "90s", "30m", "2h", "7d" before `now`, or for an ISO 8601 date or time; 0 for any before.

    A time without a zone is UTC, as times are printed. Raises InvalidInput.
    """
    if match := _DURATION.fullmatch(text.strip()):
        return max(now - float(match[1]) * _UNITS[match[2]], 0.0)
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidInput(
            f"--since {text!r}: give how long ago, such as 30m, 2h or 7d, or a time, such as 2026-01-31T12:00"
        ) from None
    return max((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp(), 0.0)


def parse_age(option: str, text: str) -> float:
    """Seconds for "90s", "12h", "30d" or "8w". Raises InvalidInput."""
    if match := _DURATION.fullmatch(text.strip()):
        return float(match[1]) * _UNITS[match[2]]
    raise InvalidInput(f"{option} {text!r}: give an age, such as 12h, 30d or 8w")


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def duration(seconds: float) -> str:
    """Two digits that matter: 12 ms, 3.2 s, 4 min 10 s, 5 h 2 min, 3 d 4 h."""
    if round(abs(seconds), 3) < 1:
        return f"{seconds * 1000:.0f} ms"
    if round(abs(seconds), 1) < _MINUTE:
        return f"{seconds:.1f} s"
    whole = round(abs(seconds))
    sign = "-" if seconds < 0 else ""
    for unit, name, lower, lower_name in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "min"),
        (_MINUTE, "min", 1.0, "s"),
    ):
        if whole >= unit:
            return f"{sign}{whole // unit:.0f} {name} {whole % unit // lower:.0f} {lower_name}"
    return f"{seconds:.1f} s"
