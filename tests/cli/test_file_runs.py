"""`inferq submit --file`: every row once, answers in order, and an interrupted run goes on where it was."""

import functools
import json
import os
import signal
import sys

import pyarrow as pa
import pytest
from answering import NAMED, POISON, Answering, add_model
from pyarrow import parquet
from sqlalchemy import delete, func, select

from inferq import BacklogFull, State, StoreUnavailable, load_settings
from inferq.cli import file_run
from inferq.cli.out_file import OutFile
from inferq_core.columns import Layout
from inferq_core.store import SqlStore, open_store
from inferq_core.store.tables import jobs, pending, results

ROWS = 2_500


@pytest.fixture
def store(home):
    opened = open_store(load_settings())
    add_model(opened, "sums")
    add_model(opened, "other")
    yield opened
    opened.close()


@pytest.fixture
def out(tmp_path):
    return tmp_path / "results.ndjson"


@pytest.fixture
def file(tmp_path):
    """A CSV file whose row n is n, 2n."""
    path = tmp_path / "rows.csv"
    path.write_text(csv_text(range(ROWS)))
    return path


def csv_text(numbers):
    return "".join(f"{number},{2 * number}\n" for number in numbers)


def n_jobs(store):
    return store._database.read(lambda connection: connection.scalar(select(func.count()).select_from(jobs)))


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def assert_complete(out, rows=ROWS):
    lines = lines_of(out)
    assert [line["row"] for line in lines] == list(range(rows))
    assert [line["outputs"] for line in lines] == [[3.0 * row] for row in range(rows)]
    assert len({line["id"] for line in lines}) == rows


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


class TestAnswers:
    def test_there_is_a_line_for_each_row_in_order(self, run, store, file, out):
        with Answering(store):
            ended = run("submit", "sums", "--file", file, "--out", out)
        assert (ended.code, ended.out) == (0, "")
        assert f"{ROWS:,} rows succeeded, 0 failed" in ended.err
        assert_complete(out)
        assert lines_of(out)[7] == {
            "row": 7, "id": lines_of(out)[7]["id"], "state": "succeeded", "outputs": [21.0], "version": 1
        }  # fmt: skip
        assert n_jobs(store) == ROWS

    def test_a_job_that_failed_has_its_error_and_decides_the_exit_code(self, run, store, file, out):
        file.write_text(csv_text([1, POISON, 3]))
        with Answering(store):
            assert run("submit", "sums", "--file", file, "--out", out).code == 1
        failed = lines_of(out)[1]
        assert failed["error"] == {"code": "model_error", "message": "it raised ValueError"}
        assert failed["state"] == State.FAILED
        assert "outputs" not in failed
        assert [line["state"] for line in lines_of(out)] == ["succeeded", "failed", "succeeded"]
        # It is still failed when all answers are there already.
        assert run("submit", "sums", "--file", file, "--out", out).code == 1

    def test_with_a_wait_they_are_printed_in_order(self, run, store, file):
        with Answering(store):
            ended = run("submit", "sums", "--file", file, "--wait", 60, "--json")
        assert ended.code == 0
        assert [json.loads(line)["outputs"] for line in ended.out.splitlines()] == [[3.0 * row] for row in range(ROWS)]

    def test_a_wait_that_runs_out_leaves_every_row_enqueued(self, run, store, file, out, monkeypatch):
        monkeypatch.setattr(file_run, "ROWS_AHEAD", 1_000)
        ended = run("submit", "sums", "--file", file, "--out", out, "--wait", 0.05)
        assert ended.code == 5
        assert f"{ROWS:,} of {ROWS:,} rows were submitted, 0 answered; run the same command again" in ended.err
        assert n_jobs(store) == ROWS
        with Answering(store):
            assert run("submit", "sums", "--file", file, "--out", out).code == 0
        assert_complete(out)

    def test_no_more_rows_are_under_way_than_allowed(self, run, store, file, out, monkeypatch):
        monkeypatch.setattr(file_run, "ROWS_AHEAD", 700)
        waiting = []
        with Answering(store) as answering:
            end = answering._end
            answering._end = lambda ids: (waiting.append(n_jobs(store) - answering.answered), end(ids))
            assert run("submit", "sums", "--file", file, "--out", out).code == 0
        # What was answered is read a little later, and rows come in blocks of a thousand.
        assert max(waiting) <= 700 + 1_000
        assert_complete(out)

    def test_silence_without_a_worker_is_said(self, run, store, file, out, monkeypatch):
        monkeypatch.setattr(file_run, "SILENCE", 0.0)
        said = []
        monkeypatch.setattr(file_run.Meter, "say", lambda _, line: (said.append(line), press_ctrl_c()))
        assert run("submit", "sums", "--file", file, "--out", out).code == 130
        assert [line.partition(":")[0] for line in said] == ["no worker is running"]

    def test_a_file_without_rows_is_refused(self, run, store, file, out):
        file.write_text("")
        ended = run("submit", "sums", "--file", file, "--out", out)
        assert (ended.code, ended.out) == (2, "")
        assert f"{file} has no rows. Nothing was submitted" in ended.err


