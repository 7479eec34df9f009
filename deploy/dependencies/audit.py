"""Ask pip-audit whether what requirements.lock pins has known vulnerabilities. Run by `make audit`.

pip-audit is no dependency of inferq: it has to be on the PATH (`pipx install pip-audit`). Exit codes: 0 nothing is
known, 1 something is, 3 not all could be asked for. What was not asked for never counts as clean.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from locked import LOCK

CLEAN, VULNERABLE, UNKNOWN = 0, 1, 3
# Where advisories come from: what pip-audit calls its services, in the order in which they are tried.
SERVICES = ("pypi", "osv")
SECONDS = 600


def main() -> int:
    tool = shutil.which("pip-audit")
    if tool is None:
        sys.stderr.write("audit: there is no pip-audit on the PATH: install it (pipx install pip-audit)\n")
        return UNKNOWN
    code = UNKNOWN
    for service in SERVICES:
        code, line = judge(service, *ask(tool, service))
        sys.stderr.write(f"audit: {line}\n")
        if code != UNKNOWN:
            break
    return code


def ask(tool: str, service: str) -> tuple[Sequence[Mapping[str, Any]] | None, str]:
    """What it found for each distribution, or None and why there is nothing."""
    command = [tool, "--requirement", str(LOCK), "--disable-pip", "--require-hashes", "--format", "json"]
    try:
        ended = subprocess.run(  # noqa: S603 - the words above
            [*command, "--progress-spinner", "off", "--vulnerability-service", service],
            check=False,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return None, f"no answer within {SECONDS} s"
    try:
        return json.loads(ended.stdout)["dependencies"], ""
    except (ValueError, KeyError):
        return None, (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]


def judge(service: str, found: Sequence[Mapping[str, Any]] | None, reason: str) -> tuple[int, str]:
    """The exit code, and what to say."""
    if found is None:
        return UNKNOWN, f"the advisories of {service!r} could not be reached: {reason}"
    known = [f"{one['name']} {one['version']}: {bug['id']}" for one in found for bug in one.get("vulns", ())]
    skipped = [one for one in found if "skip_reason" in one]
    asked = f"{len(found) - len(skipped)} of {len(found)} distributions were asked for at {service!r}"
    if known:
        return VULNERABLE, f"{asked}, known: {'; '.join(known)}"
    if skipped or not found:
        why = f": {skipped[0]['skip_reason']}" if skipped else ""
        return UNKNOWN, f"{asked}, so this says nothing of the others{why}"
    return CLEAN, f"{asked}, no vulnerability is known"


if __name__ == "__main__":
    sys.exit(main())
