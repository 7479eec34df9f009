"""The page of licences is that of the lock, and an audit that could not ask says so."""

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "deploy" / "dependencies"))

import audit
import licences
from locked import LOCK, pins

# What an Apache-2.0 project cannot simply build on; the LGPL is another matter.
INCOMPATIBLE = re.compile(r"(?<!L)GPL|Affero|GNU General|SSPL|BUSL|Proprietary|Commercial|Unknown", re.IGNORECASE)


def rows():
    lines = [line for line in licences.PAGE.read_text().splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_page_lists_what_is_locked():
    assert [(name, version) for name, version, *_ in rows()] == list(pins(LOCK)), "run `make licences`"


def test_what_is_installed_tells_the_licences_of_the_page():
    assert {row[0]: row[2] for row in rows()} == {name: licences.licence(name) for name, _ in pins(LOCK)}


def test_every_licence_goes_with_ours():
    assert [row for row in rows() if not row[2] or INCOMPATIBLE.search(row[2])] == []
    assert INCOMPATIBLE.search("GPL-3.0-only")
    assert INCOMPATIBLE.search("GNU Affero General Public License v3")
    assert not INCOMPATIBLE.search("LGPL-3.0-only")


CLEAN = {"name": "kombu", "version": "5.7.0", "vulns": []}
BAD = {"name": "redis", "version": "1.0", "vulns": [{"id": "PYSEC-1"}]}
SKIPPED = {"name": "six", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("found", "reason", "code", "words"),
    [
        ([CLEAN, CLEAN], "", audit.CLEAN, "2 of 2 distributions were asked for at 'osv', no vulnerability is known"),
        ([CLEAN, BAD, SKIPPED], "", audit.VULNERABLE, "2 of 3 .*redis 1.0: PYSEC-1"),
        ([CLEAN, SKIPPED], "", audit.UNKNOWN, "1 of 2 .* says nothing of the others: not found"),
        ([], "", audit.UNKNOWN, "0 of 0"),
        (None, "no route", audit.UNKNOWN, "could not be reached: no route"),
    ],
)
def test_what_was_not_asked_for_never_counts_as_clean(found, reason, code, words):
    ended, line = audit.judge("osv", found, reason)
    assert ended == code
    assert re.search(words, line)


def test_without_the_tool_it_says_what_to_do(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/nowhere")
    assert audit.main() == audit.UNKNOWN
    assert "pipx install pip-audit" in capsys.readouterr().err
