"""What an operator makes of holes: ops that are given up, and stored again by whoever has them (docs/rules.md, LOST).

A `lost` op makes a range void everywhere: held, and of no effect. Whoever holds ops of such a range after all stores what they
mean again, under new ids, before it takes the `lost`: so equal vectors show the same, and nothing is lost that a disk still
has. Pure over the state.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from newswire.core import limits
from newswire.core.model.ops import (
    NO_PLACE,
    AccountOp,
    Acknowledged,
    Confirmed,
    Dropped,
    Joined,
    Left,
    Lost,
    Op,
    OpId,
    Published,
    Scheduled,
    Subscribed,
    Unsubscribed,
    Withdrawn,
    with_place,
)
from newswire.core.state.fold import State
from newswire.core.state.op_index import WITHDRAWN
from newswire.core.state.timetable import same_again


class Owed(msgspec.Struct, frozen=True):
    """What of a range that others gave up is held here: offsets of records that can be read, ops that wait behind damage of our
    own, and sequences of ops that are no messages, whose records cannot be read, so that only their effect is left."""

    rows: tuple[int, ...] = ()
    waiting: tuple[Op, ...] = ()
    blind: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rows or self.waiting or self.blind)


def owed(state: State, op: Lost, finished_here: Mapping[str, set[int]]) -> Owed:
    """What of the range is held here and was not stored again yet. `finished_here`: by origin, the sequences that were."""
    if not op.is_valid:
        return Owed()
    log, finished = state.log, finished_here.get(op.source, frozenset[int]())
    sequences = range(op.first, min(op.last, log.held(op.source)) + 1)
    rows = [row for s in sequences if s not in finished and (row := log.row(op.source, s)) is not None]
    apart = {part[0].sequence: part for part in state.open_batches.of.get(op.source, ())}  # a batch that is not whole
    ops = sorted({**apart, **state.holes.waiting.get(op.source, {})}.items())
    return Owed(
        tuple(row for row in rows if row not in log.unreadable),
        tuple(kept for s, (kept, _, _) in ops if op.first <= s <= op.last and s not in finished),
        tuple(log.sequences[row] for row in rows if row in log.unreadable and _has_effect_left(state, row)),
    )


def _has_effect_left(state: State, row: int) -> bool:
    """Whether the op at `row` has done something here beside the text of a message that is shown."""
    return state.log.topics[row] in (0, WITHDRAWN) or row in state.messages.replacements.of


def blindly(state: State, names: Collection[OpId]) -> list[Op]:
    """Drafts that mean what these ops, whose records cannot be read, have left in the state: what they made, and all that any
    op has ended, moved or dropped here, theirs among it."""
    drafts: list[Op] = []
    subscriptions, members = state.subscriptions, state.members
    for name in names:
        sub = subscriptions.alive.get(name)
        if sub is not None:
            since = dict(subscriptions.cursor(sub))
            drafts.append(
                Subscribed(
                    **NO_PLACE,
                    user=sub.user,
                    pattern=sub.pattern,
                    since=since,
                    follows=sub.follows,
                    replaces=(name,),
                    account=sub.account,
                )
            )
        for broker, joined in members.of.items():
            if name in joined:
                drafts.append(Joined(**NO_PLACE, broker=broker, address=joined[name].address, seen=(name,)))
    drafts += [Unsubscribed(**NO_PLACE, ids=ids) for ids in _parts(sorted(subscriptions.removed))]
    drafts += [Acknowledged(**NO_PLACE, ids=(name,), vector=dict(vector)) for name, vector in subscriptions.cursors.items()]
    drafts += [Dropped(**NO_PLACE, topic=topic, vector=dict(horizon)) for topic, horizon in state.messages.horizons.items()]
    drafts += [Withdrawn(**NO_PLACE, ids=ids) for ids in _parts(list(state.messages.withdrawals.names()))]
    drafts += [
        Confirmed(**NO_PLACE, message=name, user=reader.user, account=reader.account, made=time)
        for name, reader, time in state.messages.notices.confirmations()
    ]
    drafts += [
        Left(**NO_PLACE, broker=broker, seen=ids) for broker in members.addresses for ids in _parts(sorted(members.ended))
    ]
    return [*drafts, *state.accounts.blindly(names, _parts)]


def _parts(ids: Sequence[OpId]) -> list[tuple[OpId, ...]]:
    step = limits.ACK_SUBSCRIPTIONS
    return [tuple(ids[at : at + step]) for at in range(0, len(ids), step)]


def again(state: State, op: Op) -> list[Op]:
    """Drafts that mean what `op` means here, under new ids: where it is void they have its effect, else they change nothing."""
    match op:
        case Published():
            row = state.log.row(op.origin, op.sequence)
            if row is not None and not state.log.topics[row]:  # a twin is shown instead, or it is withdrawn
                return [Withdrawn(**NO_PLACE, ids=(op.replaces,))] if op.replaces else []
            return [msgspec.structs.replace(with_place(op, **NO_PLACE), again=op.again or op.id)]
        case Scheduled():
            names = [op.first_id, *state.messages.scheduled_names(op.id)]
            return [] if state.messages.is_spent(names) else [same_again(op)]
        case Subscribed():
            ends: list[Op] = [Unsubscribed(**NO_PLACE, ids=op.replaces)] if op.replaces else []
            if op.id in state.subscriptions.removed:
                return [*ends, Unsubscribed(**NO_PLACE, ids=(op.id,))]
            sub = state.subscriptions.alive.get(op.id)
            since = state.subscriptions.cursor(sub) if sub is not None else op.since
            return [
                *ends,
                Subscribed(
                    **NO_PLACE,
                    user=op.user,
                    pattern=op.pattern,
                    since=dict(since),
                    follows=op.follows,
                    replaces=(op.id,),
                    account=op.account,
                ),
            ]
        case Joined():
            leaves: list[Op] = [Left(**NO_PLACE, broker=op.broker, seen=op.seen)] if op.seen else []
            if op.id in state.members.of.get(op.broker, ()):
                return [*leaves, Joined(**NO_PLACE, broker=op.broker, address=op.address, seen=(op.id,))]
            return [*leaves, Left(**NO_PLACE, broker=op.broker, seen=(op.id,))]
        case Confirmed():
            return [msgspec.structs.replace(op, **NO_PLACE, made=op.made or op.time)]
        case Unsubscribed() | Acknowledged() | Dropped() | Withdrawn() | Left() | Lost():
            return [msgspec.structs.replace(op, **NO_PLACE)]
        case _ if isinstance(op, AccountOp):
            return [state.accounts.again(op)]
        case _:
            return []  # a `began` void: nothing follows from that origin any more
