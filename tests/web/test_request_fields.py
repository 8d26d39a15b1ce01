"""The reading of bodies: pairs of names and values, each at most once."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.core import limits
from newswire.errors import NewswireError
from newswire.web import request_fields

_NAMES = st.sampled_from(["topic", "data", "broker_ip", "", "a b", 'q"', "ü", "\n", "\\"])
_VALUES = (
    st.sampled_from(["topic", '"topic"', ":", "data", "\\", 'x","topic":"y', "ü", "\x00"])
    | st.text(max_size=5)
    | st.integers(0, 9)
)
_VALUES |= st.lists(_VALUES, max_size=2)


def _spelled(text: str, way: int) -> str:
    """`text` as JSON: plain, with what is not ASCII escaped, or with every character escaped."""
    if way < 2:
        return json.dumps(text, ensure_ascii=way == 1)
    return '"' + "".join(f"\\u{ord(c):04X}" for c in text if ord(c) < 0x10000) + '"'


def _written(pairs: list[tuple[str, object, int]]) -> bytes:
    parts = []
    for name, value, way in pairs:
        shown = _spelled(value, way % 3) if isinstance(value, str) else json.dumps(value)
        parts.append(f"{_spelled(name, way // 3)}{' ' * (way % 2)}:{shown}")
    return ("{" + ", ".join(parts) + "}").encode()


@given(st.lists(st.tuples(_NAMES, _VALUES, st.integers(0, 8)), max_size=5))
def test_a_name_given_twice_is_always_found(pairs: list[tuple[str, object, int]]) -> None:
    raw = _written(pairs)
    names = [name for name, _ in json.loads(raw, object_pairs_hook=list)]
    if len(set(names)) == len(names):
        assert request_fields.json_object(raw) == json.loads(raw)
    else:
        with pytest.raises(NewswireError) as refused:
            request_fields.json_object(raw)
        assert refused.value.code == "double-field"


@given(st.lists(st.sampled_from([b"{}", b" {} \r", b"", b"\r", b"\t"]), max_size=20), st.booleans())
def test_lines_are_numbered_as_an_editor_does(lines: list[bytes], closed: bool) -> None:
    body = b"\n".join(lines) + (b"\n" if closed else b"")
    assert list(request_fields.json_lines(request_fields.split_lines(body))) == [
        (n, b"{}") for n, line in enumerate(lines, 1) if line.strip()
    ]


def test_a_body_is_read_as_far_as_its_length_says() -> None:
    def read(length: str, sent: bytes, **more: object) -> bytes:
        return request_fields.read({"CONTENT_LENGTH": length, "wsgi.input": BytesIO(sent), **more}, 4)

    assert read("3", b"abcdef") == b"abc"
    assert read("0", b"abc") == b""
    assert read("", b"abc") == b""
    assert read("x", b"abc") == b""
    assert read("", b"abc", **{"wsgi.input_terminated": True}) == b"abc"
    for length, sent in (("5", b"abcde"), ("9" * 30, b"")):
        with pytest.raises(NewswireError, match="over"):
            read(length, sent)
    with pytest.raises(NewswireError, match="over"):
        read("", b"abcde", **{"wsgi.input_terminated": True})


@pytest.mark.parametrize(
    ("encoded", "found"),
    [
        ("", {}),
        ("&&", {}),
        ("a", {"a": ""}),
        ("a=", {"a": ""}),
        ("=b", {"": "b"}),
        ("a=b&", {"a": "b"}),
        ("a=b;c=d", {"a": "b;c=d"}),
        ("a=b=c", {"a": "b=c"}),
        ("a=%zz%2", {"a": "%zz%2"}),
        ("a=ü+%C3%BC%2B", {"a": "ü ü+"}),
        ("a=%00", {"a": "\0"}),
    ],
)
def test_pairs(encoded: str, found: dict[str, str]) -> None:
    assert request_fields.pairs(encoded) == found


@given(st.text("ab=&;é ", max_size=12))
def test_what_has_no_escapes_is_split_as_the_library_does(encoded: str) -> None:
    assert list(request_fields._split(encoded)) == parse_qsl(encoded, keep_blank_values=True, errors="strict")


def test_pairs_refuse_what_is_lost_or_too_much() -> None:
    for encoded, code in (("a=1&a=1", "double-field"), ("a&%61", "double-field"), ("a=%ff", "bad-body")):
        with pytest.raises(NewswireError) as refused:
            request_fields.pairs(encoded)
        assert refused.value.code == code
    assert len(request_fields.pairs("&".join(f"f{n}=" for n in range(limits.FIELDS_COUNT)))) == limits.FIELDS_COUNT
    with pytest.raises(NewswireError):
        request_fields.pairs("&" * limits.FIELDS_COUNT)


# -- what a request may cost --------------------------------------------------------------------------------------


def refusal(raw: bytes) -> NewswireError:
    with pytest.raises(NewswireError) as refused:
        request_fields.json_object(raw)
    return refused.value


def test_more_names_than_any_request_has_are_refused_before_they_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_fields, "_refuse_twice", lambda raw: pytest.fail("read again"))
    monkeypatch.setattr(request_fields, "_surely_once", lambda raw, value: pytest.fail("looked for one by one"))
    for count in (limits.FIELDS_COUNT + 1, 30_000):
        raw = json.dumps({f"name{n}": n for n in range(count)}).encode()
        assert str(limits.FIELDS_COUNT) in refusal(raw).detail


def test_a_large_object_with_many_names_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_fields, "_decode_names", lambda raw: pytest.fail("read"))
    for name in ("name%d", "name%d\\", 'name"%d'):
        raw = json.dumps({name % n: n for n in range(5_000)}).encode()
        assert str(limits.FIELDS_COUNT) in refusal(raw).detail


def test_a_large_text_may_hold_any_number_of_quotes() -> None:
    given = {"topic": "t", "data": '"' * limits.MESSAGE_BYTES, "tags": ["x"] * limits.TAGS_COUNT, "title": "\\" * 200}
    assert request_fields.json_object(json.dumps(given).encode()) == given


def test_an_object_is_scanned_a_bounded_number_of_times() -> None:
    class Counted(bytes):
        scans = 0

        def count(self, *args: Any) -> int:
            Counted.scans += 1
            return super().count(*args)

    for count in range(1, limits.FIELDS_COUNT + 1):
        for text, is_scanned in (("x" * 1000, False), ('"' * 1000, True)):
            Counted.scans = 0
            raw = Counted(json.dumps({f"n{n}": text for n in range(count)}).encode())
            assert request_fields._surely_once(raw, json.loads(raw)) is (count <= limits.SCANNED_NAMES or not is_scanned)
            assert Counted.scans <= (limits.SCANNED_NAMES if is_scanned else 1)


def test_one_name_given_very_often_is_given_twice_or_too_often() -> None:
    for count, code in ((100, "double-field"), (1_000, "double-field"), (30_000, "bad-request")):
        raw = b"{" + b",".join(b'"a":%d' % n for n in range(count)) + b"}"
        assert refusal(raw).code == code


@pytest.mark.parametrize("value", [b"[%s1]" % (b"[]," * 10_000), b"[%s1]" % (b"{}," * 10_000), b'{"a":"%s"}' % (b"x" * 20_000)])
def test_a_large_list_or_object_is_refused_before_it_is_made(value: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_fields, "_decode", lambda raw: pytest.fail("made"))
    for raw in (b'{"tags":%s}' % value, b' \n{"tags": %s }' % value):
        assert refusal(raw).code == "bad-field"
    assert refusal(value[1:-1] if value[:1] == b"{" else value).code == "bad-body"


@pytest.mark.parametrize("damage", ["", "x", ",", "}", "\udc00"])
def test_large_and_small_objects_are_read_alike(damage: str) -> None:
    def read(size: int) -> object:
        raw = ('{"data": "' + "x" * size + '", "priority": 3, "tags": ["a", "\\u00fc"], "click": null}' + damage).encode(
            "utf-8", "surrogatepass"
        )
        try:
            return {**request_fields.json_object(raw), "data": ""}
        except NewswireError as error:
            return error.code

    assert read(1) == read(limits.LIST_BYTES) == read(limits.MESSAGE_BYTES)


def test_lines_that_hold_nothing_are_counted_too() -> None:
    assert list(request_fields.json_lines([b""] * limits.BATCH_LINES)) == []
    with pytest.raises(NewswireError, match="empty ones included"):
        list(request_fields.json_lines(request_fields.split_lines(b"\n" * 10 * limits.BATCH_LINES)))


def test_a_line_is_no_longer_than_a_body() -> None:
    with pytest.raises(NewswireError, match="line 2 is over") as refused:
        list(request_fields.json_lines([b"{}", b" " * (limits.FORM_BYTES + 1)]))
    assert refused.value.code == "too-large"
