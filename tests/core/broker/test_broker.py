"""The broker core among others: who serves when, who joins and leaves, whose copies count."""

from __future__ import annotations

import pytest
from msgspec import structs

from newswire.core import limits
from newswire.core.broker.events import Answered, Event, Failed, HungUp, Now, Writable
from newswire.core.broker.journal import tell_changes
from newswire.core.model.commands import Publish, Subscribe
from newswire.core.model.ops import Joined, Published, Void, encode
from newswire.core.read.counts import topics
from newswire.engine.memory import MemoryEngine, MemoryLog, MemoryNetwork
from newswire.errors import BadRequest, NotEnoughCopies, NotFound, Refused, Unavailable, Unknown

ONE, TWO, THREE = "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"


class Clock:
    """Time for a whole network, in the test's hands."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> Now:
        return Now(self.seconds, 1_700_000_000_000 + int(self.seconds * 1_000))


class World:
    """A network of brokers and its clock."""

    def __init__(self) -> None:
        self.network, self.clock = MemoryNetwork(), Clock()

    def start(
        self, broker: str, address: str, *peers: str, cluster: str = "memory", log: MemoryLog | None = None
    ) -> MemoryEngine:
        return MemoryEngine(
            broker,
            address=address,
            peers=peers,
            primary=broker == "1001",
            network=self.network,
            clock=self.clock,
            cluster=cluster,
            log=log,
        )

    def pass_time(self, seconds: float = 6.0) -> None:
        """Let time pass at all brokers, in steps."""
        for _ in range(round(seconds / 0.5)):
            self.clock.seconds += 0.5
            for engine in list(self.network.engines.values()):
                engine.tick()


@pytest.fixture
def world() -> World:
    return World()


def pair(world: World) -> tuple[MemoryEngine, MemoryEngine]:
    one = world.start("1001", ONE, TWO)
    other = world.start("1002", TWO, ONE)
    world.pass_time()
    return one, other


def states(engine: MemoryEngine) -> dict[str, str]:
    return {row.id: row.state for row in engine.describe().rows}


def primary(engine: MemoryEngine) -> list[str]:
    return [row.id for row in engine.describe().rows if row.is_primary]


def messages(engine: MemoryEngine) -> int:
    return engine.shell.read(lambda state: sum(row.messages for row in topics(state)))


def test_both_are_members_after_they_met(world: World) -> None:
    one, other = pair(world)
    for engine in (one, other):
        assert states(engine) == {"1001": "up", "1002": "up"}
        assert primary(engine) == ["1001"]
        assert engine.shell.read(lambda state: sorted(b for b, held in state.members.of.items() if held)) == ["1001", "1002"]
    assert one.submit([Publish("news", "x")]).copies == 2


def test_a_dead_primary_is_not_the_primary_and_pending_ops_reach_it_when_it_returns(world: World) -> None:
    one, other = pair(world)
    one.close()
    world.pass_time()
    assert states(other) == {"1001": "down", "1002": "up"}
    assert primary(other) == ["1002"]
    assert other.submit([Publish("news", "missed")]).copies == 1
    back = world.start("1001", ONE, TWO, log=one.log)
    assert back.describe().serves
    assert messages(back) == 1, "it served nobody before it had this"
    assert back.submit([Publish("news", "y")]).copies == 2
    assert primary(other) == ["1001"]


def test_a_returning_broker_does_not_serve_while_it_lacks_what_a_living_peer_holds(world: World) -> None:
    one, other = pair(world)
    one.close()
    for number in range(limits.PUSH_OPS + 10):
        other.submit([Publish("news", str(number))])
    served: list[tuple[bool, int]] = []
    run = MemoryNetwork.put

    def put(network: MemoryNetwork, engine: MemoryEngine, event: Event) -> None:
        back = network.engines.get(ONE)
        if back is not None and back is not one:
            served.append((back.describe().serves, messages(back)))
        run(network, engine, event)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryNetwork, "put", put)
        back = world.start("1001", ONE, TWO, log=one.log)
    served.append((back.describe().serves, messages(back)))
    assert {serves for serves, _ in served} == {False, True}
    assert all(held == limits.PUSH_OPS + 10 for serves, held in served if serves)


def test_both_count_each_other_before_a_returning_broker_serves(world: World) -> None:
    one, other = pair(world)
    other.close()
    world.pass_time()
    back = world.start("1002", TWO, ONE, log=other.log)
    assert back.describe().serves
    assert one.submit([Publish("news", "x")]).copies == 2, "at the one that stayed, too"


def test_a_peer_that_cannot_reach_a_starting_broker_is_not_waited_for_long(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = pair(world)
    other.close()
    reached = world.network.reached
    monkeypatch.setattr(world.network, "reached", lambda a, b: None if (a, b) == (ONE, TWO) else reached(a, b))
    back = world.start("1002", TWO, ONE, log=other.log)
    assert not back.describe().serves
    world.pass_time(limits.CATCH_UP_PATIENCE_SECONDS)
    assert back.describe().serves
    assert one.submit([Publish("news", "x")]).copies == 1


def test_a_partition_and_its_end(world: World) -> None:
    one, other = pair(world)
    world.network.cut(ONE, TWO)
    assert one.submit([Publish("news", "a")]).copies == 1
    assert other.submit([Publish("news", "b")]).copies == 1
    assert not one.describe().all_in_sync, "the other may know users that this one does not"
    world.network.mend(ONE, TWO)
    world.pass_time()
    assert messages(one) == messages(other) == 2
    assert one.submit([Publish("news", "c")]).copies == 2
    assert one.describe().all_in_sync


def test_a_third_broker_is_added_at_run_time_and_told_to_all(world: World) -> None:
    one, other = pair(world)
    one.submit([Publish("news", str(number)) for number in range(5)])
    third = world.start("1003", THREE, cluster="")
    assert third.describe().serves, "alone it may be the first of a cluster"
    row = one.join(THREE)
    assert (row.id, row.ip) == ("1003", THREE)
    world.pass_time()
    for engine in (one, other, third):
        assert states(engine) == {"1001": "up", "1002": "up", "1003": "up"}
        assert messages(engine) == 5
    assert other.submit([Publish("news", "x")]).copies == 3


def test_an_empty_broker_that_finds_a_cluster_serves_only_when_it_has_everything(world: World) -> None:
    one, _ = pair(world)
    one.submit([Publish("news", str(number)) for number in range(10)])
    third = world.start("1003", THREE, cluster="")
    seen: list[bool] = []
    third.on_wake(lambda woken: seen.append(woken.serves))
    one.join(THREE)
    assert seen[0] is False, "from the first push on it sends its clients away"
    assert seen[-1] is True
    assert messages(third) == 10


def test_adding_what_is_there_or_cannot_be(world: World) -> None:
    one, _ = pair(world)
    before = len(one.log.raws)
    assert one.join(TWO).id == "1002"
    assert len(one.log.raws) == before, "it is a member: nothing to store"
    with pytest.raises(BadRequest) as own:
        one.join(ONE)
    assert own.value.code == "bad-address"
    with pytest.raises(Refused) as nobody:
        one.join("127.0.0.1:9")
    assert nobody.value.code == "unreachable"
    assert "127.0.0.1:9" not in one.shell.broker.replication._peers, "no link stays behind"


def test_who_is_only_asked_whether_it_joins_is_shown_to_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may name an address that never answers: it is no broker yet, nobody is sent there, and nothing is degraded."""
    one, _ = pair(world)
    hold_back(world, monkeypatch, world.start("1003", THREE))
    before = one.describe()
    with pytest.raises(Unknown):
        one.join(THREE)
    assert THREE in one.shell.broker.replication._peers, "it is being asked"
    view = one.describe()
    assert [row.ip for row in view.rows] == [ONE, TWO]
    assert (view.degraded, view.away, view.all_in_sync) == ((), (), True)
    assert not list(tell_changes(before, view))


