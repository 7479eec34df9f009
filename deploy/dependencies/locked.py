"""What requirements.lock pins."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"
IMAGE_LOCK = ROOT / "requirements-image.lock"


def pins(lock: Path) -> Iterator[tuple[str, str]]:
    """Name and version of each distribution; a name may have several, for different versions of Python."""
    for line in lock.read_text().splitlines():
        if found := re.match(r"([a-z0-9._-]+)==(\S+)", line):
            yield found[1], found[2]
