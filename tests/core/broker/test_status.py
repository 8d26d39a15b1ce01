"""What a broker shows of the cluster (docs/http.md, Brokers): pure functions over a situation that is made up."""

from __future__ import annotations

import msgspec
import pytest

from newswire.core import limits
from newswire.core.broker import status
from newswire.core.broker.events import Now
from newswire.core.broker.status import Situation
from newswire.core.broker.values import BrokerStatus, Identity, PeerFacts
from newswire.core.model.ops import Began, Joined, Left, Published
from newswire.core.model.vector import FullVector
from newswire.core.state.fold import State
from newswire.core.state.holes import Hole

ONE, TWO, THREE = "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"
ME = Identity("1001", ONE, "1001-a", peers=(TWO,), compacts=True)
NOW = Now(100.0, 1_700_000_000_000)


def state() -> State:
    """Both are members, and there is a message."""
    held = State()
    for op in (
        Began("1001-a", 1, 0, "1001"),
        Joined("1001-a", 2, 0, "1001", ONE),
        Joined("1001-a", 3, 0, "1002", TWO),
        Published("1001-a", 4, 0, topic="news", data="x"),
    ):
        held.apply(op, op.sequence, 1, None)
    return held


def peer(held: State, **changes: object) -> PeerFacts:
    """One that is well."""
    well = PeerFacts(
        address=TWO,
        id="1002",
        state="up",
        detail="",
        in_sync=True,
        counts=True,
        current=True,
        has_more=False,
        caught_up=True,
        untried=False,
        serves=True,
        primary=False,
        writable=True,
        holds=held.log.full,
        holes=(),
        waits={},
        knows_voids=True,
        lacks_void=False,
        ahead=0,
        heard=99.0,
        down_since=None,
        away_seconds=0.0,
    )
    return msgspec.structs.replace(well, **changes)


def situation(held: State | None = None, *peers: PeerFacts, **changes: object) -> Situation:
    held = held or state()
    well = Situation(identity=ME, state=held, now=NOW, peers=peers or (peer(held),), most_copies=2)
    return msgspec.structs.replace(well, **changes)


def with_peer(**changes: object) -> Situation:
    """Where the other one is so."""
    held = state()
    return situation(held, peer(held, **changes))


def other(one: Situation) -> BrokerStatus:
    """The row of the other one."""
    return next(row for row in status.view(one).rows if not row.self)


def test_all_is_well() -> None:
    view = status.view(situation())
    assert [(row.id, row.state, row.is_primary, row.self) for row in view.rows] == [
        ("1001", "up", True, True),
        ("1002", "up", False, False),
    ]
    assert (view.serves, view.why_not, view.why_behind, view.degraded) == (True, "", "", ())
    assert (view.all_in_sync, view.away, view.most_copies, view.holes) == (True, (), 2, ())


def test_a_peer_that_is_reached_is_up_when_it_is_in_sync_and_serves() -> None:
    assert other(with_peer(in_sync=False)).state == "catching-up"
    assert other(with_peer(serves=False)).state == "catching-up"
    assert other(with_peer(state="catching-up")).state == "up"
    assert other(with_peer(state="id-in-use", in_sync=False)).state == "id-in-use"


def test_lag_is_what_it_is_not_known_to_hold() -> None:
    held = state()
    assert other(situation(held, peer(held, holds=FullVector(held.lineage)))).lag == 4
    assert other(situation(held)).lag == 0
    assert other(situation(held)).seconds == 1.0


def test_the_primary_is_who_was_started_as_one_and_lives_else_the_smallest_id() -> None:
    held = state()
    assert not status.is_primary(situation(held, peer(held, primary=True)))
    assert status.is_primary(situation(held, peer(held, primary=True, state="down", in_sync=False)))
    assert not status.is_primary(situation(held, why_not="it is starting"))
    ten = peer(held, id="11", address=THREE)
    assert not status.is_primary(situation(held, ten)), "by length first: 11 is before 1001"


def test_who_is_behind_is_not_up_itself_and_who_does_not_belong_is_down() -> None:
    held = state()
    rows = [status.row_of(situation(held, why_not="so", belongs=belongs), "1001").state for belongs in (True, False)]
    assert rows == ["catching-up", "down"]


@pytest.mark.parametrize("changes", [{"current": False}, {"has_more": True}])
def test_a_member_that_may_know_more_is_away(changes: dict[str, object]) -> None:
    view = status.view(with_peer(**changes))
    assert (view.away, view.all_in_sync) == (("1002",), False)