def test_who_never_answers_whole_keeps_no_link_and_nobody_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = pair(world)
    held = hold_back(world, monkeypatch, world.start("1003", THREE))
    replies: list[object] = []
    one.join_later(THREE, replies.append, timeout=3.0)
    world.pass_time(2.5)
    assert held, "it was asked"
    assert replies == []
    world.pass_time(1.0)
    (refusal,) = replies
    assert isinstance(refusal, Refused)
    assert refusal.code == "unreachable"
    assert THREE not in one.shell.broker.replication._peers


def test_a_foreign_cluster_is_refused_with_what_to_do(world: World) -> None:
    one, _ = pair(world)
    world.start("1003", THREE, cluster="elsewhere").submit([Publish("news", "theirs")])
    with pytest.raises(Refused) as refused:
        one.join(THREE)
    assert refused.value.code == "other-cluster"
    assert "empty ops directory" in refused.value.detail
    assert messages(one) == 0


def test_two_brokers_that_began_apart_are_one_cluster_all_the_same(world: World) -> None:
    """Each is told of the other and cannot reach it at its very first start; both take what comes."""
    world.network.cut(ONE, TWO)
    one = world.start("1001", ONE, TWO, cluster="")
    other = world.start("1002", TWO, ONE, cluster="")
    one.submit([Publish("news", "a")])
    other.submit([Publish("news", "b")])
    world.network.mend(ONE, TWO)
    world.pass_time()
    assert messages(one) == messages(other) == 2
    assert one.submit([Publish("news", "c")]).copies == 2
    assert one.shell.broker.cluster_id.settled


