"""Write docs/licences.md: the licence of every distribution in requirements.lock, as its own metadata tells it.

Run by `make licences`, after `make lock`, in the environment that the lock made.
"""

import sys
from importlib import metadata

from locked import IMAGE_LOCK, LOCK, ROOT, pins

PAGE = ROOT / "docs" / "licences.md"
# By hand: skops names its licence in the file of it alone, and the others are not everywhere installed.
BY_HAND = {
    "async-timeout": "Apache-2.0",
    "cffi": "MIT-0",
    "colorama": "BSD-3-Clause",
    "pycparser": "BSD-3-Clause",
    "skops": "MIT",
    "tzdata": "Apache-2.0",
}
# A text longer than this in the field is the licence itself, not its name.
LONGEST_NAME = 30

HEAD = """\
# Licences of the dependencies

Made by `make licences` from the metadata of what [requirements.lock](../requirements.lock) installs. inferq itself is
under the Apache License 2.0. Nothing here is under the GPL, the AGPL or a licence that restricts use. The strictest are
MPL-2.0 (its files stay under it) and LGPL-3.0 (psycopg, a library of its own that can be replaced); both are used
unchanged. "image": the container image has it; the rest are extras, tools and tests.

| distribution | version | licence | image |
|---|---|---|---|
"""


def licence(name: str) -> str:
    """Empty for one that tells none."""
    if name in BY_HAND:
        return BY_HAND[name]
    told = metadata.metadata(name)
    field = (told.get("License") or "").strip()
    if expression := told.get("License-Expression"):
        return str(expression)
    if field and "\n" not in field and len(field) <= LONGEST_NAME and field != "Dual License":
        return field
    named = [line for line in told.get_all("Classifier") or [] if line.startswith("License :: ")]
    return " or ".join(line.rpartition(" :: ")[2] for line in named)


def page() -> str:
    image = set(pins(IMAGE_LOCK))
    rows = [
        f"| {name} | {version} | {licence(name)} | {'yes' if (name, version) in image else ''} |\n"
        for name, version in pins(LOCK)
    ]
    return HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"wrote {PAGE.relative_to(ROOT)}\n")
