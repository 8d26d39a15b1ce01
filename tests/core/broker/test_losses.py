"""What is given up on an operator's word, and what is not, since somebody may bring it (docs/rules.md, LOST)."""

from __future__ import annotations

import pytest
from msgspec import structs

from newswire.core.broker.events import AcceptLoss, Now, Recalled, Unreadable
from newswire.core.broker.losses import Losses, can_bring, stands_on
from newswire.core.broker.peer import Peer
from newswire.core.broker.values import Identity, PeerFacts, Stamp, StoreAgain
from newswire.core.model import ops
from newswire.core.model.commands import Publish, Subscribe
from newswire.core.model.ops import Began, Joined, Left, Lost, Published, Subscribed, Unsubscribed, Void
from newswire.core.state.fold import State
from newswire.core.state.holes import Hole
from newswire.engine.memory import MemoryEngine, MemoryLog, MemoryNetwork
from newswire.errors import Refused

A, B = "1001-a", "1002-b"


def message(sequence: int, topic: str = "news", origin: str = A, **more: str) -> Published:
    return Published(origin, sequence, sequence, topic=topic, data=f"text {sequence}", **more)


def began(origin: str = A, vector: dict[str, int] | None = None) -> Began:
    return Began(origin, 1, 0, origin.partition("-")[0], vector or {})


def test_a_loss_is_refused_where_nothing_is_missing_and_while_a_member_is_away() -> None:
    network = MemoryNetwork()
    first = MemoryEngine("1001", network=network, peers=("127.0.0.1:5054",))
    second = MemoryEngine("1002", network=network, peers=("127.0.0.1:5053",))
    for engine in (first, second):
        engine.tick()
    first.submit([Subscribe("Ann", ">")])
    kept = first.submit([Publish("news", "kept")])
    network.cut("127.0.0.1:5053", "127.0.0.1:5054")
    first.submit([Publish("news", "one"), Publish("news", "two")])
    first.close()
    damaged = MemoryLog()
    damaged.raws = [raw for raw in first.log.raws if b'"one"' not in raw]
    first = MemoryEngine("1001", address="127.0.0.1:5053", network=network, peers=("127.0.0.1:5054",), log=damaged)
    (hole,) = first.describe().holes
    assert (hole.waiting, first.describe().all_in_sync) == (1, False)
    for asked, code in ((("1002-x", 1, 1), "no-hole"), (("", 0, 0), "may-be-elsewhere")):
        with pytest.raises(Refused) as refused:
            first.accept_loss(*asked)
        assert refused.value.code == code
    assert first.accept_loss(even_if_away=True).count == 1
    assert first.describe().holes == ()
    assert kept.count == 1


def test_what_is_given_up_is_counted() -> None:
    log, network = MemoryLog(), MemoryNetwork()
    first = MemoryEngine("1001", network=network, log=log)
    first.submit([Publish("news", name) for name in ("one", "two", "three")])
    log.raws = [raw for raw in log.raws if b'"one"' not in raw and b'"two"' not in raw]
    first = MemoryEngine("1001", network=network, log=log)
    receipt = first.accept_loss()
    assert (receipt.count, receipt.duplicates) == (2, 0)


def test_a_run_that_began_on_a_hole_does_not_give_it_up_and_one_that_did_not_does() -> None:
    """1001 began on A.3, and its disk lost it since: who lacks A.3 cannot take what 1001 says in this run."""
    one, other = "127.0.0.1:5053", "127.0.0.1:5054"
    network, log, known = MemoryNetwork(), MemoryLog(), MemoryLog()
    log.raws = [ops.encode(op) for op in (began(), message(2), message(3), message(4))]
    known.raws = [log.raws[0], log.raws[1], log.raws[3]]
    first = MemoryEngine("1001", address=one, network=network, peers=(other,), log=log)
    first.network.put(first, Unreadable((2,)))
    second = MemoryEngine("1002", address=other, network=network, peers=(one,), log=known)
    for engine in (first, second, first, second):
        engine.tick()
    with pytest.raises(Refused) as refused:
        first.accept_loss(A, 3, 3)
    assert refused.value.code == "restart-first"
    first.close()
    log.raws = [raw for raw in log.raws if raw != ops.encode(message(3))]
    first = MemoryEngine("1001", address=one, network=network, peers=(other,), log=log)
    for engine in (first, second, first, second):
        engine.tick()
    assert first.accept_loss(A, 3, 3).count == 1
    for engine in (first, second, first, second):
        engine.tick()
    vectors = [engine.shell.read(lambda state: dict(state.log.full.items())) for engine in (first, second)]
    assert vectors[0] == vectors[1]
    assert first.describe().holes == second.describe().holes == ()
    assert first.describe().most_copies == 2


