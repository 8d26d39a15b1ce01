"""Compare the lean head parser with the careful one on heads that are usual, odd, hostile and broken.

Each case is some bytes, cut where a network may cut them. One listener's parser reads them with the lean parser, one without.
Both must see the same requests: the same values, the same bodies, the same refusals, in the same order. What the lean one
would take and the careful one would refuse is the difference that smuggles requests; any other is a fault as well.

The cases come from a seed, so that each can be made again: `--seed S --count 1` shows it.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from newswire.core import limits
from newswire.listener.bind import adjustments
from newswire.listener.lean_head import parse
from newswire.listener.request import HttpRequest

METHODS: Final = "GET POST HEAD PUT DELETE OPTIONS PATCH CONNECT TRACE get Post G(T".split() + ["", " GET", "\x00GET", "GE\tT"]
TARGETS: Final = [
    "/", "/publish", "/publish/", "/ack", "/stream?username=ann", "/publish?topic=a&data=b%20c", "/a?b?c", "/a?", "/?",
    "?a", "//", "//publish", "///publish?x", "/a//b", "/../publish", "/%70ublish", "/a%00", "/a%0d%0aX:1", "/a?%00", "/a#b",
    "/a?b#c", "/a:b", "http://a/publish", "http://a", "http://u@a:1/x?y", "HTTP://A/", "https://[::1]/", "http://[::1",
    "a:80", "*", "", "publish", "/é", "/\xa0", "/\x7f", "/\x00", "/\t", "/a b", "/a\\b", "/<>\"{}|^`", "/a;b", "/replicate",
    "/heartbeat/receive", "/livez", "http://a//x", "mailto:a", "/" + "a" * 5000, "/?" + "b" * 9000,
]  # fmt: skip
VERSIONS: Final = ["HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.2", "http/1.1", "HTTP/1.1 ", "HTTP/01.1", ""]
HOSTS: Final = [
    "a", "127.0.0.1:5053", "[::1]:5053", "a:", "", " a", "a b", "a/b", "u@a", "a:99999999", "a,b", "a\t", "é", "a\x00",
]  # fmt: skip
FIELDS: Final = [
    "Content-Length: 3", "Content-Length: 0", "content-length: 3", "CONTENT-LENGTH: 3", "Content-Length: 03",
    "Content-Length:3", "Content-Length: +3", "Content-Length: -3", "Content-Length: 3, 3", "Content-Length: 3,4",
    "Content-Length: 0x3", "Content-Length: 3 ", "Content-Length: \t3", "Content-Length: ", "Content-Length: 3_0",
    "Content-Length: ³", "Content-Length : 3", "Content-Length", "Content_Length: 3",
    "Content-Length: 99999999999999999999", "Content-Length: 3\x00", "Content-Length: 70000",
    "Content-Length: 000000000000000003", "Content-Length: 0000000000000000003", "Content-Length\t: 3",
    "Transfer-Encoding: chunked", "transfer-encoding: CHUNKED", "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: identity", "Transfer-Encoding:\tchunked", "Transfer-Encoding : chunked",
    "Transfer-Encoding: xchunked", "Transfer_Encoding: chunked", "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding:", "Transfer-Encoding: chunked\x0b", "Transfer\xadEncoding: chunked", "Expect: 100-continue",
    "expect: 100-Continue", "Expect: x", "Connection: close", "Connection: Close", "Connection: keep-alive",
    "Connection: close, x", "connection: upgrade", "Upgrade: websocket", "Content-Type: application/json", "Content-Type:",
    "Content-Type: application/x-ndjson", "User-Agent: curl/8", "Accept: */*", "Accept-Encoding: gzip, deflate", "X: 1",
    "X:", ": 1", "X:1:2", "X-Y: a", "X_Y: b", "x-y: c", "X.Y: d", "X Y: e", "X\x00: f", "Xé: g", "X: é", "X: \x7f",
    "X: a\tb", "X: \x1f", "X", " folded", "\tfolded", "X: a\r b", "X: a\n b", "X: a\rY: b", "X: a\nHost: b", "Host: second",
    "HOST: second", "host:third", "Host", "Host : a", "Idempotency-Key: k", "Last-Event-ID: 1", "Cookie: a=b",
    "Origin: http://a", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Host: b", "Proxy: x", "TE: trailers", "Trailer: X",
    "X: " + "v" * 3000, "N" * 300 + ": v", "\x00", "GET / HTTP/1.1",
]  # fmt: skip
USUAL_FIELDS: Final = [
    "User-Agent: curl/8", "Accept: */*", "Connection: keep-alive", "Content-Type: application/json", "Cookie: a=b", "X-Own: 1",
    "Idempotency-Key: k", "accept-encoding: gzip, deflate",
]  # fmt: skip
BODIES: Final = [
    "",
    "abc",
    "abcdef",
    "3\r\nabc\r\n0\r\n\r\n",
    "0\r\n\r\n",
    "abcGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\n",
    "\x00",
]
ENDS: Final = ["\r\n\r\n", "\n\n", "\r\n", "\r\r", "\n\r\n", "\r\n\n", "\r\n\r\n\r\n", "\r\n \r\n\r\n", ""]
STARTS: Final = ["", "\r\n", "\n", " ", "\r\n\r\n", "\x00", "\x16\x03"]
MUTATIONS: Final = [
    b"\r\n", b"\n", b"\r", b" ", b"\t", b"\x00", b":", b"_", b"-", b"%", b"#", b"?", b"/", b"\x7f", b"\xff", b"1", b",",
]  # fmt: skip

USUAL: Final = {  # what clients send before a body of three bytes, or none
    "curl": (
        b"POST /publish HTTP/1.1\r\nHost: 127.0.0.1:5053\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n"
        b"Content-Length: 3\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n"
    ),
    "library": (
        b"POST /publish HTTP/1.1\r\nHost: localhost:5053\r\nUser-Agent: python-requests/2.32.0\r\nAccept: */*\r\n"
        b"Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nContent-Type: application/json\r\n"
        b"Content-Length: 3\r\n\r\n"
    ),
    "browser": (
        b"GET /messages?username=ann&since=1001-a.7%3Ab HTTP/1.1\r\nHost: news.example.org\r\n"
        b'Connection: keep-alive\r\nsec-ch-ua: "Chromium";v="131", "Not_A Brand";v="24"\r\nsec-ch-ua-mobile: ?0\r\n'
        b"User-Agent: Mozilla/5.0 (X11; Linux)\r\nAccept: text/event-stream\r\nSec-Fetch-Site: same-origin\r\n"
        b"Referer: http://news.example.org/\r\nAccept-Language: en-US,en;q=0.9\r\nCookie: a=b; c=d\r\n\r\n"
    ),
    "probe": (b"GET /livez HTTP/1.1\r\nhost: [::1]:5053\r\nconnection: close\r\n\r\n"),
    "peer": (
        b"POST /replicate HTTP/1.1\r\nHost: 10.0.0.2:5053\r\nNewswire-Signature: 1:ab\r\nX-Newswire-Sender: 1001\r\n"
        b"Content-Type: application/octet-stream\r\nContent-Length: 3\r\n\r\n"
    ),
}

# what no two readings may differ in, beside the body and what became of the request
COMPARED: Final = (
    "command path request_uri query fragment proxy_scheme proxy_netloc url_scheme version headers content_length chunked"
    " connection_close expect_continue headers_finished completed empty body_limit_bytes kind caller"
).split()
REQUESTS_MOST: Final = 4

Outcome = dict[str, Any]


class CarefulRequest(HttpRequest):
    """Leaves every head to the careful path."""

    parse_lean = staticmethod(lambda head: None)


def make_case(source: random.Random) -> bytes:
    """One head, or two, with or without bodies."""
    text = "".join(_make_request(source) for _ in range(source.choice([1, 1, 1, 2])))
    data = text.encode("latin-1", "replace")
    for _ in range(source.choice([0, 0, 0, 1, 2])):
        at, piece = source.randrange(len(data) + 1), source.choice(MUTATIONS)
        data = data[:at] + piece + data[at + source.choice([0, 0, 1, 2]) :]
    return data


def _make_request(source: random.Random) -> str:
    odd = source.choice([0.0, 0.05, 0.3])  # how often each part is not a usual one: where all are, no difference shows

    def pick(usual: int, parts: Sequence[str]) -> str:
        return source.choice(parts if source.random() < odd else parts[:usual])

    line = f"{pick(3, METHODS)} {pick(8, TARGETS)} {pick(1, VERSIONS)}"
    fields = [pick(3, FIELDS), *source.sample(USUAL_FIELDS, source.choice([0, 1, 2, 4]))]
    fields += source.sample(FIELDS, source.choice([0, 0, 0, 1, 1, 2, 5]))
    if source.random() < 0.95:
        fields.append(f"Host: {pick(3, HOSTS)}")
    if source.random() < 0.01:
        fields += [f"X-{number}: 1" for number in range(limits.HEADERS_COUNT)]
    source.shuffle(fields)
    return pick(1, STARTS) + "\r\n".join([line, *fields]) + pick(1, ENDS) + source.choice(BODIES)


def make_cuts(source: random.Random, size: int) -> list[int]:
    """Where a network cuts so many bytes."""
    return sorted(source.randrange(size + 1) for _ in range(source.choice([0, 0, 0, 1, 2, 5])))


def read(kind: type[HttpRequest], data: bytes, cuts: Sequence[int]) -> list[Outcome]:
    """The requests that `kind` makes of `data`, as a connection does: one after the other, none after a refusal."""
    outcomes: list[Outcome] = []
    request, left = kind(adjustments()), b""
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    for piece in pieces:
        left += piece
        while left and len(outcomes) < REQUESTS_MOST:
            taken = request.received(left)
            left = left[taken:]
            if not request.completed:
                if not taken:
                    raise AssertionError(f"nothing is taken of {left!r}")
                continue
            outcomes.append(_outcome(request))
            if request.error is not None:
                return outcomes
            request = kind(adjustments())
    return [*outcomes, _outcome(request) | {"left": left}]


def _outcome(request: HttpRequest) -> Outcome:
    if request.error is not None:
        return {"refused": (type(request.error).__name__, request.error.code, request.error.body)}
    body = request.body_rcv
    content = None if body is None else bytes(body.getfile().read())
    return {name: getattr(request, name, None) for name in COMPARED} | {"body": content}


def difference(data: bytes, cuts: Sequence[int], kind: type[HttpRequest] = HttpRequest) -> str:
    """What `kind` and the careful path make of `data` differently; "" where nothing."""
    lean, careful = read(kind, data, cuts), read(CarefulRequest, data, cuts)
    if lean == careful:
        return ""
    for one, other in zip(lean, careful, strict=False):
        if one != other:
            names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
            return "; ".join(f"{name}: lean {one.get(name)!r}, careful {other.get(name)!r}" for name in names)
    return f"{len(lean)} requests, or {len(careful)}"


def is_lean(data: bytes) -> bool:
    """Say whether the first head is one that the lean parser reads."""
    return parse(data[: data.find(b"\r\n\r\n") + 4]) is not None


def run(seeds: Iterable[int], until: float = float("inf"), kind: type[HttpRequest] = HttpRequest) -> tuple[int, int, list[str]]:
    """Cases tried, how many of them the lean parser read, and what differs; until `time.monotonic()` is `until`."""
    count = lean = 0
    faults: list[str] = []
    for seed in seeds:
        source = random.Random(seed)
        data = make_case(source)
        cuts = make_cuts(source, len(data))
        count, lean = count + 1, lean + is_lean(data)
        if what := difference(data, cuts, kind):
            faults.append(f"seed {seed}: {what}\n  {data!r}\n  cut at {cuts}")
        if time.monotonic() > until or len(faults) > 9:
            break
    return count, lean, faults


def main() -> int:
    """Read the command line and compare; 1 if anything differs."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz_heads", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seed", type=int, default=0, help="the first case")
    parser.add_argument("--count", type=int, default=1 << 62, help="how many cases at most")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long at most")
    options = parser.parse_args()
    seeds = range(options.seed, options.seed + options.count)
    count, lean, faults = run(seeds, time.monotonic() + options.seconds)
    for fault in faults:
        print(fault)
    print(f"{count:,} cases from seed {options.seed}, {lean:,} read by the lean parser, {len(faults)} differ")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
