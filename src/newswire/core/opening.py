"""Where a reader begins: DESIGN 4, OPEN and `speaks`. Pure over the state; run it through `engine.read`."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

import msgspec

from newswire.core.event_id import EventId
from newswire.core.reading import Position, Wanted, as_items
from newswire.core.state import State
from newswire.core.subscriptions import Subscription
from newswire.core.topics import matches
from newswire.core.vector import Vector


class Opening(msgspec.Struct, frozen=True):
    """Where to read on and what is wanted: hand both to `engine.follow`."""

    position: Position
    wanted: Wanted


def speaks(state: State, event_id: EventId, sub: Subscription) -> bool:
    """Say whether the broker that made `event_id` knew of `sub`: D covers its op, or K does.

    An id minted before its broker knew of a subscription says nothing about it.
    """
    return state.lineage.covers(event_id.after, sub.origin, sub.sequence) or state.lineage.covers(
        event_id.opened, sub.origin, sub.sequence
    )


def to_acknowledge(state: State, user: str, event_id: EventId, pattern: str | None) -> list[Subscription]:
    """ACK(u, id, p?): the subscriptions whose cursors `event_id` moves, decided now, never when folded."""
    return [
        sub
        for sub in state.subscriptions.alive_of(user)
        if (pattern is None or sub.pattern == pattern)
        and speaks(state, event_id, sub)
        and not state.lineage.covers_all(state.subscriptions.cursor(sub), event_id.after)
    ]


def open_stream(state: State, user: str, event_id: EventId | None) -> Opening | None:
    """OPEN(u, id): what is known of each awake subscription and the first record that one does not cover.

    The client's word beats the cursor: a proxy's kernel may have confirmed what the client never got. None: nothing is
    awake, refuse.
    """
    known: list[tuple[str, Vector]] = []
    for sub in state.subscriptions.awake_of(user):
        if event_id is not None and speaks(state, event_id, sub):
            known.append((sub.pattern, state.lineage.join(sub.since, event_id.after)))
        else:
            known.append((sub.pattern, state.subscriptions.cursor(sub)))
    return _open(state, known) if known else None


def open_page(state: State, user: str, topic: str | None, since: EventId | int | None) -> Opening | None:
    """What `GET /messages` reads: of the user's subscriptions (of those that match `topic`) all after `since`.

    `since`: an event id, a time in ms (0: the earliest), None: the cursors. None: not subscribed to that.
    """
    known: list[tuple[str, Vector]] = []
    for sub in state.subscriptions.awake_of(user):
        pattern = _narrow(sub.pattern, topic)
        if pattern is not None:
            known.append((pattern, _since(state, sub, since)))
    return _open(state, known) if known else None


def _narrow(pattern: str, topic: str | None) -> str | None:
    if topic is None or topic == pattern:
        return pattern
    return topic if matches(pattern, topic) else None


def _since(state: State, sub: Subscription, since: EventId | int | None) -> Vector:
    if since is None:
        return state.subscriptions.cursor(sub)
    if isinstance(since, int):
        return state.log.before(since) if since else {}
    return since.after


def _open(state: State, known: Iterable[tuple[str, Vector]]) -> Opening:
    items = sorted({(pattern, as_items(vector)) for pattern, vector in known})
    offset = min(_first_due(state, pattern, dict(vector)) for pattern, vector in items)
    opened = as_items(state.vector)  # K, the own synced vector; `follow` leaves it out where D covers it
    wanted = Wanted(tuple(pattern for pattern, _ in items), tuple(vector for _, vector in items))
    return Opening(Position(offset, opened), wanted)


def _first_due(state: State, pattern: str, known: Vector) -> int:
    """The offset of the first message of `pattern` that `known` does not cover; the end of the log for none."""
    full = state.lineage.expand(known)
    log, first = state.log, len(state.log)
    for number in state.messages.matching(pattern):
        for origin, sequences in state.messages.sequences[number].items():
            index = bisect_right(sequences, full.get(origin, 0))
            if index < len(sequences):
                first = min(first, log.offsets_of[log.numbers[origin]][sequences[index] - 1])
    return first