def test_an_empty_disk_beside_a_peer_that_is_down_joins_it_later(world: World) -> None:
    """The disk of 1001 was replaced while 1002 was down: what it acknowledged alone is not lost when 1002 returns."""
    one, other = pair(world)
    one.submit([Publish("news", "old")])
    one.close()
    other.close()
    fresh = world.start("1001", ONE, TWO, cluster="")
    assert fresh.submit([Publish("news", "alone")]).copies == 1
    back = world.start("1002", TWO, ONE, log=other.log)
    world.pass_time()
    assert messages(fresh) == messages(back) == 2
    assert fresh.submit([Publish("news", "both")]).copies == 2


def test_a_broker_with_messages_of_its_own_is_not_swallowed_by_a_cluster_that_it_was_not_told_of(world: World) -> None:
    one, _ = pair(world)
    stranger = world.start("1003", THREE, "127.0.0.1:9", cluster="")
    stranger.submit([Publish("news", "a test")])
    with pytest.raises(Refused) as refused:
        one.join(THREE)
    assert refused.value.code == "other-cluster"
    world.pass_time()
    assert messages(one) == 0
    assert messages(stranger) == 1


def test_a_removed_broker_refuses_clients_hands_over_and_stays_out_until_it_is_added(world: World) -> None:
    one, other = pair(world)
    world.network.cut(ONE, TWO)
    other.submit([Publish("news", "only at 1002")])
    one.leave("1002")
    world.network.mend(ONE, TWO)
    world.pass_time()
    assert messages(one) == 1, "what it held is not lost"
    assert not other.describe().serves
    assert "removed" in other.describe().why_not
    with pytest.raises(Unavailable):
        other.submit([Publish("news", "x")])
    assert states(one) == {"1001": "up"}
    assert one.submit([Publish("news", "y")]).copies == 1
    other.close()
    again = world.start("1002", TWO, ONE, log=other.log)
    world.pass_time()
    assert not again.describe().serves
    one.join(TWO)
    world.pass_time()
    assert again.describe().serves
    assert one.submit([Publish("news", "z")]).copies == 2


def test_a_broker_leaves_when_another_holds_all_and_not_before(world: World) -> None:
    one, other = pair(world)
    world.network.cut(ONE, TWO)
    with pytest.raises(Refused) as alone:
        one.submit([Publish("news", "x")])
        one.leave("1001")
    assert alone.value.code == "last-broker"
    world.network.mend(ONE, TWO)
    world.pass_time()
    one.leave(ONE)
    assert one.exited
    assert not one.describe().serves
    assert messages(other) == 1
    assert states(other) == {"1002": "up"}
    with pytest.raises(NotFound):
        other.leave("1009")


