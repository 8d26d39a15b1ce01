"""What is scheduled is published once, never before its time, and not when it was withdrawn (docs/rules.md, SCHEDULE)."""

from __future__ import annotations

from typing import Any

import pytest

from newswire.core import limits
from newswire.core.access import Principal
from newswire.core.broker.clock import Clocks
from newswire.core.broker.events import Now
from newswire.core.broker.release import Release
from newswire.core.broker.values import Identity
from newswire.core.model.commands import (
    AddGrant,
    AddUser,
    CreateToken,
    Publish,
    RemoveUser,
    Request,
    RevokeGrant,
    RevokeToken,
    Withdraw,
)
from newswire.core.model.ops import Began, Published, Scheduled
from newswire.core.state.fold import State
from newswire.errors import KeyReused, NotFound
from tests.kit.timed_broker import START, TimedBroker

HOUR = 3_600_000
DAY = 24 * HOUR
WEEK = 7 * DAY


@pytest.fixture
def broker() -> TimedBroker:
    return TimedBroker()


def test_it_is_published_when_its_time_has_come_and_once(broker: TimedBroker) -> None:
    broker.schedule(60)
    assert broker.wait(59) == []
    assert broker.wait(2) == ["later"]
    assert broker.wait(100) == []
    broker.restart()
    assert broker.wait(100) == []


def test_a_time_of_day_may_be_said(broker: TimedBroker) -> None:
    broker.take(Publish("news", "at", at=START + 30_000))
    assert broker.wait(29) == []
    assert broker.wait(2) == ["at"]


def test_one_that_a_start_finds_is_published_in_time(broker: TimedBroker) -> None:
    broker.schedule(60)
    broker.wait(20)
    broker.take(Publish("news", "a sign of life"))
    broker.restart()
    assert broker.wait(38) == []
    assert broker.wait(4) == ["later"]


