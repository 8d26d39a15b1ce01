"""Errors as answers: of waitress's words only those about the request are told, and a code of ours beside them."""

from __future__ import annotations

import json

import pytest
from waitress import utilities

from newswire.core import limits
from newswire.errors import TABLE, NewswireError, NotFound
from newswire.listener.problems import Refusal, answer, as_ours, raw_answer


@pytest.mark.parametrize(
    ("error", "status", "code", "detail"),
    [
        (utilities.BadRequest("Bad header"), 400, "bad-request", "the request cannot be read: Bad header"),
        (utilities.ServerNotImplemented("gzip"), 400, "bad-request", "the request cannot be read: gzip"),
        (utilities.RequestEntityTooLarge("the body is larger"), 413, "too-large", "the body is larger"),
        (utilities.RequestHeaderFieldsTooLarge("exceeds max_header of 262144"), 431, "head-too-large", str(limits.HEAD_BYTES)),
        (utilities.InternalServerError("Traceback: the secret"), 500, "internal", "its log says more"),
    ],
)
def test_each_error_of_waitress_is_one_of_our_table(error: utilities.Error, status: int, code: str, detail: str) -> None:
    ours = as_ours(error)
    assert (ours.status, ours.code) == (status, code)
    assert detail in ours.detail
    assert "secret" not in ours.detail
    assert "max_header" not in ours.detail


def test_a_refusal_of_ours_comes_out_as_it_went_in() -> None:
    error = NotFound("no such thing", id="1003")
    assert as_ours(Refusal(error)) is error
    assert (Refusal(error).code, Refusal(error).body) == (404, "no such thing")


@pytest.mark.parametrize("code", sorted(TABLE))
def test_an_answer_is_a_problem_and_says_when_to_come_again_where_that_helps(code: str) -> None:
    error = NewswireError("do this", code=code, line=3)
    status, headers, body = answer(error)
    assert status.startswith(f"{error.status} ")
    assert json.loads(body) == error.problem()
    assert ("Content-Type", "application/problem+json") in headers
    assert ("Cache-Control", "no-store") in headers
    assert ("Retry-After" in dict(headers)) is (error.status in (429, 503))


def test_as_bytes_it_is_a_whole_answer_and_ends_the_connection() -> None:
    head, _, body = raw_answer(NewswireError("später", code="timeout")).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    assert first == "HTTP/1.1 408 Request Timeout"
    assert "Connection: close" in lines
    assert f"Content-Length: {len(body)}" in lines
    assert json.loads(body)["detail"] == "später"
