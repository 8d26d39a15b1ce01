"""The order of a round: take what waits, step, append, sync, `Stored`, apply, tell (docs/architecture.md, One publish).

One piece of code without thread, clock or disk. The engines and the simulator run it, each with `Effects` of its own.
While the disk syncs, the next round's events gather: that is group commit.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from itertools import groupby, takewhile
from typing import Protocol, TypeAlias, cast

import msgspec

from newswire.core import limits
from newswire.core.broker.broker import Broker, stages_only
from newswire.core.broker.events import (
    Action,
    Answer,
    Answered,
    Append,
    CatchUp,
    Connect,
    Disconnect,
    DropParts,
    Event,
    Exit,
    FixClusterId,
    KeepPart,
    Now,
    Recall,
    Received,
    Reply,
    Rewrite,
    Send,
    Stored,
    Submitted,
    Switched,
    Unstored,
    Wake,
)
from newswire.core.model.ops import Op
from newswire.errors import StorageFull

Outward: TypeAlias = (
    Send | Answer | Reply | Wake | Connect | Disconnect | Recall | Rewrite | CatchUp | Switched | KeepPart | DropParts | Exit
)
Phases: TypeAlias = Iterator[None]  # of a round: it stands still where something is written and not synced yet


class Effects(Protocol):
    """What a round does outside of the core. Called by whoever runs the round."""

    def now(self) -> Now:
        """The time of this moment."""
        ...

    def locked(self) -> AbstractContextManager[None]:
        """Hold the state lock, before every reader that waits for it."""
        ...

    def make_way(self) -> None:
        """Let readers that wait have a turn: between two pieces of what is applied."""
        ...

    def roll(self, cluster: str) -> None:
        """Go on in a segment that names `cluster`. StorageFull: still in the old one."""
        ...

    def append(self, ops: Sequence[Op], raws: Sequence[bytes]) -> list[tuple[int, int]]:
        """Write the bytes of these ops; return place and length of each. StorageFull: none of them is in the log."""
        ...

    def sync(self) -> None:
        """Make all that was appended durable. StorageFull: none of it is in the log."""
        ...

    def before_apply(self, places: Sequence[tuple[int, int]]) -> None:
        """Note that what lies at `places` is applied next; all of it is stored. Under the state lock."""
        ...

    def after_apply(self, places: Sequence[tuple[int, int]], ops: Sequence[Op], raws: Sequence[bytes]) -> None:
        """Note that these were applied, or kept apart, and lie at `places`. Under the state lock."""
        ...

    def execute(self, action: Outward) -> None:
        """Do what is neither the log's nor the state's, or hand it to the thread that does; returns at once.

        Of all actions only a `Wake` may come under the state lock.
        """
        ...


class GroupCommit:
    """Runs the rounds of a broker: the only writer of its state and log. One thread at a time."""

    def __init__(self, broker: Broker, effects: Effects) -> None:
        self.broker, self._effects = broker, effects
        self._left: list[Append | FixClusterId] = []  # for the next round

    def begin(self) -> Phases:
        """Open the run: `began` is stored when this ends."""
        with self._effects.locked():
            actions = self.broker.begin(self._effects.now())
        yield from self._store_all(self._execute(actions))

    @property
    def has_more(self) -> bool:
        """Whether another round has something to store, whatever comes: it goes with what has come meanwhile."""
        return bool(self._left) or self.broker.has_batch

    def run(self, events: Iterable[Event]) -> Phases:
        """One round: one sync at most. Nothing of it is told before it is stored, whoever stops where this stands still."""
        to_store, self._left = self._left, []
        for may_gather, group in groupby(events, stages_only):
            if may_gather:
                to_store += self._execute(self._stage(group))
            else:
                for event in group:
                    to_store += self._execute(self._step(event))
        if self.broker.stores_batches:
            now = self._effects.now()
            self.broker.stage_batch(now)
            with self._effects.locked():
                actions = self.broker.finish_stage(now)
            to_store += self._execute(actions)
        yield from self._store_all(to_store)

    def _stage(self, events: Iterable[Event]) -> list[Action]:
        """Stage what follows each other and `stages_only`, as one: what a step ends with is done once."""
        now = self._effects.now()
        self.broker.stage(cast("Iterable[Submitted]", events), now)
        with self._effects.locked():
            return self.broker.finish_stage(now)

    def _step(self, event: Event) -> list[Action]:
        now = self._effects.now()
        if isinstance(event, (Received, Answered)):
            event = self._take_ahead(event, now)
        with self._effects.locked():
            return self.broker.step(event, now)

    def _take_ahead(self, event: Received | Answered, now: Now) -> Received | Answered:
        """Take all but the last piece of what a large push or answer brings: readers get in between two. Returns the rest."""
        at, part = 0, event.header.offer.count if event.header.offer is not None else 0  # the last ones: taken together
        while len(event.raws) - part - at > limits.PIECE_OPS:
            with self._effects.locked():
                if not self.broker.take_piece(event, event.raws[at : at + limits.PIECE_OPS], now):
                    break
            at += limits.PIECE_OPS
            self._effects.make_way()
        return msgspec.structs.replace(event, raws=event.raws[at:]) if at else event

    def _execute(self, actions: Iterable[Action]) -> list[Append | FixClusterId]:
        """Do what is not for the disk; return what is."""
        to_store: list[Append | FixClusterId] = []
        for action in actions:
            if isinstance(action, (Append, FixClusterId)):
                to_store.append(action)
            else:
                self._effects.execute(action)
        return to_store

    def _store_all(self, to_store: list[Append | FixClusterId]) -> Phases:
        if to_store:
            self._left = self._execute((yield from self._store(to_store)))

    def _store(self, to_store: Sequence[Append | FixClusterId]) -> Generator[None, None, list[Action]]:
        """Write, sync, apply; return what is to be told."""
        ops = [op for action in to_store if isinstance(action, Append) for op in action.ops]
        raws = [raw for action in to_store if isinstance(action, Append) for raw in action.raws]
        places: list[tuple[int, int]] | None = None
        named = False
        with suppress(StorageFull):
            for action in to_store:
                if isinstance(action, FixClusterId):
                    self._effects.roll(action.cluster)
                    named = True
            written = self._effects.append(ops, raws)
            yield
            self._effects.sync()
            places = written
        if places is None:
            return self._step(Unstored(named))
        return self._apply(places, ops, raws)

    def _apply(self, places: Sequence[tuple[int, int]], ops: Sequence[Op], raws: Sequence[bytes]) -> list[Action]:
        """Apply what is stored, in pieces: readers get in between two, and see the batch as far as it is applied."""
        actions: list[Action] = []
        for at in range(0, len(places) or 1, limits.PIECE_OPS):
            end = at + limits.PIECE_OPS
            if at:
                self._effects.make_way()
            more = end < len(places)
            actions += self._apply_piece(Stored(places[at:end], more=more), ops[at:end], raws[at:end])
            while self.broker.is_applying:
                self._effects.make_way()
                actions += self._apply_piece(Stored((), more=more), (), ())
        return actions

    def _apply_piece(self, event: Stored, ops: Sequence[Op], raws: Sequence[bytes]) -> list[Action]:
        """Tell streams before anyone can read what is applied; return what else is to be told.

        An id read beyond a new subscription would speak for it (docs/rules.md, REOPEN).
        """
        with self._effects.locked():
            self._effects.before_apply(event.places)
            actions = self.broker.step(event, self._effects.now())
            self._effects.after_apply(event.places, ops, raws)
            wakes = list(takewhile(lambda action: isinstance(action, Wake), actions))
            self._execute(wakes)
        return actions[len(wakes) :]
