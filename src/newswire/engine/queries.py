"""The named queries of `seam.Engine` over the core's state, for every engine that folds one. Any thread may call them.

Each runs in pieces, and holds the state lock for one piece at a time (docs/rules.md, QUERIES); texts are read outside it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from heapq import nsmallest
from typing import TypeVar

import msgspec

from newswire.core import limits
from newswire.core.access import Principal, Rights
from newswire.core.model import ops
from newswire.core.model.coverage import Coverage, read, write
from newswire.core.model.event_ids import EventId
from newswire.core.model.forecasts import ArrivalPlace, Arrivals, Past
from newswire.core.model.ops import Op, OpId, Published, Scheduled
from newswire.core.model.results import (
    Account,
    AuditRow,
    DeliveryReport,
    GrantRow,
    Page,
    Position,
    Start,
    SubscriptionRow,
    TokenRow,
    TopicRow,
)
from newswire.core.read import arrivals
from newswire.core.read.accounts import account_row, account_rows, grant_rows, token_row, token_rows
from newswire.core.read.audit import audit_places, audit_rows
from newswire.core.read.counts import subscription_rows, topic_rows
from newswire.core.read.older import read_older
from newswire.core.read.pages import ReadPosition
from newswire.core.read.pieces import Pieces
from newswire.core.read.reports import confirmed_at, delivery_report
from newswire.core.read.scan import Due, read_on
from newswire.core.read.start import Opening, Recipient, find_recipient, page_opening, stream_opening, topics_opening
from newswire.core.state.fold import State
from newswire.engine.caches import Newest

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

    @abstractmethod
    def _records(self, places: Sequence[tuple[int, int]]) -> Sequence[bytes | None]:
        """The bytes of each record, None for one that cannot be read."""

    @abstractmethod
    def _wall(self) -> int:
        """The time of day, ms since 1970."""

    def patterns_of(self, user: str, by: Principal | None = None) -> tuple[str, ...]:
        """See `seam.Engine`."""
        now = self._wall()

        def query(state: State) -> tuple[str, ...]:
            recipient = find_recipient(state.accounts, user, by, now)
            if recipient is None:
                return ()
            patterns = state.patterns_of(user, recipient.account)
            return patterns if recipient.rights is None else tuple(one for one in patterns if recipient.parts(one))

        return self._read(query)

    def subscriptions_of(self, user: str, by: Principal | None = None) -> list[SubscriptionRow]:
        """See `seam.Engine`."""
        now = self._wall()

        def query(state: State) -> Pieces[list[SubscriptionRow]]:
            recipient = find_recipient(state.accounts, user, by, now)
            return (yield from subscription_rows(state, recipient)) if recipient is not None else []

        return self._query(query)

    def topics(self, now: int, take: Callable[[list[TopicRow]], object], by: Principal | None = None) -> None:
        """See `seam.Engine`."""
        latest = now + limits.CLOCK_SKEW_SECONDS * 1000
        rights = self.rights(by) or Rights() if by is not None else None
        self._query(lambda state: topic_rows(state, latest, take, rights))

    def open_stream(self, user: str, event_id: EventId | None, by: Principal | None = None) -> Start | None:
        """See `seam.Engine`."""
        coverage, now = read(event_id) if event_id is not None else None, self._wall()

        def query(state: State) -> Pieces[Start | None]:
            recipient = find_recipient(state.accounts, user, by, now)
            if recipient is None:
                return None
            return _start(recipient, (yield from stream_opening(state, recipient, coverage)))

        return self._query(query)

    def open_page(
        self, user: str, topic: str | None, since: EventId | int | None, now: int, by: Principal | None = None
    ) -> Start | None:
        """See `seam.Engine`."""
        coverage = read(since) if isinstance(since, EventId) else since

        def query(state: State) -> Pieces[Start | None]:
            recipient = find_recipient(state.accounts, user, by, now)
            if recipient is None:
                return None
            return _start(recipient, (yield from page_opening(state, recipient, topic, coverage, now)))

        return self._query(query)

    def open_topics(
        self, topics: Sequence[str], since: EventId | str | int | None = None, by: Principal | None = None
    ) -> Start | None:
        """See `seam.Engine`."""
        place, now = read(since) if isinstance(since, EventId) else since, self._wall()

        def query(state: State) -> Pieces[Start | None]:
            rights = state.accounts.rights(by, now) if by is not None else None
            if by is not None and (rights is None or by.feed):  # a ticket is for a user's news alone
                return None
            event_id = write(Coverage("", dict(state.vector))) if since is None else None
            opening = yield from topics_opening(state, rights, topics, place, now)
            if opening is None:
                return None
            return Start(ReadPosition(opening.position, opening.wanted), opening.wanted.patterns, event_id=event_id)

        return self._query(query)

    def delivery_report(self, name: OpId, by: Principal | None = None) -> DeliveryReport | None:
        """See `seam.Engine`."""
        now = self._wall()
        report = self._query(lambda state: delivery_report(state, name, now))
        if report is None or by is None:
            return report
        return report if self._own(report.place, report.time, by, now) is not None else None

    def own_message(self, name: OpId, by: Principal | None = None) -> Published | Scheduled | None:
        """See `seam.Engine`."""

        def query(state: State) -> tuple[tuple[int, int], int] | None:
            row = state.log.row(*ops.split_op_id(name))
            return None if row is None else ((state.log.places[row], state.log.lengths[row]), state.log.times[row])

        found = self._read(query)
        return None if found is None else self._own(*found, by, self._wall())

    def _own(self, place: tuple[int, int], time: int, by: Principal | None, now: int) -> Published | Scheduled | None:
        """The message whose record lies there, stamped at `time`, if `by` is its publisher who may know of it, or an admin."""
        (raw,) = self._records([place])
        op = ops.decode(raw) if raw is not None else None
        if not isinstance(op, Published | Scheduled):
            return None
        publisher, topic = op.publisher, op.topic

        def is_theirs(state: State) -> bool:
            if by is None:
                return True
            rights = state.accounts.rights(by, now)
            if rights is None or by.feed:
                return False
            if rights.admin:
                return True
            user = state.accounts.users.get(by.account)  # a later user of a name inherits nothing
            is_publisher = user is not None and user.name == publisher and user.time <= time
            return is_publisher and rights.may_see(topic)  # a token may be narrower than its user

        return op if self._read(is_theirs) else None

    def not_shown(self, names: Sequence[OpId]) -> tuple[frozenset[OpId], frozenset[OpId]]:
        """See `seam.Engine`."""

        def query(state: State) -> tuple[frozenset[OpId], frozenset[OpId]]:
            messages = state.messages
            waiting = frozenset(name for name in names if messages.waiting_as(name) is not None)
            return waiting, frozenset(filter(messages.is_withdrawn, names))

        return self._read(query)

    def scheduled(
        self,
        publisher: str | None,
        most: int,
        account: OpId = "",
        by: Principal | None = None,
        after: tuple[int, OpId] | None = None,
    ) -> list[Scheduled]:
        """See `seam.Engine`."""
        now = self._wall()

        def order(due: int, name: OpId) -> tuple[int, str, int]:
            return due, *ops.split_op_id(name)

        place = (-1, "", 0) if after is None else order(*after)

        def query(state: State) -> list[Scheduled]:
            timetable = state.messages.timetable
            rows = timetable.waiting if publisher is None else timetable.rows_of.get(publisher, ())
            mine: Iterable[Scheduled] = map(timetable.waiting.__getitem__, rows)
            if publisher is not None:
                mine = (op for op in mine if op.account == account)
            rights = Rights(admin=True) if by is None else state.accounts.rights(by, now) or Rights()
            if not rights.admin:  # a token may be narrower than its user
                mine = (op for op in mine if rights.may_see(op.topic))
            if after is not None:
                mine = (op for op in mine if order(op.due, op.id) > place)
            return nsmallest(most, mine, key=lambda op: order(op.due, op.id))

        return self._read(query)

    def confirmed_at(self, name: OpId, user: str, by: Principal | None = None) -> int | None:
        """See `seam.Engine`."""
        now = self._wall()

        def query(state: State) -> int | None:
            recipient = find_recipient(state.accounts, user, by, now)
            return None if recipient is None else confirmed_at(state, name, recipient, now)

        return self._read(query)

    # -- access

    def account(self, name: str) -> Account | None:
        """See `seam.Engine`."""
        return self._read(lambda state: account_row(state.accounts, name))

    def accounts(self) -> list[Account]:
        """See `seam.Engine`."""
        return self._query(account_rows)

    def token(self, digest: str) -> TokenRow | None:
        """See `seam.Engine`."""
        return self._read(lambda state: token_row(state.accounts, digest))

    def tokens(self, name: str | None) -> list[TokenRow]:
        """See `seam.Engine`."""
        return self._query(lambda state: token_rows(state, name))

    def grants(self, who: str | None) -> list[GrantRow]:
        """See `seam.Engine`."""
        return self._query(lambda state: grant_rows(state, who))

    def has_admin(self) -> bool:
        """See `seam.Engine`."""
        return self._read(lambda state: state.accounts.has_admin)

    def rights(self, by: Principal) -> Rights | None:
        """See `seam.Engine`."""
        now = self._wall()
        return self._read(lambda state: state.accounts.rights(by, now))

    def audit(self, since: int | None, limit: int) -> list[AuditRow]:
        """See `seam.Engine`."""
        places = self._query(lambda state: audit_places(state, since, limit))
        records = [ops.decode(raw) for raw in self._records(places) if raw is not None] if places else []
        return self._read(lambda state: audit_rows(state.accounts, records))

    # -- counts of messages

    def arrivals(self, since: ArrivalPlace | None, oldest: int) -> Arrivals:
        """See `seam.Engine`."""
        return self._query(lambda state: arrivals.arrivals(state, since, oldest))

    def past(self, now: int) -> Past:
        """See `seam.Engine`."""
        return self._query(lambda state: arrivals.past(state, now))

    # -- pages

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

    def older_page(self, at: Position, before: EventId | int | None, limit: int) -> Page:
        """See `seam.Engine`. What cannot be read is left out."""
        assert isinstance(at, ReadPosition), "a position of another engine"
        place, now = read(before) if isinstance(before, EventId) else before, self._wall()
        plan = self._query(lambda state: read_older(state, at.log, at.wanted, place, now, limit))
        texts = self._texts(plan.dues)
        items = tuple(item for item, text in zip(plan.items, texts, strict=True) if text is not None)
        return msgspec.structs.replace(plan, items=items).page([text for text in texts if text is not None], at.wanted)


def _start(recipient: Recipient, opening: Opening | None) -> Start | None:
    if opening is None:
        return None
    position, patterns = ReadPosition(opening.position, opening.wanted), opening.wanted.patterns
    return Start(position, patterns, recipient.account, more=opening.more)


def read_texts(dues: Sequence[Due], cache: Newest[Op], fetch: Fetch) -> list[Published | None]:
    """The message of each, from `cache` or else by `fetch`, which gives None for a record that it cannot read."""
    newest = ((due.row, cache.get(due.place)) for due in dues)
    texts = {row: op if isinstance(op, Published) else None for row, op in newest}
    missing = [due for due in dues if texts[due.row] is None]
    for due, raw in zip(missing, fetch([(due.place, due.length) for due in missing]) if missing else (), strict=True):
        op = ops.decode(raw) if raw is not None else None
        if op is not None and not isinstance(op, Published):
            raise ValueError(f"the record at offset {due.row} is no message any more")
        texts[due.row] = op
    return [texts[due.row] for due in dues]