@pytest.mark.parametrize(
    ("holds", "lacks", "waits", "can"),
    [
        (7, (), 0, True),
        (5, (), 0, True),  # some of it is enough
        (4, (), 0, False),
        (7, ((5, 7),), 0, False),  # the same hole
        (7, ((5, 6),), 0, True),
        (7, ((6, 7),), 0, True),
        (7, ((6, 7), (5, 5)), 0, False),  # whatever order its holes are told in
        (4, ((5, 5),), 6, True),  # it waits behind damage there
        (4, ((5, 6),), 6, False),
    ],
)
def test_who_holds_any_of_a_hole_can_bring_it(holds: int, lacks: tuple[tuple[int, int], ...], waits: int, can: bool) -> None:
    holes = [*(Hole(A, first, last) for first, last in lacks), Hole(B, 1, 99)]
    assert can_bring({A: holds}, holes, {A: waits} if waits else {}, Hole(A, 5, 7)) is can


def test_nothing_of_what_is_stamped_is_taken_where_a_hole_below_it_is_not_filled() -> None:
    state = State()
    for op in (began(), message(2), message(3), began(B, {A: 2})):
        state.apply(op, 0, 0, None)
    assert stands_on(state, A, Hole(A, 9, 9)), "its own"
    assert stands_on(state, B, Hole(A, 2, 2))
    assert not stands_on(state, B, Hole(A, 3, 3)), "it began before that"
    assert stands_on(state, "1003-new", Hole(A, 3, 3)), "a run that is about to begin stands on all that is held"
    assert not stands_on(state, "1003-new", Hole(A, 4, 4))


def test_one_recall_is_under_way_at_a_time_and_a_full_disk_stores_nothing_again() -> None:
    state = State()
    for place, op in enumerate((began(), message(2), began(B), message(2, origin=B))):
        state.apply(op, place, 9, None)
    losses, lost = Losses(Identity("1001", "10.0.0.1:1", A), state), Lost(B, 3, 0, A, 2, 2)
    assert losses.recall([], {}) == []
    (recall,) = losses.recall([lost], {})
    assert (recall.lost, recall.places) == (lost, [(1, 9)])
    assert losses.recall([lost], {}) == []
    assert losses.take(Recalled(lost, [message(2)]), {}, writable=False) == []
    assert len(losses.recall([lost], {})) == 1, "it is asked for again"
    assert losses.take(Recalled(lost, [message(2)]), {}, writable=True)[0] == StoreAgain(message(2))
    assert losses.recall([lost], {A: {2}})[0].places == [], "what was stored again is not read again"


BATCH = f"{A}b1"
ASKED = AcceptLoss(reply_to=lambda result: None, until=10.0)


def test_what_had_ended_where_it_was_compacted_ends_again_when_what_ended_it_is_given_up() -> None:
    """Its voids do not count, as one is damaged; another broker brought what they stand for, and then compacted that, too."""
    state = State(without_voids=True)
    ann, bob = (Subscribed(A, sequence, 0, user=user, pattern="news") for sequence, user in ((2, "ann"), (5, "bob")))
    history = [
        began(),
        Void(A, 3, 0, first=2, of=2),
        message(4),
        bob,
        Joined(A, 6, 0, broker="1002", address="x:1"),
        message(8),
    ]
    state.replay([(op, place, 9) for place, op in enumerate(history)])
    brought = [ann, Joined(A, 3, 0, broker="1009", address="y:1")]
    state.apply_all([(op, place, 9) for place, op in enumerate(brought, 10)], None)
    state.revive(None)
    assert set(state.subscriptions.alive) == {f"{A}.2", f"{A}.5"}
    assert set(state.members.of) == {"1002", "1009"}
    assert state.holes.all == (Hole(A, 7, 7, waiting=1),)
    ends, lost = Losses(Identity("1003", "10.0.0.3:1", "1003-x"), state).accept(ASKED, {}, [], [], "1003-x")
    assert isinstance(ends, Stamp)
    assert isinstance(lost, Stamp)
    assert [(type(op), getattr(op, "ids", getattr(op, "seen", ()))) for op in ends.ops] == [
        (Unsubscribed, (f"{A}.2",)),
        (Left, (f"{A}.3",)),
    ]
    assert [(op.source, op.first, op.last) for op in lost.ops if isinstance(op, Lost)] == [(A, 7, 7)]


