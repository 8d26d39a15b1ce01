"""Answers: long lists are sent in parts, errors as problems."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from werkzeug.exceptions import MethodNotAllowed

from newswire.errors import NewswireError, Unavailable
from newswire.web.responses import Rows, answer, as_ours, problem, shown


def test_a_long_list_is_the_json_of_all_its_rows_however_it_was_cut() -> None:
    for cuts in ((0,), (0, 0), (0, 1, 1, 5), (0, 5)):
        rows = Rows()
        for start, stop in pairwise(cuts):
            rows.add(list(range(start, stop)))
        response = rows.answer()
        assert json.loads(response.get_data()) == list(range(cuts[-1]))
        assert response.content_length == len(response.get_data())


def test_a_long_list_stands_in_an_object_with_what_is_beside_it() -> None:
    rows = Rows()
    assert json.loads(rows.answer("messages").get_data()) == {"messages": []}
    rows.add([{"a": 1}])
    assert json.loads(rows.answer("messages", {"more": True}).get_data()) == {"messages": [{"a": 1}], "more": True}


def test_each_answer_ends_its_line_so_that_two_of_them_in_a_terminal_do_not_run_together() -> None:
    rows = Rows()
    rows.add([1])
    answers = [answer({}), problem(Unavailable("")), rows.answer(), rows.answer("a"), rows.answer("a", {"b": 1})]
    assert [response.get_data()[-2:] for response in answers] == [b"}\n", b"}\n", b"]\n", b"}\n", b"}\n"]


def test_a_long_list_is_never_made_one() -> None:
    rows = Rows()
    for _ in range(100):
        rows.add(["x" * 100] * 100)
    parts: Any = rows.answer().response
    assert max(map(len, parts)) < 2 * 100 * 104


def test_a_problem_says_when_to_try_again_where_that_is_right() -> None:
    assert problem(Unavailable("not now")).headers["Retry-After"] == "1"
    assert "Retry-After" not in problem(NewswireError("a fault")).headers


def test_a_wrong_method_is_told_which_is_right() -> None:
    error = as_ours(MethodNotAllowed(["POST"]))
    assert (error.code, "takes POST" in error.detail) == ("wrong-method", True)


def test_what_a_stranger_sent_is_shown_cut_and_on_one_line() -> None:
    assert shown("a\x1bb") == r"a\x1bb"
    assert len(shown("x" * 1_000)) < 50
