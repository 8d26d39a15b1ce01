"""A byte order mark at the start is no part of a text; anywhere else it is a character."""

from __future__ import annotations

from pathlib import Path

import pytest

from newswire import text

MARK = b"\xef\xbb\xbf"


def test_a_mark_is_dropped_at_the_start_once() -> None:
    assert text.without_mark(MARK + b"a") == b"a"
    assert text.without_mark(b"a" + MARK) == b"a" + MARK
    assert text.without_mark(MARK + MARK) == MARK
    assert text.without_mark_char("\ufeffa\ufeff") == "a\ufeff"
    assert text.decode(MARK + "zwölf".encode()) == "zwölf"
    assert text.decode(b"") == ""


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_named(encoding: str) -> None:
    with pytest.raises(UnicodeDecodeError, match="it is UTF-16: save it as UTF-8"):
        text.decode("\ufeffzwölf".encode(encoding))


def test_what_is_no_text_is_refused_as_such() -> None:
    with pytest.raises(UnicodeDecodeError, match="invalid start byte"):
        text.decode(b"a\xff")


def test_what_is_no_small_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"x")
    assert text.read_small(tmp_path / "small") == b"x"
    with pytest.raises(OSError, match="too large"):
        text.read_small(Path("/dev/zero"))
