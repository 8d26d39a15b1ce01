"""When a log is written anew, and what is taken of what others hand over."""

from __future__ import annotations

from typing import Any

import pytest

from newswire.core import limits
from newswire.core.broker.compaction import Compaction
from newswire.core.broker.events import (
    Compact,
    DropParts,
    Header,
    KeepPart,
    Now,
    Offer,
    Reply,
    Rewrite,
    RewriteFailed,
    Rewritten,
)
from newswire.core.broker.values import Identity, PeerFacts
from newswire.core.model.ops import Began, Dropped, Joined, NotAnOp, Published, Void, encode
from newswire.core.model.results import Compacted
from newswire.core.state.fold import State
from newswire.errors import Refused

A = "1001-a"


def at(clock: float) -> Now:
    return Now(clock, 1_700_000_000_000)


def held(count: int = 3, *, members: tuple[str, ...] = ()) -> State:
    state = State()
    state.apply(Began(A, 1, 0, "1001"), 0, 9, None)
    for sequence in range(2, 2 + count):
        state.apply(Published(A, sequence, 0, topic="news", data="x"), sequence, 9, None)
    for number, broker in enumerate(members):
        state.apply(Joined(A, 2 + count + number, 0, broker=broker, address=f"10.0.0.{number}:1"), 0, 9, None)
    return state


def compaction(state: State, *, compacts: bool = True) -> Compaction:
    return Compaction(Identity("1001", "10.0.0.1:1", A, compacts=compacts), state)


def begin(part: Compaction, *peers: PeerFacts, is_low: bool = False) -> list[Any]:
    return list(part.begin(peers, [], (0,), (), at(0), is_low=is_low))


def peer(state: State, **facts: Any) -> PeerFacts:
    values = dict.fromkeys(PeerFacts.__struct_fields__) | {
        "id": "1002",
        "in_sync": True,
        "knows_voids": True,
        "is_behind": False,
    }
    return PeerFacts(**{**values, **facts})


def test_it_is_off_until_it_is_turned_on() -> None:
    (reply,) = compaction(held(), compacts=False).ask(Compact("ann"))
    assert isinstance(reply, Reply)
    assert isinstance(reply.result, Refused)


def test_one_at_a_time_and_it_is_answered_when_the_state_was_taken_over() -> None:
    part = compaction(held())
    assert part.ask(Compact("ann")) == []
    assert part.wants_more
    (rewrite,) = begin(part)
    assert isinstance(rewrite, Rewrite)
    assert not part.wants_more
    (refusal,) = part.ask(Compact("ben"))
    assert isinstance(refusal, Reply)
    assert refusal.reply_to == "ben"
    job = rewrite.job
    job.bytes_before, job.bytes_after, job.rows_after = 100, 40, 2
    assert part.take_over(Rewritten(job)) == ([], job)
    assert part.finish(job)[-1] == Reply("ann", Compacted(100, 40, 4, 2))
    assert part.take_over(Rewritten(job)) == ([], None), "it is over"


def test_one_that_failed_is_told() -> None:
    part = compaction(held())
    part.ask(Compact("ann"))
    (rewrite,) = begin(part)
    (reply,) = part.fail(RewriteFailed(rewrite.job, "no room"))
    assert isinstance(reply, Reply)
    assert "no room" in str(reply.result)
    assert part.fail(RewriteFailed(rewrite.job, "no room")) == []


@pytest.mark.parametrize(
    ("facts", "word"),
    [({"in_sync": False}, "not in sync"), ({"knows_voids": False}, "upgrade"), ({"is_behind": True}, "handed")],
)
def test_it_waits_for_members_and_for_an_operator_who_knows_that_one_is_away(facts: dict[str, bool], word: str) -> None:
    state = held(members=("1001", "1002"))
    part = compaction(state)
    part.ask(Compact("ann"))
    (reply,) = begin(part, peer(state, **facts))
    assert word in str(reply.result)
    part.ask(Compact("ann", even_if_away=True))
    (doing,) = begin(part, peer(state, **facts))
    assert isinstance(doing, Rewrite) == (facts == {"in_sync": False})


def test_by_itself_when_enough_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "COMPACT_LEAST_ROWS", 2)
    state = held(6)
    part = compaction(state)
    part.tick(at(0), is_low=False)
    assert not part.wants_more
    state.apply(Dropped(A, 8, 0, topic="news", vector={A: 6}), 9, 9, None)
    part.tick(at(1), is_low=False)
    assert not part.wants_more, "it looks at times"
    part.tick(at(limits.COMPACT_LOOK_SECONDS + 1), is_low=False)
    assert part.wants_more


def header(offer: Offer, broker: str = "1002") -> Header:
    return Header(broker, "10.0.0.2:1", "1002-b", "c", True, False, True, 1, {}, offer=offer)


def part_of(start: int, end: int, name: str = "x", run: str = A) -> Offer:
    return Offer(id=name, run=run, start=start, end=end, last=9, count=0, vector={"1002-b": 4})


def test_parts_of_an_offer_come_in_order_from_one_broker_and_then_the_log_is_written_anew() -> None:
    part = compaction(held())
    assert not part.takes(header(part_of(0, 4, run="1001-former")), at(0)), "it was meant for another run"
    assert not part.takes(header(part_of(4, 9)), at(0)), "not the first one"
    first, last = part_of(0, 4), part_of(4, 9)
    void = encode(Void("1002-b", 3, 0, first=2))
    assert part.takes(header(first), at(0))
    assert part.take_part("1002", first, [void], at(0)) == [KeepPart([void], first=True)]
    assert part.offered is not None
    assert (part.offered.id, part.offered.end) == ("x", 4)
    assert not part.takes(header(first), at(1)), "it is here"
    assert not part.takes(header(part_of(0, 4, "y"), "1003"), at(1)), "one hands over at a time"
    assert part.takes(header(part_of(0, 4, "y"), "1003"), at(limits.OFFER_TURN_SECONDS + 1)), "but not for ever"
    assert part.takes(header(last), at(1))
    assert part.take_part("1002", last, [], at(1)) == [KeepPart([], first=False)]
    assert part.wants_more
    (rewrite,) = begin(part)
    assert rewrite.job.adopts
    assert [type(one) for one in part.fail(RewriteFailed(rewrite.job, "a hole"))] == [DropParts]
    assert part.offered is None, "it is asked for anew"


def test_a_part_that_holds_no_operation_is_refused() -> None:
    with pytest.raises(NotAnOp):
        compaction(held()).take_part("1002", part_of(0, 4), [b"?"], at(0))


def test_an_offer_that_does_not_go_on_or_is_not_needed_any_more_is_forgotten() -> None:
    part = compaction(held())
    part.take_part("1002", part_of(0, 4), [], at(0))
    assert part.tick(at(1), is_low=False) == []
    assert part.tick(at(limits.OFFER_PATIENCE_SECONDS + 1), is_low=False) == [DropParts()]
    state = held()
    part = compaction(state)
    part.take_part("1002", part_of(0, 4), [], at(0))
    state.apply(Began("1002-b", 1, 0, "1002"), 20, 9, None)
    for sequence in (2, 3, 4):
        state.apply(Published("1002-b", sequence, 0, topic="news", data="x"), 20 + sequence, 9, None)
    assert part.tick(at(1), is_low=False) == [DropParts()]
