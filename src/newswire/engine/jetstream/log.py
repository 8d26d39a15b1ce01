"""The log of a gateway: what JetStream keeps, and a copy of it on this machine's disk, which may be lost.

What a round stores of its own is one record of the log, which counts when the servers acknowledge it, and then stands in the
copy, an ops file that is never synced. What others appended is read from the log, and then stands in the copy, too. Beside the
copy lies `place.json`: how far the log is in it. A start folds the copy and reads the rest. Where the copy does not hold
what it says, or the log is another one than it was, all is read anew; what the old copy holds and the log lost is appended to
it again (docs/rules.md, JETSTREAM).

One thread, `stop` excepted.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from newswire.core import limits
from newswire.core.broker.log_place import Follower, LogPlace, LogVerdict
from newswire.core.model import ops
from newswire.core.model.bad_json import BAD_JSON
from newswire.core.model.ops import Op
from newswire.core.model.vector import Vector
from newswire.core.state.fold import State
from newswire.engine.embedded.ops_file import OpsFile, Progress
from newswire.engine.embedded.pieces import replay
from newswire.engine.jetstream.servers import Checkpoint, LogAway, LogRefused, LogServers
from newswire.errors import Refused, StorageFull

T = TypeVar("T")

_log: Final = logging.getLogger("newswire.engine")
_PLACE: Final = "place.json"
_PLACE_SECONDS: Final = 1.0  # between two of them: so much of the log is read again after a kill
_PACKED: Final = b"\x78"  # what zlib begins with, and no line of JSON does


class Stopped(Exception):
    """The broker ends, and what was under way may be stored or not."""


class OtherLog(Exception):
    """The log is not the one that was read: all is to be folded again."""


class _Place(msgspec.Struct):
    """What `place.json` says. `vector`: what the copy held, with long batches that are not whole."""

    cluster: str
    place: LogPlace
    vector: dict[str, int]


class Log:
    """See above; `shell.Store` is made of it."""

    def __init__(self, servers: LogServers, directory: Path, *, packs: bool = False) -> None:
        """Take the directory of the copy; `packs`: see `OpsFile`. Raises Refused."""
        self.servers = servers
        self.copy = OpsFile(directory, synced=False, packs=packs)
        self.follower = Follower(LogPlace(""))
        self.cluster = ""
        self.grown = threading.Event()  # somebody appended something
        self.waits_since: float | None = None  # for an answer, on time.monotonic
        self.why_away = ""
        self._epoch = 0
        self._sure: Vector | None = None  # what of the copy the log had for certain, until that is known of all
        self._seen: dict[str, int] = {}  # how far each origin was read by this start
        self._path = directory / _PLACE
        self._place_due = 0.0
        self._look_due = self._see_due = 0.0
        self._stop = threading.Event()

    def stop(self) -> None:
        """Have whatever waits for the servers raise Stopped. Any thread."""
        self._stop.set()

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    # -- waiting ----------------------------------------------------------------------------------------------------

    def insist(self, ask: Callable[[], T]) -> T:
        """Ask until there is an answer. Raises Stopped, and what `ask` raises beside LogAway."""
        while True:
            if self._stop.is_set():
                raise Stopped
            try:
                result = ask()
            except LogAway as error:
                self.follower.doubt()
                self.note_away(str(error))
                self._stop.wait(limits.LOG_AGAIN_SECONDS)
            else:
                self._note_there()
                return result

    def note_away(self, why: str) -> None:
        """Note that there was no answer."""
        if self.waits_since is None:
            self.waits_since = time.monotonic()
        self.why_away = why

    def _note_there(self) -> None:
        if self.waits_since is not None:
            self.waits_since, self.why_away = None, ""

    def look(self) -> None:
        """See that it is the log that was read, if that may be in doubt. Raises LogAway, OtherLog."""
        epoch = self.servers.epoch()
        if epoch != self._epoch:
            self.follower.doubt()
            self._epoch = epoch
        while self.follower.must_look:
            verdict = self.follower.look(self.servers.look(self.follower.place.newest[0]))
            if verdict in (LogVerdict.OTHER, LogVerdict.PURGED):
                _log.warning("the log %s: %s", self.follower.place, verdict.value)
                raise OtherLog
            if verdict is LogVerdict.UNSURE and self._stop.wait(limits.LOG_LOOK_SECONDS):
                raise Stopped

    # -- appending --------------------------------------------------------------------------------------------------

    def append(self, raws: Sequence[bytes]) -> None:
        """Append these; they stand in the log when it returns. Raises StorageFull, OtherLog, Stopped.

        Of what takes several records all stand there or none, but for a gateway that is killed between two.
        """
        for number, payload in enumerate(pack(raws)):
            token = secrets.token_hex(12)

            def ask(payload: bytes = payload, token: str = token, number: int = number) -> int:
                self.look()
                try:
                    sequence, repeated = self.servers.append(self.follower.place.incarnation, token, payload)
                except LogRefused as error:
                    if not number:
                        raise
                    raise LogAway(str(error)) from error  # a part stands there: its numbers are taken
                if not self.follower.acknowledge(sequence, token, repeated=repeated):
                    self.look()
                return sequence

            try:
                sequence = self.insist(ask)
            except LogRefused as error:
                raise StorageFull(f"the servers of the log store nothing ({error}): nothing was stored") from error
            self.servers.shout("grown", b"%d" % sequence)

    # -- reading ----------------------------------------------------------------------------------------------------

    def read_on(self, *, to_end: bool) -> Iterator[list[bytes]]:
        """What was appended since, in pieces, until nothing is there; `to_end`: all that the leader has, however long it takes.

        Raises LogAway where it may, OtherLog, Stopped.
        """
        if time.monotonic() >= self._see_due:
            self._see_due = time.monotonic() + limits.LOG_SEE_SECONDS
            self.follower.doubt()
        while True:
            self.grown.clear()
            sequence = self.follower.place.sequence + 1

            def ask(sequence: int = sequence) -> list[list[bytes]]:
                self.look()
                records = self.servers.read(sequence) if not to_end or self._is_beyond(self.servers.bounds()) else []
                count = self.follower.take((record.sequence, record.token) for record in records)
                return [unpack(record.payload) for record in records[:count]]

            pages = self.insist(ask) if to_end else ask()
            self._note_there()
            yield from _cut([raw for page in pages for raw in page])
            if not pages and not (to_end and (self.follower.must_look or self._has_more())):
                return

    def _has_more(self) -> bool:
        return self._is_beyond(self.insist(self.servers.bounds))

    def _is_beyond(self, bounds: tuple[int, int]) -> bool:
        """Say whether a log of these bounds has more; where it was purged beyond this place, or lost its end, look first."""
        (first, last), place = bounds, self.follower.place
        if first > place.sequence + 1 or last < place.newest[0]:
            self.follower.doubt()
            return True
        return last > place.sequence

    def is_due(self) -> bool:
        """Say whether to look for what others appended."""
        now = time.monotonic()
        if self.grown.is_set() or now >= self._look_due:
            self._look_due = now + limits.LOG_LOOK_SECONDS
            return True
        return False

    # -- the copy ---------------------------------------------------------------------------------------------------

    @property
    def its_cluster(self) -> str:
        """The cluster id of the log that this is a copy of; "" where that is not known."""
        place = self._read_place()
        return place.cluster if place is not None else ""

    def recover(self, state: State, cluster: str, origin: str, progress: Progress | None) -> bool:
        """Fold the copy into `state`; False: it is not to be gone on from, and `state` is what an older log held.

        `origin`: of the run that begins. Raises Refused for a copy of another log.
        """
        replay(state, self.copy.pieces(progress), self.copy.read_lines)
        state.revive(None)
        self.cluster = cluster
        place = self._read_place()
        if place is not None and place.cluster != cluster:
            raise Refused(
                f"{self.copy.directory} is a copy of another log: give this broker another --ops-dir or --nats-stream",
                code="other-cluster",
            )
        self.copy.start(cluster, origin)
        if place is None:
            return False
        self.follower = Follower(place.place)
        self._sure = place.vector
        is_whole = all(state.extent(origin) >= sequence for origin, sequence in place.vector.items())
        return is_whole and not (self.copy.damage or state.holes.all)

    def _read_place(self) -> _Place | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Place)
        except (OSError, *BAD_JSON):
            return None

    def note_place(self, state: State, *, now: bool = False) -> None:
        """Write down how far the log is in the copy, now and then. All that was read or appended must be in `state`."""
        if not now and time.monotonic() < self._place_due:
            return
        self._place_due = time.monotonic() + _PLACE_SECONDS
        vector = {**state.vector, **{origin: state.extent(origin) for origin in state.open_batches.of}}
        text = msgspec.json.encode(_Place(cluster=self.cluster, place=self.follower.place, vector=vector))
        new = self._path.with_suffix(".tmp")
        with suppress(OSError):  # without it more is read at the next start
            new.write_bytes(text)
            os.replace(new, self._path)

    def catch_up(self, state: State) -> None:
        """Fold what the log has beyond this place. Before a run begins. Raises OtherLog, Stopped.

        The copy may hold more than its place says. What of that does not come now the log has lost: it is appended again.
        """
        self._seen = {}
        for raws in self.read_on(to_end=True):
            self._fold(state, raws)
        if self._sure is not None:
            sure, self._sure = state.lineage.expand(self._sure), None
            for raws in give_back(state, lambda origin: max(sure.get(origin), self._seen.get(origin, 0)), self.copy.read_each):
                _log.warning("appended to the log again what it had lost: %d operations", len(raws))
                self.append(raws)

    def _fold(self, state: State, raws: Sequence[bytes]) -> None:
        held: dict[str, int] = {}
        taken: list[tuple[Op, bytes]] = []
        for raw in raws:
            with suppress(ops.NotAnOp):
                op = ops.decode(raw)
                self._seen[op.origin] = max(op.sequence, self._seen.get(op.origin, 0))
                if op.sequence > (held.get(op.origin) or state.extent(op.origin)):
                    held[op.origin] = op.sequence
                    taken.append((op, raw))
        places = self.copy.append([raw for _, raw in taken])
        state.replay([(op, *where) for (op, _), where in zip(taken, places, strict=True)])
        state.revive(None)

    def fold_again(self, old: State) -> State:
        """Fold the log from its beginning, and append to it what `old`, of this copy, holds and it has lost.

        The copy's files of before are replaced. Raises Stopped.
        """
        self._path.unlink(missing_ok=True)
        self._sure = None
        while True:
            replaces, writer = self.copy.begin_base()
            state = State()
            try:
                self._begin_anew(state)
                self.catch_up(state)
                if self._give_back(old, state):
                    self.catch_up(state)
            except OtherLog:
                continue  # it changed once more
            self.copy.switch(self.copy.commit_base(writer.finish(), replaces))
            self.copy.remove_replaced()
            self.note_place(state, now=True)
            return state

    def _begin_anew(self, state: State) -> None:
        """Go to the beginning of the log: the first record, or behind the newest checkpoint."""
        before = self.follower.place
        sequence, token = before.newest
        look = self.insist(lambda: self.servers.look(sequence))
        lost = sequence and look.incarnation == before.incarnation
        if lost and (look.last < sequence or look.token not in (None, token)):
            self.insist(lambda: self.servers.rename(before.incarnation, secrets.token_hex(4)))
            look = self.insist(lambda: self.servers.look(0))
        self.follower = Follower(LogPlace(look.incarnation))
        if look.first <= 1:
            return
        checkpoint = self.insist(self.servers.checkpoint)
        if checkpoint is None or checkpoint.upto + 1 < look.first:
            raise Refused("the log was purged, and there is no checkpoint of what was", code="damaged")
        self._read_checkpoint(checkpoint, state)
        self.follower = Follower(LogPlace(look.incarnation, checkpoint.upto, checkpoint.token))

    def _read_checkpoint(self, checkpoint: Checkpoint, state: State) -> None:
        """Raises OtherLog where another one has replaced it meanwhile."""
        sequence = checkpoint.first
        while sequence <= checkpoint.last:
            at = sequence
            records = self.insist(lambda at=at: self.servers.read_checkpoint(at))  # type: ignore[misc]
            for record in records:
                if record.sequence != sequence:
                    raise OtherLog
                if sequence <= checkpoint.last:
                    for raws in _cut(unpack(record.payload)):
                        self._fold(state, raws)
                sequence += 1
            if not records and self._stop.wait(limits.LOG_AGAIN_SECONDS):
                raise Stopped

    def _give_back(self, old: State, state: State) -> bool:
        """Append what `old` holds beyond `state`; whether that was anything. It is not folded yet: it is read as any other."""
        count, place = 0, self.follower.place
        for raws in give_back(old, state.extent, self.copy.read_each):
            self.append(raws)
            count += len(raws)
        self.follower = Follower(msgspec.structs.replace(place, incarnation=self.follower.place.incarnation))
        if count:
            _log.warning("appended to the log again what it had lost: %d operations", count)
        return bool(count)


def give_back(
    old: State, reach: Callable[[str], int], read: Callable[[Sequence[tuple[int, int]]], Sequence[bytes | None]]
) -> Iterator[list[bytes]]:
    """The records of `old` beyond `reach` of each origin, in pieces, in an order in which they can be taken."""
    log = old.log
    names = [log.names[number] for number in log.origins]
    missing = [
        where
        for where, sequence, name in zip(log.where(range(len(log))), log.sequences, names, strict=True)
        if sequence > reach(name)
    ]
    parts = old.open_batches.records()
    missing += [(place, length) for op, place, length in parts if op.sequence > reach(op.origin)]
    for at in range(0, len(missing), limits.LOG_OPS):
        yield [raw for raw in read(missing[at : at + limits.LOG_OPS]) if raw is not None]


def pack(raws: Sequence[bytes]) -> Iterator[bytes]:
    """Payloads of records: as many as fit in each; a longer one is packed."""
    lines: list[bytes] = []
    size = 0
    for raw in raws:
        if lines and size + len(raw) >= limits.LOG_PAYLOAD_BYTES:
            yield b"\n".join(lines)
            lines, size = [], 0
        lines.append(raw)
        size += len(raw) + 1
    if lines:
        payload = b"\n".join(lines)
        yield payload if size <= limits.LOG_PAYLOAD_BYTES else zlib.compress(payload)


def unpack(payload: bytes) -> list[bytes]:
    """The lines of a payload; [] for what nobody here wrote."""
    if payload.startswith(_PACKED):
        try:
            payload = zlib.decompress(payload)
        except zlib.error:
            return []
    return [line for line in payload.split(b"\n") if line]


def _cut(raws: list[bytes]) -> Iterator[list[bytes]]:
    for at in range(0, len(raws), limits.LOG_OPS):
        yield raws[at : at + limits.LOG_OPS]
