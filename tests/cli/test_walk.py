"""Every command, as the program itself lists them: its help, what is wrong with each argument, and what is away."""

import json
import re
import shlex
import signal
from contextlib import closing

import numpy as np
import pytest
import skops.io
from answering import add_model
from sklearn.dummy import DummyRegressor
from typer.core import TyperArgument, TyperGroup
from typer.main import get_command
from walk import COMMANDS, NOT_AN_ID, OTHER_PROCESS, STAYING, Reads

from inferq import Client, InferqError, load_settings
from inferq.cli.main import app
from inferq_core.ids import new_job_id
from inferq_core.signing import new_secret
from inferq_core.store import open_store
from inferq_core.store.records import KeyScope, NewKey
from inferq_core.store.webhook_records import NewWebhook

CLOSED_STORE = "postgresql+psycopg://someone:secret@127.0.0.1:1/inferq"
CLOSED_BROKER = "redis://:secret@127.0.0.1:1"
# Signals that `up` and `demo` take over, in this process too.
TAKEN = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ESCAPE = "\x1b"


def walk(group, *path):
    """All commands under a group, by their words."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from walk(command, *path, name)
        else:
            yield " ".join([*path, name]), command


def groups(group, *path):
    yield " ".join(path), group
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from groups(command, *path, name)


FOUND = dict(walk(get_command(app)))
GROUPS = dict(groups(get_command(app)))
WRONG = [
    pytest.param(command, case, id=f"{command} {case.arguments}")
    for command, entry in COMMANDS.items()
    for cases in entry.wrong.values()
    for case in cases
]
READING = [command for command, entry in COMMANDS.items() if entry.reads is not None]


@pytest.fixture(autouse=True)
def _own_signals():
    before = {number: signal.getsignal(number) for number in TAKEN}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def skops_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("walk") / "mean.skops"
    skops.io.dump(DummyRegressor().fit(np.zeros((3, 2)), np.arange(3.0)), path)
    return path


@pytest.fixture
def place(home, tmp_path, skops_file):
    """A store with a model and a queued job, and files of every kind. Puts their names into arguments."""
    folder = tmp_path / "files"
    folder.mkdir()
    for kind in ("csv", "ndjson", "parquet", "skops"):
        (folder / f"folder.{kind}").mkdir()
        (folder / f"empty.{kind}").touch()
    for kind in ("csv", "ndjson", "parquet", "skops", "pkl"):
        (folder / f"bytes.{kind}").write_bytes(bytes(range(1, 256)) * 9)
    (folder / "rows.csv").write_text("1,2\n3,4\n")
    (folder / "torn.csv").write_text("1,2\nx,4\n")
    (folder / "mean.skops").write_bytes(skops_file.read_bytes())
    with closing(open_store(load_settings())) as store, Client(load_settings(), store=store) as client:
        add_model(store, "sums")
        queued = client.submit("sums", [[1, 2]]).id
        key = store.add_key(NewKey("0123456789ab", "shop", "0" * 64, [KeyScope.SUBMIT], None)).id
        store.revoke_key(key)  # with a good one, a gateway would listen anywhere
        webhook = NewWebhook("abcdef012345", "sums", "https://example.com/", "example.com:443", None)
        store.add_webhook(webhook, new_secret())
        store.cancel([client.submit("sums", [[1, 2]]).id])
        (delivery,) = store.deliveries().deliveries
    (folder / "truth.csv").write_text(f"id,value\n{queued},7\n")
    values = {"folder": folder, "queued": queued, "stranger": new_job_id(), "key": key}
    values |= {"webhook": webhook.id, "delivery": delivery.id}
    return lambda text: re.sub(rf"\{{({'|'.join(values)})\}}", lambda match: str(values[match[1]]), text)


@pytest.fixture
def call(run, place):
    """Run a command with arguments of the table."""
    return lambda command, arguments, *more: run(*command.split(), *shlex.split(place(arguments)), *more)


def assert_one_line(ended, code, *words):
    assert ended.err.count("\n") == 1, ended.err
    assert ended.err.startswith("inferq: ")
    assert (ended.code, ended.out) == (code, ""), ended.err
    assert "inferq: unexpected" not in ended.err  # a fault of the program
    for word in words:
        assert word in ended.err


def name_of(param):
    return param.metavar if isinstance(param, TyperArgument) else param.opts[0]


def arguments_of(command):
    return [param for param in command.params if isinstance(param, TyperArgument)]


def test_the_table_has_every_command():
    assert COMMANDS.keys() == FOUND.keys()


@pytest.mark.parametrize("command", FOUND)
class TestEachCommand:
    def test_every_value_it_takes_is_tried(self, command):
        taken = {name_of(param) for param in FOUND[command].params if not getattr(param, "is_flag", False)}
        assert COMMANDS[command].wrong.keys() == taken

    def test_its_values_are_named(self, command):
        for param in FOUND[command].params:
            assert param.help, param
            if not getattr(param, "is_flag", False):
                assert re.fullmatch(r"[A-Z]+(,[A-Z]+)*", param.metavar or ""), param

    @pytest.mark.parametrize("width", [80, 120])
    def test_its_help_has_examples_that_fit_the_screen(self, run, monkeypatch, command, width):
        monkeypatch.setenv("COLUMNS", str(width))
        ended = run(*command.split(), "--help")
        assert (ended.code, ended.err) == (0, "")
        assert max(map(len, ended.out.splitlines())) <= width
        assert ESCAPE not in ended.out
        assert f"inferq {command}" in ended.out.partition("Example")[2]
        for line in FOUND[command].epilog.splitlines():
            assert re.search(rf"^ {re.escape(line)} *$", ended.out, re.MULTILINE)

    def test_its_help_does_not_speak_python(self, run, command):
        assert not re.search(r"<\w+>|list\[|None|\{\w+\}", run(*command.split(), "--help").out)

    def test_an_unknown_option_is_refused(self, call, command):
        ended = call(command, COMMANDS[command].right, "--no-such-option")
        assert_one_line(ended, 2, "--no-such-option", f"`inferq {command} --help`")

    def test_a_missing_argument_is_named(self, run, command):
        required = [param for param in arguments_of(FOUND[command]) if param.required]
        for place in range(len(required)):
            ended = run(*command.split(), *["1"] * place)
            assert_one_line(ended, 2, "Missing", required[place].metavar, f"`inferq {command} --help`")

    def test_one_argument_too_many_is_named(self, run, command):
        arguments = arguments_of(FOUND[command])
        if all(param.nargs == 1 for param in arguments):
            ended = run(*command.split(), *["1"] * len(arguments), "surplus")
            assert_one_line(ended, 2, "surplus", f"`inferq {command} --help`")

    def test_a_wrong_setting_is_named(self, call, monkeypatch, command):
        if command == "doctor":  # it has a finding instead, see below
            return
        monkeypatch.setenv("INFERQ_LEASE", "never")
        assert_one_line(call(command, COMMANDS[command].right), 2, "INFERQ_LEASE", "'never'")


@pytest.mark.parametrize("command", GROUPS)
def test_a_group_has_help_with_examples(run, command):
    ended = run(*command.split(), "--help")
    assert (ended.code, ended.err) == (0, "")
    assert f"inferq {command}".strip() in ended.out.partition("Examples:")[2]
    assert all(name in ended.out for name in GROUPS[command].commands)


@pytest.mark.parametrize("command", GROUPS)
def test_an_unknown_command_is_named(run, command):
    if command != "feedback":  # there the first word may be an id
        assert_one_line(run(*command.split(), "nonsense"), 2, "'nonsense'", "--help`")
    assert_one_line(run(*command.split(), "--nonsense"), 2, "--nonsense", "--help`")


@pytest.mark.parametrize(("command", "case"), WRONG)
def test_what_is_wrong_is_one_line_and_a_traceback_only_with_debug(call, run, place, command, case):
    words = [place(word) for word in case.words]
    ended = call(command, case.arguments)
    assert_one_line(ended, case.code, *words)
    with_debug = ["--debug", *command.split(), *shlex.split(place(case.arguments))]
    if ended.err.endswith("--help`\n"):  # a fault of the words, and not of the program's course
        assert run(*with_debug) == ended
    else:
        with pytest.raises(InferqError):
            run(*with_debug)


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in STAYING])
def test_what_is_right_is_done(call, command):
    entry = COMMANDS[command]
    ended = call(command, entry.right)
    if command == "doctor":  # nothing runs here
        assert ended.code == 3
    else:
        assert ended.code == entry.right_code, ended.err


# The doctor has a finding instead, the demo a store of its own; what `db roles` prints is the same for every store.
WITHOUT_STORE = ("doctor", "demo", "db roles")


class TestAway:
    @pytest.mark.parametrize("command", [name for name in COMMANDS if name not in (*OTHER_PROCESS, *WITHOUT_STORE)])
    def test_the_store(self, call, monkeypatch, command):
        monkeypatch.setenv("INFERQ_STORE_URL", CLOSED_STORE)
        ended = call(command, COMMANDS[command].right)
        assert_one_line(ended, 3, "127.0.0.1")
        assert "secret" not in ended.err

    @pytest.mark.parametrize("command", ["worker", "keeper"])  # Flower's pages go on, and say that the store is away
    def test_the_store_of_a_role(self, process, monkeypatch, command):
        monkeypatch.setenv("INFERQ_STORE_URL", CLOSED_STORE)
        child = process(command)
        told = next(line for line in child.stderr if b"store_unavailable" in line)
        assert b"postgresql+psycopg://someone:***@127.0.0.1:1/inferq" in told
        assert child.poll() is None, "it waits"
        child.terminate()
        out, err = child.communicate(timeout=60)
        assert (child.returncode, out) == (-signal.SIGTERM, b"")
        assert b"Traceback" not in err

    @pytest.mark.parametrize("command", ["up", "demo"])
    def test_the_broker_where_it_is_needed(self, call, monkeypatch, command):
        monkeypatch.setenv("INFERQ_BROKER_URL", CLOSED_BROKER)
        ended = call(command, "")
        assert ended.code == 3
        assert ended.err.startswith("inferq: the broker at redis://:***@127.0.0.1:1 does not answer")
        assert ended.err.count("\n") == 1

    @pytest.mark.parametrize(
        "command", [name for name in COMMANDS if name not in (*STAYING, "doctor", "submit", "jobs cancel")]
    )
    def test_the_broker_where_it_is_not(self, call, monkeypatch, command):
        monkeypatch.setenv("INFERQ_BROKER_URL", CLOSED_BROKER)
        ended = call(command, COMMANDS[command].right)
        assert ended.code == COMMANDS[command].right_code
        assert "broker" not in ended.err

    @pytest.mark.parametrize("command", ["submit", "jobs cancel"])
    def test_the_broker_that_would_only_hurry(self, call, monkeypatch, command):
        monkeypatch.setenv("INFERQ_BROKER_URL", CLOSED_BROKER)
        ended = call(command, COMMANDS[command].right)
        assert ended.code == 0
        assert ended.out
        assert all(line.startswith("inferq: warning: ") for line in ended.err.splitlines())
        assert "secret" not in ended.err

    @pytest.mark.parametrize(
        ("variable", "value"),
        [("INFERQ_STORE_URL", CLOSED_STORE), ("INFERQ_BROKER_URL", CLOSED_BROKER), ("INFERQ_LEASE", "never")],
    )
    def test_doctor_has_a_finding_of_it(self, call, monkeypatch, variable, value):
        monkeypatch.setenv(variable, value)
        ended = call("doctor", "")
        assert (ended.code, ended.err) == (3, "")
        assert any(line.startswith("fail") for line in ended.out.splitlines())
        assert "secret" not in ended.out
        assert ESCAPE not in ended.out


class TestJson:
    def test_reading_commands_have_it(self):
        having = {name for name, command in FOUND.items() if any("--json" in param.opts for param in command.params)}
        assert having == set(READING)

    @pytest.mark.parametrize("command", READING)
    def test_it_can_be_parsed(self, call, command):
        entry = COMMANDS[command]
        ended = call(command, entry.right, "--json")
        assert ended.code in (entry.right_code, 3)
        lines = ended.out.splitlines()
        if entry.reads is Reads.DOCUMENT:
            assert len(lines) == 1
        for line in lines:
            assert isinstance(json.loads(line), dict | list)

    @pytest.mark.parametrize("command", ["jobs list", "logs", "models list", "db stats", "db check", "doctor"])
    def test_of_nothing_too(self, run, command):
        open_store(load_settings()).close()
        ended = run(*command.split(), "--json")
        if COMMANDS[command].reads is Reads.LINES:
            assert (ended.out, ended.err) == ("", "")
        else:
            assert isinstance(json.loads(ended.out), dict | list)


def test_debug_prints_the_traceback(process):
    child = process("--debug", "result", "17")
    out, err = child.communicate(timeout=60)
    assert out == b""
    assert b"Traceback" in err
    assert NOT_AN_ID.encode() in err
