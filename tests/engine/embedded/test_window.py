"""A part of a file in memory is like all of it."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.core import limits
from newswire.engine.embedded.window import Window, pread

TEXT = bytes(b"abc\n"[at * 7 % 11 % 4] for at in range(500))


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> int:
    path = tmp_path_factory.mktemp("window") / "file"
    path.write_bytes(TEXT)
    return os.open(path, os.O_RDONLY)


@given(
    st.lists(
        st.tuples(st.sampled_from(["find", "rfind", "slice"]), st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=5
    )
)
def test_what_is_asked_of_it_is_as_of_bytes(opened: int, asked: list[tuple[str, int, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "SCAN_BYTES", 16)
        window = Window(lambda length, offset: pread(opened, length, offset), len(TEXT))
        assert len(window) == len(TEXT)
        for what, one, other in asked:
            start, end = sorted((one, other))
            if what == "slice":
                assert window[start:end] == TEXT[start:end]
            else:
                assert getattr(window, what)(b"\n", start, end) == getattr(TEXT, what)(b"\n", start, end)


def test_no_more_is_read_than_there_is(opened: int) -> None:
    assert pread(opened, 1_000, 490) == TEXT[490:]
    assert pread(opened, 10, 600) == b""