class TestBacklog:
    BOUND = 40

    @pytest.fixture
    def bounded(self, store, file):
        store.put_model("sums", max_backlog=self.BOUND)
        file.write_text(csv_text(range(200)))
        return file

    def test_a_file_waits_for_room_and_exceeds_nothing(self, run, store, bounded, out):
        waiting = []
        with Answering(store) as answering:
            end = answering._end
            answering._end = lambda ids: (waiting.append(n_jobs(store) - answering.answered), end(ids))
            ended = run("submit", "sums", "--file", bounded, "--out", out)
        assert ended.code == 0
        assert f"max_backlog of {self.BOUND}. Waiting" in ended.err
        assert ended.err.count("Waiting") == 1
        assert 0 < max(waiting) <= self.BOUND
        assert_complete(out, 200)

    def test_a_file_that_waits_can_be_interrupted_and_goes_on(self, run, store, bounded, out, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(file_run.Meter, "say", lambda *_: press_ctrl_c())
            ended = run("submit", "sums", "--file", bounded)
        assert ended.code == 130
        assert f"{self.BOUND} of 200 rows were submitted" in ended.err
        assert n_jobs(store) == self.BOUND
        with Answering(store):
            assert run("submit", "sums", "--file", bounded, "--out", out).code == 0
        assert_complete(out, 200)

    def test_an_error_that_is_more_than_its_message_stays_what_it_is(self, run, store, bounded, monkeypatch):
        def refuse(*_):
            raise BacklogFull("sums", "it is what it is", None, never_fits=True)

        monkeypatch.setattr(file_run.Run, "submit", refuse)
        ended = run("submit", "sums", "--file", bounded)
        assert (ended.code, ended.out, ended.err.count("\n")) == (3, "", 1)
        assert "model 'sums' takes no more now: it is what it is. Nothing was submitted" in ended.err

    def test_rows_that_do_not_fit_end_with_a_code_of_their_own(self, run, store, bounded):
        rows = [word for _ in range(self.BOUND + 1) for word in ("--row", "[1, 2]")]
        for form in ([], ["--json"]):
            ended = run("submit", "sums", *rows, *form)
            assert (ended.code, ended.out, ended.err.count("\n")) == (3, "", 1)
            assert f"more than its max_backlog of {self.BOUND}" in ended.err
        assert n_jobs(store) == 0


class TestOnce:
    def test_the_same_file_again_has_the_same_jobs(self, run, store, file):
        first = run("submit", "sums", "--file", file)
        again = run("submit", "sums", "--file", file)
        assert (first.code, first.err) == (0, "")
        assert again.out == first.out
        assert f"all {ROWS:,} rows of it were submitted before" in again.err
        assert "--run NAME" in again.err
        assert n_jobs(store) == len(set(first.out.split())) == ROWS

    def test_the_content_counts_and_not_the_name(self, run, store, file):
        first = run("submit", "sums", "--file", file)
        assert run("submit", "sums", "--file", file.rename(file.with_name("renamed.csv"))).out == first.out

    @pytest.mark.parametrize(
        "options",
        [["--run", "march"], ["--version", "1"], ["--method", "predict_proba"]],
        ids=lambda options: options[0],
    )
    def test_another_run_version_or_method_is_submitted_by_itself(self, run, store, file, options):
        first = run("submit", "sums", "--file", file)
        other = run("submit", "sums", "--file", file, *options)
        assert not set(first.out.split()) & set(other.out.split())
        assert n_jobs(store) == 2 * ROWS
        assert run("submit", "sums", "--file", file, *options).out == other.out
        assert n_jobs(store) == 2 * ROWS

    def test_jobs_that_were_removed_are_not_waited_for(self, run, store, file, out):
        run("submit", "sums", "--file", file)
        for table in (jobs, pending, results):
            store._database.write(lambda connection, table=table: connection.execute(delete(table)))
        ended = run("submit", "sums", "--file", file, "--out", out)
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert "gone from the store" in ended.err
        assert "--run NAME" in ended.err


class TestInterrupted:
    @pytest.fixture
    def interrupted(self, run, store, file, out, monkeypatch):
        """A run that Ctrl-C ended when 1,500 rows were answered and some were not submitted."""
        monkeypatch.setattr(file_run, "ROWS_AHEAD", 500)
        with Answering(store, limit=1_500, at_limit=press_ctrl_c):
            ended = run("submit", "sums", "--file", file, "--out", out)
        assert ended.code == 130
        return ended

    def test_ctrl_c_says_in_one_line_how_to_go_on(self, interrupted, store, out):
        assert interrupted.err.count("\n") == 1
        submitted, answered = n_jobs(store), len(lines_of(out))
        assert 1_500 <= submitted < ROWS
        assert f"{submitted:,} of {ROWS:,} rows were submitted, {answered:,} answered" in interrupted.err
        assert "run the same command again to continue" in interrupted.err

    def test_the_same_command_goes_on_and_doubles_nothing(self, interrupted, run, store, file, out):
        submitted, written = n_jobs(store), out.read_bytes()
        with Answering(store):
            ended = run("submit", "sums", "--file", file, "--out", out)
        assert ended.code == 0
        assert f"continuing: {submitted:,} of its {ROWS:,} rows were submitted before" in ended.err
        assert out.read_bytes().startswith(written)
        assert_complete(out)
        assert n_jobs(store) == ROWS

    @pytest.mark.usefixtures("interrupted")
    @pytest.mark.parametrize("torn", [1, 15, 40, 90])
    def test_a_torn_last_line_is_written_again(self, run, store, file, out, torn):
        written = out.read_bytes()
        out.write_bytes(written[:-torn])
        with Answering(store):
            assert run("submit", "sums", "--file", file, "--out", out).code == 0
        assert out.read_bytes().startswith(written)
        assert_complete(out)

    @pytest.mark.usefixtures("interrupted")
    def test_answers_lost_from_the_end_of_the_file_are_written_again(self, run, store, file, out):
        out.write_bytes(b"".join(out.read_bytes().splitlines(keepends=True)[:10]))
        with Answering(store):
            assert run("submit", "sums", "--file", file, "--out", out).code == 0
        assert_complete(out)

    @pytest.mark.usefixtures("interrupted")
    @pytest.mark.parametrize("change", ["file", "model", "version", "run"])
    def test_what_was_written_for_something_else_is_not_continued(self, run, store, file, out, change):
        written, submitted = out.read_bytes(), n_jobs(store)
        model = "other" if change == "model" else "sums"
        options = {"version": ["--version", "1"], "run": ["--run", "march"]}.get(change, [])
        if change == "file":
            file.write_text(csv_text(range(1, ROWS)))
        ended = run("submit", model, "--file", file, "--out", out, *options)
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert f"--out {out}, line 1 is no result of this run" in ended.err
        assert out.read_bytes() == written
        assert n_jobs(store) == submitted

    @pytest.mark.usefixtures("interrupted")
    @pytest.mark.parametrize("content", ["precious", "precious\n", '{"row":0,"id":"01a2147c"}\n', '{"row":0,"i?'])
    def test_any_other_file_is_left_alone(self, run, file, out, content):
        out.write_text(content)
        assert run("submit", "sums", "--file", file, "--out", out).code == 2
        assert out.read_text() == content

    @pytest.mark.usefixtures("interrupted")
    def test_a_changed_line_in_the_middle_is_named(self, run, file, out):
        lines = out.read_bytes().splitlines(keepends=True)
        out.write_bytes(b"".join([*lines[:5], *lines[6:]]))
        ended = run("submit", "sums", "--file", file, "--out", out)
        assert ended.code == 2
        assert "line 6" in ended.err

    def test_ctrl_c_before_the_first_row(self, run, store, file, monkeypatch):
        monkeypatch.setattr(file_run.Meter, "reading", lambda *_: press_ctrl_c())
        ended = run("submit", "sums", "--file", file)
        assert (ended.code, ended.err) == (130, "inferq: interrupted. Nothing was submitted\n")
        assert n_jobs(store) == 0


class TestWrongRows:
    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("7,x", "column 1: expected a number, got 'x' (str)"),
            ("7", "expected 2 cells, got 1"),
            ("7,inf", "column 1: expected a finite number"),
            ("7,", "column 1: expected a number (this model takes no missing values here), got null"),
        ],
    )
    def test_the_line_is_named_and_nothing_was_submitted(self, run, store, file, line, words):
        text = csv_text(range(ROWS)).splitlines()
        text[1776] = line
        file.write_text("\n".join(text))
        ended = run("submit", "sums", "--file", file)
        assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
        assert f"{file}, line 1777: {words}" in ended.err
        assert "row 0" not in ended.err
        assert ended.err.endswith("Nothing was submitted\n")
        assert n_jobs(store) == 0
        # Mended, it goes through.
        file.write_text(csv_text(range(ROWS)))
        assert run("submit", "sums", "--file", file).code == 0
        assert n_jobs(store) == ROWS

    def test_in_lines_of_json_and_in_parquet_too(self, run, store, tmp_path):
        lines, table = tmp_path / "rows.ndjson", tmp_path / "rows.parquet"
        lines.write_text("[1, 2]\n" * 1_500 + "\n[1, null]\n")
        parquet.write_table(pa.table({"a": [1.0] * 1_500, "b": [*[2.0] * 1_400, None, *[2.0] * 99]}), table)
        assert f"{lines}, line 1502: column 1: expected" in run("submit", "sums", "--file", lines).err
        assert f"{table}, row 1400 (counted from 0): column 1: expected" in run("submit", "sums", "--file", table).err
        assert n_jobs(store) == 0

    def test_a_model_that_changed_under_way_names_the_row_and_what_was_submitted(
        self, run, store, file, out, monkeypatch
    ):
        monkeypatch.setattr(file_run, "ROWS_AHEAD", 0)
        monkeypatch.setattr("inferq.catalog.FRESH_SECONDS", 0.0)
        change = functools.partial(add_model, store, "sums", columns=NAMED[:1] * 3)
        with Answering(store, limit=1_000, at_limit=change):
            ended = run("submit", "sums", "--file", file, "--out", out)
        assert ended.code == 2
        assert "line 1001: expected 3 features, got 2" in ended.err
        assert f"1,000 of {ROWS:,} rows were submitted" in ended.err

    def test_a_file_that_is_written_to_meanwhile_is_given_up(self, run, store, file, out, monkeypatch):
        monkeypatch.setattr(file_run, "ROWS_AHEAD", 0)
        with Answering(store, limit=1_000, at_limit=lambda: file.write_text(csv_text(range(ROWS + 1)))):
            ended = run("submit", "sums", "--file", file, "--out", out)
        assert ended.code == 2
        assert "was changed while it was read" in ended.err
        assert n_jobs(store) == 1_000