def test_two_living_brokers_with_one_id(world: World) -> None:
    one, _ = pair(world)
    twin = world.start("1001", THREE, TWO)
    world.pass_time(1.0)
    assert not twin.describe().serves
    assert "--id" in twin.describe().why_not
    assert one.describe().serves


def hold_back(world: World, patch: pytest.MonkeyPatch, engine: MemoryEngine) -> list[tuple[MemoryEngine, Event]]:
    """Let nothing reach `engine`; what should have is in the list."""
    held: list[tuple[MemoryEngine, Event]] = []
    put = world.network.put

    def hold(target: MemoryEngine, event: Event) -> None:
        if target is engine:
            held.append((target, event))
        else:
            put(target, event)

    patch.setattr(world.network, "put", hold)
    return held


def test_a_hung_peer_stops_counting_within_the_push_s_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its push is not answered at all: first receipts wait, then it counts no more."""
    one, other = pair(world)
    hold_back(world, monkeypatch, other)
    assert one.post([Publish("news", "x")])
    assert one.describe().most_copies == 2
    world.clock.seconds += limits.PUSH_TIMEOUT_SECONDS + 0.1
    one.tick()
    assert one.describe().most_copies == 1
    assert not one.describe().all_in_sync
    world.network.put(one, Failed(TWO, one.shell.broker.replication._peers[TWO].number))
    assert states(one)["1002"] == "down"


def test_the_second_copy_waits_for_the_peer_that_is_in_sync(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 1: while both are in sync no receipt is given before both have it."""
    one, other = pair(world)
    with monkeypatch.context() as patch:
        late = hold_back(world, patch, other)
        with pytest.raises(Unknown):
            one.submit([Publish("news", "x", key="k")])
    for engine, event in late:
        world.network.put(engine, event)
    assert one.submit([Publish("news", "x", key="k")]).copies == 2


def test_users_are_told_apart_from_the_unknown_only_when_all_are_in_sync(world: World) -> None:
    one, other = pair(world)
    world.network.cut(ONE, TWO)
    other.submit([Subscribe("Alice", "news")])
    world.pass_time()  # a heartbeat: without one nobody notices that the other is gone
    assert one.shell.read(lambda state: state.patterns_of("Alice")) == ()
    assert not one.describe().all_in_sync


def test_a_peer_whose_disk_is_full_is_sent_no_ops_until_it_has_room(world: World) -> None:
    one, other = pair(world)
    other.network.put(other, Writable(False))
    assert one.submit([Publish("news", "x")]).copies == 1
    assert one.submit([Publish("news", "and more")]).copies == 1, "it counts no more"
    world.pass_time(3.0)
    assert states(one)["1002"] == "catching-up"
    assert [row.detail for row in one.describe().rows if row.id == "1002"] == ["its disk is full"]
    pushed = one.shell.broker.replication._peers[TWO].number
    world.pass_time(20.0)
    assert one.shell.broker.replication._peers[TWO].number - pushed <= 5, "heartbeats, no storm of pushes"
    other.network.put(other, Writable(True))
    world.pass_time()
    assert messages(other) == 2
    assert one.submit([Publish("news", "y")]).copies == 2


def test_readers_at_a_full_disk_are_sent_to_a_broker_that_gets_the_news(world: World) -> None:
    """Its streams would stay open and silent: what is published at the other finds no room here."""
    one, other = pair(world)
    woken: list[bool] = []
    one.on_wake(lambda told: woken.append(told.serves))
    one.network.put(one, Writable(False))
    world.pass_time()
    assert (one.describe().why_behind, woken) == ("", []), "nothing is missed yet: its streams go on"
    assert primary(one) == ["1001"]
    assert "the disk of broker 1001, 127.0.0.1:1, is full: a publish gets 1 copy" in other.describe().degraded
    other.submit([Publish("news", "x")])
    world.pass_time()
    assert "1002 has what finds no room here" in one.describe().why_behind
    assert one.describe().serves, "acknowledgements go on"
    assert woken == [False]
    for engine in (one, other):
        assert states(engine) == {"1001": "catching-up", "1002": "up"}
        assert primary(engine) == ["1002"]
    assert "the disk is full: publishing is refused, streams go on at another broker" in one.describe().degraded
    other.network.put(other, Writable(False))
    world.pass_time()
    assert one.describe().why_behind == "", "where both are full nobody is sent to and fro"
    other.network.put(other, Writable(True))
    one.network.put(one, Writable(True))
    world.pass_time()
    assert (one.describe().why_behind, messages(one), woken[-1]) == ("", 1, True)
    assert primary(other) == ["1001"]
    assert other.describe().degraded == ()


