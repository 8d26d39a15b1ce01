"""Heads of requests: what is refused, what a path may send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waitress.parser import first_line_re
from waitress.rfc7230 import HEADER_FIELD_RE

from newswire.core import limits
from newswire.listener.http_head import body_limit_bytes, head_problem, route, too_many_headers

GOOD = [
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nhOST:news.example.org:5053\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1:5053\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: [::1]:5053\r\n\r\n",
    b"POST /publish HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    b"POST /publish HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n",
]

BAD = {
    b"GET /\r\nHost: a\r\n\r\n": "HTTP/1.0 and HTTP/1.1",
    b"GET / HTTP/2.0\r\nHost: a\r\n\r\n": "HTTP/1.0 and HTTP/1.1",
    b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n": "control character",
    b"GET / HTTP/1.1\r\n\r\n": "Host is missing",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n": "Host is given twice",
    b"GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n": "Host is given twice",
    b"GET / HTTP/1.1\r\nHost:\r\n\r\n": "not a host",
    b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n": "not a host",
    b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n": "not a host",
    b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n": "not a host",
    b"GET / HTTP/1.1\r\nHost: a:http\r\n\r\n": "not a host",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n": "folded",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\t2\r\n\r\n": "folded",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n": "send one of them",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n": "once, as a number",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n": "once, as a number",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n": "once, as a number",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n": "once, as a number",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + 5000 * b"9" + b"\r\n\r\n": "once, as a number",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n": "one chunked",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n": "one chunked",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n": "one chunked",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n": "one chunked",
    b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n": "on HTTP/1.1",
    b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n": "one space between",
    b"GET  HTTP/1.1\r\nHost: a\r\n\r\n": "one space between",
    b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n": "one space between",
    b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n": "HTTP/1.0 and HTTP/1.1",
    b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n": "a name, a colon",
    b"GET / HTTP/1.1\r\nHost: a\r\nX y: 1\r\n\r\n": "a name, a colon",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n": "without control characters",
}


@pytest.mark.parametrize("head", GOOD)
def test_a_plain_head_is_taken(head: bytes) -> None:
    assert head_problem(head) is None


@pytest.mark.parametrize(("head", "why"), BAD.items(), ids=range(len(BAD)))
def test_a_head_that_may_be_read_in_two_ways_is_refused(head: bytes, why: str) -> None:
    assert why in (head_problem(head) or "")


def test_the_path_decides_how_large_a_body_may_be() -> None:
    assert body_limit_bytes("/publish") == limits.BATCH_BYTES
    assert body_limit_bytes("/ack") == limits.CHANGE_BYTES > 3 * limits.EVENT_ID_CHARS + 3 * limits.TOPIC_CHARS + 300
    assert body_limit_bytes("/replicate") == body_limit_bytes("/heartbeat/receive") == limits.PEER_BODY_BYTES
    assert body_limit_bytes("/subscribe") == body_limit_bytes("/login") == limits.CHANGE_BYTES
    assert body_limit_bytes("/users/ann/password") == body_limit_bytes("/tokens") == limits.CHANGE_BYTES
    assert body_limit_bytes("/livez") == limits.FORM_BYTES
    assert limits.PEER_BODY_BYTES > limits.BATCH_BYTES > limits.FORM_BYTES


def test_leading_slashes_are_merged() -> None:
    assert route("//replicate") == route("/replicate") == "/replicate"
    assert route("") == "/"


LONG = limits.HEAD_BYTES - 100
SLOW_FOR_A_PATTERN = [
    b"GET a://" + b"1" * LONG + b" x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET a://" + b"b" * LONG + b" x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET " + b"a" * LONG + b"\t HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX:" + b" " * LONG + b"\x00\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a " * (LONG // 2) + b"\x7f\r\n\r\n",
]


@pytest.mark.parametrize("head", SLOW_FOR_A_PATTERN, ids=range(len(SLOW_FOR_A_PATTERN)))
def test_what_a_pattern_would_try_in_every_way_is_refused_before_it(head: bytes) -> None:
    assert head_problem(head)


_TARGETS = st.lists(st.sampled_from(["a", "1", "://", ":", "/", "?", "#", "%", "[", "@"]), min_size=1, max_size=30)
_VALUES = st.text(alphabet='a \t:\x00\x7f\x1f\xff"\\', max_size=30)


@given(_TARGETS, _VALUES)
def test_what_passes_is_what_the_patterns_match(target: list[str], value: str) -> None:
    """So that they never try a second way."""
    first, header = f"GET {''.join(target)} HTTP/1.1".encode("latin-1"), f"X:{value}".encode("latin-1")
    if head_problem(first + b"\r\nHost: a\r\n" + header + b"\r\n\r\n") is None:
        assert first_line_re.fullmatch(first)
        assert HEADER_FIELD_RE.match(header)


def test_more_headers_than_anybody_sends_are_too_many() -> None:
    def head(count: int) -> bytes:
        return b"GET / HTTP/1.1\r\n" + b"a:\r\n" * count + b"\r\n"

    assert not too_many_headers(head(limits.HEADERS_COUNT))
    assert too_many_headers(head(limits.HEADERS_COUNT + 1))