class TestFormats:
    @pytest.fixture
    def people(self, store):
        return add_model(store, "people", Layout.FRAME, NAMED)

    def test_parquet_goes_by_name_and_null_is_missing(self, run, store, people, tmp_path, out):
        path = tmp_path / "rows.parquet"
        columns = {"right": pa.array([2 * n for n in range(ROWS)], pa.int32()), "left": [float(n) for n in range(ROWS)]}
        columns["left"][5] = None
        parquet.write_table(pa.table(columns), path, row_group_size=999)
        with Answering(store):
            assert run("submit", "people", "--file", path, "--out", out).code == 0
        assert [line["outputs"] for line in lines_of(out)] == [[10.0 if row == 5 else 3.0 * row] for row in range(ROWS)]

    def test_without_pyarrow_one_line_says_what_to_install(self, run, store, tmp_path, monkeypatch):
        path = tmp_path / "rows.parquet"
        parquet.write_table(pa.table({"a": [1.0], "b": [2.0]}), path)
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        ended = run("submit", "sums", "--file", path)
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert "pip install 'inferq[parquet]'" in ended.err

    def test_what_is_no_parquet_is_one_line(self, run, store, tmp_path):
        path = tmp_path / "rows.parquet"
        path.write_text("a,b\n1,2\n")
        ended = run("submit", "sums", "--file", path)
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert str(path) in ended.err


