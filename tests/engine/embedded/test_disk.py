"""The system calls that bring bytes and names to the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from newswire.engine.embedded import disk
from tests.kit.power import PowerLog


def test_a_short_write_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data)[:3]))
    fd = disk.create(tmp_path / "file")
    disk.write_all(fd, b"ten bytes.")
    os.close(fd)
    assert (tmp_path / "file").read_bytes() == b"ten bytes."


def test_what_is_created_is_new_and_the_owners_alone(tmp_path: Path) -> None:
    os.close(disk.create(tmp_path / "file"))
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        disk.create(tmp_path / "file")


def test_a_replaced_file_holds_one_or_the_other_whatever_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"before")
    (tmp_path / "file.tmp").write_bytes(b"of a crash")
    contents: list[bytes] = []

    def look(step: str) -> None:
        contents.extend(files["file"] for files in log.states())

    log = PowerLog(monkeypatch, tmp_path, look)
    disk.replace(tmp_path / "file", b"after")
    assert set(contents) == {b"before", b"after"}
    assert {files["file"] for files in log.states()} == {b"after"}
    assert log.steps == ["unlink file.tmp", "create file.tmp", "write", "sync", "rename file.tmp", "sync the directory"]
