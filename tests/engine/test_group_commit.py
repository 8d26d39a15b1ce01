"""The rounds of the commit thread: one sync a round, store before apply before tell, and a disk that hangs shows."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from newswire.core import limits
from newswire.core.broker.broker import Broker
from newswire.core.broker.events import Answer, Connect, Disconnect, Done, Exit, Now, Reply, Send, Submitted, Tick, Wake
from newswire.core.broker.values import BrokerStatus, Identity
from newswire.core.model.commands import Publish, Subscribe
from newswire.core.read.counts import topics
from newswire.core.read.pieces import Pieces
from newswire.core.state.fold import State
from newswire.engine.group_commit import CommitThread, Rounds, Tail
from newswire.engine.lock import StateLock
from newswire.engine.memory import MemoryLog
from newswire.errors import NewswireError, StorageFull


class Disk(MemoryLog):
    """A log that counts, can be full, and calls back while it syncs."""

    def __init__(self) -> None:
        super().__init__()
        self.syncs = 0
        self.vouched = 0
        self.full = False
        self.while_syncing = lambda: None

    def append(self, raws: Sequence[bytes]) -> list[tuple[int, int]]:
        if self.full:
            raise StorageFull("no room")
        return super().append(raws)

    def sync(self) -> None:
        self.syncs += 1
        self.while_syncing()

    def vouch(self) -> None:
        if self.full:
            raise StorageFull("no room")
        self.vouched += 1


class Told:
    """Keeps what was told, in order."""

    def __init__(self) -> None:
        self.actions: list[Send | Answer | Reply | Wake | Connect | Disconnect | Exit] = []

    def carry_out(self, action: Send | Answer | Reply | Wake | Connect | Disconnect | Exit) -> None:
        self.actions.append(action)

    def replies(self) -> list[Done | BrokerStatus | NewswireError]:
        return [action.result for action in self.actions if isinstance(action, Reply)]


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> Now:
        return Now(self.seconds, 1_700_000_000_000 + int(self.seconds * 1000))


@pytest.fixture
def parts() -> tuple[Rounds, Disk, Told, Clock]:
    disk, told, clock = Disk(), Told(), Clock()
    rounds = Rounds(Broker(Identity("1001", "127.0.0.1:1", "1001-a"), State(), "c", settled=False), disk, told, clock)
    rounds.begin()
    told.actions.clear()
    disk.syncs = 0
    return rounds, disk, told, clock


def publish(token: str, data: str = "x") -> Submitted:
    return Submitted(token, (Publish("news", data),), 1, 100.0)


def test_a_round_has_one_sync_and_then_all_its_receipts(parts: tuple[Rounds, Disk, Told, Clock]) -> None:
    rounds, disk, told, _ = parts
    rounds.run([publish(str(number)) for number in range(50)])
    assert disk.syncs == 1
    assert [result.copies for result in told.replies() if isinstance(result, Done)] == [1] * 50


def test_nothing_shows_or_is_told_before_the_sync(parts: tuple[Rounds, Disk, Told, Clock]) -> None:
    rounds, disk, told, _ = parts
    seen: list[tuple[int, int]] = []
    disk.while_syncing = lambda: seen.append((len(topics(rounds.broker.state)), len(told.actions)))
    rounds.run([publish("a")])
    assert seen == [(0, 0)]
    assert len(topics(rounds.broker.state)) == 1


def test_two_subscribes_of_one_user_see_each_other(parts: tuple[Rounds, Disk, Told, Clock]) -> None:
    """The second has to know of the first, so it is decided after that was applied: two syncs."""
    rounds, disk, told, _ = parts
    rounds.run([Submitted(str(number), (Subscribe("Alice", "news"),), 1, 100.0) for number in range(2)])
    assert disk.syncs == 2
    assert len(told.replies()) == 2
    assert len(rounds.broker.state.subscriptions.awake_of("Alice")) == 1


def test_a_full_disk_refuses_what_was_staged_and_recovers(parts: tuple[Rounds, Disk, Told, Clock]) -> None:
    rounds, disk, told, _ = parts
    disk.full = True
    rounds.run([publish("a")])
    assert [type(result) for result in told.replies()] == [StorageFull]
    assert topics(rounds.broker.state) == []
    disk.full = False
    rounds.run([publish("b")])
    assert isinstance(told.replies()[-1], Done)
    assert [row.messages for row in topics(rounds.broker.state)] == [1]


def test_a_disk_that_hangs_is_no_broker_to_go_to(parts: tuple[Rounds, Disk, Told, Clock]) -> None:
    rounds, disk, _, clock = parts
    seen: list[bool] = []

    def hang() -> None:
        seen.append(rounds.describe().serves)
        clock.seconds += limits.DISK_STALL_SECONDS + 1
        view = rounds.describe()
        seen.append(view.serves)
        assert "disk" in view.why_not

    disk.while_syncing = hang
    rounds.run([publish("a")])
    assert seen == [True, False]
    assert rounds.describe().serves


def test_a_second_after_the_last_batch_its_end_is_vouched_for_once(parts: tuple[Rounds, Disk, Told, Clock]) -> None:
    rounds, disk, _, clock = parts

    def rested(seconds: float) -> int:
        clock.seconds += seconds
        rounds.run([Tick()])
        rounds.rest()
        return disk.vouched

    assert rested(limits.QUIET_SECONDS) == 1, "of `began`"
    rounds.run([publish("a")])
    assert rested(limits.QUIET_SECONDS / 2) == 1
    rounds.run([publish("b")])
    assert rested(limits.QUIET_SECONDS / 2) == 1, "not quiet: something was stored in between"
    disk.full = True
    assert rested(limits.QUIET_SECONDS) == 1
    disk.full = False
    assert [rested(limits.QUIET_SECONDS) for _ in range(3)] == [2, 2, 2]


def test_a_disk_that_hangs_is_said_once_while_it_hangs(
    parts: tuple[Rounds, Disk, Told, Clock], caplog: pytest.LogCaptureFixture
) -> None:
    rounds, disk, _, clock = parts

    def hang() -> None:
        clock.seconds += limits.DISK_STALL_SECONDS + 1
        for _ in range(3):
            view = rounds.describe()
            assert (view.serves, view.writable) == (False, False)
            assert "has not answered for 3 s" in view.why_not

    disk.while_syncing = hang
    for round in (1, 2):
        rounds.run([publish(str(round))])
        assert rounds.describe().serves
        assert sum("the disk has not answered" in message for message in caplog.messages) == round


def test_a_failed_sync_ends_it_at_once_and_answers_nobody(parts: tuple[Rounds, Disk, Told, Clock]) -> None:
    rounds, disk, told, _ = parts

    def fail() -> None:
        raise OSError(5, "Input/output error")

    disk.while_syncing = fail
    fatal: queue.SimpleQueue[BaseException] = queue.SimpleQueue()
    thread = CommitThread(rounds, lambda: 10**12, fatal.put)
    thread.start()
    thread.put(publish("a"))
    assert isinstance(fatal.get(timeout=10), OSError)
    thread.stop(10)
    assert disk.syncs == 1, "a failed sync is never tried again"
    assert told.replies() == []


def test_retention_drops_the_oldest_over_the_bound() -> None:
    disk, told, clock = Disk(), Told(), Clock()
    identity = Identity("1001", "127.0.0.1:1", "1001-a", retention_messages=3)
    rounds = Rounds(Broker(identity, State(), "c", settled=False), disk, told, clock)
    rounds.begin()
    rounds.run([publish(str(number)) for number in range(5)])
    clock.seconds += limits.RETENTION_EVERY_SECONDS
    rounds.run([Tick()])
    assert [row.messages for row in topics(rounds.broker.state)] == [3]


def test_retention_by_age_is_not_moved_by_a_clock_that_jumps() -> None:
    disk, told, clock = Disk(), Told(), Clock()
    wall, jump = 1_700_000_000_000, 0
    identity = Identity("1001", "127.0.0.1:1", "1001-a", retention_seconds=3600)
    rounds = Rounds(Broker(identity, State(), "c", settled=False), disk, told, lambda: Now(clock.seconds, wall + jump))
    rounds.begin()
    rounds.run([publish("a")])
    clock.seconds += 100
    jump = 365 * 86_400_000
    rounds.run([Tick()])
    assert [row.messages for row in topics(rounds.broker.state)] == [1]
    clock.seconds += 4_000
    jump += 4_000_000
    rounds.run([Tick()])
    assert topics(rounds.broker.state) == []


def test_a_segment_that_names_the_cluster_settles_its_id_though_the_ops_found_no_room() -> None:
    """Else another id may be taken later, and one folder holds segments of two clusters."""
    for roll_fails in (False, True):
        disk, told, clock = Disk(), Told(), Clock()
        named: list[str] = []

        def roll(cluster: str, named: list[str] = named, roll_fails: bool = roll_fails) -> None:
            if roll_fails and not named:
                named.append("no room")
                raise StorageFull("no room")
            named.append(cluster)

        disk.roll = roll  # type: ignore[method-assign]
        rounds = Rounds(Broker(Identity("1001", "127.0.0.1:1", "1001-a"), State(), "c", settled=False), disk, told, clock)
        rounds.begin()
        disk.full = True
        rounds.run([publish("a")])
        assert isinstance(told.replies()[-1], StorageFull)
        assert rounds.broker.cluster.settled is not roll_fails
        disk.full = False
        rounds.run([publish("b")])
        clock.seconds += 5.0
        rounds.run([Tick()])
        assert rounds.broker.cluster.settled
        assert named[-1] == "c"
        assert named.count("c") == 1


def test_the_tail_gives_what_it_has() -> None:
    tail = Tail()
    assert tail.get([0]) is None
    tail.keep(7, [b"a", b"b"])
    tail.keep(9, [])
    tail.keep(9, [b"c"])
    assert tail.get([7, 8, 9]) == [b"a", b"b", b"c"]
    assert tail.get([9]) == [b"c"]
    assert tail.get([6, 7]) is None
    assert tail.get([9, 10]) is None


def test_the_tail_is_bounded() -> None:
    tail = Tail()
    tail.keep(0, [b"old"])
    tail.keep(1, [bytes(limits.TAIL_BYTES)])
    assert tail.get([0]) is None
    assert tail.get([1]) == [bytes(limits.TAIL_BYTES)]
    tail.keep(2, [bytes(limits.TAIL_BYTES), b"one too many"])
    assert tail.get([2]) is None


def test_a_large_batch_is_applied_in_pieces_and_told_once(parts: tuple[Rounds, Disk, Told, Clock]) -> None:
    rounds, disk, told, _ = parts
    grown: list[int] = []

    class Counting(StateLock):
        @contextmanager
        def first(self) -> Iterator[None]:
            before = len(rounds.broker.state.log)
            with super().first():
                yield
            grown.append(len(rounds.broker.state.log) - before)

    rounds.lock = Counting()
    count = 3 * limits.PIECE_OPS + 5
    rounds.run([Submitted("a", [Publish("news", str(number)) for number in range(count)], 1, 100.0)])
    assert sum(grown) == count
    assert max(grown) == limits.PIECE_OPS
    assert disk.syncs == 1
    assert [set(action.topics) for action in told.actions if isinstance(action, Wake)] == [{"news"}]


def test_who_subscribes_in_a_piece_is_told_with_it(parts: tuple[Rounds, Disk, Told, Clock]) -> None:
    """Before anything can be read of it: `told-when-all-is-applied` shows in the simulator what would be lost."""
    rounds, _, told, _ = parts
    messages = [Publish("news", str(number)) for number in range(limits.PIECE_OPS)]
    rounds.run([Submitted("a", (Subscribe("Alice", "news"),), 1, 100.0), Submitted("b", messages, 1, 100.0)])
    wakes = [(set(action.topics), set(action.users)) for action in told.actions if isinstance(action, Wake)]
    assert wakes == [(set(), {"Alice"}), ({"news"}, set())]


def test_a_query_that_goes_on_lets_a_commit_in_after_each_piece(parts: tuple[Rounds, Disk, Told, Clock]) -> None:
    rounds, _, _, _ = parts
    rounds.run([publish("a")])
    seen: list[int] = []
    wants, committed = threading.Event(), threading.Event()

    def commit() -> None:
        wants.wait()
        rounds.run([publish("b")])
        committed.set()

    def pieces(state: State) -> Pieces[int]:
        for _ in range(1_000_000):
            seen.append(len(state.log))
            wants.set()
            yield None
            if committed.is_set():
                break
        return len(state.log)

    thread = threading.Thread(target=commit)
    thread.start()
    assert rounds.query(pieces) == seen[0] + 1
    thread.join()


def test_readers_get_in_between_two_pieces_of_a_batch(
    parts: tuple[Rounds, Disk, Told, Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAKE_WAY_TRIES", 100_000)
    rounds, _, _, _ = parts
    seen: list[int] = []

    class Meeting(StateLock):
        """The writer goes on when a reader waits for it."""

        @contextmanager
        def first(self) -> Iterator[None]:
            with super().first():
                while not self.readers_wait:
                    threading.Event().wait(0.0001)
                yield

    rounds.lock = Meeting()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.append(rounds.read(lambda state: len(state.log)))

    reader = threading.Thread(target=read)
    reader.start()
    before = len(rounds.broker.state.log)
    rounds.run([Submitted("a", [Publish("news", "x") for _ in range(4 * limits.PIECE_OPS)], 1, 100.0)])
    done.set()
    reader.join()
    assert {before + limits.PIECE_OPS * pieces for pieces in (1, 2, 3)} <= set(seen)


def test_the_commit_thread_goes_before_the_readers_that_wait() -> None:
    lock = StateLock()
    order: list[str] = []
    inside, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            inside.set()
            go_on.wait()

    def read() -> None:
        with lock:
            order.append("reader")

    def commit() -> None:
        with lock.first():
            order.append("commit")

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait()
    threads = [threading.Thread(target=read) for _ in range(5)] + [threading.Thread(target=commit)]
    for thread in threads:
        thread.start()
    while not lock.writer_waits:
        threading.Event().wait(0.001)
    go_on.set()
    for thread in [holder, *threads]:
        thread.join()
    assert order == ["commit"] + ["reader"] * 5


def test_the_garbage_collector_does_not_look_through_what_stays(
    parts: tuple[Rounds, Disk, Told, Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds, _, _, _ = parts
    frozen: list[int] = []
    monkeypatch.setattr(limits, "FREEZE_OBJECTS", 10)
    monkeypatch.setattr("gc.freeze", lambda: frozen.append(len(rounds.broker.state.messages.names)))
    thread = CommitThread(rounds, lambda: 10**12, lambda error: None)
    for topic in range(40):
        thread.put(Submitted(None, (Publish(f"t{topic}", "x"),), 1, 100.0))
        thread._turn()
    assert len(frozen) == 4
    thread._turn()
    assert len(frozen) == 4, "not while nothing grows"
