"""Who has not confirmed in time is named once, never before, and exactly (docs/rules.md, CONFIRM)."""

from __future__ import annotations

import pytest

from newswire.core import limits
from newswire.core.broker import status
from newswire.core.broker.clock import Clocks
from newswire.core.broker.escalation import Escalation
from newswire.core.broker.events import Now
from newswire.core.broker.values import Identity
from newswire.core.model.commands import Confirm, Publish, Request, Subscribe, Unsubscribe
from newswire.core.model.ops import Began, Joined, Published
from newswire.core.state.fold import State
from newswire.engine.lone import LoneEngine
from newswire.engine.memory import MemoryLog
from newswire.errors import NotFound, Refused

START = 1_700_000_000_000
HOUR = 3_600_000
WEEKS = 21 * 24 * HOUR


class Desk:
    """A broker whose time the test makes pass."""

    def __init__(self, shift: int = 0) -> None:
        self.seconds, self.shift = 0.0, shift  # ms by which the clock is ahead
        self.log, self.runs = MemoryLog(), 0
        self.restart()
        for user in ("ann", "ben", "late"):
            self.take(Subscribe(user, "late" if user == "late" else "news"))

    def restart(self) -> None:
        self.runs += 1
        self.engine = LoneEngine(self.log, self.now, run=f"r{self.runs}")

    def now(self) -> Now:
        return Now(self.seconds, START + self.shift + int(self.seconds * 1000))

    def take(self, *requests: Request) -> str:
        return self.engine.submit(requests).first

    def ask(self, seconds: int = 60, **fields: str) -> str:
        return self.take(Publish("news", fields.pop("data", "Leave"), confirm=seconds, escalate="late", **fields))  # type: ignore[arg-type]

    def wait(self, seconds: float) -> list[str]:
        """What is published there in so many seconds."""
        before = len(self.said())
        for _ in range(int(seconds)):
            self.seconds += 1
            self.engine.tick()
        return self.said()[before:]

    def said(self) -> list[str]:
        start = self.engine.open_page("late", None, 0, START + 10**9)
        assert start is not None
        return [entry.message.data for entry in self.engine.next_page(start.position, 100).entries if hasattr(entry, "message")]

    def report(self, name: str) -> dict[str, str]:
        report = self.engine.delivery_report(name)
        assert report is not None
        return {row.user: row.state for row in report.readers}


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_who_has_not_confirmed_is_named_when_the_time_is_over_and_once(desk: Desk) -> None:
    name = desk.ask(60, title="Fire", data="Leave the house")
    desk.take(Confirm("ann", name))
    assert desk.wait(59) == []
    assert desk.wait(3) == ["1 of 2 has not confirmed “Fire” within 60 s: ben"]
    desk.take(Confirm("ben", name))
    assert desk.wait(100) == []
    desk.restart()
    assert desk.wait(100) == []


def test_a_broker_that_starts_later_names_them_still(desk: Desk) -> None:
    desk.ask(10)
    desk.restart()
    assert desk.wait(15) == ["2 of 2 have not confirmed “Leave” within 10 s: ann, ben"]


def test_a_start_makes_nobody_wait_for_longer_than_was_asked(desk: Desk) -> None:
    """Retention's clock begins weeks back where another broker has stamped nothing since: it had nothing to say."""
    clocks, state = Clocks(), State()
    for op in (Joined("1002-a", 2, START - WEEKS, "1002", "h:2"), Joined("1001-a", 2, START - WEEKS, "1001", "h:1")):
        state.apply(Began(op.origin, 1, op.time, op.broker, {}), 0, 0, None)
        state.apply(op, 0, 0, None)
    fields = {"topic": "news", "data": "Leave", "confirm": 60, "escalate": "late"}
    state.apply(Published("1001-a", 3, START - 50_000, **fields), 0, 0, None)  # type: ignore[arg-type]
    part = Escalation(state)
    clocks.start(Identity("1001", "h:1", "1001-b"), state, Now(0.0, START))
    assert clocks.retention <= START - WEEKS + HOUR
    due = []
    for second in range(61):
        now = Now(float(second), START + second * 1000)
        clocks.note(now, agreed=True)
        if second == 30:
            part.become(state)  # as a compaction has it: it goes on with the time that is left
        due.append(part.is_due(clocks, now))
    assert due == [False] * 60 + [True]