def with_part_of_a_batch() -> State:
    """One that has the first half of a batch, which is nothing by itself."""
    state = State()
    for op in (began(), began(B), Began(BATCH, 1, 0, "1001", {A: 1}, batch=4), message(2, origin=BATCH)):
        state.apply(op, 0, 10, None)
    assert state.open_batches.extents == {BATCH: 2}
    return state


def damaged_peer(parts: dict[str, int], hole: Hole, state: State) -> PeerFacts:
    peer = Peer("127.0.0.1:1", 0.0, state.lineage)
    peer.id, peer.parts, peer.holes = "1001", parts, (hole,)
    return peer.facts(state, Now(0.0, 0), 1.0, counts=True)


def test_nobody_gives_up_what_a_peer_says_that_it_holds_though_it_has_not_begun_here() -> None:
    state = State()
    for op in (began(), began(B)):
        state.apply(op, 0, 9, None)
    state.holes.wait((message(2, origin="1002-c"), 5, 9))
    assert state.holes.all == (Hole("1002-c", 1, 1, waiting=1),)
    peer = damaged_peer({}, Hole(A, 9, 9), state)
    losses = Losses(Identity("1002", "127.0.0.1:2", B), state)
    assert losses.accept(ASKED, {}, [structs.replace(peer, holes=())], [], B)
    with pytest.raises(Refused) as refused:
        losses.accept(ASKED, {}, [structs.replace(peer, holes=(), told={"1002-c": 1})], [], B)
    assert refused.value.code == "not-lost"


def test_nothing_is_given_up_before_a_peer_has_said_what_it_holds() -> None:
    """What it listed has not begun here, and more may follow from that."""
    state = State()
    state.apply(began(), 0, 9, None)
    state.holes.wait((message(3), 5, 9))
    peer = structs.replace(damaged_peer({}, Hole(A, 9, 9), state), holes=(), told={"1003-n": 1}, unclear=True)
    losses = Losses(Identity("1002", "127.0.0.1:2", B), state)
    with pytest.raises(Refused, match="has yet to say whether it has of") as refused:
        losses.accept(ASKED, {}, [peer], [], B)
    assert refused.value.code == "not-lost"
    assert losses.accept(ASKED, {}, [structs.replace(peer, unclear=False)], [], B)


def test_part_of_a_batch_that_is_kept_apart_can_be_brought() -> None:
    """The batch was answered for at a broker whose disk lost its begin, and of which another one has a part yet."""
    state = with_part_of_a_batch()
    losses = Losses(Identity("1002", "127.0.0.1:2", B), state)
    with pytest.raises(Refused, match="this broker has of") as refused:
        losses.accept(ASKED, {}, [damaged_peer({}, Hole(BATCH, 1, 3), state)], [], B)
    assert refused.value.code == "not-lost"
    (fact,) = losses.accept(ASKED, {}, [damaged_peer({}, Hole(BATCH, 3, 3), state)], [], B)
    assert isinstance(fact, Stamp)
    assert fact.count == 1
    here = Hole("1003-c", 1, 2)
    facts = [damaged_peer({}, here, state), structs.replace(damaged_peer({"1003-c": 2}, here, state), id="1004", holes=())]
    with pytest.raises(Refused, match="broker 1004 has of"):
        losses.accept(ASKED, {}, facts, [], B)
