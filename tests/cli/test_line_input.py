"""Lines of a pipe as they come."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from newswire.cli import line_input
from newswire.core import limits
from newswire.errors import TooLarge


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    for end in (read, write):
        try:
            os.close(end)
        except OSError:
            pass


def test_what_has_come_waits_for_no_more(pipe: tuple[int, int]) -> None:
    read, write = pipe
    os.write(write, b"one\ntwo\nthr")
    lines = line_input.lines_as_they_come(read)
    assert [next(lines) for _ in range(3)] == [b"one\n", b"two\n", None]
    os.write(write, b"ee\nfour")
    os.close(write)
    assert list(lines) == [b"three\n", b"four"]


def test_the_oldest_line_does_not_wait_for_those_that_come_all_the_time(pipe: tuple[int, int]) -> None:
    read, write = pipe
    times = iter(range(100))  # each look at the clock is a second later
    lines = line_input.lines_as_they_come(read, lambda: next(times))
    os.write(write, b"one\n")
    assert next(lines) == b"one\n"
    os.write(write, b"two\n")
    assert next(lines) is None


def test_ctrl_c_while_nothing_comes_is_the_end(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = pipe
    os.write(write, b"one\nhalf")
    lines = line_input.lines_as_they_come(read)
    assert next(lines) == b"one\n"
    assert next(lines) is None

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(line_input.select, "select", interrupted)
    assert list(lines) == []


def test_a_line_without_an_end_is_bounded(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BATCH_BYTES", 3)
    os.write(pipe[1], b"four")
    with pytest.raises(TooLarge):
        next(line_input.lines_as_they_come(pipe[0]))


def test_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"a\nb")
    with (tmp_path / "f").open("rb") as file:
        assert list(line_input.lines_of(file)) == [b"a\n", b"b"]
    assert list(line_input.lines_of(io.BytesIO(b"a\nb"))) == [b"a\n", b"b"]
