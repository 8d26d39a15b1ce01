"""What a compaction leaves out, rule by rule; that it never shows is what the simulator sees to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from newswire.core import limits
from newswire.core.model.ops import (
    Acknowledged,
    Audited,
    BareOp,
    Began,
    Dropped,
    Joined,
    Left,
    Lost,
    Op,
    Published,
    Scheduled,
    SessionEnded,
    Subscribed,
    Unsubscribed,
    UsersRemoved,
    Withdrawn,
    encode,
)
from newswire.core.state.fold import State
from newswire.core.state.prefix import Base
from newswire.core.state.rewriting import Rewriting
from newswire.core.state.withdrawals import Ends, Moment
from tests.kit.rewriting import rewrite

A = "1001-a"


def began(origin: str = A) -> Began:
    return Began(origin, 1, 0, origin.partition("-")[0])


def message(sequence: int, topic: str = "news", **fields: Any) -> Published:
    return Published(A, sequence, 0, topic=topic, data=f"text {sequence}", **fields)


def held(ops: Sequence[Op]) -> State:
    state = State()
    for place, op in enumerate(ops):
        state.apply(op, place, len(encode(op)), None)
    return state


def left_out(*ops: Op, base: dict[str, int] | None = None, now: int = 0) -> set[str]:
    """The ids of the ops that go."""
    state = held(ops)
    bases = [state.log.full] + ([state.lineage.expand(base)] if base is not None else [])
    job = Rewriting(state, Base(bases), [now])
    rewrite(job, state, list(map(encode, ops)))
    return {op.id for op in ops if job.state.log.is_void(op.origin, op.sequence)}


def sub(sequence: int, **fields: Any) -> Subscribed:
    return Subscribed(A, sequence, 0, user="ann", pattern="news", **fields)


def test_messages_go_that_a_drop_covers_and_the_drop_with_them() -> None:
    assert left_out(began(), message(2), message(3), Dropped(A, 4, 0, topic="news", vector={A: 2})) == {f"{A}.2", f"{A}.4"}
    assert left_out(began(), message(2, "other"), Dropped(A, 3, 0, topic="news", vector={A: 2})) == {f"{A}.3"}


def test_a_withdrawal_stays_while_a_copy_does_of_what_it_names() -> None:
    other = "1002-b"
    copy = Published(other, 2, 0, topic="news", data="text 2", again=f"{A}.2")
    ops = (began(), message(2), Withdrawn(A, 3, 0, (f"{A}.2",)), began(other), copy)
    assert left_out(*ops) == {f"{A}.2", f"{A}.3", f"{other}.2"}
    assert left_out(*ops, base={A: 3, other: 1}) == {f"{A}.2"}, "the copy may be lacking there, and stays"


def test_nothing_goes_that_another_member_may_lack() -> None:
    ops = (began(), message(2), message(3), Dropped(A, 4, 0, topic="news", vector={A: 3}))
    assert left_out(*ops, base={A: 4}) == {f"{A}.2", f"{A}.3", f"{A}.4"}
    assert left_out(*ops, base={A: 3}) == set(), "the drop may be lacking there"


def test_a_message_stays_while_its_key_is_remembered_and_so_does_its_drop() -> None:
    ops = (began(), message(2, key="k"), Dropped(A, 3, 0, topic="news", vector={A: 2}))
    assert left_out(*ops) == set()
    assert left_out(*ops, now=limits.KEY_SECONDS * 1000 + 1) == {f"{A}.2", f"{A}.3"}


def test_twins_go_together() -> None:
    twin = Published("1002-b", 2, 0, topic="news", data="text 2", key="k")
    ops = (began(), began("1002-b"), message(2, key="k"), twin)
    day = limits.KEY_SECONDS * 1000 + 1
    assert left_out(*ops, Dropped(A, 3, 0, topic="news", vector={A: 2}), now=day) == set()
    both = Dropped(A, 3, 0, topic="news", vector={A: 2, "1002-b": 2})
    assert left_out(*ops, both, now=day) == {f"{A}.2", f"{A}.3", "1002-b.2"}


def test_what_was_withdrawn_goes_and_the_withdrawal_with_it() -> None:
    assert left_out(began(), message(2), message(3), Withdrawn(A, 4, 0, ids=(f"{A}.2",))) == {f"{A}.2", f"{A}.4"}
    assert left_out(began(), message(2), Withdrawn(A, 3, 0, ids=(f"{A}.2", "1002-b.7"))) == {f"{A}.2"}, "one may come yet"


def test_a_subscription_goes_when_it_ended_and_all_that_it_replaced_is_void() -> None:
    assert left_out(began(), sub(2), Unsubscribed(A, 3, 0, ids=(f"{A}.2",))) == {f"{A}.2", f"{A}.3"}
    ends = Unsubscribed(A, 3, 0, ids=(f"{A}.2",))
    assert left_out(began(), sub(2, replaces=("1002-b.5",)), ends) == set(), "what it replaced may come late, and would live"
    assert left_out(began(), sub(2), sub(3, replaces=(f"{A}.2",))) == {f"{A}.2"}
    assert left_out(began(), Unsubscribed(A, 2, 0, ids=("1002-b.5",))) == set(), "its subscription may come late"


def test_subscriptions_of_an_account_go_with_it() -> None:
    ops = (began(), sub(2, account=f"{A}.9"), UsersRemoved(A, 3, 0, accounts=(f"{A}.9",)))
    assert left_out(*ops) == {f"{A}.2"}


def ack(sequence: int, upto: int, time: int = 0, ids: tuple[str, ...] = (f"{A}.2",)) -> Acknowledged:
    return Acknowledged(A, sequence, time, ids=ids, vector={A: upto})


def test_an_acknowledgement_goes_when_a_later_one_that_stays_covers_it() -> None:
    assert left_out(began(), sub(2), ack(3, 2), ack(4, 3)) == {f"{A}.3"}
    assert left_out(began(), sub(2), ack(3, 3, time=9), ack(4, 2)) == {f"{A}.4"}, "later is by time first"
    assert left_out(began(), sub(2), ack(3, 3), ack(4, 2, time=9)) == set(), "the last one says less"
    assert left_out(began(), sub(2, since={A: 1}), ack(3, 1)) == {f"{A}.3"}, "where it began covers it"
    assert left_out(began(), sub(2), ack(3, 2, ids=("1002-b.4",))) == set(), "its subscription is not known yet"
    ends = Unsubscribed(A, 4, 0, ids=(f"{A}.2",))
    assert left_out(began(), sub(2), ack(3, 2), ends) == {f"{A}.2", f"{A}.3", f"{A}.4"}


def test_what_began_with_one_that_was_given_up_still_covers_what_it_names() -> None:
    gone = Published("1002-b", 2, 0, topic="news", data="x")
    ops = (
        began(),
        Lost(A, 2, 0, source="1002-b", first=1, last=1),
        gone,
        Began("1003-c", 1, 0, "1003", {"1002-b": 2}),
        Dropped(A, 3, 0, topic="news", vector={"1003-c": 1}),
    )
    assert left_out(*ops) == {"1002-b.2", f"{A}.3"}


def joined(sequence: int, seen: tuple[str, ...] = (), time: int = 0) -> Joined:
    return Joined(A, sequence, time, broker="1001", address="10.0.0.1:1", seen=seen)


def test_the_last_membership_of_a_broker_stays_also_when_it_ended() -> None:
    assert left_out(began(), joined(2), joined(3, (f"{A}.2",))) == {f"{A}.2"}
    assert left_out(began(), joined(2), Left(A, 3, 0, broker="1001", seen=(f"{A}.2",))) == set()
    ops = (began(), joined(2), Left(A, 3, 0, broker="1001", seen=(f"{A}.2",)), joined(4))
    assert left_out(*ops) == {f"{A}.2", f"{A}.3"}


@pytest.mark.parametrize("op", [BareOp(A, 2, 0), Lost(A, 2, 0, source="1002-b", first=4, last=4), began("1002-b")], ids=str)
def test_some_never_go(op: Op) -> None:
    assert left_out(began(), op) == set()


DAY = 86_400_000
SIGNED_IN, FAILED = f"{A}.2", f"{A}.3"


@pytest.mark.parametrize(
    ("days", "retention", "goes"),
    [
        (30, 0, set()),
        (31, 0, {FAILED}),
        (366, 0, {FAILED}),
        (367, 0, {FAILED, SIGNED_IN}),
        (5000, -4980, set()),  # a clock that is years ahead, and retention's that is not
    ],
)
@pytest.mark.parametrize("behind", [0, 1000], ids=["in-order", "by-a-clock-that-was-behind"])
def test_who_signed_in_or_failed_to_is_known_for_so_long_only(days: int, retention: int, goes: set[str], behind: int) -> None:
    day = 2000
    ops = (
        began(),
        Audited(A, 2, day * DAY, what="signed-in", who="ann"),
        Audited(A, 3, (day - behind) * DAY, what="sign-in-failed", who="ann"),
        SessionEnded(A, 4, day * DAY, session="s" * 16, account=f"{A}.9"),
    )
    state, now = held(ops), (day + days - 1) * DAY
    moment = Moment(lasted=0, retention=now + retention * DAY, until=now)
    for times, gone in (([now, now + DAY], goes), ([now, 0], set())):  # it may be less than the clock says
        job = Rewriting(state, Base([state.log.full]), times, ends=Ends(entries=[], at=moment))
        rewrite(job, state, list(map(encode, ops)))
        assert {op.id for op in ops if job.state.log.is_void(A, op.sequence)} == gone
    assert left_out(*ops, base={A: 1}, now=10_000 * DAY) == set()


def test_what_was_replaced_goes_and_what_replaced_it_outlives_it() -> None:
    ops = (began(), message(2), message(3, replaces=f"{A}.2"))
    assert left_out(*ops) == {f"{A}.2"}
    assert left_out(*ops, base={A: 2}) == set(), "others may lack what replaced it"
    dropped = Dropped(A, 4, 0, topic="news", vector={A: 3})
    assert left_out(*ops, dropped) == {f"{A}.2", f"{A}.3", f"{A}.4"}
    ahead = (began(), message(2, replaces="1002-b.7"), Dropped(A, 3, 0, topic="news", vector={A: 2}))
    assert left_out(*ahead) == set(), "what it replaces may come"


def test_what_replaced_stays_while_that_was_given_up_and_may_come_again() -> None:
    ops = (began(), message(2), message(3, replaces=f"{A}.2"), Lost(A, 4, 0, A, 2, 2))
    dropped = Dropped(A, 5, 0, topic="news", vector={A: 3})
    assert f"{A}.3" not in left_out(*ops, dropped)


def test_each_of_a_chain_goes_but_the_newest() -> None:
    chain = (message(3, replaces=f"{A}.2"), message(4, replaces=f"{A}.3", original=f"{A}.2"))
    assert left_out(began(), message(2), *chain) == {f"{A}.2", f"{A}.3"}


def test_a_withdrawal_of_which_readers_are_told_goes_with_its_message() -> None:
    ops = (began(), message(2), Withdrawn(A, 3, 0, (f"{A}.2",), topic="news"))
    assert left_out(*ops) == {f"{A}.2", f"{A}.3"}
    assert left_out(*ops, base={A: 2}) == set()


DAY = limits.COMPACT_KEY_SECONDS * 1000 + 1
LATER = Scheduled(A, 2, 0, topic="news", data="later", due=1000)
RELEASED = message(3, again=f"{A}.2")
DROPPED = Dropped(A, 4, 0, topic="news", vector={A: 3})


def test_what_waits_stays() -> None:
    assert left_out(began(), LATER, now=DAY) == set()
    assert left_out(began(), LATER, Dropped(A, 3, 0, topic="news", vector={A: 2}), now=DAY) == {f"{A}.3"}, (
        "it is no message yet"
    )


def test_what_was_scheduled_goes_together_with_what_published_it() -> None:
    assert left_out(began(), LATER, RELEASED, now=DAY) == set(), "it is shown"
    assert left_out(began(), LATER, RELEASED, DROPPED, now=DAY) == {f"{A}.2", f"{A}.3", f"{A}.4"}
    assert left_out(began(), LATER, RELEASED, DROPPED, now=DAY - 1) == set(), "who lacks it may publish it for a day"
    assert left_out(began(), LATER, RELEASED, DROPPED, now=DAY, base={A: 2}) == set(), "others may lack that it was published"
    assert left_out(began(), LATER, RELEASED, DROPPED, now=DAY, base={A: 3}) == set(), "others may lack the drop"


def test_what_was_published_stays_while_what_scheduled_it_is_not_here() -> None:
    other = "1002-b"  # of which a broker has more than it can hand over
    published = message(2, again=f"{other}.3", key="k")
    twin = Published(other, 2, 0, topic="news", data="text 2", key="k")
    replaces = message(3, replaces=f"{A}.2")
    filler = Published(other, 2, 0, topic="other", data="text")
    waited = Scheduled(other, 3, 0, topic="news", data="text 2", due=1000)
    for name, ends in ("dropped", (Dropped(A, 3, 0, topic="news", vector={A: 2}),)), ("replaced", (replaces,)):
        ops = (began(), began(other), published, *ends)
        assert left_out(*ops, now=DAY + 1) == set(), f"{name}: who has what scheduled it would publish it again"
        assert f"{A}.2" in left_out(*ops, filler, waited, now=DAY + 1), name
    ops = (began(), began(other), published, twin, Withdrawn(A, 3, 0, ids=(f"{A}.2", f"{other}.2")))
    assert left_out(*ops, now=DAY + 1) == set(), "nor does a twin go"


def test_what_was_published_goes_once_what_scheduled_it_is_given_up() -> None:
    other = "1002-b"
    ops = (began(), began(other), message(2, again=f"{other}.2"), Dropped(A, 3, 0, topic="news", vector={A: 2}))
    assert left_out(*ops, now=DAY) == set()
    assert left_out(*ops, Lost(A, 4, 0, other, 2, 2), now=DAY) == {f"{A}.2", f"{A}.3"}


def test_what_another_broker_published_as_well_goes_with_it() -> None:
    other = Published("1002-b", 2, 0, topic="news", data="text 3", again=f"{A}.2")
    both = Dropped(A, 4, 0, topic="news", vector={A: 3, "1002-b": 2})
    ops = (began(), began("1002-b"), LATER, RELEASED, other, both)
    assert left_out(*ops, now=DAY) == {f"{A}.2", f"{A}.3", f"{A}.4", "1002-b.2"}
    assert left_out(*ops, now=DAY, base={A: 4, "1002-b": 1}) == set(), "one that others lack keeps all"


def test_what_was_withdrawn_while_it_waited_goes_a_day_later() -> None:
    ops = (began(), LATER, Withdrawn(A, 3, 0, ids=(f"{A}.2",)))
    assert left_out(*ops, now=DAY) == {f"{A}.2", f"{A}.3"}
    assert left_out(*ops, now=DAY - 1) == set()
    assert left_out(*ops, now=DAY, base={A: 2}) == set()


def test_what_was_scheduled_twice_under_one_key_goes_as_one() -> None:
    one, other = (Scheduled(origin, 2, 0, topic="news", data="x", key="k", due=1000) for origin in (A, "1002-b"))
    published = message(3, again=f"{A}.2")
    ops = (began(), began("1002-b"), one, other, published)
    assert left_out(*ops, now=DAY) == set()
    assert left_out(*ops, DROPPED, now=DAY) == {f"{A}.2", f"{A}.3", f"{A}.4", "1002-b.2"}


def test_what_was_given_up_while_it_waited_goes_and_what_was_stored_again_for_it_stays() -> None:
    ops = (began(), LATER, Lost(A, 3, 0, A, 2, 2), Scheduled(A, 4, 0, topic="news", data="later", due=1000, again=f"{A}.2"))
    assert left_out(*ops, now=DAY) == {f"{A}.2"}


def test_a_sign_in_that_comes_while_a_log_is_written_anew_is_none_of_its_rows() -> None:
    state = held([began(), Audited(A, 2, DAY, what="signed-in", who="ann")])
    job = Rewriting(state, Base([state.log.full]), [DAY])
    op = Audited(A, 3, DAY, what="signed-in", who="ben")
    state.apply(op, 2, len(encode(op)), None)
    job.tail.append((op, 2, len(encode(op))))
    rewrite(job, state, list(map(encode, [began(), Audited(A, 2, DAY, what="signed-in", who="ann"), op])))
    assert job.state.log.held(A) == 3
    assert [len(rows) for rows in job.state.sign_ins.values()] == [2, 0]


def test_a_sign_in_that_was_given_up_and_cannot_be_read_goes_however_new() -> None:
    lost = Lost("1002-b", 2, 0, source=A, first=2, last=2)
    ops = [began(), Audited(A, 2, DAY, what="signed-in", who="ann"), began("1002-b")]
    state = held(ops)
    state.holes.miss(1)
    state.apply(lost, 3, len(encode(lost)), None)
    job = Rewriting(state, Base([state.log.full]), [DAY])
    raws = {place: encode(op) for place, op in enumerate([*ops, lost]) if place != 1}
    rewrite(job, state, raws)
    assert job.state.log.is_void(A, 2)