@pytest.mark.parametrize("behind", [-HOUR, HOUR], ids=["ahead", "behind"])
def test_what_comes_while_a_broker_runs_has_all_of_its_time_whatever_its_stamp(behind: int) -> None:
    """A clock that was ahead for long and is set right leaves retention's ahead of what is stamped from then on."""
    clocks, state = Clocks(), State()
    state.apply(Began("1001-a", 1, START, "1001", {}), 0, 0, None)
    fields = {"topic": "news", "data": "Leave", "escalate": "late"}
    state.apply(Published("1001-a", 2, START, confirm=3600, **fields), 0, 0, None)  # type: ignore[arg-type]
    part = Escalation(state)
    clocks.start(Identity("1001", "h:1", "1001-a"), state, Now(0.0, START))
    state.apply(Published("1001-a", 3, START - behind, confirm=60, **fields), 0, 0, None)  # type: ignore[arg-type]
    part.become(state)  # a log is taken over before anything is looked at
    due = []
    for second in range(61):
        now = Now(float(second), START - behind + second * 1000)
        clocks.note(now, agreed=True)
        due.append(part.is_due(clocks, now))
    assert due == [False] * 60 + [True]


def test_who_subscribed_while_a_clock_was_ahead_is_asked() -> None:
    desk = Desk(shift=52 * WEEKS)
    desk.shift = 0
    desk.restart()
    name = desk.ask(10)
    assert desk.report(name) == {"ann": "pending", "ben": "pending"}
    desk.take(Confirm("ann", name))
    assert desk.wait(15) == ["1 of 2 has not confirmed “Leave” within 10 s: ben"]


def test_none_that_is_new_waits_until_all_that_there_were_are_looked_at() -> None:
    count = 20 * limits.PIECE_ROWS
    fields = {"topic": "news", "data": "Leave", "confirm": 5, "escalate": "late"}
    state, clocks = State(), Clocks()
    state.apply(Began("1001-a", 1, START, "1001", {}), 0, 0, None)
    for sequence in range(2, count + 2):
        state.apply(Published("1001-a", sequence, START, **fields), 0, 0, None)  # type: ignore[arg-type]
    part = Escalation(state)
    clocks.start(Identity("1001", "h:1", "1001-b"), state, Now(0.0, START))
    state.apply(Began("1001-b", 1, START, "1001", {"1001-a": count + 1}), 0, 0, None)
    state.apply(Published("1001-b", 2, START, **{**fields, "data": "Fire"}), 0, 0, None)  # type: ignore[arg-type]
    due = []
    for second in range(6):
        now = Now(float(second), START + second * 1000)
        clocks.note(now, agreed=True)
        due.append(part.is_due(clocks, now))
    assert due == [False] * 5 + [True]
    assert next(reversed(part._late)) == count + 2, "the last one, and the others come behind it as they are looked at"
    assert part.is_due(clocks, now)
    assert next(reversed(part._late)) == count + 2


def test_many_that_are_over_are_named_one_after_the_other_without_waiting(desk: Desk) -> None:
    for number in range(5):
        desk.ask(5, data=str(number))
    assert len(desk.wait(17)) == 5


def test_where_all_have_confirmed_nobody_is_named(desk: Desk) -> None:
    name = desk.ask(5)
    desk.take(Confirm("ann", name), Confirm("ben", name))
    assert desk.wait(30) == []


