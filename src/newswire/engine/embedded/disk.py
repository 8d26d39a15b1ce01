"""The system calls that bring bytes and names to the disk. All raise OSError."""

from __future__ import annotations

import os
from pathlib import Path


def write_all(fd: int, data: bytes) -> None:
    """Write all of it: a write may take a part only (a signal, a disk that just became full)."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def sync_data(fd: int) -> None:
    """Bring the bytes of an open file, and its length, to the disk."""
    getattr(os, "fdatasync", os.fsync)(fd)  # not everywhere there is fdatasync


def sync_directory(directory: Path) -> None:
    """Bring the names in a directory to the disk."""
    fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def create(path: Path) -> int:
    """Make a file that is the owner's alone, to be written at its end; its descriptor."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)


def replace(path: Path, data: bytes) -> None:
    """Have `path` hold `data`, by a rename: after a crash at any moment it holds this or what it held before."""
    beside = path.with_name(f"{path.name}.tmp")
    beside.unlink(missing_ok=True)
    fd = create(beside)
    try:
        write_all(fd, data)
        sync_data(fd)
    finally:
        os.close(fd)
    os.rename(beside, path)
    sync_directory(path.parent)


def drop_cached(path: Path) -> None:
    """Have what is read next be what the disk holds, not the page cache. Raises OSError."""
    with path.open("rb", buffering=0) as file:
        sync_data(file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
