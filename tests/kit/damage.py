"""Damage to what brokers have on disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from brokers import (
    Failed,
)
from tests.kit.processes import Node

DiskFault: TypeAlias = Callable[[Node, Node, Path], None]
"""What becomes of the disk of a broker that is down: the broker, another one, an older copy of its folder."""


def segments(folder: Path) -> list[Path]:
    """The segments of an ops file, oldest first."""
    return sorted(folder.glob("*.ops"))


def flip(node: Node, *, after: str) -> None:
    """Flip a bit behind the first place where `after` stands in a broker's files."""
    for path in segments(node.folder):
        data = bytearray(path.read_bytes())
        at = data.find(after.encode())
        if at >= 0:
            data[at + len(after) + 1] ^= 0x04
            path.write_bytes(data)
            return
    raise Failed(f"{after!r} is not in the files of {node.id}")


def in_record(text: str) -> str:
    """What stands near the end of the record of a message: a bit behind it is in the record."""
    return f'"data":"{text}"'


def wipe(path: Path, begin: int, length: int) -> None:
    """Replace bytes by zeros, as a lost block reads."""
    with path.open("r+b") as file:
        file.seek(begin)
        file.write(bytes(min(length, path.stat().st_size - begin)))


def copy_folder(source: Path, target: Path) -> None:
    """Put a copy of a broker's folder in place of another."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


def lost(node: Node, other: Node, older: Path) -> None:
    """The folder is gone."""
    shutil.rmtree(node.folder)


def rolled_back(node: Node, other: Node, older: Path) -> None:
    """An older copy of the folder is put back."""
    copy_folder(older, node.folder)


def cloned(node: Node, other: Node, older: Path) -> None:
    """A copy of the other broker's folder, taken while that one runs, is put in its place."""
    copy_folder(other.folder, node.folder)