def test_a_full_disk_that_is_known_before_anything_was_pushed_counts_no_longer(world: World) -> None:
    """It says so in a heartbeat, while it still holds everything: the next publish does not wait for it."""
    one, other = pair(world)
    other.network.put(other, Writable(False))
    world.pass_time()
    assert one.describe().most_copies == 1, "it holds all that there is, and would not hold more"
    with pytest.raises(NotEnoughCopies):
        one.submit([Publish("news", "x")], copies=2)
    pushed = one.shell.broker.replication._peers[TWO].number
    assert one.submit([Publish("news", "x")]).copies == 1
    assert one.shell.broker.replication._peers[TWO].number - pushed <= 2


def test_a_push_that_times_out_is_followed_by_a_smaller_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = pair(world)
    peer = one.shell.broker.replication._peers[TWO]
    with monkeypatch.context() as patch:
        hold_back(world, patch, other)
        for number in range(3):
            one.post([Publish("news", str(number))])
            world.clock.seconds += limits.PUSH_TIMEOUT_SECONDS + 0.1
            world.network.put(one, Failed(TWO, peer.number))
            peer.state = "up"  # as if a push without ops had gone through
            world.clock.seconds += limits.PUSH_AGAIN_SECONDS
            one.tick()
    assert peer.push_bytes < limits.PUSH_BYTES
    world.network.put(one, Failed(TWO, peer.number))
    world.pass_time(30.0)
    assert messages(other) == 3
    assert peer.push_bytes == limits.PUSH_BYTES