@pytest.mark.parametrize("shift", [WEEK, -WEEK, HOUR // 2, -HOUR // 2])
def test_a_clock_that_is_set_changes_nothing(broker: TimedBroker, shift: int) -> None:
    broker.schedule(60)
    broker.shift = shift
    assert broker.wait(59) == []
    assert broker.wait(3) == ["later"]


def test_one_that_is_taken_after_the_clock_was_set_back_waits_all_of_its_time(broker: TimedBroker) -> None:
    broker.wait(10)
    broker.shift = -HOUR
    broker.schedule(60)
    assert broker.wait(59) == []
    assert broker.wait(3) == ["later"]


def test_one_that_is_withdrawn_is_never_published(broker: TimedBroker) -> None:
    name = broker.schedule(60)
    assert broker.take(Withdraw(name, "news"))
    assert broker.take(Withdraw(name, "news")) == ""
    assert broker.wait(100) == []
    broker.restart()
    assert broker.wait(100) == []


def test_once_it_is_published_it_is_withdrawn_by_the_id_that_it_was_scheduled_under(broker: TimedBroker) -> None:
    name = broker.schedule(10)
    assert broker.wait(12) == ["later"]
    broker.take(Withdraw(name, "news"))
    assert broker.shown() == []


def test_a_retry_is_answered_with_the_same_id_before_and_after(broker: TimedBroker) -> None:
    name = broker.schedule(10, key="k")
    assert broker.schedule(10, key="k") == name
    with pytest.raises(KeyReused):
        broker.schedule(11, key="k")
    with pytest.raises(KeyReused):
        broker.schedule(10, "other", key="k")
    assert broker.wait(12) == ["later"]
    assert broker.schedule(10, key="k") == name
    assert broker.wait(20) == []


def test_it_lives_as_long_as_it_was_to_live_from_then_on(broker: TimedBroker) -> None:
    broker.schedule(60, expires=30)
    assert broker.wait(62) == ["later"]
    assert broker.shown() == ["later"]
    broker.wait(35)
    assert broker.shown() == []


def test_those_that_are_due_are_published_in_the_order_of_their_times(broker: TimedBroker) -> None:
    for seconds in (30, 10, 20):
        broker.schedule(seconds, str(seconds))
    assert broker.wait(40) == ["10", "20", "30"]


@pytest.mark.parametrize("quiet", [0, 5 * 3600])
def test_what_was_due_while_no_broker_ran_is_published_at_once(broker: TimedBroker, quiet: int) -> None:
    broker.schedule(8 * 3600)
    broker.engine.tick()
    broker.seconds += quiet  # nothing is stored: retention's clock goes back there
    broker.engine.tick()
    broker.seconds += 9 * 3600
    broker.restart()
    assert broker.wait(1) == ["later"]


def test_a_start_after_quiet_hours_changes_nothing(broker: TimedBroker) -> None:
    broker.schedule(8 * 3600)
    broker.engine.tick()
    broker.seconds += 7 * 3600
    broker.restart()
    broker.seconds += 3500
    assert broker.wait(1) == []
    broker.seconds += 97
    assert broker.wait(3) == ["later"]


def test_a_clock_that_is_set_in_a_run_publishes_nothing_that_was_found(broker: TimedBroker) -> None:
    broker.schedule(2 * 3600)
    broker.restart()
    assert broker.wait(limits.CLOCK_SETTLE_SECONDS) == []
    broker.shift = WEEK
    assert broker.wait(60) == []


def test_a_clock_that_is_set_soon_after_a_start_is_that_of_the_start(broker: TimedBroker) -> None:
    """A host without a battery goes on where it stopped, until a time server is asked."""
    broker.schedule(3 * DAY // 1000)
    broker.seconds += 2 * DAY / 1000
    broker.shift = -2 * DAY
    broker.restart()
    assert broker.wait(30) == []
    broker.shift = 0
    assert broker.wait(1) == []
    broker.seconds += DAY / 1000 - 60
    assert broker.wait(27) == []
    assert broker.wait(5) == ["later"]


class Office:
    """Where one is asked who one is: bob may publish news, and what waits of him was scheduled by his token, or without one."""

    def __init__(self) -> None:
        self.broker = TimedBroker()
        self.broker.take(AddUser("root", admin=True), AddUser("bob"), AddUser("ann"))
        self.broker.take(AddGrant("bob", "publish", "news"), AddGrant("bob", "publish", "late"))
        account = self.broker.engine.account("bob")
        assert account is not None
        self.token = self.broker.take(CreateToken("bob", "ab" * 32, expires=START + HOUR))
        self.bob, self.by_token = Principal(account.account), Principal(account.account, token=self.token)

    def schedule(self, by: Principal, **fields: Any) -> str:
        later = Publish("news", "later", publisher="bob", delay=2 * HOUR, **fields)
        name = self.broker.engine.submit([later], by=by).first
        self.broker.engine.tick()
        return name

    def wait(self) -> list[str]:
        self.broker.seconds += 2 * 3600
        return self.broker.wait(2)


@pytest.mark.parametrize(
    "ends",
    [
        [RevokeGrant("bob", "publish", "news")],
        [RemoveUser("bob")],
        [RemoveUser("bob"), AddUser("bob"), AddGrant("bob", "publish", "news")],
    ],
)
def test_who_may_publish_no_more_when_it_is_due_publishes_nothing(ends: list[Request]) -> None:
    office = Office()
    name = office.schedule(office.bob)
    for one in ends:
        office.broker.take(one)
    assert office.wait() == []
    assert office.broker.engine.scheduled(None, 10) == []
    office.broker.take(AddGrant("*", "publish", "news"))
    assert office.broker.wait(5) == [], "it is withdrawn"
    assert office.broker.take(Withdraw(name, "news")) == ""


def test_a_later_user_of_a_name_is_not_shown_what_the_former_one_scheduled() -> None:
    office = Office()
    office.schedule(office.bob)
    engine = office.broker.engine
    assert [op.data for op in engine.scheduled("bob", 10, office.bob.account)] == ["later"]
    for one in (RemoveUser("bob"), AddUser("bob"), AddGrant("bob", "publish", "news")):
        office.broker.take(one)
    account = engine.account("bob")
    assert account is not None
    assert engine.scheduled("bob", 10, account.account) == []


def test_a_token_that_is_narrower_than_its_user_is_not_shown_what_waits_elsewhere() -> None:
    office = Office()
    name = office.schedule(office.bob)
    account = office.bob.account
    token = office.broker.take(CreateToken("bob", "cd" * 32, publish=("late",)))
    narrow, engine = Principal(account, token=token), office.broker.engine
    assert engine.scheduled("bob", 10, account, narrow) == []
    assert [op.id for op in engine.scheduled("bob", 10, account, office.bob)] == [name]


def test_the_topic_that_may_get_an_escalation_is_asked_for_too() -> None:
    office = Office()
    office.schedule(office.bob, confirm=60, escalate="late")
    office.broker.take(RevokeGrant("bob", "publish", "late"))
    assert office.wait() == []


def test_who_may_again_by_then_publishes() -> None:
    office = Office()
    office.schedule(office.bob)
    office.broker.take(RevokeGrant("bob", "publish", "news"))
    office.broker.take(AddGrant("bob", "publish", "news"))
    assert office.wait() == ["later"]


def test_a_token_that_has_expired_changes_nothing_and_one_that_was_revoked_takes_back_what_waits_by_it() -> None:
    office = Office()
    office.schedule(office.by_token)
    assert office.wait() == ["later"]
    office = Office()
    name = office.schedule(office.by_token)
    office.broker.take(RevokeToken(office.token))
    assert office.wait() == []
    (row,) = [row for row in office.broker.engine.audit(None, 100) if row.what == "not-published"]
    assert (row.who, row.detail) == ("bob", name), "what is dropped is told"
    office.schedule(office.bob)
    assert office.wait() == ["later"]


def test_nothing_waits_under_an_id_that_nobody_knows(broker: TimedBroker) -> None:
    broker.schedule(60)
    with pytest.raises(NotFound):
        broker.take(Withdraw("1001-x.9", "news"))


def state_of(*ops: Published | Scheduled) -> State:
    state = State()
    for op in ops:
        if op.origin not in state.lineage:
            state.apply(Began(op.origin, 1, START, broker=op.origin, vector={}), 0, 1, None)
        state.apply(op, 0, 1, None)
    return state


def clocks_of(state: State, wall: int) -> Clocks:
    clocks = Clocks()
    clocks.start(Identity(id="b1", address="", origin="b1"), state, Now(0.0, wall))
    return clocks


@pytest.mark.parametrize(("found_after", "left"), [(0, 60), (20, 40), (-WEEK // 1000, 60), (WEEK // 1000, 0)])
def test_what_is_found_is_due_when_the_clock_says_so_and_has_all_of_its_time_at_most(found_after: int, left: int) -> None:
    state = state_of(Scheduled("a1", 2, START, topic="t", data="x", due=START + 60_000))
    clocks = clocks_of(state, START + found_after * 1000)
    part = Release(state, "b1")
    due = []
    for second in range(left + 1):
        clocks.note(Now(float(second), START + (found_after + second) * 1000), agreed=True)
        due.append(part.is_due(clocks, Now(0.0, START)))
    assert due == [False] * left + [True]
    (op,) = part.look(clocks, Now(0.0, START), decides=True, lacks_news=False).ops
    assert isinstance(op, Published)
    assert (op.topic, op.data, op.again) == ("t", "x", "a1.2")
    assert not part.is_due(clocks, Now(1.0, START)), "it was handed out"
    assert part.is_due(clocks, Now(limits.RELEASE_AGAIN_SECONDS, START)), "and is not stored"
    state.apply(Began("b1", 1, START, broker="b1", vector={"a1": 2}), 0, 1, None)
    state.apply(Published("b1", 2, START, topic="t", data="x", again="a1.2"), 0, 1, None)
    assert not part.is_due(clocks, Now(99.0, START))


@pytest.mark.parametrize(
    ("clock", "agreed", "is_due"),
    [
        (60_000, True, True),
        (59_999, True, False),
        (WEEK, True, True),
        (WEEK, False, False),
        (60_000, False, False),
        (-WEEK, True, False),
    ],
)
def test_what_is_found_is_due_by_the_clock_of_the_start_unless_another_broker_has_another_time(
    clock: int, agreed: bool, is_due: bool
) -> None:
    state = state_of(Scheduled("a1", 2, START, topic="t", data="x", due=START + 60_000))
    clocks = clocks_of(state, START + clock)
    clocks.note(Now(0.0, START + clock), agreed=agreed)
    assert Release(state, "b1").is_due(clocks, Now(0.0, START + clock)) == is_due


def test_a_clock_that_was_ahead_at_the_start_and_is_right_now_is_believed_no_more() -> None:
    state = state_of(Scheduled("a1", 2, START, topic="t", data="x", due=START + 60_000))
    clocks = clocks_of(state, START + WEEK)
    clocks.note(Now(0.0, START), agreed=True)
    assert not Release(state, "b1").is_due(clocks, Now(0.0, START))


@pytest.mark.parametrize("agreed", [True, False])
def test_a_clock_that_was_ahead_for_long_and_is_set_right_publishes_nothing_early(agreed: bool) -> None:
    """Retention's clock stays ahead then, and another broker's message comes with the right time."""
    state = State()
    clocks = clocks_of(state, START + HOUR)
    clocks.note(Now(0.0, START + HOUR), agreed=True)
    part = Release(state, "b1")
    state.apply(Began("a1", 1, START, broker="a1", vector={}), 0, 1, None)
    state.apply(Scheduled("a1", 2, START, topic="t", data="x", due=START + 60_000), 0, 1, None)
    due = []
    for second in range(61):
        clocks.note(Now(float(second), START + second * 1000), agreed=agreed)
        due.append(part.is_due(clocks, Now(0.0, START)))
    assert due == [False] * 60 + [True]


def test_what_another_broker_published_is_not_kept_in_mind() -> None:
    state = state_of(Scheduled("a1", 2, START, topic="t", due=START + 60_000))
    clocks = clocks_of(state, START)
    part = Release(state, "b1")
    assert not part.is_due(clocks, Now(0.0, START))
    assert (len(part._by_run), len(part._by_clock)) == (1, 1)
    state.apply(Published("a1", 3, START, topic="t", again="a1.2"), 0, 1, None)
    state.apply(Scheduled("a1", 4, START, topic="t", due=START + 90_000), 0, 1, None)
    assert not part.is_due(clocks, Now(0.0, START))
    assert (len(part._by_run), len(part._by_clock)) == (1, 1)


def test_who_does_not_decide_publishes_nothing() -> None:
    state = state_of(Scheduled("a1", 2, START, topic="t", due=START))
    clocks = clocks_of(state, START)
    part = Release(state, "b1")
    assert part.is_due(clocks, Now(0.0, START))
    assert part.look(clocks, Now(0.0, START), decides=False, lacks_news=False).ops == []
    assert len(part.look(clocks, Now(0.0, START), decides=True, lacks_news=False).ops) == 1


def test_what_another_broker_has_is_waited_for_since_it_may_say_that_it_is_withdrawn() -> None:
    state = state_of(Scheduled("a1", 2, START, topic="t", due=START))
    clocks = clocks_of(state, START)
    part = Release(state, "b1")
    assert part.is_due(clocks, Now(0.0, START))
    assert part.look(clocks, Now(0.0, START), decides=True, lacks_news=True).ops == []
    clocks._retention.lasted += limits.RELEASE_CATCH_UP_MILLISECONDS
    assert part.is_due(clocks, Now(0.0, START))
    assert len(part.look(clocks, Now(0.0, START), decides=True, lacks_news=True).ops) == 1
