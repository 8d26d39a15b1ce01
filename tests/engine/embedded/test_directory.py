"""A directory taken for one process: who may, and what is swept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from newswire.engine.embedded.ops_file import OpsFile, path_of
from newswire.errors import NewswireError
from tests.kit.ops_files import Opener


def test_files_that_are_not_ours_are_left_alone_but_unfinished_ones_go(tmp_path: Path, opened: Opener) -> None:
    for name in ("notes.txt", "1.ops", "00000001.ops.bak", "00000009.ops.tmp"):
        (tmp_path / name).write_text("x")
    opened(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "00000001.ops", "00000001.ops.bak", "1.ops", "LOCK", "notes.txt",
    ]  # fmt: skip


def test_directories_and_files_are_the_owners_alone(tmp_path: Path, opened: Opener) -> None:
    opened(tmp_path / "ops" / "1001")
    assert (tmp_path / "ops" / "1001").stat().st_mode & 0o777 == 0o700
    assert path_of(tmp_path / "ops" / "1001", 1).stat().st_mode & 0o777 == 0o600


def test_a_second_broker_is_refused_and_told_why(tmp_path: Path, opened: Opener) -> None:
    opened(tmp_path)
    with pytest.raises(NewswireError, match=f"process {os.getpid()}") as caught:
        OpsFile(tmp_path)
    assert caught.value.code == "ops-dir"
    assert "--ops-dir" in caught.value.detail


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NewswireError, match="can't be used"):
        OpsFile(tmp_path / "file" / "1001")
