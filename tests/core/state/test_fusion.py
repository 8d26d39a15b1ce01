"""Logs alone, without brokers: compacted each by itself and merged in any order, they come to say what all the ops say."""

from __future__ import annotations

from random import Random
from typing import Any
from unittest.mock import patch

import pytest

from newswire.core.model.ops import (
    Acknowledged,
    Began,
    Confirmed,
    Dropped,
    Op,
    Published,
    Subscribed,
    Unsubscribed,
    Withdrawn,
    decode,
    encode,
)
from newswire.core.read.reports import shown_row
from newswire.core.state.fold import State
from newswire.core.state.leave_out import LeaveOut
from newswire.core.state.op_index import SILENT, VOID
from newswire.core.state.prefix import Base
from newswire.core.state.rewriting import Rewriting
from tests.kit.rewriting import rewrite

ORIGINS = ("1001-a", "1002-b", "1003-c")
TOPICS = ("news", "sport")


def history(rng: Random) -> dict[str, list[Op]]:
    """Of each origin its ops. What they name may be of any other, and come later or never where it is read."""
    ops: dict[str, list[Op]] = {origin: [Began(origin, 1, 0, origin.partition("-")[0])] for origin in ORIGINS}
    subs: list[str] = []
    messages: list[str] = []
    notices: list[Published] = []
    acks: list[tuple[tuple[str, ...], dict[str, int]]] = []
    for _ in range(rng.randint(10, 40)):
        origin = rng.choice(ORIGINS)
        place: dict[str, Any] = {"origin": origin, "sequence": len(ops[origin]) + 1, "time": rng.randint(0, 9)}
        vector = {one: rng.randint(1, len(mine)) for one, mine in ops.items() if rng.random() < 0.7}
        some = tuple(rng.sample(subs, min(len(subs), rng.randint(1, 2))))
        match rng.choice("mmmmnessuaaaadwcc"):
            case "m":
                op: Op = Published(**place, topic=rng.choice(TOPICS), data="x")
                messages.append(op.id)
            case "n":
                op = Published(**place, topic=rng.choice((*TOPICS, "alarm")), data="x", confirm=9)
                notices.append(op)
            case "e":  # of what stays: a message about one that is void somewhere may be shown there once more (TWINS)
                names = [one.id for one in notices if one.topic == "alarm"] or [""]
                op = Published(**place, topic=rng.choice(TOPICS), data="x", about=rng.choice(names))
            case "c":
                op = Confirmed(**place, message=rng.choice([*[one.id for one in notices], "1001-a.99"]), user="ann")
            case "s":
                replaces = some[:1] if rng.random() < 0.4 else ()
                op = Subscribed(**place, user="ann", pattern=rng.choice(TOPICS), replaces=replaces)
                subs.append(op.id)
            case "u":
                op = Unsubscribed(**place, ids=some)
            case "a":
                if not acks or rng.random() < 0.4:
                    acks.append((some, vector))
                ids, reach = acks[-1]  # brokers are often told the same
                op = Acknowledged(**place, ids=ids, vector=reach)
            case "d":
                op = Dropped(**place, topic=rng.choice(TOPICS), vector=vector)
            case _:
                op = Withdrawn(**place, ids=tuple(rng.sample(messages, min(len(messages), 1))))
        ops[origin].append(op)
    return ops


