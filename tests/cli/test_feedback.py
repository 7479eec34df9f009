"""Ground truth from the command line: one value, or a file of them."""

import re
from contextlib import closing

import pytest

from inferq import load_settings
from inferq.cli import truth
from inferq_core.ids import new_job_id
from inferq_core.store import open_store


@pytest.fixture
def jobs(run, models, tmp_path):
    """Ids of five queued jobs."""
    (tmp_path / "rows.ndjson").write_text('"Fit the model."\n' * 5, encoding="utf-8")
    return run("submit", "docstrings", "--file", tmp_path / "rows.ndjson").out.split()


@pytest.fixture
def file(tmp_path):
    def write(text, encoding="utf-8"):
        (tmp_path / "truth.csv").write_bytes(text.encode(encoding))
        return tmp_path / "truth.csv"

    return write


def known_of(jobs):
    with closing(open_store(load_settings())) as store:
        return {job_id: record.actual for job_id, record in store.feedback(jobs).items()}


@pytest.mark.parametrize("words", [["feedback", "add"], ["feedback"]], ids=["add", "short"])
@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("7", 7),
        ("-1.5", -1.5),
        ("spam", "spam"),
        ('"7"', "7"),
        ("[1, null]", [1, None]),
        ("true", True),
        ("007", "007"),
        ('""', ""),
    ],
)
def test_a_value_is_json_or_else_text(run, jobs, words, text, stored):
    ended = run(*words, jobs[0], text)
    assert ended.code == 0
    assert jobs[0] in ended.out
    assert known_of(jobs) == {jobs[0]: stored}


def test_the_last_value_counts(run, jobs):
    run("feedback", jobs[0], 1)
    run("feedback", jobs[0], 2)
    assert known_of(jobs) == {jobs[0]: 2}


@pytest.mark.parametrize("value", ["nan", "Infinity", "-inf", "1e999"])
def test_a_number_that_is_none_is_refused(run, jobs, value):
    ended = run("feedback", "add", jobs[0], value)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert value in ended.err
    assert known_of(jobs) == {}


@pytest.mark.parametrize("job_id", ["01890a5d-ac96-774b-bcce-b302099a8057", "improt"])
def test_an_unknown_job_exits_with_4(run, home, job_id):
    for words in (["feedback", "add"], ["feedback"]):
        ended = run(*words, job_id, 7)
        assert (ended.code, ended.err.count("\n")) == (4, 1)
        assert job_id in ended.err


def test_a_file_is_imported(run, jobs, file):
    path = file("\ufeffid,seen by,value\r\n" + "".join(f"{job},me,{number}\r\n" for number, job in enumerate(jobs)))
    ended = run("feedback", "import", path)
    assert (ended.code, ended.out, ended.err) == (0, "5 stored, 0 refused\n", "")
    assert known_of(jobs) == dict(zip(jobs, range(5), strict=True))


def test_columns_may_have_other_names(run, jobs, file):
    path = file(f'truth,job\n"a, b",{jobs[0].upper()}\n"two\nlines",{jobs[1]}\n')
    assert run("feedback", "import", path, "--id-column", "job", "--value-column", "truth").code == 0
    assert known_of(jobs) == {jobs[0]: "a, b", jobs[1]: "two\nlines"}


def test_lines_that_cannot_be_stored_are_named_and_left_out(run, jobs, file, monkeypatch):
    monkeypatch.setattr(truth, "BATCH_LINES", 2)
    stranger = new_job_id()
    lines = [
        f"{jobs[0]},1",
        "no-id,1",
        ",1",
        "",
        f"{stranger},1",
        f"{jobs[1]}, ",
        jobs[2],
        f"{jobs[3]},nan",
        f"{jobs[4]},5",
    ]
    ended = run("feedback", "import", file("id,value\n" + "\n".join(lines)))
    assert (ended.code, ended.out) == (1, "2 stored, 6 refused\n")
    refused = ended.err.splitlines()
    expected = [(3, "no-id"), (4, "UUID"), (6, stranger), (7, "empty"), (8, jobs[2]), (9, "nan")]
    assert len(refused) == len(expected)
    for line, (number, word) in zip(refused, expected, strict=True):
        assert line.startswith(f"inferq: line {number} ")
        assert word in line
    assert known_of(jobs) == {jobs[0]: 1, jobs[4]: 5}


@pytest.mark.parametrize(
    ("text", "encoding", "words"),
    [
        ("", "utf-8", ["no column 'id'", "none"]),
        ("job,value\n", "utf-8", ["no column 'id'", "job, value", "--id-column"]),
        ("id,value\ncafé,1\n", "latin-1", ["UTF-8"]),
    ],
)
def test_a_file_that_is_no_table_is_refused(run, file, text, encoding, words):
    ended = run("feedback", "import", file(text, encoding))
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert all(word in ended.err for word in words)


def test_what_stood_before_a_damaged_place_is_stored_and_said(run, jobs, file, monkeypatch):
    monkeypatch.setattr(truth, "BATCH_LINES", 1)
    path = file("id,value\n" + f"{jobs[0]},1\n" * 500)
    path.write_bytes(path.read_bytes() + b"\xff,1\n")
    ended = run("feedback", "import", path)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "UTF-8" in ended.err
    assert re.search(r"values stored before: [1-9]", ended.err)
    assert known_of(jobs) == {jobs[0]: 1}


def test_the_group_shows_its_help(run):
    for ended in (run("feedback", "--help"), run("feedback")):
        assert "inferq feedback import truth.csv" in ended.out
