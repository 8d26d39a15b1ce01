"""The lean head parser: what it reads, what it leaves to the careful path, and that both read the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from unittest.mock import Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz_heads import (
    BODIES,
    ENDS,
    FIELDS,
    HOSTS,
    METHODS,
    MUTATIONS,
    STARTS,
    TARGETS,
    USUAL,
    VERSIONS,
    CarefulRequest,
    difference,
    run,
)
from newswire.core import limits
from newswire.listener.bind import adjustments
from newswire.listener.connection import Channel
from newswire.listener.lean_head import LeanHead, parse
from newswire.listener.proxies import Proxies
from newswire.listener.request import HttpRequest
from newswire.listener.tasks import AppTask

CURL, PROBE = USUAL["curl"], USUAL["probe"]
POST = b"POST /publish HTTP/1.1\r\nHost: a\r\n"
UNUSUAL = {
    "two lengths": POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\n",
    "two lengths that differ": POST + b"Content-Length: 3\r\ncontent-length: 4\r\n\r\n",
    "a list of lengths": POST + b"Content-Length: 3, 3\r\n\r\n",
    "a length and an encoding": POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    "an encoding and a length": POST + b"transfer-encoding: chunked\r\nContent-Length: 3\r\n\r\n",
    "an encoding": POST + b"Transfer-Encoding: chunked\r\n\r\n",
    "an encoding with a tab": POST + b"Transfer-Encoding:\tchunked\r\n\r\n",
    "a signed length": POST + b"Content-Length: +3\r\n\r\n",
    "a length with an underscore": POST + b"Content-Length: 3_0\r\n\r\n",
    "no length": POST + b"Content-Length:\r\n\r\n",
    "a length in other digits": POST + b"Content-Length: \xb3\r\n\r\n",
    "a length of too many digits": POST + b"Content-Length: " + b"9" * 19 + b"\r\n\r\n",
    "a space before the colon": POST + b"Content-Length : 3\r\n\r\n",
    "a tab before the colon": POST + b"Content-Length\t: 3\r\n\r\n",
    "a name with an underscore": POST + b"Content_Length: 3\r\n\r\n",
    "a bare LF": POST + b"X: 1\nContent-Length: 3\r\n\r\n",
    "a bare CR": POST + b"X: 1\rContent-Length: 3\r\n\r\n",
    "CR and LF changed round": POST + b"X: 1\n\rY: 2\r\n\r\n",
    "a folded line": POST + b"X: 1\r\n 2\r\n\r\n",
    "a line folded with a tab": POST + b"X: 1\r\n\t2\r\n\r\n",
    "a NUL": POST + b"X: \x00\r\n\r\n",
    "a DEL": POST + b"X: \x7f\r\n\r\n",
    "a tab": POST + b"X: a\tb\r\n\r\n",
    "a byte that is not ASCII": POST + b"X: \xe9\r\n\r\n",
    "a name that is not ASCII": POST + b"X\xe9: 1\r\n\r\n",
    "no name": POST + b": 1\r\n\r\n",
    "no colon": POST + b"Cookie\r\n\r\n",
    "two hosts": POST + b"host: b\r\n\r\n",
    "a field twice": POST + b"X-Forwarded-For: 1.2.3.4\r\nx-forwarded-for: 5.6.7.8\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\nX: 1\r\n\r\n",
    "a host with a user": b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
    "a word from the client first": POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n",
    "a whole URL": b"GET http://a/publish HTTP/1.1\r\nHost: a\r\n\r\n",
    "an authority": b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    "an asterisk": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "two slashes": b"GET //publish HTTP/1.1\r\nHost: a\r\n\r\n",
    "an escape in the path": b"GET /%70ublish HTTP/1.1\r\nHost: a\r\n\r\n",
    "a fragment": b"GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "two spaces": b"GET  /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "a method in small letters": b"get /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "a method that is rare": b"PATCH /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "another version": b"GET /a HTTP/1.0\r\nHost: a\r\n\r\n",
    "an empty line first": b"\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "an end too early": b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nX: 1\r\n\r\n",
    "no end": b"GET /a HTTP/1.1\r\nHost: a\r\n",
    "nothing": b"",
    "too many fields": POST + b"".join(b"X-%d: 1\r\n" % number for number in range(limits.HEADERS_COUNT)) + b"\r\n",
    "too long a head": POST + b"X: " + b"1" * limits.HEAD_BYTES + b"\r\n\r\n",
    "too long a target": b"GET /" + b"a" * limits.HEAD_BYTES + b" HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("head", USUAL.values(), ids=USUAL)
def test_what_usual_clients_send_is_read(head: bytes) -> None:
    lean = parse(head)
    assert lean is not None
    assert lean.closes == (head == PROBE)
    assert lean.content_length == (3 if b"Content-Length" in head else 0)


def test_the_names_and_values_are_those_of_waitress() -> None:
    assert parse(b"GET /stream?a=%20b? HTTP/1.1\r\nHost: a:1\r\nlast-event-id:  x \r\nX.Y: \r\n\r\n") == LeanHead(
        method="GET",
        target="/stream?a=%20b?",
        path="/stream",
        query="a=%20b?",
        headers={"HOST": "a:1", "LAST_EVENT_ID": "x", "X.Y": ""},
        content_length=0,
        closes=False,
    )


@pytest.mark.parametrize("head", UNUSUAL.values(), ids=UNUSUAL)
def test_what_is_unusual_is_left_to_the_careful_path(head: bytes) -> None:
    assert parse(head) is None
    assert difference(head + b"abc", []) == ""


@pytest.mark.parametrize("head", USUAL.values(), ids=USUAL)
def test_the_application_sees_the_same(head: bytes) -> None:
    lean, careful = HttpRequest(adjustments()), CarefulRequest(adjustments())
    for request in (lean, careful):
        left = head + b"abc"
        while not request.completed:
            left = left[request.received(left) :]
    channel = Mock(addr=("127.0.0.1", 40_000))
    channel.server.adj, channel.server.proxies, channel.server.environ = adjustments(), Proxies(), {}
    seen = [_environ(channel, request) for request in (lean, careful)]
    assert seen[0] == seen[1]
    assert seen[0]["wsgi.input"] == (b"abc" if b"Content-Length" in head else b"")


def _environ(channel: Channel, request: HttpRequest) -> dict[str, object]:
    environ = AppTask(channel, request).get_environment()
    return {**environ, "wsgi.input": environ["wsgi.input"].read()}


def test_head_and_body_are_taken_at_once_and_nothing_of_the_next_request() -> None:
    request = HttpRequest(adjustments())
    assert request.received(CURL + b"abc" + PROBE) == len(CURL) + 3
    assert request.completed
    assert request.get_body_stream().read() == b"abc"


def test_a_body_that_is_too_large_is_refused_before_any_of_it_is_kept() -> None:
    request = HttpRequest(adjustments())
    head = CURL.replace(b"/publish", b"/ack").replace(b"Length: 3", b"Length: 99999")
    assert request.received(head + b"abc") == len(head)
    assert request.error is not None
    assert request.error.code == 413


@pytest.mark.parametrize("size", [limits.HEAD_BYTES - 1, limits.HEAD_BYTES, limits.HEAD_BYTES + 1])
def test_both_have_one_limit(size: int) -> None:
    head = POST + b"X: " + b"1" * (size - len(POST) - 7) + b"\r\n\r\n"
    assert len(head) == size
    assert (parse(head) is None) == (size > limits.HEAD_BYTES)
    assert difference(head, []) == ""


_HEADS = st.tuples(
    st.sampled_from(STARTS), st.sampled_from(METHODS), st.sampled_from(TARGETS), st.sampled_from(VERSIONS),
    st.lists(st.sampled_from([*FIELDS, *(f"Host: {host}" for host in HOSTS)]), max_size=5),
    st.sampled_from(ENDS), st.sampled_from(BODIES),
)  # fmt: skip
_CHANGES = st.lists(st.tuples(st.integers(0, 400), st.sampled_from(MUTATIONS), st.integers(0, 2)), max_size=2)


@settings(max_examples=500)
@given(_HEADS, _CHANGES, st.lists(st.integers(0, 400), max_size=3))
def test_both_read_the_same(
    parts: tuple[str, str, str, str, list[str], str, str], changes: list[tuple[int, bytes, int]], cuts: list[int]
) -> None:
    start, method, target, version, fields, end, body = parts
    data = (start + "\r\n".join([f"{method} {target} {version}", *fields]) + end + body).encode("latin-1")
    for at, piece, dropped in changes:
        data = data[:at] + piece + data[at + dropped :]
    assert difference(data, sorted(min(cut, len(data)) for cut in cuts)) == ""


def test_both_read_the_same_of_what_is_nearly_usual() -> None:
    count, lean, faults = run(range(4_000))
    assert faults == []
    assert lean > count // 20, "too few of the cases are usual enough to compare"


WRONG: dict[str, Callable[[bytes], bytes]] = {
    "a bare LF ends a line": lambda head: re.sub(rb"(?<!\r)\n", b"\r\n", head),
    "a bare CR is white space": lambda head: re.sub(rb"\r(?!\n)", b" ", head),
    "folded lines are joined": lambda head: re.sub(rb"\r\n[ \t]+", b" ", head),
    "white space before a colon is dropped": lambda head: re.sub(rb"[ \t]+:", b":", head),
    "Transfer-Encoding is not looked at": lambda head: re.sub(rb"(?i)\r\nTransfer-Encoding:[^\r]*", b"", head),
    "the first of two lengths counts": lambda head: re.sub(rb"(?is)(content-length:.*)\r\ncontent-length:[^\r]*", rb"\1", head),
    "an underscore is a dash": lambda head: head.replace(b"_", b"-"),
    "NUL is dropped": lambda head: head.replace(b"\x00", b""),
    "what is not ASCII is dropped": lambda head: re.sub(rb"[\x80-\xff]", b"", head),
    "the path is not decoded": lambda head: head.replace(b"%", b""),
    "a whole URL is its path": lambda head: re.sub(rb" http://[^/ ]*/", b" /", head),
    "two slashes are one": lambda head: head.replace(b" //", b" /"),
    "a fragment is dropped": lambda head: re.sub(rb"#[^ ]* ", b" ", head),
    "HTTP/1.0 is HTTP/1.1": lambda head: head.replace(b"HTTP/1.0", b"HTTP/1.1"),
    "Expect is not looked at": lambda head: re.sub(rb"(?i)\r\nExpect:[^\r]*", b"", head),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_a_parser_that_reads_too_much_is_found(change: Callable[[bytes], bytes]) -> None:
    """Each is a way in which servers have read one request as another."""

    class Wrong(HttpRequest):
        parse_lean = staticmethod(lambda head: parse(change(head)))

    assert any(run(range(at, at + 50), kind=Wrong)[2] for at in range(0, 4_000, 50))
