"""Bodies that come compressed, and answers that go so."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.core import limits
from newswire.errors import NewswireError
from newswire.web.content_coding import accepts_gzip, deflate, inflate
from tests.kit.web_fakes import Web

NDJSON = {"Content-Type": "application/x-ndjson"}
JSON = {"Content-Type": "application/json"}
GZIP = {"Content-Encoding": "gzip"}
LINES = b"".join(json.dumps({"topic": "t", "data": f"message {number}"}).encode() + b"\n" for number in range(300))
SMALL_MEMBERS = 2_000


# -- inflating ------------------------------------------------------------------------------------------------------
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5))
def test_what_was_compressed_in_whatever_members_is_there_again(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    assert inflate(b"".join(map(gzip.compress, parts)), len(whole)) == whole
    assert inflate(b"".join(deflate(parts)), len(whole)) == gzip.decompress(b"".join(deflate(parts))) == whole


@pytest.mark.parametrize("most", [0, 1, 65_536, 300_000])
def test_as_much_as_there_may_be_is_taken_and_a_byte_more_is_not(most: int) -> None:
    assert len(inflate(gzip.compress(bytes(most)), most)) == most
    for body in (gzip.compress(bytes(most + 1)), gzip.compress(bytes(most)) + gzip.compress(b"x")):
        with pytest.raises(NewswireError) as refused:
            inflate(body, most)
        assert refused.value.code == "too-large"


def test_no_more_of_a_bomb_is_inflated_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    class Counting:
        def __init__(self, bits: int) -> None:
            self._real = REAL(bits)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        def decompress(self, piece: bytes, most: int) -> bytes:
            part = self._real.decompress(piece, most)
            made.append(len(part))
            return part

    REAL = zlib.decompressobj
    monkeypatch.setattr(zlib, "decompressobj", Counting)
    bomb = gzip.compress(bytes(20_000_000))
    assert len(bomb) < 20_000
    with pytest.raises(NewswireError):
        inflate(bomb, 10_000)
    assert sum(made) == 10_001
    made.clear()
    with pytest.raises(NewswireError, match="members"):
        inflate(gzip.compress(b"") * (limits.GZIP_MEMBERS_COUNT + SMALL_MEMBERS), 10_000)
    assert len(made) == limits.GZIP_MEMBERS_COUNT


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(LINES)[:-1],
        gzip.compress(LINES)[:-9],
        gzip.compress(LINES)[:12],
        gzip.compress(LINES)[:5],
        gzip.compress(LINES)[:-8] + bytes(8),
        gzip.compress(LINES) + b"x",
        gzip.compress(LINES) + gzip.compress(LINES)[:-1],
        zlib.compress(LINES),
        zlib.compress(LINES, wbits=-15),
        LINES,
        b"\x1f\x8b",
        bytes(100),
    ],
    ids=["cut", "no checksum", "a head", "half a head", "another checksum", "more", "a cut member", "zlib", "raw deflate",
         "plain", "two bytes", "zeros"],
)  # fmt: skip
def test_what_is_no_whole_gzip_is_refused(body: bytes) -> None:
    for most in (len(LINES), limits.BATCH_BYTES):
        with pytest.raises(NewswireError) as refused:
            inflate(body, most)
        assert refused.value.code == "bad-body" or (refused.value.code == "too-large" and most == len(LINES))
    detail = str(Web().post("/publish", "bad-body", data=body, headers={**NDJSON, **GZIP}))
    assert "gzip" in detail or "ends before" in detail


# -- bodies ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("coding", ["gzip", "GZip", "x-gzip", " gzip"])
def test_a_message_and_a_batch_may_come_compressed(coding: str) -> None:
    web = Web()
    headers = {"Content-Encoding": coding}
    web.post("/publish", data=gzip.compress(LINES), headers={**NDJSON, **headers})
    assert [message.data for message in web.engine.published()] == [f"message {number}" for number in range(300)]
    web.post("/publish", data=gzip.compress(b'{"topic": "t", "data": "one"}'), headers={**JSON, **headers})
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    web.post("/publish", data=gzip.compress(b"topic=t&data=two"), headers={**form, **headers})
    web.post("/publish?topic=t", data=gzip.compress(LINES[:0] + b'{"data": "three"}\n'), headers={**NDJSON, **headers})
    assert [message.data for message in web.engine.published()][300:] == ["one", "two", "three"]


def test_identity_is_no_coding_and_no_body_needs_none() -> None:
    web = Web()
    web.post("/publish", data=b'{"topic": "t", "data": "x"}', headers={**JSON, "Content-Encoding": "identity"})
    web.post("/publish?topic=t&data=x", headers=GZIP)
    assert len(web.engine.published()) == 2


def test_another_coding_or_address_is_refused_with_what_is_taken() -> None:
    web = Web()
    for path, coding in (("/publish", "br"), ("/publish", "deflate"), ("/publish", "gzip, gzip"), ("/subscribe", "gzip")):
        response = web.client.post(path, data=gzip.compress(b"username=a&topic=t"), headers={"Content-Encoding": coding})
        assert (response.status_code, response.json["code"]) == (415, "wrong-type")
        assert response.headers["Accept-Encoding"] == "gzip"
        assert "gzip" in response.json["detail"]


def test_what_is_too_large_inflated_is_refused_and_nothing_stored() -> None:
    web = Web()
    line = b'{"topic": "t", "data": "%b"}\n' % (b"x" * 1_000)
    batch = line * (limits.BATCH_BYTES // len(line) + 1)
    assert len(gzip.compress(batch)) < 100_000
    web.post("/publish", "too-large", data=gzip.compress(batch), headers={**NDJSON, **GZIP})
    one = json.dumps({"topic": "t", "data": "x" * limits.FORM_BYTES}).encode()
    web.post("/publish", "too-large", data=gzip.compress(one), headers={**JSON, **GZIP})
    assert web.engine.published() == []


def test_a_line_that_is_bad_is_named_as_in_a_batch_that_is_not_compressed() -> None:
    detail = str(Web().post("/publish", "bad-line", data=gzip.compress(LINES + b"{\n"), headers={**NDJSON, **GZIP}))
    assert detail.startswith("line 301: ")


# -- answers --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("header", "accepts"),
    [
        (None, False),
        ("", False),
        ("gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("br;q=1, GZIP;q=0.5", True),
        ("*", True),
        ("deflate, br", False),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("identity;q=1, *;q=0", False),
        ("\x00;;q=x,=", False),
    ],
)
def test_who_takes_gzip(header: str | None, accepts: bool) -> None:
    assert accepts_gzip({} if header is None else {"HTTP_ACCEPT_ENCODING": header}) == accepts


def filled(count: int) -> Web:
    web = Web()
    web.post("/subscribe", data={"username": "ann", "topic": "t"})
    web.post("/publish", data=b'{"topic": "t", "data": "some news of today"}\n' * count, headers=NDJSON)
    return web


def test_a_long_answer_is_compressed_for_who_takes_it_so_and_says_that_it_depends_on_it() -> None:
    web = filled(90)
    plain = web.client.get("/messages?username=ann")
    packed = web.client.get("/messages?username=ann", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) == len(packed.data) < len(plain.data) / 4
    assert gzip.decompress(packed.data) == plain.data
    for response in (plain, packed):
        assert "Accept-Encoding" in response.headers.getlist("Vary")
        assert "Origin" in response.headers.getlist("Vary"), "what it depended on before"
        assert response.headers["Cache-Control"] == "no-store"
    for path in ("/openapi.json", "/metrics"):
        plain, packed = web.client.get(path), web.client.get(path, headers={"Accept-Encoding": "gzip"})
        assert len(gzip.decompress(packed.data)) == pytest.approx(len(plain.data), abs=200)
        assert packed.headers["Content-Type"] == plain.headers["Content-Type"]


def test_what_is_short_an_error_a_page_or_no_answer_to_get_stays_as_it_is() -> None:
    """A page has what was typed in it beside who is signed in: the length of what is compressed would tell of both."""
    web = filled(3)
    takes = {"Accept-Encoding": "gzip"}
    page = web.client.get(f"/?username={'a' * 60}", headers={**takes, "Accept": "text/html"})
    assert len(page.data) > limits.GZIP_LEAST_BYTES
    short, error = web.client.get("/messages?username=ann", headers=takes), web.client.get("/nothing", headers=takes)
    batch = web.client.post("/publish?ids=1", data=LINES, headers={**NDJSON, **takes})
    assert len(batch.data) > limits.GZIP_LEAST_BYTES
    for response in (page, short, error, batch):
        assert "Content-Encoding" not in response.headers
        assert b"\x1f\x8b" not in response.data


# -- files of the page ----------------------------------------------------------------------------------------------
def test_a_file_is_compressed_once_and_is_another_representation() -> None:
    web = Web()
    plain = web.client.get("/static/feed.js")
    packed = web.client.get("/static/feed.js", headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(packed.data) == plain.data
    assert len(packed.data) < len(plain.data) / 2
    assert packed.headers["ETag"] != plain.headers["ETag"]
    for name in ("Vary", "Cache-Control", "Content-Type"):
        assert packed.headers[name] == plain.headers[name], name
    head = web.client.head("/static/feed.js", headers={"Accept-Encoding": "gzip"})
    assert (head.data, head.headers["Content-Length"]) == (b"", packed.headers["Content-Length"])


def test_a_file_that_is_asked_for_again_or_in_part() -> None:
    web = Web()
    takes = {"Accept-Encoding": "gzip"}
    etags = [web.client.get("/static/feed.js", headers=headers).headers["ETag"] for headers in (takes, {})]
    for etag, headers, status in (
        (etags[0], takes, 304),
        (etags[1], {}, 304),
        (etags[0], {}, 200),
        (etags[1], takes, 200),
    ):
        response = web.client.get("/static/feed.js", headers={**headers, "If-None-Match": etag})
        assert response.status_code == status
        assert response.headers["Vary"] == "Accept-Encoding"
    part = web.client.get("/static/feed.js", headers={**takes, "Range": "bytes=5-9"})
    assert (part.status_code, part.data) == (206, web.client.get("/static/feed.js").data[5:10])
    assert "Content-Encoding" not in part.headers
    assert web.client.get("/static/no.js", headers=takes).status_code == 404
