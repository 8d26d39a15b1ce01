"""Which files make up a log, by their names and the MANIFEST."""

from __future__ import annotations

import pytest

from newswire.engine.embedded import layout, segment
from newswire.engine.embedded.layout import BASE, Layout, SegmentLength, UnknownLayout

NAMES = ["00000001.ops", "00000002.ops", "00000003.ops", "LOCK", "notes.ops", "00000004.ops.tmp"]


def compacted(*numbers: int, replaces: int = 2, generation: int = 1) -> Layout:
    """One that names these base files."""
    files = tuple(SegmentLength(segment=BASE | number, length=100 * number) for number in numbers)
    return Layout(version=layout.VERSION, generation=generation, files=files, replaces=replaces)


@pytest.mark.parametrize("number", [1, 99_999_999, 100_000_000, BASE - 1, BASE | 1, BASE | 123_456_789])
def test_a_name_says_its_number(number: int) -> None:
    assert layout.number_of(layout.name_of(number)) == number


def test_the_name_of_a_base_file() -> None:
    assert layout.name_of(BASE | 7) == "base-00000007.ops"


@pytest.mark.parametrize("name", ["1.ops", "base-1.ops", "00000001.ops.tmp", "x00000001.ops", "4294967296.ops", "MANIFEST"])
def test_other_names_are_no_files_of_a_log(name: str) -> None:
    assert layout.number_of(name) is None


def test_what_is_written_is_read() -> None:
    assert layout.decode(layout.encode(compacted(3, 4))) == compacted(3, 4)


def test_every_byte_counts() -> None:
    data = layout.encode(compacted(3, 4))
    for at in (at for at in range(len(data)) if at != 8):  # a space
        assert layout.decode(data[:at] + bytes((data[at] ^ 4,)) + data[at + 1 :]) is None
        assert layout.decode(data[:at]) is None


def test_a_good_line_that_is_no_manifest() -> None:
    assert layout.decode(segment.line(b'{"op":"manifest","v":1}')) is None
    assert layout.decode(segment.line(b'{"op":"msg","v":1}')) is None


def test_a_later_version_is_refused() -> None:
    with pytest.raises(UnknownLayout, match="version 2"):
        layout.decode(segment.line(b'{"op":"manifest","v":2}'))


def test_the_later_of_two_copies_counts_and_one_is_enough() -> None:
    first, second = layout.encode(compacted(1)), layout.encode(compacted(2, generation=2))
    assert layout.newest([None, None]) is None
    assert layout.newest([second, first]) == layout.newest([first, second]) == compacted(2, generation=2)
    assert layout.newest([first, None]) == layout.newest([first[:-9], first]) == compacted(1)


def test_where_no_copy_can_be_read_nothing_is_guessed() -> None:
    with pytest.raises(UnknownLayout, match="damaged"):
        layout.newest([b"", None])
    with pytest.raises(UnknownLayout, match="damaged"):
        layout.newest([layout.encode(compacted(1))[:-1], b"x"])


def test_a_copy_that_is_damaged_or_gone_is_named() -> None:
    first, second = layout.encode(compacted(1)), layout.encode(compacted(2, generation=2))
    assert layout.bad_copies([None, None]) == layout.bad_copies([first, first]) == []
    assert layout.bad_copies([second, first]) == layout.bad_copies([first, None]) == []  # as a crash leaves them
    assert layout.bad_copies([second[:-9], first]) == layout.bad_copies([None, first]) == ["MANIFEST"]
    assert layout.bad_copies([first, first[:-9]]) == layout.bad_copies([second, None]) == ["MANIFEST.copy"]


def test_a_log_that_was_never_compacted_is_its_segments() -> None:
    assert layout.log_files(NAMES, None) == [1, 2, 3]
    assert layout.left_over(NAMES, None) == []


def test_base_files_that_no_manifest_names_are_nothing() -> None:
    names = [*NAMES, "base-00000001.ops"]
    assert layout.log_files(names, None) == [1, 2, 3]
    assert layout.left_over(names, None) == [BASE | 1]


def test_a_compacted_log_is_what_its_manifest_names_and_what_is_behind() -> None:
    names = [*NAMES, *map(layout.name_of, (BASE | 1, BASE | 2, BASE | 3))]
    assert layout.log_files(names, compacted(3, 2)) == [BASE | 3, BASE | 2, 3]
    assert layout.left_over(names, compacted(3, 2)) == [1, 2, BASE | 1]


def test_a_manifest_may_name_segments_that_were_not_rewritten() -> None:
    files = (SegmentLength(segment=BASE | 1, length=9), SegmentLength(segment=2, length=9))
    mixed = Layout(version=1, generation=1, files=files, replaces=2)
    assert layout.log_files([*NAMES, "base-00000001.ops"], mixed) == [BASE | 1, 2, 3]
    assert layout.left_over([*NAMES, "base-00000001.ops"], mixed) == [1]


def test_a_file_that_is_named_and_not_there_is_left_out() -> None:
    assert layout.log_files(NAMES, compacted(1)) == [3]


@pytest.mark.parametrize("names", [["base-00000001.ops"], ["base-00000001.ops", "00000002.ops", "00000003.ops"]])
def test_without_the_manifest_of_a_compacted_log_nothing_is_guessed(names: list[str]) -> None:
    with pytest.raises(UnknownLayout, match="is not there"):
        layout.log_files(names, None)
    with pytest.raises(UnknownLayout, match="is not there"):
        layout.left_over(names, None)
