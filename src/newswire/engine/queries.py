"""The named queries of `seam.Engine` over the core's state, for every engine that folds one. Any thread may call them.

Each runs in pieces, and holds the state lock for one piece at a time (docs/rules.md, QUERIES); texts are read outside it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from newswire.core import limits
from newswire.core.model import ops
from newswire.core.model.coverage import read
from newswire.core.model.event_ids import EventId
from newswire.core.model.ops import Published
from newswire.core.model.results import Page, Position, Start, SubscriptionRow, TopicRow
from newswire.core.read.counts import subscription_rows, topic_rows
from newswire.core.read.pages import ReadPosition
from newswire.core.read.pieces import Pieces
from newswire.core.read.scan import Due, read_on
from newswire.core.read.start import Opening, page_opening, stream_opening
from newswire.core.state.fold import State
from newswire.engine.caches import MessageCache

T = TypeVar("T")
Fetch = Callable[[Sequence[tuple[int, int]]], Sequence[bytes | None]]


class StateQueries(ABC):
    """What an engine inherits that says how a query is run, and how texts are read."""

    @abstractmethod
    def _read(self, query: Callable[[State], T]) -> T:
        """Run a query of one piece under the state lock."""

    @abstractmethod
    def _query(self, query: Callable[[State], Pieces[T]]) -> T:
        """Run a query piece by piece, the state lock let go after each."""

    @abstractmethod
    def _texts(self, dues: Sequence[Due]) -> Sequence[Published | None]:
        """The message of each, None for one whose record cannot be read."""

    def patterns_of(self, user: str) -> tuple[str, ...]:
        """See `seam.Engine`."""
        return self._read(lambda state: state.patterns_of(user))

    def subscriptions_of(self, user: str) -> list[SubscriptionRow]:
        """See `seam.Engine`."""
        return self._query(lambda state: subscription_rows(state, user))

    def topics(self, now: int, take: Callable[[list[TopicRow]], object]) -> None:
        """See `seam.Engine`."""
        self._query(lambda state: topic_rows(state, now + limits.CLOCK_SKEW_SECONDS * 1000, take))

    def open_stream(self, user: str, event_id: EventId | None) -> Start | None:
        """See `seam.Engine`."""
        coverage = read(event_id) if event_id is not None else None
        return _start(self._query(lambda state: stream_opening(state, user, coverage)))

    def open_page(self, user: str, topic: str | None, since: EventId | int | None, now: int) -> Start | None:
        """See `seam.Engine`."""
        coverage = read(since) if isinstance(since, EventId) else since
        return _start(self._query(lambda state: page_opening(state, user, topic, coverage, now)))

    def next_page(self, at: Position, limit: int) -> Page:
        """See `seam.Engine`.

        A page ends before what cannot be read; the stream goes on when the core has healed that, or it was given up.
        """
        assert isinstance(at, ReadPosition), "a position of another engine"
        unreadable: frozenset[int] = frozenset()
        while True:
            plan = self._query(partial(read_on, at=at.log, wanted=at.wanted, limit=limit, unreadable=unreadable))
            texts = self._texts(plan.dues)
            bad = {due.row for due, text in zip(plan.dues, texts, strict=True) if text is None}
            if not bad:
                return plan.page([text for text in texts if text is not None], at.wanted)
            unreadable |= bad


def _start(opening: Opening | None) -> Start | None:
    if opening is None:
        return None
    return Start(ReadPosition(opening.position, opening.wanted), opening.wanted.patterns)


def read_texts(dues: Sequence[Due], cache: MessageCache, fetch: Fetch) -> list[Published | None]:
    """The message of each, from `frames` or else by `fetch`, which gives None for a record that it cannot read."""
    texts = {due.row: cache.get(due.place) for due in dues}
    missing = [due for due in dues if texts[due.row] is None]
    for due, raw in zip(missing, fetch([(due.place, due.length) for due in missing]) if missing else (), strict=True):
        op = ops.decode(raw) if raw is not None else None
        if op is not None and not isinstance(op, Published):
            raise ValueError(f"the record at offset {due.row} is no message any more")
        texts[due.row] = op
    return [texts[due.row] for due in dues]
