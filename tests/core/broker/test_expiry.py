"""When a message's time is over: by what has passed, not by what clocks say (docs/rules.md, EXPIRY)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from newswire.core import limits
from newswire.core.broker.clock import Clocks
from newswire.core.broker.events import Now
from newswire.core.broker.expiry import Expiry
from newswire.core.broker.values import Identity
from newswire.core.model.ops import Began, Op, Published, Withdrawn, encode
from newswire.core.state.fold import State
from newswire.core.state.prefix import Base
from newswire.core.state.rewriting import Rewriting
from tests.kit.rewriting import FIRST, rewrite

DAY = 86_400_000
NOW = 400 * DAY
ME = Identity("1001", "127.0.0.1:1", "1001-b")


class Run:
    """A run of a broker on what it found, with a clock that the test sets."""

    def __init__(self, *ops: Op, wall: int = NOW) -> None:
        self.state, self.wall, self.clock = State(), wall, 100.0
        self.made: dict[str, int] = {}
        self.raws: dict[int, bytes] = {}  # by place
        self.job: Rewriting | None = None
        for op in ops:
            self.apply(op)
        self.clocks = Clocks()
        self.clocks.start(ME, self.state, self.now)
        self.clocks.meet(ME, self.state)
        self.expiry = Expiry(self.state)

    def apply(self, op: Op) -> None:
        raw, place = encode(op), len(self.raws)
        self.raws[place] = raw
        self.state.apply(op, place, len(raw), None)
        if self.job is not None:
            self.job.tail.append((op, place, len(raw)))
        self.made[op.origin] = op.sequence

    @property
    def now(self) -> Now:
        return Now(self.clock, self.wall)

    def publish(self, seconds: int, *, stamp: int | None = None, origin: str = "1001-b") -> str:
        """Take a message that lives so long, or for ever (0)."""
        if origin not in self.made:
            self.apply(Began(origin, 1, self.wall, origin[:4], {}))
        op = message(origin, self.made[origin] + 1, self.wall if stamp is None else stamp, seconds)
        self.apply(op)
        return op.id

    def compact(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Write the log anew, and go on with that. `meanwhile`: what happens while it is written."""
        self.clocks.note(self.now, agreed=True)
        ends = self.expiry.ends(self.clocks, max(self.clocks.latest, self.wall))
        job = self.job = Rewriting(self.state, Base([self.state.log.full]), [self.wall], ends=ends)
        meanwhile()
        written = rewrite(job, self.state, self.raws)
        self.raws |= dict(enumerate(written, FIRST))
        same_rows, _ = job.state.succeed(self.state, job.cut, job.cut_after, adopts=False)
        self.expiry.become(job, same_rows=same_rows)
        self.state, self.job = job.state, None

    def look(self, *, decides: bool = True, stored: bool = True) -> list[str]:
        """What is named in one look, which is applied if it is stored."""
        self.clocks.note(self.now, agreed=True)
        if not self.expiry.is_due(self.clocks, self.now):
            return []
        latest = max(self.clocks.latest, self.wall)
        named = self.expiry.look(self.clocks, latest, self.now, decides=decides).ops
        assert all(isinstance(op, Withdrawn) for op in named)
        ids = [name for op in named if isinstance(op, Withdrawn) for name in op.ids]
        if stored:
            self.state.messages.withdraw(ids)
        return ids

    def wait(self, seconds: float, *, clock_set_by: int = 0) -> None:
        """Let time pass; perhaps somebody sets the clock meanwhile (ms)."""
        self.clock += seconds
        self.wall += int(seconds * 1000) + clock_set_by


def message(origin: str, sequence: int, time: int, seconds: int) -> Published:
    return Published(origin, sequence, time, topic="news", data="x", expires=time + seconds * 1000 if seconds else 0)


def found(*messages: tuple[int, int], wall: int = NOW) -> Run:
    """A run that starts on messages: (stamp, seconds that it lives)."""
    ops = [message("1001-a", at, stamp, seconds) for at, (stamp, seconds) in enumerate(messages, 2)]
    return Run(Began("1001-a", 1, messages[0][0], "1001", {}), *ops, wall=wall)


def test_it_is_withdrawn_when_its_time_is_over_and_once() -> None:
    run = Run()
    first, _, last = run.publish(60), run.publish(0), run.publish(90)
    assert run.look() == []
    run.wait(59.5)
    assert run.look() == []
    run.wait(0.5)
    assert run.look() == [first]
    run.wait(60)
    assert run.look() == [last]
    run.wait(60)
    assert run.look() == []


