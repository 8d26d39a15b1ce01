"""Heads of answers: what is written without waitress is what waitress would write."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waitress.task import WSGITask

from newswire.listener.answer_head import build
from newswire.listener.bind import adjustments
from newswire.listener.request import HttpRequest
from newswire.listener.tasks import AppTask

AT = 1_795_514_400.75  # Tue, 24 Nov 2026
HEADERS = [("Content-Type", "application/json"), ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]
KEEPS, CLOSES, OLD = ("GET / HTTP/1.1", ""), ("GET / HTTP/1.1", "Connection: close\r\n"), ("GET / HTTP/1.0", "")


def task(sent: tuple[str, str], status: str, headers: list[tuple[str, str]], length: int | None) -> AppTask:
    request = HttpRequest(adjustments())
    line, fields = sent
    request.received(f"{line}\r\nHost: a\r\n{fields}\r\n".encode())
    made = AppTask(Mock(), request)
    made.channel.server.adj = adjustments()
    made.start_time, made.status, made.response_headers, made.content_length = AT, status, list(headers), length
    return made


def test_a_usual_answer() -> None:
    assert build("200 OK", [*HEADERS, ("Content-Length", "3")], 3, AT) == (
        b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 3\r\nContent-Type: application/json\r\n"
        b"Date: Tue, 24 Nov 2026 10:00:00 GMT\r\nX-Content-Type-Options: nosniff\r\n\r\n"
    )


def test_a_stream() -> None:
    assert build("200 OK", HEADERS, None, AT) == (
        b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nConnection: close\r\nContent-Type: application/json\r\n"
        b"Date: Tue, 24 Nov 2026 10:00:00 GMT\r\nTransfer-Encoding: chunked\r\nX-Content-Type-Options: nosniff\r\n\r\n"
    )


@pytest.mark.parametrize(
    "more",
    [
        ("Connection", "close"),
        ("Server", "newswire"),
        ("Date", "today"),
        ("Content-Length", "4"),
        ("Content-Length", "03"),
        ("content-length", "3"),
        ("Set-Cookie", "a=b"),
    ],
)
def test_what_is_unusual_is_left_to_waitress(more: tuple[str, str]) -> None:
    assert build("200 OK", [*HEADERS, more], 3, AT) is None
    assert build("200 OK", [*HEADERS, ("Content-Length", "3"), ("Content-Length", "3")], 3, AT) is None


_NAMES = st.sampled_from(
    "Vary vary x-a X-B content-length Content-Length Content-Type Retry-After connection date server allow é".split()
)
_VALUES = st.sampled_from(["3", "a", "", "close", "é", "a, b", "100 %d"])


@given(
    st.sampled_from([KEEPS, KEEPS, CLOSES, OLD]),
    st.sampled_from(["200 OK", "404 NOT FOUND", "204 NO CONTENT", "304 NOT MODIFIED", "429 x"]),
    st.lists(st.tuples(_NAMES, _VALUES), max_size=6),
    st.sampled_from([3, 3, 0, None]),
)
def test_both_write_the_same(sent: tuple[str, str], status: str, headers: list[tuple[str, str]], length: int | None) -> None:
    ours, theirs = task(sent, status, headers, length), task(sent, status, headers, length)
    assert ours.build_response_header() == WSGITask.build_response_header(theirs)
    assert (ours.close_on_finish, ours.chunked_response) == (theirs.close_on_finish, theirs.chunked_response)
