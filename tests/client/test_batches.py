"""Batches: how lines are cut, and outcomes added up."""

from __future__ import annotations

import pytest

from newswire.client import BatchReceipt
from newswire.client.batches import batches, renumbered, sum_of
from newswire.errors import BadRequest, TooLarge


def test_batches_are_cut_by_lines_and_by_bytes() -> None:
    lines = [b"aa\n", b"bb\n", b"cc\n", b"dddddd\n"]
    assert list(batches(lines, 2, 100)) == [[b"aa\n", b"bb\n"], [b"cc\n", b"dddddd\n"]]
    assert list(batches(lines, 100, 9)) == [[b"aa\n", b"bb\n", b"cc\n"], [b"dddddd\n"]]
    assert list(batches([], 2, 2)) == []
    with pytest.raises(TooLarge, match="line 4"):
        list(batches(lines, 100, 6))


def test_an_empty_line_ends_a_batch_that_holds_something() -> None:
    assert list(batches([b"", b"aa\n", b"", b"", b"bb\n", b"cc\n"], 9, 100)) == [[b"aa\n"], [b"bb\n", b"cc\n"]]
    with pytest.raises(TooLarge, match="line 2"):
        list(batches([b"", b"aa\n", b"", b"bbbbbb\n"], 9, 6))


def test_receipts_and_errors_speak_of_all_bodies() -> None:
    one = BatchReceipt(count=2, copies=2, first="x.1", last="x.2", message="m")
    two = BatchReceipt(count=1, copies=1, first="x.3", last="x.3", message="m", duplicates=1)
    both = sum_of(one, two)
    assert (both.count, both.copies, both.first, both.last) == (3, 1, "x.1", "x.3")
    assert both.message == "Published 3 messages, 1 was published before"
    error = renumbered(BadRequest("line 3: no topic", code="bad-line", line=3), 10)
    assert (error.detail, error.extra["line"]) == ("line 13: no topic", 13)


def test_what_is_delivered_later_is_not_said_to_be_published() -> None:
    one = BatchReceipt(count=2, copies=2, first="x.1", last="x.2", message="m", scheduled=1)
    two = BatchReceipt(count=1, copies=2, first="x.3", last="x.3", message="m", duplicates=1, scheduled=1)
    assert sum_of(one, two).message == "Published 1 message, scheduled 2, 1 was published before"
    three = BatchReceipt(count=0, copies=2, first="x.3", last="x.3", message="m", duplicates=4, waiting=2, withdrawn=1)
    total = sum_of(one, three)
    assert (
        total.message
        == "Published 1 message, scheduled 1, 1 was published before, 2 wait already, 1 not published, withdrawn before or over"
    )
    assert (total.duplicates, total.waiting, total.withdrawn) == (4, 2, 1)
    assert (
        sum_of(BatchReceipt(count=0, copies=0, first="", last="", message="m"), two).message
        == "Scheduled 1 message, 1 was published before"
    )
