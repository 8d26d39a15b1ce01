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
    Subscribe,
    Withdraw,
)
from newswire.core.model.ops import Began, Published, Scheduled
from newswire.core.state.fold import State
from newswire.engine.lone import LoneEngine
from newswire.engine.memory import MemoryLog
from newswire.errors import BadRequest, KeyReused, NotFound, Refused

START = 1_700_000_000_000
HOUR = 3_600_000
WEEK = 7 * 24 * HOUR


class Desk:
    """A broker whose time the test makes pass, and whose clock it sets."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.shift = 0  # ms by which the wall clock was set
        self.log, self.runs = MemoryLog(), 0
        self.restart()
        self.take(Subscribe("ann", "news"))

    def restart(self) -> None:
        self.runs += 1
        self.engine = LoneEngine(self.log, self.now, run=f"r{self.runs}")

    def now(self) -> Now:
        return Now(self.seconds, START + int(self.seconds * 1000) + self.shift)

    def take(self, *requests: Request) -> str:
        return self.engine.submit(requests).first

    def schedule(self, seconds: int = 60, data: str = "later", *, key: str = "", **fields: int) -> str:
        return self.take(Publish("news", data, key=key, delay=seconds * 1000, publisher="bob", **fields))  # type: ignore[arg-type]

    def wait(self, seconds: float) -> list[str]:
        """What is published in so many seconds."""
        before = len(self.shown())
        for _ in range(int(seconds)):
            self.seconds += 1
            self.engine.tick()
        return self.shown()[before:]

    def shown(self) -> list[str]:
        start = self.engine.open_page("ann", None, 0, START + 10**12)
        assert start is not None
        return [entry.message.data for entry in self.engine.next_page(start.position, 100).entries if hasattr(entry, "message")]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_it_is_published_when_its_time_has_come_and_once(desk: Desk) -> None:
    desk.schedule(60)
    assert desk.wait(59) == []
    assert desk.wait(2) == ["later"]
    assert desk.wait(100) == []
    desk.restart()
    assert desk.wait(100) == []


def test_a_time_of_day_may_be_said(desk: Desk) -> None:
    desk.take(Publish("news", "at", at=START + 30_000))
    assert desk.wait(29) == []
    assert desk.wait(2) == ["at"]


def test_one_that_a_start_finds_is_published_in_time(desk: Desk) -> None:
    desk.schedule(60)
    desk.wait(20)
    desk.take(Publish("news", "a sign of life"))
    desk.restart()
    assert desk.wait(38) == []
    assert desk.wait(4) == ["later"]


@pytest.mark.parametrize("shift", [WEEK, -WEEK, HOUR // 2, -HOUR // 2])
def test_a_clock_that_is_set_changes_nothing(desk: Desk, shift: int) -> None:
    desk.schedule(60)
    desk.shift = shift
    assert desk.wait(59) == []
    assert desk.wait(3) == ["later"]


def test_one_that_is_taken_after_the_clock_was_set_back_waits_all_of_its_time(desk: Desk) -> None:
    desk.wait(10)
    desk.shift = -HOUR
    desk.schedule(60)
    assert desk.wait(59) == []
    assert desk.wait(3) == ["later"]


def test_one_that_is_withdrawn_is_never_published(desk: Desk) -> None:
    name = desk.schedule(60)
    assert desk.take(Withdraw(name, "news"))
    assert desk.take(Withdraw(name, "news")) == ""
    assert desk.wait(100) == []
    desk.restart()
    assert desk.wait(100) == []


def test_once_it_is_published_it_is_withdrawn_by_the_id_that_it_was_scheduled_under(desk: Desk) -> None:
    name = desk.schedule(10)
    assert desk.wait(12) == ["later"]
    desk.take(Withdraw(name, "news"))
    assert desk.shown() == []


def test_a_retry_is_answered_with_the_same_id_before_and_after(desk: Desk) -> None:
    name = desk.schedule(10, key="k")
    assert desk.schedule(10, key="k") == name
    with pytest.raises(KeyReused):
        desk.schedule(11, key="k")
    with pytest.raises(KeyReused):
        desk.schedule(10, "other", key="k")
    assert desk.wait(12) == ["later"]
    assert desk.schedule(10, key="k") == name
    assert desk.wait(20) == []


def test_it_lives_as_long_as_it_was_to_live_from_then_on(desk: Desk) -> None:
    desk.schedule(60, expires=30)
    assert desk.wait(62) == ["later"]
    assert desk.shown() == ["later"]
    desk.wait(35)
    assert desk.shown() == []


def test_those_that_are_due_are_published_in_the_order_of_their_times(desk: Desk) -> None:
    for seconds in (30, 10, 20):
        desk.schedule(seconds, str(seconds))
    assert desk.wait(40) == ["10", "20", "30"]


@pytest.mark.parametrize("ahead", [limits.SCHEDULE_AHEAD_SECONDS * 1000 + 1, -limits.SCHEDULE_LATE_SECONDS * 1000 - 1])
def test_a_time_that_is_too_far_off_is_refused(desk: Desk, ahead: int) -> None:
    with pytest.raises(BadRequest, match="within 30 days"):
        desk.take(Publish("news", "at", at=START + ahead))


def test_a_time_that_has_just_passed_is_now(desk: Desk) -> None:
    desk.take(Publish("news", "at", at=START - 1000))
    assert desk.wait(1) == ["at"]


def test_what_takes_the_place_of_another_is_not_scheduled(desk: Desk) -> None:
    name = desk.take(Publish("news", "first"))
    with pytest.raises(BadRequest, match="`at` and `delay`"):
        desk.take(Publish("news", "second", replaces=name, delay=1000))


def test_so_many_wait_for_one_user_and_for_all(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SCHEDULED_PER_USER", 2)
    monkeypatch.setattr(limits, "SCHEDULED_COUNT", 3)
    desk.schedule(60, "1", key="1")
    desk.schedule(60, "2")
    desk.schedule(60, "1", key="1")
    with pytest.raises(Refused, match="2 messages of bob"):
        desk.schedule(60, "3")
    desk.take(Publish("news", "3", publisher="cyd", delay=1000))
    with pytest.raises(Refused, match="as many messages wait"):
        desk.take(Publish("news", "4", publisher="dan", delay=1000))
    desk.wait(2)
    desk.take(Publish("news", "4", publisher="dan", delay=1000))


def test_what_waits_is_not_replaced(desk: Desk) -> None:
    name = desk.schedule(60)
    with pytest.raises(NotFound, match="withdraw it"):
        desk.take(Publish("news", "newer", publisher="bob", replaces=name))
    assert desk.wait(62) == ["later"]
    desk.take(Publish("news", "newer", publisher="bob", replaces=name))
    assert desk.shown() == ["newer"], "once it is published it is, under the id that it was scheduled under"


def test_under_one_key_what_comes_now_and_what_comes_later_are_two_things(desk: Desk) -> None:
    desk.schedule(10, key="k")
    with pytest.raises(KeyReused):
        desk.take(Publish("news", "later", key="k", publisher="bob"))
    assert desk.wait(12) == ["later"]


def test_of_a_batch_the_line_is_named_that_is_refused(desk: Desk) -> None:
    with pytest.raises(BadRequest) as caught:
        desk.take(Publish("news", "1", delay=1000), Publish("news", "2", at=START - WEEK))
    assert caught.value.extra["index"] == 1
    assert desk.wait(3) == []


@pytest.mark.parametrize("quiet", [0, 5 * 3600])
def test_what_was_due_while_no_broker_ran_is_published_at_once(desk: Desk, quiet: int) -> None:
    desk.schedule(8 * 3600)
    desk.engine.tick()
    desk.seconds += quiet  # nothing is stored: retention's clock goes back there
    desk.engine.tick()
    desk.seconds += 9 * 3600
    desk.restart()
    assert desk.wait(1) == ["later"]


def test_a_start_after_quiet_hours_changes_nothing(desk: Desk) -> None:
    desk.schedule(8 * 3600)
    desk.engine.tick()
    desk.seconds += 7 * 3600
    desk.restart()
    desk.seconds += 3500
    assert desk.wait(1) == []
    desk.seconds += 97
    assert desk.wait(3) == ["later"]


def test_a_clock_that_is_set_in_a_run_publishes_nothing_that_was_found(desk: Desk) -> None:
    desk.schedule(3600)
    desk.restart()
    desk.shift = WEEK
    assert desk.wait(60) == []


class Office:
    """Where one is asked who one is: bob may publish news, and what waits of him was scheduled by his token, or without one."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.desk.take(AddUser("root", admin=True), AddUser("bob"), AddUser("ann"))
        self.desk.take(AddGrant("bob", "publish", "news"), AddGrant("bob", "publish", "late"))
        account = self.desk.engine.account("bob")
        assert account is not None
        self.token = self.desk.take(CreateToken("bob", "ab" * 32, expires=START + HOUR))
        self.bob, self.by_token = Principal(account.account), Principal(account.account, token=self.token)

    def schedule(self, by: Principal, **fields: Any) -> str:
        later = Publish("news", "later", publisher="bob", delay=2 * HOUR, **fields)
        name = self.desk.engine.submit([later], by=by).first
        self.desk.engine.tick()
        return name

    def wait(self) -> list[str]:
        self.desk.seconds += 2 * 3600
        return self.desk.wait(2)


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
        office.desk.take(one)
    assert office.wait() == []
    assert office.desk.engine.scheduled(None, 10) == []
    office.desk.take(AddGrant("*", "publish", "news"))
    assert office.desk.wait(5) == [], "it is withdrawn"
    assert office.desk.take(Withdraw(name, "news")) == ""


