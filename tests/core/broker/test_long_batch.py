"""Long batches: stored and pushed in pieces between what others publish, and in effect when all is there (rules, BATCH)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from newswire.core import limits
from newswire.core.broker.events import Event, Now, Received, Submitted
from newswire.core.model import ops
from newswire.core.model.commands import Publish
from newswire.core.model.ops import Began, Published
from newswire.core.model.results import Receipt
from newswire.core.read.counts import topics
from newswire.core.state.fold import State
from newswire.engine.lock import StateLock
from newswire.engine.memory import MemoryEngine, MemoryLog, MemoryNetwork
from newswire.errors import BadRequest, KeyReused, StorageFull

ONE, TWO = "127.0.0.1:1", "127.0.0.1:2"
PIECE = 4


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BATCH_LONG_OPS", PIECE)
    monkeypatch.setattr(limits, "BATCH_PIECE_OPS", PIECE)
    monkeypatch.setattr(limits, "PIECE_OPS", 3)


class Network(MemoryNetwork):
    """One that notes what is pushed, and lets a test do something when that holds ops of a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.pushed: list[int] = []
        self.at_piece: Callable[[], None] = lambda: None

    def put(self, engine: MemoryEngine, event: Event) -> None:
        super().put(engine, event)
        if isinstance(event, Received) and event.raws:
            self.pushed.append(len(event.raws))
            if any(b'b1","s":' in raw for raw in event.raws):
                at_piece, self.at_piece = self.at_piece, lambda: None
                at_piece()


def pair(log: MemoryLog | None = None) -> tuple[Network, MemoryEngine, MemoryEngine]:
    network = Network()
    one = MemoryEngine("1001", address=ONE, peers=(TWO,), network=network, log=log, primary=True)
    other = MemoryEngine("1002", address=TWO, peers=(ONE,), network=network)
    for _ in range(4):
        one.tick()
        other.tick()
    assert one.submit([Publish("news", "first")]).copies == 2
    network.pushed.clear()
    return network, one, other


def batch(count: int = 15, *, keyed: bool = False) -> list[Publish]:
    return [Publish("news", str(number), key=f"k{number}" if keyed else "") for number in range(count)]


def shown(state: State) -> int:
    return sum(row.messages for row in topics(state))


def test_a_batch_is_answered_when_its_last_op_is_on_every_disk() -> None:
    network, one, other = pair()
    receipt = one.submit(batch())
    assert (receipt.count, receipt.copies, len(set(receipt.ids))) == (15, 2, 15)
    for engine in (one, other):
        assert shown(engine.shell.broker.state) == 16
        assert not engine.shell.broker.state.open_batches.of
        assert {op.id for raw in engine.log.raws if isinstance(op := ops.decode(raw), Published)} >= set(receipt.ids)
    assert len(network.pushed) >= 15 // PIECE
    assert max(network.pushed) <= PIECE + 2
    one.tick()
    assert len(one.shell.broker.state.vector) == 1, "the run goes on under another origin, which names the batch"


def test_all_of_it_comes_at_one_place_in_every_log() -> None:
    network, one, other = pair()
    network.at_piece = lambda: one.submit_later([Publish("news", "beside")], lambda result: None)
    ids = one.submit(batch()).ids
    logs = [
        [f"{log.names[o]}.{s}" for o, s in zip(log.origins, log.sequences, strict=True)]
        for log in (one.shell.broker.state.log, other.shell.broker.state.log)
    ]
    for log in logs:
        at = log.index(ids[0])
        assert tuple(log[at : at + 15]) == ids
    mine = [[name for name in log if name.startswith(one.shell.broker.identity.origin)] for log in logs]
    assert mine[0] == mine[1], "what one run took comes in one order everywhere"


@pytest.mark.parametrize("keyed", [False, True])
def test_a_file_that_ends_anywhere_holds_all_of_a_batch_or_nothing(*, keyed: bool) -> None:
    _, one, other = pair()
    one.submit(batch(keyed=keyed))
    for raws in (one.log.raws, other.log.raws):
        counts = set()
        for end in range(len(raws) + 1):
            state = State()
            state.replay([(ops.decode(raw), place, len(raw)) for place, raw in enumerate(raws[:end])])
            state.forget_unfinished("1001")
            assert not state.holes.all
            counts.add(shown(state))
        assert counts == {0, 1, 16}


