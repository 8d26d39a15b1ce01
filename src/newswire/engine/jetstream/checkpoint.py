"""Checkpoints: what stands for the beginning of a log, so that it can be purged (docs/rules.md, JETSTREAM).

After its copy was compacted the primary gateway appends all that stays of it to the log of checkpoints, seals that, and purges
what it stands for. Who is further behind, or begins, reads the checkpoint and then the log.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from newswire.core import limits
from newswire.core.broker.log_place import LogPlace
from newswire.core.state.fold import State
from newswire.engine.embedded.ops_file import OpsFile
from newswire.engine.jetstream.log import pack
from newswire.engine.jetstream.servers import Checkpoint, LogAway, LogRefused, LogServers
from newswire.threads import OnFatal, supervise

_log: Final = logging.getLogger("newswire.engine")


class Snapshot(msgspec.Struct, frozen=True):
    """What a copy held when so much of the log was in it: (place, length) of each record. `pin` has them stay."""

    place: LogPlace
    wheres: Sequence[tuple[int, int]]
    pin: Any


def take_snapshot(state: State, copy: OpsFile, place: LogPlace) -> Snapshot:
    """Of now. The commit thread, between two rounds: all up to `place` is applied."""
    parts = [(where, length) for _, where, length in state.open_batches.records()]
    return Snapshot(place, [*state.log.where(range(len(state.log))), *parts], copy.pin())


def write_checkpoint(servers: LogServers, copy: OpsFile, snapshot: Snapshot) -> bool:
    """Append, seal and purge; False: given up, and nothing counts. A thread that may wait."""
    place, wheres = snapshot.place, list(dict.fromkeys(snapshot.wheres))  # a void stands for several
    first = last = 0
    try:
        for at in range(0, len(wheres), limits.LOG_OPS):
            raws = copy.read_each(wheres[at : at + limits.LOG_OPS])
            if None in raws:
                return False
            for payload in pack([raw for raw in raws if raw is not None]):
                last = servers.append_checkpoint(payload)
                first = first or last
        look = servers.look(place.sequence)
        if not first or (look.incarnation, look.token) != (place.incarnation, place.token):
            return False
        servers.seal(Checkpoint(upto=place.sequence, token=place.token, first=first, last=last))
    except (LogAway, LogRefused) as error:
        _log.warning("no checkpoint of the log: %s", error)
        return False
    _log.info("checkpoint: %d records stand for the log up to %d", last - first + 1, place.sequence)
    return True


class Checkpointer:
    """Writes them, in a thread of its own."""

    def __init__(self, servers: LogServers, copy: OpsFile, on_fatal: OnFatal) -> None:
        self._servers, self._copy = servers, copy
        self._inbox: queue.SimpleQueue[Snapshot | None] = queue.SimpleQueue()
        self._ends = False
        self._thread = supervise(self._main, "checkpoint", on_fatal, may_end=lambda: self._ends)
        self._thread.start()

    def put(self, snapshot: Snapshot) -> None:
        """Have one written. Any thread."""
        self._inbox.put(snapshot)

    def close(self) -> None:
        """Begin no more."""
        self._ends = True
        self._inbox.put(None)

    def _main(self) -> None:
        while (snapshot := self._inbox.get()) is not None and not self._ends:
            write_checkpoint(self._servers, self._copy, snapshot)