def test_the_topic_that_may_get_an_escalation_is_asked_for_too() -> None:
    office = Office()
    office.schedule(office.bob, confirm=60, escalate="late")
    office.desk.take(RevokeGrant("bob", "publish", "late"))
    assert office.wait() == []


def test_who_may_again_by_then_publishes() -> None:
    office = Office()
    office.schedule(office.bob)
    office.desk.take(RevokeGrant("bob", "publish", "news"))
    office.desk.take(AddGrant("bob", "publish", "news"))
    assert office.wait() == ["later"]


def test_a_token_that_has_expired_changes_nothing_and_one_that_was_revoked_takes_back_what_waits_by_it() -> None:
    office = Office()
    office.schedule(office.by_token)
    assert office.wait() == ["later"]
    office = Office()
    office.schedule(office.by_token)
    office.desk.take(RevokeToken(office.token))
    assert office.wait() == []
    office.schedule(office.bob)
    assert office.wait() == ["later"]


def test_nothing_waits_under_an_id_that_nobody_knows(desk: Desk) -> None:
    desk.schedule(60)
    with pytest.raises(NotFound):
        desk.take(Withdraw("1001-x.9", "news"))


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


@pytest.mark.parametrize(("found_after", "left"), [(0, 60_000), (20_000, 40_000), (-WEEK, 60_000), (WEEK, 0)])
def test_what_is_found_has_left_what_retentions_clock_says_and_all_of_it_at_most(found_after: int, left: int) -> None:
    state = state_of(Scheduled("a1", 2, START, topic="t", data="x", due=START + 60_000))
    clocks = clocks_of(state, START)
    clocks._retention.now = START + found_after
    part = Release(state, "b1")
    assert part.is_due(clocks, Now(0.0, START)) == (left == 0)
    clocks._retention.lasted = max(left - 1, 0)
    assert part.is_due(clocks, Now(0.0, START)) == (left == 0)
    clocks._retention.lasted = left
    assert part.is_due(clocks, Now(0.0, START))
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