class TestTrouble:
    def test_two_processes_do_not_share_an_out_file(self, run, store, file, out):
        with OutFile(out):
            ended = run("submit", "sums", "--file", file, "--out", out)
        assert ended.code == 2
        assert "another process writes to it" in ended.err
        assert n_jobs(store) == 0

    def test_an_out_file_in_no_folder_is_found_before_anything_is_submitted(self, run, store, file, tmp_path):
        ended = run("submit", "sums", "--file", file, "--out", tmp_path / "missing" / "out.ndjson")
        assert ended.code == 2
        assert "No such file or directory" in ended.err
        assert n_jobs(store) == 0

    def test_a_store_that_goes_away_says_how_to_go_on(self, run, store, file, monkeypatch):
        accept = SqlStore.accept

        def some(self, new_jobs):
            if n_jobs(store) == 2_000:
                raise StoreUnavailable("sqlite: disk I/O error")
            return accept(self, new_jobs)

        monkeypatch.setattr(SqlStore, "accept", some)
        ended = run("submit", "sums", "--file", file)
        assert ended.code == 3
        assert "disk I/O error. 2,000 of 2,500 rows were submitted; run the same command again" in ended.err
        monkeypatch.setattr(SqlStore, "accept", accept)
        assert len(set(run("submit", "sums", "--file", file).out.split())) == n_jobs(store) == ROWS

    @pytest.mark.parametrize("option", [["--out", "results.ndjson"], ["--run", "march"]])
    def test_options_of_files_go_with_a_file(self, run, store, option):
        ended = run("submit", "sums", "--row", "[1, 2]", *option)
        assert ended.code == 2
        assert f"{option[0]} goes with --file" in ended.err


def test_a_row_of_too_many_bytes_is_named_by_its_line(run, store, tmp_path, monkeypatch):
    monkeypatch.setenv("INFERQ_MAX_JOB_BYTES", "20")
    path = tmp_path / "rows.csv"
    path.write_text("1,2\n3,4\n0.123456789,0.123456789\n")
    ended = run("submit", "sums", "--file", path)
    assert (ended.code, ended.out) == (2, "")
    assert "line 3" in ended.err
    assert "INFERQ_MAX_JOB_BYTES" in ended.err
    assert store.counts() == {}
