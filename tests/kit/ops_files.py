"""Ops files on a real disk: what a test writes, breaks and looks at."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from newswire.core.model import ops
from newswire.core.model.ops import Published
from newswire.engine.embedded.ops_file import OpsFile
from newswire.engine.embedded.scan import Scan

Opener = Callable[..., OpsFile]
ORIGIN = "1001-k3f9x2qa"


def raw(sequence: int, data: str = "x") -> bytes:
    return ops.encode(Published(ORIGIN, sequence, 1_700_000_000_000 + sequence, topic="Google", data=data))


def raws(*sequences: int) -> list[bytes]:
    return [raw(sequence) for sequence in sequences]


def held(directory: Path) -> list[int]:
    """The sequences that a look from outside finds, in file order."""
    return [op.sequence for rows in Scan(directory).batches() for op, _, _ in rows]


def crash(directory: Path, to: Path) -> Path:
    """What a kill -9 at this moment leaves behind."""
    shutil.copytree(directory, to, ignore=shutil.ignore_patterns("LOCK"))
    return to


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x04
    path.write_bytes(data)