def test_what_is_left_of_a_batch_goes_when_its_broker_went_on_without_it() -> None:
    """Until then it may be the only copy, to be there when the rest is given up. Of its own a broker knows at once."""
    _, one, _ = pair()
    one.submit(batch())
    one.submit([Publish("news", "after it")])
    records = [(ops.decode(raw), place, len(raw)) for place, raw in enumerate(one.log.raws)]
    inside = next(at for at, (op, _, _) in enumerate(records) if op.origin.endswith("b1") and op.sequence == 7)
    behind = next(at for at, (op, _, _) in enumerate(records) if isinstance(op, Began) and at > inside)
    origin = records[inside][0].origin

    def parts(broker: str, *more: Began, rest: int = len(records)) -> dict[str, int]:
        state = State()
        state.replay([*records[:inside], *records[rest:], *[(op, 100 + at, 1) for at, op in enumerate(more)]])
        state.forget_unfinished(broker)
        return state.open_batches.extents

    assert parts("1002") == {origin: 6}
    assert parts("1001") == {}
    assert parts("1001", rest=behind + 1) == {origin: 6}, "a record that does not name the batch is missing"
    assert parts("1002", Began("1002-r2", 1, 0, "1002", {})) == {origin: 6}
    assert parts("1002", Began("1001-r2", 1, 0, "1001", {})) == {}


def test_it_comes_to_the_same_in_any_order_and_over_damage() -> None:
    _, one, _ = pair()
    one.submit(batch())
    records = [(ops.decode(raw), place, len(raw)) for place, raw in enumerate(one.log.raws)]
    bad = next(at for at, (op, _, _) in enumerate(records) if op.origin.endswith("b1") and op.sequence == 7)
    state = State()
    state.replay([*records[:bad], *records[bad + 1 :]])
    state.forget_unfinished("1001")
    assert shown(state) == 1
    assert [(hole.origin, hole.first, hole.last) for hole in state.holes.all] == [(records[bad][0].origin, 7, 7)]
    state.replay([records[bad]])
    assert (shown(state), state.holes.all) == (16, ())


def test_what_is_left_of_a_batch_is_nothing_after_a_start() -> None:
    _, one, _ = pair()
    one.submit(batch())
    last = max(at for at, raw in enumerate(one.log.raws) if b'b1","s":' in raw)
    log = MemoryLog()
    log.raws = one.log.raws[:last]
    again = MemoryEngine("1001", address=ONE, log=log)
    assert shown(again.shell.broker.state) == 1
    assert not again.shell.broker.state.open_batches.of
    assert again.submit(batch()).count == 15
    assert shown(again.shell.broker.state) == 16


def test_others_are_pushed_with_the_next_piece() -> None:
    network, one, other = pair()
    told: list[str] = []
    network.at_piece = lambda: one.submit_later(
        [Publish("news", "beside")], lambda result: told.append(f"beside {result.copies}")
    )  # type: ignore[union-attr]
    one.submit_later(batch(40), lambda result: told.append(f"batch {result.copies}"))  # type: ignore[union-attr]
    assert told == ["beside 2", "batch 2"]
    assert shown(other.shell.broker.state) == 42


def test_a_key_of_a_batch_that_is_under_way_waits_for_it() -> None:
    network, one, _ = pair()
    told: list[object] = []

    def publish_with_its_keys() -> None:
        one.network.put(one, Submitted(told.append, [Publish("news", "3", key="k3")], 1, 10.0))
        one.network.put(one, Submitted(told.append, [Publish("news", "other", key="k4")], 1, 10.0))
        one.network.put(one, Submitted(told.append, batch(keyed=True), 1, 10.0))

    network.at_piece = publish_with_its_keys
    ids = one.submit(batch(keyed=True)).ids
    reused, same, again = told
    assert isinstance(same, Receipt)
    assert (same.duplicates, same.ids) == (1, (ids[3],))
    assert isinstance(reused, KeyReused)
    assert reused.extra["id"] == ids[4]
    assert isinstance(again, Receipt)
    assert (again.count, again.duplicates, again.ids) == (0, 15, ids)