class Log:
    """One log, and the state that it is folded to."""

    def __init__(self, raws: list[bytes]) -> None:
        self.raws, self.state = raws, State()
        self.state.replay([(decode(raw), place, len(raw)) for place, raw in enumerate(raws)])

    def take(self, ops: dict[str, list[Op]], rng: Random) -> Log:
        """With a few more ops of some origin."""
        origin = rng.choice(ORIGINS)
        held = self.state.log.held(origin)
        return Log([*self.raws, *map(encode, ops[origin][held : held + rng.randint(1, 4)])])

    def compact(self) -> Log:
        """Compacted by itself: of all that it holds."""
        return Log(rewrite(Rewriting(self.state, Base([self.state.log.full])), self.state, self.raws))

    def adopt(self, other: Log) -> Log:
        """With all that the other holds."""
        log, mine = other.state.log, self.state.log
        columns = zip(log.origins, log.sequences, log.topics, strict=True)
        rows = [
            row
            for row, (number, sequence, topic) in enumerate(columns)
            if topic in (VOID, SILENT) or sequence > mine.held(log.names[number])
        ]
        part = [other.raws[row] for row in rows]
        job = Rewriting(self.state, Base(()), (), list(log.voids()), dict(other.state.vector))
        return Log(rewrite(job, self.state, self.raws, [part]))


def says(state: State) -> tuple[object, ...]:
    """What a state means: what is shown, who has which subscription, and how far each is delivered."""
    messages, subscriptions = state.messages, state.subscriptions
    shown = sorted(
        messages.name(row)
        for number, columns in enumerate(messages.sequences)
        for origin, sequences in columns.items()
        for sequence in sequences
        if (row := state.log.row(origin, sequence)) is not None and not messages.is_dropped(number, row)
    )
    cursors = {name: dict(state.lineage.expand(subscriptions.cursor(sub))) for name, sub in subscriptions.alive.items()}
    confirmed = sorted(
        (name, reader, time)
        for name, reader, time in messages.notices.confirmations()
        if (row := shown_row(state, name)) is not None and row in messages.notices.of
    )
    return shown, confirmed, cursors, [sub.id for sub in subscriptions.awake_of("ann")]


def merge_goes_wrong(seed: int) -> bool:
    """Merge the logs of one history in some order; say whether some log says at the end what the ops do not."""
    rng = Random(seed)
    ops = history(rng)
    plain = Log([encode(op) for mine in ops.values() for op in mine])
    logs = [Log([]) for _ in range(3)]
    for _ in range(40):
        at = rng.randrange(3)
        other = logs[rng.choice([one for one in range(3) if one != at])]
        match rng.choice("tttcca"):
            case "t":
                logs[at] = logs[at].take(ops, rng)
            case "c":
                logs[at] = logs[at].compact()
            case _:
                logs[at] = logs[at].adopt(other)
    for origin in ORIGINS:
        for at in range(3):
            held = logs[at].state.log.held(origin)
            logs[at] = Log([*logs[at].raws, *map(encode, ops[origin][held:])])
    for _ in range(2):
        for at in range(3):
            logs[at] = logs[at].adopt(logs[(at + 1) % 3]).adopt(logs[(at + 2) % 3])
    return any(says(log.state) != says(plain.state) for log in logs)


def test_merged_logs_say_what_all_their_ops_say() -> None:
    assert [seed for seed in range(80) if merge_goes_wrong(seed)] == []


def removal_early(choice: LeaveOut) -> Any:
    """An unsubscribe goes though its subscription may come late."""
    yield from subscriptions(choice)
    for row, op in choice.prefix.ops.items():
        if isinstance(op, Unsubscribed):
            choice.left[row] = 1


def horizon_early(choice: LeaveOut) -> None:
    """A drop goes though what it covers may come late."""
    for row, op in choice.prefix.ops.items():
        if isinstance(op, Dropped):
            choice.left[row] = 1


def in_log_order(choice: LeaveOut, kind: type[Op]) -> list[Op]:
    """Later is what stands later in this log."""
    return [op for op in choice.prefix.ops.values() if isinstance(op, kind)][::-1]


subscriptions = LeaveOut._leave_subscriptions


@pytest.mark.parametrize(
    ("name", "bug"),
    [("_leave_subscriptions", removal_early), ("_leave_drops", horizon_early), ("_newest_first", in_log_order)],
)
def test_a_rule_that_blames_what_may_not_be_there_is_found(name: str, bug: Any) -> None:
    with patch.object(LeaveOut, name, bug):
        assert any(merge_goes_wrong(seed) for seed in range(300))