def test_answers_of_which_nothing_can_be_taken_are_not_asked_for_again_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is handed over is written for a while, and until then what follows on it cannot be taken."""
    pair(world)
    put, answers = world.network.put, 0

    def put_more(engine: MemoryEngine, event: Event) -> None:
        nonlocal answers
        if isinstance(event, Answered) and answers < 50:
            answers += 1
            later = encode(Published("1009-z", 7, 0, topic="news", data="behind what is not here"))
            header = structs.replace(event.header, vector={**event.header.vector, "1009-z": 7})
            event = structs.replace(event, header=header, raws=[later])
        put(engine, event)

    monkeypatch.setattr(world.network, "put", put_more)
    world.pass_time(6.0)
    assert 0 < answers < 30, answers


def test_a_peer_that_hangs_up_is_asked_at_once(world: World) -> None:
    one, other = pair(world)
    other.close()
    one.network.put(one, HungUp(TWO))
    assert states(one)["1002"] == "down"


def test_brokers_that_were_removed_leave_room_for_others(world: World) -> None:
    """Sixteen broker ids were members and are not any more: the seventeenth joins, and there are no more links than ever."""
    one = world.start("1001", ONE)
    for number in range(limits.PEERS_COUNT + 2):
        address = f"127.0.0.1:{100 + number}"
        other = world.start(str(2000 + number), address)
        world.pass_time(1.0)
        assert one.join(address).id == str(2000 + number)
        world.pass_time(2.0)
        one.leave(str(2000 + number))
        world.pass_time(2.0)
        del world.network.engines[other.address]
        assert len(one.shell.broker.replication._peers) <= limits.PEERS_COUNT
    last = world.start("3000", TWO)
    assert one.join(TWO).id == "3000"
    world.pass_time()
    assert {row.id for row in last.describe().rows} >= {"1001", "3000"}


def test_members_without_end_are_not_links_without_end(world: World) -> None:
    """Each link is a thread: a peer that says that thousands have joined costs no more of them, and hides nobody."""
    one, other = pair(world)
    stamp = other.shell.broker.stager.stamp
    for number in range(100):
        stamp(Joined("", 0, 0, f"h{number}", f"10.9.9.9:{1000 + number}"), 0)
    world.pass_time()
    assert one.shell.read(lambda state: "h99" in state.members)
    assert len(one.shell.broker.replication._peers) == limits.PEERS_COUNT
    assert TWO in one.shell.broker.replication._peers


def test_clocks_that_differ_are_named_by_both_and_no_longer_when_they_agree(world: World) -> None:
    one, other = pair(world)
    assert one.describe().degraded == ()
    other.shell.clock = lambda: Now(world.clock().clock, world.clock().wall + 3_650 * 86_400_000)
    world.pass_time()
    assert "the clock of 1002 is 10 years ahead of this broker's: use NTP" in one.describe().degraded
    told = other.describe().degraded
    assert "the clock of 1001 is 10 years behind this broker's: use NTP" in told
    assert "the clock of this broker was set 10 years ahead within the last hour: see that it is right" in told
    other.shell.clock = world.clock
    world.pass_time()
    assert one.describe().degraded == ()
    assert [reason for reason in other.describe().degraded if "set 10 years back" in reason]
    world.pass_time(3_600)
    assert other.describe().degraded == ()


def test_a_clock_that_jumped_years_before_two_starts_drops_nothing_unless_it_is_trusted(world: World) -> None:
    """All brokers start years ahead, twice: the second time the newest stamps say so, too."""
    alone = world.start("1001", ONE)
    alone.submit([Publish("news", "x")])
    world.pass_time()
    for start in range(2):
        world.clock.seconds += 10 * 365 * 86_400.0 * (start == 0)
        alone.close()
        alone = world.start("1001", ONE, log=alone.log)
        alone.submit([Publish("news", "y")])
        world.pass_time(120)
        assert messages(alone) == 2 + start
        assert [reason for reason in alone.describe().degraded if "--trust-clock" in reason]
    alone.close()
    trusting = MemoryEngine(
        "1001", address=ONE, primary=True, network=world.network, clock=world.clock, log=alone.log, trust_clock=True
    )
    world.pass_time(120)
    assert messages(trusting) == 2, "what is ten years old by the clock is dropped"
    assert trusting.describe().degraded == ()


def test_what_others_said_before_this_broker_stood_still_is_old(world: World) -> None:
    """It or its host was stopped: the running clock may not tell, the time of day does. One answer is enough."""
    one, _ = pair(world)
    assert one.describe().all_in_sync
    for seconds, wall in ((9.0, 9_000), (0.0, 9_000)):
        world.network.cut(ONE, TWO)
        now = one.shell.clock()
        later = Now(now.clock + seconds, now.wall + wall)
        assert not one.shell.broker.view(later).all_in_sync
        world.network.mend(ONE, TWO)
        world.clock.seconds += 9.0
        one.tick()
        assert one.describe().all_in_sync, "its push went out at once"


def test_a_broker_that_comes_back_says_at_once_that_it_serves(world: World) -> None:
    one, other = pair(world)
    other.close()
    one.tick()
    back = world.start("1002", TWO, ONE, log=other.log)
    for _ in range(4):  # no time passes: no heartbeat
        one.tick()
        back.tick()
    assert back.describe().serves
    assert states(one)["1002"] == "up"


def test_a_run_goes_on_under_another_origin_before_its_sequences_end() -> None:
    """They have 32 bits: a run of 1,000 operations a second has as many after seven weeks."""
    engine = MemoryEngine("1001", primary=True)
    broker = engine.shell.broker
    origin = broker.stager.origin
    broker.state.replay([(Void(origin, limits.RUN_OPS, 1_700_000_000_000, first=broker.state.log.held(origin) + 1), 0, 0)])
    engine.submit([Publish("news", "the last of it")])
    engine.tick()
    assert engine.submit([Publish("news", "goes on")]).first == f"{origin}v1.2"
    assert list(broker.state.vector) == [f"{origin}v1"]