def test_who_came_later_or_left_is_not_asked(desk: Desk) -> None:
    name = desk.ask(5)
    desk.take(Subscribe("carl", "news"))
    desk.take(Subscribe("dora", "news", since=0))
    desk.take(Unsubscribe("ben", "news"))
    assert desk.report(name) == {"ann": "pending"}
    assert desk.wait(8) == ["1 of 1 has not confirmed “Leave” within 5 s: ann"]


def test_without_a_topic_for_it_nothing_is_published(desk: Desk) -> None:
    desk.take(Publish("news", "x", confirm=1))
    desk.take(Publish("news", "y"))
    assert desk.wait(20) == []


def test_the_names_are_found_in_pieces_and_many_are_counted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PIECE_SUBSCRIPTIONS", 2)
    monkeypatch.setattr(limits, "ESCALATE_NAMES", 3)
    for number in range(6):
        desk.take(Subscribe(f"user{number}", "news"))
    desk.ask(1)
    assert desk.wait(4) == [], "a piece a tick"
    assert desk.wait(10) == ["8 of 8 have not confirmed “Leave” within 1 s: ann, ben, user0 and 5 more"]


def test_only_the_broker_that_decides_publishes_it(desk: Desk) -> None:
    desk.ask(1)
    state, clocks = desk.engine.shell.read(lambda state: state), Clocks()
    other = Escalation(state)
    clocks.start(Identity("1002", "h:2", "1002-a"), state, Now(0.0, START))
    assert not other.is_due(clocks, Now(0.0, START))
    now = Now(5.0, START + 5_000)
    clocks.note(now, agreed=True)
    assert other.is_due(clocks, now)
    assert other.look(now, decides=False).ops == []
    assert not other.is_due(clocks, now), "it looks again a second later"
    later = Now(7.0, START + 7_000)
    assert other.is_due(clocks, later)
    for _ in range(2):
        (*ops,) = other.look(later, decides=True).ops
        if ops:
            break
    (op,) = ops
    assert isinstance(op, Published)
    assert (op.topic, op.data) == ("late", "2 of 2 have not confirmed “Leave” within 1 s: ann, ben")


def test_what_is_refused(desk: Desk) -> None:
    name, plain = desk.ask(), desk.take(Publish("news", "x"))
    for command, error, code in (
        (Confirm("ann", "1009-x.7"), NotFound, "no-message"),
        (Confirm("ann", plain), Refused, "confirm-not-asked"),
        (Confirm("carl", name), Refused, "not-registered"),
    ):
        with pytest.raises(error) as refused:
            desk.take(command)
        assert refused.value.code == code
    desk.take(Confirm("ann", name))
    before = len(desk.log.raws)
    desk.take(Confirm("ann", name))
    assert len(desk.log.raws) == before, "what is confirmed is not stored again"


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("start", "confirmed"),
        ("start", "escalated"),
        ("compaction", "confirmed"),
        ("compaction", "escalated"),
        ("failover", "confirmed"),
    ],
)
def test_an_alarm_is_escalated_in_time_whatever_came_before_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, how: str, kind: str
) -> None:
    """A broker that starts, has compacted its log or becomes the primary finds thousands of which nothing is to be said."""
    monkeypatch.setattr(limits, "PIECE_SUBSCRIPTIONS", 1)
    is_primary = status.is_primary
    if how == "failover":
        monkeypatch.setattr(status, "is_primary", lambda situation: False)
    for number in range(100):
        name = desk.ask(data=str(number))
        if kind == "confirmed":
            for user in ("ann", "ben"):
                desk.take(Confirm(user, name))
        desk.wait(70)
    broker = desk.engine.shell.broker
    monkeypatch.setattr(status, "is_primary", is_primary)
    if how == "start":
        desk.restart()
        broker = desk.engine.shell.broker
    elif how == "compaction":
        broker.escalation.become(broker.state)
    before = len(broker.state.messages.log)
    desk.ask(data="Fire")
    desk.wait(70)
    assert len(broker.state.messages.log) == before + 2
