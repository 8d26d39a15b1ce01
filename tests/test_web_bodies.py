"""The reading of bodies: pairs of names and values, each at most once."""

from __future__ import annotations

import json
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.core import limits
from newswire.errors import NewswireError
from newswire.web import bodies

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
        assert bodies.json_object(raw) == json.loads(raw)
    else:
        with pytest.raises(NewswireError) as refused:
            bodies.json_object(raw)
        assert refused.value.code == "double-field"


@given(st.lists(st.sampled_from([b"{}", b" {} \r", b"", b"\r", b"\t"]), max_size=20), st.booleans())
def test_lines_are_numbered_as_an_editor_does(lines: list[bytes], closed: bool) -> None:
    body = b"\n".join(lines) + (b"\n" if closed else b"")
    assert list(bodies.json_lines(body)) == [(n, b"{}") for n, line in enumerate(lines, 1) if line.strip()]


def test_a_body_is_read_as_far_as_its_length_says() -> None:
    def read(length: str, sent: bytes, **more: object) -> bytes:
        return bodies.read({"CONTENT_LENGTH": length, "wsgi.input": BytesIO(sent), **more}, 4)

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
    assert bodies.pairs(encoded) == found


def test_pairs_refuse_what_is_lost_or_too_much() -> None:
    for encoded, code in (("a=1&a=1", "double-field"), ("a&%61", "double-field"), ("a=%ff", "bad-body")):
        with pytest.raises(NewswireError) as refused:
            bodies.pairs(encoded)
        assert refused.value.code == code
    assert len(bodies.pairs("&".join(f"f{n}=" for n in range(limits.FIELDS_COUNT)))) == limits.FIELDS_COUNT
    with pytest.raises(NewswireError):
        bodies.pairs("&" * limits.FIELDS_COUNT)
