"""What the main process tells its pool processes."""

import os

from inferq_workers.board import SIZE, Board, Change, Notice

NOTICE = Notice("host:1", 1, 2, False, {("predictions", 0): 12.5}, {"predictions": 3})


def test_a_forked_process_reads_what_is_written_after_the_fork():
    board = Board()
    reader, writer = os.pipe()
    done_reader, done_writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(reader, 1)
        os.write(done_writer, b"y" if board.read() == NOTICE else b"n")
        os._exit(0)
    board.write(NOTICE)
    os.write(writer, b"x")
    assert os.read(done_reader, 1) == b"y"
    os.waitpid(child, 0)


def test_a_half_written_notice_is_not_taken_for_true():
    board = Board()
    board.write(NOTICE)
    board._page[20:24] = b"????"
    assert board.read() is None


def test_marks_that_do_not_fit_are_left_out_oldest_first():
    board = Board()
    marks = {(f"queue-{index:05d}" * 4, 0): float(index) for index in range(SIZE // 20)}
    board.write(Notice("w", 1, 1, False, marks, {}))
    read = board.read()
    assert 0 < len(read.marks) < len(marks)
    assert max(read.marks.values()) == max(marks.values())


def test_names_that_do_not_fit_are_left_out_and_writing_ends():
    board = Board()
    board.write(Notice("w", 1, 1, False, {("q" * SIZE, 0): 1.0}, {"q" * SIZE: 1}))
    read = board.read()
    assert (read.worker, read.marks, read.buffered) == ("w", {}, {})


def test_only_a_process_that_is_computing_shows_as_computing():
    board = Board()
    assert not board.is_computing(os.getpid())
    with board.computing():
        assert board.is_computing(os.getpid())
        assert not board.is_computing(os.getpid() + 1)
    assert not board.is_computing(os.getpid())


def test_changes_that_do_not_fit_go_before_marks():
    board = Board()
    marks = {(f"queue-{number}", 0): float(number) for number in range(100)}
    changes = tuple(Change(str(number), 1, 2, "backlog", {"text": "x" * (SIZE // 4)}, 1.5) for number in range(16))
    board.write(Notice("host:1", 1, 2, False, marks, {}, changes))
    read = board.read()
    assert read.marks == marks
    assert [change.id for change in read.changes] == ["14", "15"]
    assert read.changes == changes[-2:]
