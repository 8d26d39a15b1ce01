"""What stands in place of replication where brokers share a log: what is shown, and what a receipt says."""

from __future__ import annotations

import msgspec

from newswire.core import limits
from newswire.core.broker.broker import Broker
from newswire.core.broker.events import Append, Logged, Now, Reply, Stored, Submitted, Tick
from newswire.core.broker.shared_log import Beat, SharedLog
from newswire.core.broker.values import Identity
from newswire.core.model import ops
from newswire.core.model.commands import Publish
from newswire.core.model.ops import Began, Published, Void
from newswire.core.state.fold import State

WALL = 1_700_000_000_000
ME = Identity(id="1002", address="127.0.0.1:2", origin="1002-a", heartbeat=5.0)
OTHER = Beat(broker="1001", address="127.0.0.1:1", origin="1001-a", primary=True, wall=WALL)


class Gateway:
    """A broker over a shared log, and where its clock stands."""

    def __init__(self) -> None:
        state = State()
        self.log = SharedLog(ME, state)
        self.broker = Broker(ME, state, "c", settled=True, log=self.log)
        self.now = Now(0.0, WALL)
        self.replies: list[object] = []
        self.raws: list[bytes] = []
        self.follow(self.broker.begin(self.now))

    def step(self, event: object) -> None:
        self.follow(self.broker.step(event, self.now))  # type: ignore[arg-type]

    def follow(self, actions: object) -> None:
        for action in actions:  # type: ignore[attr-defined]
            match action:
                case Append(raws=raws):
                    places = [(len(self.raws) + at, 1) for at in range(len(raws))]
                    self.raws += raws
                    self.step(Stored(places))
                case Reply(result=result):
                    self.replies.append(result)
                case _:
                    pass

    def rows(self) -> list[tuple[str, str, bool]]:
        return [(row.id, row.state, row.is_primary) for row in self.broker.view(self.now).rows]

    def wait(self, seconds: float) -> None:
        self.now = Now(self.now.clock + seconds, self.now.wall + int(seconds * 1000))


def test_another_gateway_is_shown_from_its_first_beat_on_and_decides_for_both() -> None:
    gateway = Gateway()
    assert gateway.rows() == [("1002", "up", True)]
    gateway.log.note(OTHER, gateway.now)
    assert gateway.rows() == [("1001", "up", True), ("1002", "up", False)]


def test_one_that_falls_silent_is_down_then_forgotten_and_nothing_waits_for_it() -> None:
    gateway = Gateway()
    gateway.log.note(OTHER, gateway.now)
    gateway.wait(OTHER.heartbeat + limits.HEARTBEAT_GRACE_SECONDS + 1)
    view = gateway.broker.view(gateway.now)
    assert gateway.rows() == [("1001", "down", False), ("1002", "up", True)]
    assert (view.serves, view.all_in_sync, view.away) == (True, True, ())
    gateway.wait(limits.GATEWAY_FORGET_SECONDS)
    assert gateway.rows() == [("1002", "up", True)]


def test_one_that_says_goodbye_is_gone_at_once_and_one_that_starts_again_is_the_same() -> None:
    gateway = Gateway()
    gateway.log.note(OTHER, gateway.now)
    gateway.log.note(msgspec.structs.replace(OTHER, origin="1001-b"), gateway.now)
    assert len(gateway.rows()) == 2
    gateway.log.note(msgspec.structs.replace(OTHER, origin="1001-b", ends=True), gateway.now)
    assert gateway.rows() == [("1002", "up", True)]


def test_copies_are_what_the_servers_prove() -> None:
    gateway = Gateway()
    for copies, said in ((0, 1), (1, 1), (2, 2), (3, 3)):
        gateway.log.prove(copies)
        gateway.step(Submitted(print, [Publish("news", str(copies))]))
        assert gateway.replies[-1].copies == said  # type: ignore[attr-defined]
        assert gateway.broker.view(gateway.now).most_copies == said


def test_a_log_that_is_away_is_why_nobody_is_served() -> None:
    gateway = Gateway()
    gateway.log.lose("no answer")
    gateway.step(Tick())
    view = gateway.broker.view(gateway.now)
    assert not view.serves
    assert view.why_not == "the log cannot be reached (no answer): use another broker, or look at its servers"
    gateway.log.lose("")
    assert gateway.broker.view(gateway.now).serves


def test_what_the_log_holds_is_taken_once_and_its_own_never() -> None:
    gateway = Gateway()
    began = ops.encode(Began(origin="1001-a", sequence=1, time=WALL, broker="1001"))
    message = ops.encode(Published("1001-a", 2, WALL, topic="news", data="x"))
    own = gateway.raws[0]
    for _ in range(2):
        gateway.step(Logged([began, b"no operation", own, message]))
    assert gateway.broker.state.vector == {"1001-a": 2, "1002-a": 1}
    assert gateway.raws == [own, began, message]


def test_a_void_of_a_log_that_was_moved_here_stands_for_what_it_says() -> None:
    """It is taken from the log, as all that it stands for is in no log any more; a peer's is not."""
    gateway = Gateway()
    began = ops.encode(Began(origin="1001-a", sequence=1, time=WALL, broker="1001"))
    void = ops.encode(Void(origin="1001-a", sequence=7, time=WALL, first=2, messages={}))
    last = ops.encode(Published("1001-a", 8, WALL, topic="news", data="x"))
    gateway.step(Logged([began, void, last]))
    assert gateway.broker.state.log.held("1001-a") == 8
