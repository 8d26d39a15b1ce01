"""Makes an ops directory of a backup (docs/rules.md, RESTORE): written beside, synced, read as by a start, then renamed.

A crash leaves the directory as it was, or whole. What is made is a disk that was rolled back to the time of the backup:
whatever broker starts on it begins a new origin, so nothing that it does is taken for what was done since.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from newswire.core.model import ops
from newswire.core.model.ops import BareOp, Began, Joined, Left
from newswire.core.read.counts import topics
from newswire.core.state.fold import State
from newswire.engine.embedded import segment
from newswire.engine.embedded.archive import Archive
from newswire.engine.embedded.base import store_layout
from newswire.engine.embedded.disk import sync_directory
from newswire.engine.embedded.ops_file import OpsFile
from newswire.engine.embedded.pieces import fold_log
from newswire.engine.embedded.scan import path_of, unusable
from newswire.errors import Refused

_NOWHERE: Final = "restored.invalid:1"  # a name that is nobody's (RFC 2606)
_ORIGIN_CHARS: Final = "abcdefghijkmnpqrstuvwxyz23456789"

Progress = Callable[[int, int], None]  # bytes restored, bytes in all


class OpsDirectory(msgspec.Struct, frozen=True):
    """What was made. `cluster`: the id that its brokers will have, "" while it is not settled. `time`: of the backup, in ms."""

    directory: Path
    broker: str
    cluster: str
    time: int
    messages: int
    subscriptions: int
    damaged_bytes: int


def restore(
    archive: Archive, ops_dir: Path, broker: str = "", *, new_cluster: bool = False, progress: Progress | None = None
) -> OpsDirectory:
    """Make the directory of `broker` (default: who wrote the backup) in `ops_dir`.

    `new_cluster`: under a new cluster id and without members. Raises Refused (`bad-backup`, `ops-dir`), DiskFailed,
    StorageFull, OSError, and leaves nothing behind then.
    """
    broker = broker or archive.manifest.broker
    target = ops_dir / broker
    _check_empty(target)
    ops_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = ops_dir / f".{broker}-{secrets.token_hex(4)}.restore"
    beside.mkdir(mode=0o700)
    try:
        cluster = secrets.token_hex(16) if new_cluster else ""
        _unpack(archive, beside, cluster, progress)
        result = _look(beside, broker, cluster)
        sync_directory(beside)
        (beside / "LOCK").unlink(missing_ok=True)
        os.rename(beside, target)  # onto an empty directory or none
        sync_directory(ops_dir)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return msgspec.structs.replace(result, directory=target, time=archive.manifest.time)


def _check_empty(target: Path) -> None:
    try:
        if not target.exists() or not any(target.iterdir()):
            return
    except OSError as error:
        raise unusable(target, f"{error.strerror or error}") from error
    raise unusable(target, "it is not empty, and a backup is restored into an empty one only. Move it away first, and keep it")


def _unpack(archive: Archive, directory: Path, cluster: str, progress: Progress | None) -> None:
    done = 0
    for one, parts in archive.segments():
        with open(path_of(directory, one.segment), "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            for part in _under(cluster, one.segment, parts) if cluster else parts:
                file.write(part)
                done += len(part)
                if progress is not None:
                    progress(done, archive.manifest.length)
            file.flush()
            os.fsync(file.fileno())
    if archive.manifest.layout is not None:
        sync_directory(directory)
        store_layout(directory, archive.manifest.layout)


def _under(cluster: str, number: int, parts: Iterator[bytes]) -> Iterator[bytes]:
    """The bytes of a segment whose header names `cluster` instead of another: as many as before, so no record moves."""
    first = next(parts, b"")
    header, end = segment.read_header(first, number)
    if header is not None and header.cluster:
        line = segment.header_line(number, cluster, header.origin, header.kept, header.version)
        if len(line) != end:
            raise Refused(
                f"the cluster id {header.cluster!r} has another length: restore without --new-cluster", code="bad-backup"
            )
        first = line + first[end:]
    yield first
    yield from parts


def _look(directory: Path, broker: str, cluster: str) -> OpsDirectory:
    """Read it as a start does; end all memberships in it if it is of a new `cluster`."""
    opsfile = OpsFile(directory)
    try:
        state = fold_log(opsfile.pieces, opsfile.read_lines)
        if cluster:
            _begin_cluster(opsfile, state, broker, cluster)
        return OpsDirectory(
            directory=directory,
            broker=broker,
            cluster=opsfile.cluster,
            time=0,
            messages=sum(row.messages for row in topics(state)),
            subscriptions=len(state.subscriptions.alive),
            damaged_bytes=sum(one.length for one in opsfile.damage),
        )
    finally:
        opsfile.close()


def _begin_cluster(opsfile: OpsFile, state: State, broker: str, cluster: str) -> None:
    """Store what a broker of the new cluster begins with: a segment that names it, and that only this broker is a member.

    All who ever joined have moved to where nobody is: brokers push to removed ones too, and must not to the living cluster.
    This broker tells its own address when it starts.
    """
    origin = f"{broker}-{''.join(secrets.choice(_ORIGIN_CHARS) for _ in range(8))}"
    now = time.time_ns() // 1_000_000
    stamped: list[BareOp] = [Began(origin=origin, sequence=1, time=now, broker=broker, vector=dict(state.vector))]
    for one in dict.fromkeys((broker, *state.members.addresses)):
        at, seen = len(stamped) + 1, state.members.ids(one)
        joined = Joined(origin=origin, sequence=at, time=now, broker=one, address=_NOWHERE, seen=seen)
        stamped.append(joined)
        if one != broker:
            stamped.append(Left(origin=origin, sequence=at + 1, time=now, broker=one, seen=(joined.id,)))
    opsfile.start(cluster, origin)
    opsfile.append([ops.encode(op) for op in stamped])
    opsfile.sync()
