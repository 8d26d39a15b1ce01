"""Queries in pieces, run in one go."""

from __future__ import annotations

import pytest

from newswire.core.read.pieces import Pieces, finish


def test_what_needs_no_lock_is_run_and_its_result_handed_back() -> None:
    def query() -> Pieces[list[object]]:
        results: list[object] = [(yield None), (yield lambda: 7), (yield None)]
        return results

    assert finish(query()) == [None, 7, None]


def test_an_error_of_either_part_is_the_query_s() -> None:
    def query() -> Pieces[None]:
        yield lambda: 1 / 0

    with pytest.raises(ZeroDivisionError):
        finish(query())
