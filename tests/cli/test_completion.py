"""What the shell offers at Tab, by the protocol of the scripts that `inferq --show-completion` prints."""

import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from answering import add_model

from inferq import load_settings
from inferq.cli import completion
from inferq_core.store import open_store


@pytest.fixture
def offered(run, monkeypatch):
    """The words that a shell is told for a line; the last word is being typed."""

    def ask(line, shell="bash"):
        monkeypatch.setenv("_INFERQ_COMPLETE", f"complete_{shell}")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
        ended = run()
        assert (ended.code, ended.err) == (0, "")
        return ended.out

    return ask


@pytest.fixture
def models(home):
    with closing(open_store(load_settings())) as store:
        for name in ("digits", "diabetes", "wine"):
            add_model(store, name)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("inferq sub", ["submit"]),
        ("inferq jobs ", ["list", "show", "cancel", "retry"]),
        ("inferq feedback im", ["import"]),
        ("inferq models se", ["settings"]),
        ("inferq jobs list --st", ["--state"]),
        ("inferq jobs list --state f", ["failed"]),
        ("inferq logs --level ", ["info", "warning", "error"]),
        ("inferq submit digits --priority ", ["interactive", "normal", "bulk"]),
        ("inferq submit digits --method predict_", ["predict_proba"]),
    ],
)
def test_commands_options_and_their_values_are_offered(offered, line, words):
    assert offered(line).split() == words
    told = offered(line, "zsh")
    assert told.startswith("_arguments ")
    assert all(f'"{word}"' in told for word in words)


@pytest.mark.parametrize(
    "line",
    [
        "inferq submit di",
        "inferq models show di",
        "inferq models alias di",
        "inferq models settings di",
        "inferq models register di",
        "inferq logs --model di",
        "inferq jobs list --model di",
    ],
)
def test_models_are_offered(offered, models, line):
    assert offered(line).split() == ["diabetes", "digits"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("INFERQ_STORE_URL", "postgresql+psycopg://someone@127.0.0.1:1/inferq"),
        ("INFERQ_STORE_URL", "nonsense"),
        ("INFERQ_LEASE", "never"),
    ],
)
def test_without_a_store_nothing_is_offered_and_nothing_said(offered, monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    assert offered("inferq submit ").split() == []


def test_a_store_that_is_slow_is_not_waited_for(offered, models, monkeypatch):
    monkeypatch.setattr(completion, "PATIENCE", 0.0)
    assert offered("inferq submit ").split() == []


def test_tab_makes_no_home(offered, home):
    assert offered("inferq submit ").split() == []
    assert not home.exists()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
class TestBash:
    def bash(self, script, tmp_path):
        """Run `script` with `inferq` on the PATH."""
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
        }
        return subprocess.run(
            ["bash", "--norc", "-c", script], env=environment, check=True, capture_output=True, text=True, timeout=60
        )

    def test_the_script_it_shows_completes(self, home, tmp_path):
        script = 'eval "$(inferq --show-completion)"; COMP_WORDS=(inferq jobs s); COMP_CWORD=2; '
        ended = self.bash(script + '_inferq_completion inferq; echo "${COMPREPLY[@]}"', tmp_path)
        assert (ended.stdout, ended.stderr) == ("show\n", "")

    def test_it_is_installed_for_the_next_shell(self, home, tmp_path):
        ended = self.bash("inferq --install-completion; true", tmp_path)
        assert "bash completion installed" in ended.stdout
        script = next((tmp_path / ".bash_completions").iterdir())
        assert str(script) in (tmp_path / ".bashrc").read_text()
        assert "_INFERQ_COMPLETE" in script.read_text()
