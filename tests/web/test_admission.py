"""What is refused by its head, before its body is taken."""

from __future__ import annotations

import pytest

from newswire.core import limits
from tests.kit.web_fakes import Web

LARGE = str(limits.LARGE_BODY_BYTES + 1)
HEAD = {
    "REQUEST_METHOD": "POST",
    "PATH_INFO": "/publish",
    "QUERY_STRING": "",
    "HTTP_HOST": "127.0.0.1:5053",
    "CONTENT_TYPE": "application/x-ndjson",
    "CONTENT_LENGTH": str(limits.BATCH_BYTES),
}

REFUSED = [
    ("not-found", {"PATH_INFO": "/nothing/here"}),
    ("wrong-method", {"REQUEST_METHOD": "PUT"}),
    ("wrong-method", {"PATH_INFO": "/stream"}),
    ("wrong-type", {"CONTENT_TYPE": "image/png"}),
    ("wrong-type", {"CONTENT_TYPE": "multipart/form-data; boundary=x"}),
    ("wrong-type", {"CONTENT_TYPE": ""}),
    ("wrong-type", {"CONTENT_TYPE": "application/x-ndjson; charset=latin-1"}),
    ("wrong-type", {"HTTP_CONTENT_ENCODING": "br"}),
    ("wrong-type", {"HTTP_CONTENT_ENCODING": "gzip", "PATH_INFO": "/subscribe"}),
    ("too-large", {"CONTENT_TYPE": "application/json"}),
    ("too-large", {"CONTENT_TYPE": "application/x-www-form-urlencoded"}),
    ("misdirected", {"HTTP_HOST": "evil.example"}),
    ("cross-site", {"HTTP_ORIGIN": "http://evil.example"}),
    ("unauthenticated", {"PATH_INFO": "/replicate", "HTTP_NEWSWIRE_SIGNATURE": "forged"}),
    ("unauthenticated", {"PATH_INFO": "/heartbeat/receive", "HTTP_NEWSWIRE_SIGNATURE": "forged"}),
    ("misdirected", {"PATH_INFO": "/replicate", "HTTP_HOST": "evil.example"}),
]
TAKEN = [
    {},
    {"CONTENT_TYPE": "application/x-ndjson; charset=utf-8"},
    {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": LARGE},
    {"CONTENT_TYPE": "text/plain", "CONTENT_LENGTH": "5"},  # refused where it is served, with a hint that its body gives
    {"CONTENT_LENGTH": "", "CONTENT_TYPE": "application/json"},  # chunked
    {"HTTP_CONTENT_ENCODING": "gzip"},
    {"HTTP_CONTENT_ENCODING": "gzip", "CONTENT_LENGTH": ""},
    {"PATH_INFO": "/replicate", "CONTENT_TYPE": "application/octet-stream", "CONTENT_LENGTH": str(limits.PEER_BODY_BYTES)},
    {"PATH_INFO": "/subscribe", "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": "50"},
]


@pytest.mark.parametrize(("code", "change"), REFUSED)
def test_refused_as_it_would_be_where_it_is_served(code: str, change: dict[str, str]) -> None:
    web = Web()
    error = web.admission({**HEAD, **change})
    assert error is not None
    assert error.code == code
    if code not in ("too-large", "unauthenticated"):  # a body as short as this is not too large
        head = {**HEAD, **change}
        headers = {k[5:].replace("_", "-"): v for k, v in head.items() if k.startswith("HTTP_")}
        detail = web.ask(
            head["REQUEST_METHOD"], head["PATH_INFO"], code, data=b"x", content_type=head["CONTENT_TYPE"], headers=headers
        )
        assert detail == error.detail


@pytest.mark.parametrize("change", TAKEN)
def test_taken(change: dict[str, str]) -> None:
    assert Web().admission({**HEAD, **change}) is None


def test_without_a_cluster_peers_have_no_address() -> None:
    error = Web(cluster=False).admission({**HEAD, "PATH_INFO": "/replicate"})
    assert error is not None
    assert error.code == "not-found"
