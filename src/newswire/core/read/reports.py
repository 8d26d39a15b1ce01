"""Who has got a message, and who has confirmed it, in pieces (docs/rules.md, CONFIRM, QUERIES). Pure over the state."""

from __future__ import annotations

from collections.abc import Sequence

from newswire.core import limits
from newswire.core.access import Principal
from newswire.core.model.names import matches
from newswire.core.model.ops import OpId, split_op_id
from newswire.core.model.results import DeliveryReport, ReaderRow
from newswire.core.read.pieces import Pieces
from newswire.core.read.start import Recipient
from newswire.core.state.fold import State
from newswire.core.state.notices import Addressee
from newswire.core.state.op_index import MARKS
from newswire.core.state.subscriptions import Subscription


def shown_row(state: State, name: OpId) -> int | None:
    """The row at which the message of this id is shown; None: there is none yet, or none any more.

    One that was scheduled has the id of that, too.
    """
    messages = state.messages
    row = state.log.row(*split_op_id(name))
    if row is not None and row in messages.timetable.names:
        row = messages.row_of_release(name)
    first = messages.twins.first_row(row) if row is not None else 0
    number = state.log.topics[first]
    return None if row is None or number in MARKS or messages.is_dropped(number, first) else first


class Readership:
    """For whom a message is: the readers whose subscriptions it is due to, and to whom of them it was delivered.

    A subscription counts that is there still, and was there when the message was published: by the order of their origin, or
    by their stamps where they come from two.
    """

    def __init__(self, state: State, row: int, now: int) -> None:
        """`row`: where it is shown. `now`: ms since 1970, for rights that expire."""
        self.state, self.row, self.now = state, row, now
        self._latest = now + limits.CLOCK_SKEW_SECONDS * 1000  # later stamps are of a clock that was ahead
        log = state.log
        self.topic = state.messages.names[log.topics[row]]
        rows = [twin.row for twin in state.messages.twins.of(row)] or [row]
        self.places = [(log.names[log.origins[one]], log.sequences[one], log.times[one]) for one in rows]
        self.delivered: dict[Addressee, bool] = {}
        self._may: dict[OpId, bool] = {}

    def look(self) -> Pieces[None]:
        """Go through all subscriptions."""
        for count, sub in enumerate(list(self.state.subscriptions.alive.values()), 1):
            if self.has(sub):
                reader = Addressee(sub.user, sub.account)
                self.delivered[reader] = self.delivered.get(reader, False) or self._is_delivered(sub)
            if count % limits.PIECE_SUBSCRIPTIONS == 0:
                yield None

    def has(self, sub: Subscription) -> bool:
        """Say whether the message is due to `sub`."""
        lineage = self.state.lineage
        return (
            matches(sub.pattern, self.topic)
            and self._may_read(sub.account)
            and any(self._was_there(sub, *place) for place in self.places)
            and not any(lineage.covers(sub.since, origin, sequence) for origin, sequence, _ in self.places)
        )

    def _is_delivered(self, sub: Subscription) -> bool:
        cursor, covers = self.state.subscriptions.cursor(sub), self.state.lineage.covers
        return any(covers(cursor, origin, sequence) for origin, sequence, _ in self.places)

    def _was_there(self, sub: Subscription, origin: str, sequence: int, time: int) -> bool:
        covers = self.state.lineage.covers
        if sub.origin == origin:
            return sub.sequence < sequence
        if covers({origin: 1}, sub.origin, sub.sequence):
            return True  # that run began on it
        return not covers({sub.origin: 1}, origin, sequence) and (sub.time <= time or sub.time > self._latest)

    def _may_read(self, account: OpId) -> bool:
        if account and account not in self._may:
            rights = self.state.accounts.rights(Principal(account), self.now)
            self._may[account] = rights is not None and rights.may("subscribe", self.topic)
        return not account or self._may[account]


def is_reader(state: State, row: int, user: str, account: OpId, now: int) -> bool:
    """Say whether the message at `row` is due to a subscription of `user`. One piece."""
    readership = Readership(state, row, now)
    return any(map(readership.has, state.subscriptions.alive_of(user, account)))


def delivery_report(state: State, name: OpId, now: int) -> Pieces[DeliveryReport | None]:
    """Who has got the message of this id, by name; None: there is no such message."""
    row = shown_row(state, name)
    if row is None:
        return None
    readership = Readership(state, row, now)
    yield from readership.look()
    messages = state.messages
    confirmed = messages.notices.confirmed(messages.ids(row))
    states = {reader: ReaderRow(reader.user, "delivered" if yes else "pending") for reader, yes in readership.delivered.items()}
    states |= {reader: ReaderRow(reader.user, "confirmed", at) for reader, at in confirmed.items()}
    place = (state.log.places[row], state.log.lengths[row])
    rows = tuple(states[reader] for reader in sorted(states))
    name = messages.name(row)
    return DeliveryReport(id=name, topic=readership.topic, time=state.log.times[row], place=place, readers=rows)


def confirmed_at(state: State, name: OpId, recipient: Recipient, now: int) -> int | None:
    """When the recipient confirmed the message of this id (ms since 1970); 0: not yet. One piece.

    None: there is no such message, or it is not due to him, or he may not read it.
    """
    row = shown_row(state, name)
    if row is None:
        return None
    messages, rights = state.messages, recipient.rights
    if rights is not None and not rights.may("subscribe", messages.names[state.log.topics[row]]):
        return None
    at = messages.notices.confirmed(messages.ids(row)).get(Addressee(recipient.user, recipient.account), 0)
    return at if at or is_reader(state, row, recipient.user, recipient.account, now) else None


def missing_of(readership: Readership) -> Sequence[Addressee]:
    """Who of those whom `look` found has not confirmed the message, by name."""
    messages = readership.state.messages
    confirmed = messages.notices.confirmed(messages.ids(readership.row))
    return sorted(reader for reader in readership.delivered if reader not in confirmed)