def test_one_that_left_is_nobody_and_one_that_may_join_is_somebody() -> None:
    held = state()
    stranger = peer(held, id="", address=THREE, state="down", in_sync=False, current=False)
    assert [row.ip for row in status.view(situation(held, peer(held), stranger)).rows] == [THREE, ONE, TWO]
    held.apply(Left("1001-a", 5, 0, "1002", held.members.ids("1002")), 5, 1, None)
    assert [row.id for row in status.view(situation(held)).rows] == ["1001"]
    assert status.row_of(situation(held), "1002") == BrokerStatus("1002", TWO, False, "down", 0)


def test_of_one_that_moved_the_link_that_is_in_sync_counts() -> None:
    held = state()
    old = peer(held, address=THREE, in_sync=False, state="down")
    for order in ((old, peer(held)), (peer(held), old)):
        assert [row.ip for row in status.view(situation(held, *order)).rows] == [ONE, TWO]


@pytest.mark.parametrize(
    ("changes", "behind"),
    [
        ({"has_more": True}, True),
        ({"has_more": False}, False),
        ({"has_more": True, "writable": False}, False),
        ({"has_more": True, "serves": False}, False),
        ({"has_more": True, "state": "down"}, False),
    ],
)
def test_a_full_disk_sends_readers_where_the_news_is(changes: dict[str, object], behind: bool) -> None:
    held = state()
    one = situation(held, peer(held, **changes), writable=False)
    assert bool(status.why_behind(one)) is behind
    assert status.why_behind(msgspec.structs.replace(one, writable=True)) == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": "other-cluster", "detail": "of another"}, "other-cluster: of another"),
        (
            {"state": "down", "down_since": 0, "detail": "cannot be reached"},
            "broker 1002, 10.0.0.2:1, is down since 1970",
        ),
        (
            {"state": "down", "down_since": 0, "away_seconds": 12 * 86_400.0},
            "broker 1002, 10.0.0.2:1, has been away for 12 days: logs are compacted without it",
        ),
        ({"lacks_void": True, "knows_voids": False}, "is of a version that cannot take over"),
        ({"writable": False}, "the disk of broker 1002"),
        ({"caught_up": False}, "may be stale: 10.0.0.2:1"),
        ({"reaches_us": False}, "broker 1002, 10.0.0.2:1, answers, and does not reach this broker at"),
        ({"ahead": int(limits.CLOCK_APART_SECONDS * 1000)}, "ahead of this broker's: use NTP"),
        ({"ahead": -int(limits.CLOCK_APART_SECONDS * 1000)}, "behind this broker's: use NTP"),
        ({"holes": (Hole("1003-a", 2, 3),)}, "broker 1002: its ops file is damaged"),
    ],
)
def test_what_is_wrong_with_another_is_said(changes: dict[str, object], words: str) -> None:
    assert any(words in reason for reason in status.view(with_peer(**changes)).degraded)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"writable": False}, "the disk is full"),
        ({"lacks_room": (3 * 2**30, 2**30)}, "about 3072 MiB of it would stay, and 1024 MiB may be written"),
        ({"wall_jump": 3_600_000}, "was set 60 minutes ahead"),
        ({"retention_behind": int(ME.retention_seconds * 1000)}, "nothing is dropped for its age"),
    ],
)
def test_what_is_wrong_here_is_said(changes: dict[str, object], words: str) -> None:
    assert any(words in reason for reason in status.view(situation(**changes)).degraded)


def test_damage_that_tells_nothing_is_said_until_all_others_handed_over() -> None:
    held = state()
    assert status.view(situation(held, damage=2)).degraded == ()
    (stale, reason) = status.view(situation(held, peer(held, caught_up=False), damage=2)).degraded
    assert "may be stale" in stale
    assert "damaged in 2 places" in reason


def test_a_clock_that_is_nearly_right_is_no_matter() -> None:
    apart = int(limits.CLOCK_APART_SECONDS * 1000)
    assert status.clocks_apart(with_peer(ahead=apart - 1)) == []
    assert status.clocks_apart(with_peer(ahead=apart, state="down")) == []
    assert len(status.clocks_apart(with_peer(ahead=-apart))) == 1


def test_the_outline_changes_with_what_others_act_upon_and_not_with_the_rest() -> None:
    held = state()
    before = status.outline(situation(held))
    assert status.outline(situation(held, peer(held, heard=50.0, detail="x"))) == before
    for changes in ({"in_sync": False}, {"serves": False}, {"state": "down"}, {"current": False}, {"primary": True}):
        assert status.outline(situation(held, peer(held, **changes))) != before, changes
    assert status.outline(situation(held, why_not="so")) != before
