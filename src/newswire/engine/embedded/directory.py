"""Takes the directory of a log for one process: made, locked, and swept of what a crash left."""

from __future__ import annotations

import fcntl
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from newswire.engine.embedded import disk, layout
from newswire.engine.embedded.base import remove, store_layout
from newswire.engine.embedded.layout import PACKED_SUFFIX, Layout
from newswire.engine.embedded.scan import layout_copies, read_layout, unusable
from newswire.errors import Refused

_log: Final = logging.getLogger(__name__)


def take(directory: Path) -> tuple[int, Layout | None]:
    """Make and lock the directory, sweep what a crash left; the lock's descriptor, and the layout of the log.

    Raises Refused with a sentence.
    """
    fd = _lock(directory)
    try:
        for path in directory.glob("*.tmp"):  # never finished
            with suppress(OSError):
                path.unlink()
        its_layout = read_layout(directory)
        if its_layout is not None:
            bad = layout.bad_copies(layout_copies(directory))
            store_layout(directory, its_layout)
            for name in bad:
                _log.warning("%s was damaged or gone, and is written anew as the other copy has it: look at the disk", name)
            disk.sync_directory(directory)  # also of a rename that a crash left in the cache alone
        for path in directory.glob(f"*{PACKED_SUFFIX}"):
            if path.with_suffix("").exists():  # it was not to count yet
                path.unlink()
        if numbers := layout.left_over(os.listdir(directory), its_layout):
            remove(directory, numbers)
        return fd, its_layout
    except (OSError, layout.UnknownLayout) as error:
        os.close(fd)
        raise unusable(directory, f"what a compaction left there cannot be removed: {error}") from error
    except Refused:
        os.close(fd)
        raise


def _lock(directory: Path) -> int:
    try:
        for path in reversed([one for one in (directory, *directory.parents) if not one.exists()]):
            path.mkdir(mode=0o700, exist_ok=True)
            disk.sync_directory(path.parent)  # each is on disk before the next
        fd = os.open(directory / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unusable(directory, f"{error.strerror or error}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        os.close(fd)
        who = f"another broker (process {owner})" if owner.isdigit() else "another broker"
        raise unusable(directory, f"{who} runs on it. Stop that one, or give this one another --id or --ops-dir") from error
    _leave_name(fd)
    return fd


def _leave_name(fd: int) -> None:
    """Write the process id into the lock file, for whoever finds it taken; no matter if it fails."""
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    except OSError as error:
        _log.info("LOCK could not be written: %s", error)