def test_a_key_twice_in_a_batch_is_one_message_and_another_content_refuses_all() -> None:
    _, one, _ = pair()
    receipt = one.submit([*batch(keyed=True), Publish("news", "3", key="k3")])
    assert (receipt.count, receipt.duplicates, receipt.ids[-1]) == (15, 1, receipt.ids[3])
    with pytest.raises(KeyReused):
        one.submit(
            [Publish("news", f"more {number}", key=f"more{number}") for number in range(9)] + [Publish("news", "x", key="k1")]
        )
    assert shown(one.shell.broker.state) == 16


def test_a_batch_that_is_sent_again_looks_each_key_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _, one, _ = pair()
    ids = one.submit(batch(keyed=True)).ids
    looked_up: list[int] = []
    keys = one.shell.broker.state.messages.keys
    uses = keys.uses
    monkeypatch.setattr(keys, "uses", lambda mark: looked_up.append(mark) or uses(mark))
    receipt = one.submit(batch(keyed=True))
    assert (receipt.count, receipt.duplicates, receipt.ids, receipt.copies) == (0, 15, ids, 2)
    assert len(looked_up) == 15, "10,000 at once hold up what others publish"
    looked_up.clear()
    with pytest.raises(KeyReused):
        one.submit([*batch(keyed=True), Publish("news", "other", key="k0")])
    assert len(looked_up) == 16


def test_a_batch_that_is_sent_again_is_answered_by_a_full_disk_and_a_new_one_is_not() -> None:
    class Full(MemoryLog):
        full = False

        def append(self, raws: Sequence[bytes]) -> list[tuple[int, int]]:
            if self.full:
                raise StorageFull("no room")
            return super().append(raws)

    log = Full()
    _, one, _ = pair(log)
    ids = one.submit(batch(keyed=True)).ids
    log.full = True
    for _ in range(2):
        with pytest.raises(StorageFull):
            one.submit(batch())
        assert one.submit(batch(keyed=True)).ids == ids
    log.full = False


def test_a_disk_that_is_full_at_a_later_piece_has_stored_nothing() -> None:
    class Filling(MemoryLog):
        left = 10**6

        def append(self, raws: Sequence[bytes]) -> list[tuple[int, int]]:
            if len(raws) > self.left:
                raise StorageFull("no room")
            self.left -= len(raws)
            return super().append(raws)

    log = Filling()
    _, one, other = pair(log)
    for room in (1, PIECE + 1, 2 * PIECE + 2, 15):
        log.left = room
        with pytest.raises(StorageFull):
            one.submit(batch())
        log.left = 10**6
        assert shown(one.shell.broker.state) == shown(other.shell.broker.state) == 1
        assert not one.shell.broker.state.open_batches.of
        one.submit([Publish("other", "x")])
        one.shell.broker.state.messages.drop("other", dict(one.shell.broker.state.vector))
        other.shell.broker.state.messages.drop("other", dict(one.shell.broker.state.vector))
    assert one.submit(batch()).copies == 2


def test_a_value_that_cannot_be_kept_refuses_all() -> None:
    _, one, other = pair()
    with pytest.raises(BadRequest):
        one.submit([*batch(), Publish("news", "\ud800")])
    assert shown(one.shell.broker.state) == shown(other.shell.broker.state) == 1
    assert one.submit(batch()).copies == 2


def test_what_a_large_push_brings_is_taken_a_piece_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many ops under the state lock, then readers have their turn."""
    network, one, other = pair()
    network.cut(ONE, TWO)
    for number in range(20):
        one.submit([Publish("news", f"missed {number}")])
    held: list[int] = []
    take = other.shell.broker.stager.take_all

    class Counting(StateLock):
        @contextmanager
        def first(self) -> Iterator[None]:
            held.append(0)
            with super().first():
                yield
            held.append(0)

    def count(raws: Sequence[bytes], name: str) -> None:
        held[-1] += len(raws)
        take(raws, name)

    other.shell.lock = Counting()
    monkeypatch.setattr(other.shell.broker.stager, "take_all", count)
    network.mend(ONE, TWO)
    one.shell.clock = other.shell.clock = lambda: Now(10.0, 1_700_000_010_000)
    for _ in range(3):
        one.tick()
        other.tick()
    assert shown(other.shell.broker.state) == 21
    assert max(network.pushed) >= 20
    assert max(held) <= limits.PIECE_OPS