@pytest.mark.parametrize("jump", [-400 * DAY, -DAY, 3_600_000, DAY, 400 * DAY])
def test_a_clock_that_is_set_withdraws_nothing(jump: int) -> None:
    run = Run()
    name = run.publish(60)
    run.look()
    run.wait(30, clock_set_by=jump)
    assert run.look() == []
    run.wait(29)
    assert run.look() == []
    run.wait(31)
    assert run.look() == [name], "a moment in which the clock was set counts as none"


@pytest.mark.parametrize("stamp", [NOW - 400 * DAY, NOW - DAY, NOW + DAY, NOW + 400 * DAY])
def test_the_clock_of_who_took_it_does_not_matter(stamp: int) -> None:
    run = Run()
    name = run.publish(60, stamp=stamp, origin="1002-x")
    run.look()
    run.wait(59)
    assert run.look() == []
    run.wait(1)
    assert run.look() == [name]


@pytest.mark.parametrize("stamp", [NOW, NOW - 300 * DAY])
def test_a_log_that_is_written_anew_takes_no_time_from_what_this_run_took(stamp: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLOCK_TRUST_SECONDS", 1)
    run = found((NOW - 60_000, 0))
    run.wait(1)
    name = run.publish(30, stamp=stamp, origin="1003-x")
    assert run.look() == []
    for _ in range(3):
        run.wait(9)
        run.look(decides=False)
        run.compact()
    assert run.look() == []
    run.wait(3)
    assert run.look() == [name]


def test_a_log_that_is_written_anew_again_and_again_holds_up_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer rows are looked at between two of these than stand before the message."""
    monkeypatch.setattr(limits, "SCAN_ROWS", 8)
    run = found(*[(NOW, 0)] * 50, (NOW, 10))
    for _ in range(10):
        assert run.look() == []
        run.compact(lambda: run.wait(1))
    assert run.look() == ["1001-a.52"]


def test_what_is_taken_while_the_log_is_written_anew_has_its_time_and_no_more() -> None:
    run = found((NOW, 10), (NOW, 0))
    run.apply(Withdrawn("1001-a", 4, NOW, ids=("1001-a.2",)))  # so rows move
    names: list[str] = []

    def publish() -> None:
        names.append(run.publish(30))
        run.look()
        names.append(run.publish(30))  # nobody has looked at it when the new log counts
        run.wait(20)

    run.compact(publish)
    run.wait(9)
    assert run.look() == []
    run.wait(1)
    assert run.look() == [names[0]]
    run.wait(28)
    assert run.look() == []
    run.wait(1)
    assert run.look() == [names[1]], "its time begins when somebody looks at it"


@pytest.mark.parametrize("stamp", [NOW, NOW - 300 * DAY])
def test_what_was_taken_a_moment_before_the_log_is_written_anew_has_its_time(stamp: int) -> None:
    run = found((NOW - 60_000, 0))
    name = run.publish(30, stamp=stamp, origin="1003-x")
    run.compact(lambda: run.wait(29))
    assert run.look() == []
    run.wait(1)
    assert run.look() == [name]


def test_what_was_named_and_not_stored_is_named_again_in_a_log_that_is_written_anew() -> None:
    run = Run()
    name = run.publish(60)
    run.look()
    run.wait(60)
    assert run.look(stored=False) == [name]
    run.compact()
    run.wait(1)
    assert run.look() == [name]


def test_what_comes_after_a_start_does_not_wait_for_what_was_found() -> None:
    run = found(*[(NOW, 0)] * (4 * limits.SCAN_ROWS), (NOW, 60))
    name = run.publish(2)
    run.look()
    run.wait(2)
    assert run.look() == [name]


def test_at_a_start_it_is_as_old_as_retention_says() -> None:
    run = found((NOW - 100_000, 60), (NOW - 50_000, 60), (NOW - 1, 60), (NOW, 0))
    assert run.look() == ["1001-a.2"]
    run.wait(10)
    assert run.look() == ["1001-a.3"]
    run.wait(49)
    assert run.look() == []
    run.wait(1)
    assert run.look() == ["1001-a.4"]


def test_at_a_start_it_is_as_old_as_the_newest_stamp_before_it() -> None:
    """A clock that was behind for a moment stamped the second."""
    run = found((NOW - 5_000, 0), (NOW - 400 * DAY, 60), (NOW, 0))
    run.look()
    run.wait(50)
    assert run.look() == []
    run.wait(10)
    assert run.look() == ["1001-a.3"]


def test_at_a_start_one_from_the_future_has_all_its_time() -> None:
    run = found((NOW - 5_000, 0), (NOW + 400 * DAY, 60), (NOW, 0))
    run.look()
    run.wait(59)
    assert run.look() == []
    run.wait(1)
    assert run.look() == ["1001-a.3"]


def test_at_a_start_with_a_clock_behind_it_has_all_its_time_and_no_more() -> None:
    """Retention's clock begins at the newest stamp: that the broker was off may be a step of its clock."""
    run = found((NOW - 30 * DAY, 60), wall=NOW)
    assert run.clocks.retention == NOW - 30 * DAY
    run.look()
    run.wait(limits.CLOCK_TRUST_SECONDS)
    assert run.look() == ["1001-a.2"]


def test_what_was_not_stored_is_named_again() -> None:
    run = Run()
    name = run.publish(60)
    run.look()
    run.wait(60)
    assert run.look(stored=False) == [name]
    assert run.look() == [], "not before a second is over"
    run.wait(1)
    assert run.look() == [name]
    run.wait(1)
    assert run.look() == []


def test_who_does_not_decide_names_nothing_and_forgets_what_others_named() -> None:
    run = Run()
    names = [run.publish(60) for _ in range(3)]
    run.look()
    run.wait(60)
    assert run.look(decides=False) == []
    run.state.messages.withdraw(names[:2])
    run.wait(1)
    assert run.look(decides=False) == []
    run.wait(1)
    assert run.look() == names[2:], "it is the primary now"


def test_each_twin_is_named_at_its_own_end() -> None:
    run = Run()
    for origin, sequence in (("1001-b", 2), ("1002-x", 2)):
        run.state.apply(Began(origin, 1, 0, origin[:4], {}), 0, 0, None)
        op = Published(origin, sequence, NOW, topic="news", data="x", key="k", expires=NOW + 60_000)
        run.state.apply(op, 0, 0, None)
        run.look()
        run.wait(10)
    run.wait(40)
    assert run.look() == ["1001-b.2"]
    assert run.state.messages.count(1) == 0
    run.wait(10)
    assert run.look() == ["1002-x.2"]


def test_one_op_names_a_bounded_number_and_what_ends_one_by_one_costs_few() -> None:
    run = Run()
    count = 2 * limits.WITHDRAWN_OPS + 1
    for _ in range(count):
        run.publish(60)
    while run.state.messages.lifetimes:
        run.look()
    run.wait(60)
    assert [len(run.look()) for _ in range(4)] == [limits.WITHDRAWN_OPS, limits.WITHDRAWN_OPS, 1, 0]
    for _ in range(20):
        run.publish(1)
        run.look()
        run.wait(0.1)
    ops = [len(run.look()) for _ in range(30) if run.wait(0.1) is None]
    assert sum(map(bool, ops)) <= 4


def test_a_start_on_many_looks_at_them_in_pieces() -> None:
    run = found(*[(NOW, 0)] * (2 * limits.SCAN_ROWS), (NOW, 1))
    looks = 0
    while run.expiry.is_due(run.clocks, run.now):
        run.look()
        looks += 1
    assert looks == 3
    run.wait(1)
    assert run.look() == [f"1001-a.{2 * limits.SCAN_ROWS + 2}"]


def test_what_is_handed_over_has_all_of_its_time_from_then_on() -> None:
    """What its stamp says is by the clock of another broker; here it comes now."""
    run = Run(Began("1001-a", 1, NOW, "1001", {}))
    run.apply(Began("1001-b", 1, NOW, "1001", {"1001-a": 1}))
    run.wait(2 * 3600)
    run.clocks.note(run.now, agreed=True)
    handed = [Began("1002-x", 1, NOW, "1002", {}), message("1002-x", 2, NOW - 2 * 3_600_000, 3600)]
    ends = run.expiry.ends(run.clocks, run.wall)
    job = Rewriting(run.state, Base(()), (), [], {"1002-x": 2}, ends)
    rewrite(job, run.state, run.raws, [list(map(encode, handed))])
    same_rows, _ = job.state.succeed(run.state, job.cut, job.cut_after, adopts=True)
    run.wait(600)  # while it is written
    run.expiry.become(job, same_rows=same_rows)
    run.state = job.state
    assert run.look() == []
    run.wait(3599)
    assert run.look() == []
    run.wait(2)
    assert run.look() == ["1002-x.2"]
