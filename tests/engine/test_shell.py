"""A shell's rounds: one sync each, store before apply before tell; a disk that hangs shows, and queries get their turn."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from newswire.core import limits
from newswire.core.broker.broker import Broker
from newswire.core.broker.events import Now, Submitted, Tick, Wake
from newswire.core.broker.values import Identity
from newswire.core.model.commands import Publish, Subscribe
from newswire.core.model.results import Receipt
from newswire.core.read.counts import topics
from newswire.core.read.pieces import Pieces
from newswire.core.state.fold import State
from newswire.engine.lock import StateLock
from newswire.engine.shell import Shell
from newswire.errors import StorageFull
from tests.kit.shell_fakes import Clock, Disk, Parts, Told, begun, publish


@pytest.fixture
def parts() -> Parts:
    return begun()


def test_a_round_has_one_sync_and_then_all_its_receipts(parts: Parts) -> None:
    shell, disk, told, _ = parts
    shell.run([publish(str(number)) for number in range(50)])
    assert disk.syncs == 1
    assert [result.copies for result in told.replies() if isinstance(result, Receipt)] == [1] * 50


def test_nothing_shows_or_is_told_before_the_sync(parts: Parts) -> None:
    shell, disk, told, _ = parts
    seen: list[tuple[int, int]] = []
    disk.while_syncing = lambda: seen.append((len(topics(shell.broker.state)), len(told.actions)))
    shell.run([publish("a")])
    assert seen == [(0, 0)]
    assert len(topics(shell.broker.state)) == 1


def test_two_subscribes_of_one_user_see_each_other(parts: Parts) -> None:
    """The second has to know of the first, so it is decided after that was applied: two syncs."""
    shell, disk, told, _ = parts
    shell.run([Submitted(str(number), (Subscribe("Alice", "news"),), 1, 100.0) for number in range(2)])
    assert shell.has_more
    shell.run([])
    assert not shell.has_more
    assert disk.syncs == 2
    assert len(told.replies()) == 2
    assert len(shell.broker.state.subscriptions.awake_of("Alice")) == 1


def test_a_full_disk_refuses_what_was_staged_and_recovers(parts: Parts) -> None:
    shell, disk, told, _ = parts
    disk.full = True
    shell.run([publish("a")])
    assert [type(result) for result in told.replies()] == [StorageFull]
    assert topics(shell.broker.state) == []
    disk.full = False
    shell.run([publish("b")])
    assert isinstance(told.replies()[-1], Receipt)
    assert [row.messages for row in topics(shell.broker.state)] == [1]


def test_a_disk_that_hangs_is_no_broker_to_go_to(parts: Parts) -> None:
    shell, disk, _, clock = parts
    seen: list[bool] = []

    def hang() -> None:
        seen.append(shell.describe().serves)
        clock.seconds += limits.DISK_STALL_SECONDS + 1
        view = shell.describe()
        seen.append(view.serves)
        assert "disk" in view.why_not

    disk.while_syncing = hang
    shell.run([publish("a")])
    assert seen == [True, False]
    assert shell.describe().serves


def test_a_second_after_the_last_batch_its_end_is_vouched_for_once(parts: Parts) -> None:
    shell, disk, _, clock = parts

    def rested(seconds: float) -> int:
        clock.seconds += seconds
        shell.run([Tick()])
        shell.rest()
        return disk.vouched

    assert rested(limits.QUIET_SECONDS) == 1, "of `began`"
    shell.run([publish("a")])
    assert rested(limits.QUIET_SECONDS / 2) == 1
    shell.run([publish("b")])
    assert rested(limits.QUIET_SECONDS / 2) == 1, "not quiet: something was stored in between"
    disk.full = True
    assert rested(limits.QUIET_SECONDS) == 1
    disk.full = False
    assert [rested(limits.QUIET_SECONDS) for _ in range(3)] == [2, 2, 2]


def test_a_disk_that_hangs_is_said_once_while_it_hangs(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    shell, disk, _, clock = parts

    def hang() -> None:
        clock.seconds += limits.DISK_STALL_SECONDS + 1
        for _ in range(3):
            view = shell.describe()
            assert (view.serves, view.writable) == (False, False)
            assert "has not answered for 3 s" in view.why_not

    disk.while_syncing = hang
    for round in (1, 2):
        shell.run([publish(str(round))])
        assert shell.describe().serves
        assert sum("the disk has not answered" in message for message in caplog.messages) == round


def test_retention_drops_the_oldest_over_the_bound() -> None:
    disk, told, clock = Disk(), Told(), Clock()
    identity = Identity("1001", "127.0.0.1:1", "1001-a", retention_messages=3)
    shell = Shell(Broker(identity, State(), "c", settled=False), disk, told.execute, clock)
    shell.begin()
    shell.run([publish(str(number)) for number in range(5)])
    clock.seconds += limits.RETENTION_EVERY_SECONDS
    shell.run([Tick()])
    assert [row.messages for row in topics(shell.broker.state)] == [3]


def test_retention_by_age_is_not_moved_by_a_clock_that_jumps() -> None:
    disk, told, clock = Disk(), Told(), Clock()
    wall, jump = 1_700_000_000_000, 0
    identity = Identity("1001", "127.0.0.1:1", "1001-a", retention_seconds=3600)
    shell = Shell(Broker(identity, State(), "c", settled=False), disk, told.execute, lambda: Now(clock.seconds, wall + jump))
    shell.begin()
    shell.run([publish("a")])
    clock.seconds += 100
    jump = 365 * 86_400_000
    shell.run([Tick()])
    assert [row.messages for row in topics(shell.broker.state)] == [1]
    clock.seconds += 4_000
    jump += 4_000_000
    shell.run([Tick()])  # it says first that it lives
    shell.run([Tick()])
    assert topics(shell.broker.state) == []


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
        shell = Shell(Broker(Identity("1001", "127.0.0.1:1", "1001-a"), State(), "c", settled=False), disk, told.execute, clock)
        shell.begin()
        disk.full = True
        shell.run([publish("a")])
        assert isinstance(told.replies()[-1], StorageFull)
        assert shell.broker.cluster_id.settled is not roll_fails
        disk.full = False
        shell.run([publish("b")])
        clock.seconds += 5.0
        shell.run([Tick()])
        assert shell.broker.cluster_id.settled
        assert named[-1] == "c"
        assert named.count("c") == 1


def test_a_large_round_is_applied_in_pieces_and_told_once(parts: Parts) -> None:
    shell, disk, told, _ = parts
    grown: list[int] = []

    class Counting(StateLock):
        @contextmanager
        def first(self) -> Iterator[None]:
            before = len(shell.broker.state.log)
            with super().first():
                yield
            grown.append(len(shell.broker.state.log) - before)

    shell.lock = Counting()
    count = 3 * limits.PIECE_OPS + 5
    shell.run([publish(str(number)) for number in range(count)])
    assert sum(grown) == count
    assert max(grown) == limits.PIECE_OPS
    assert disk.syncs == 1
    assert [set(action.topics) for action in told.actions if isinstance(action, Wake)] == [{"news"}]


def test_a_long_batch_is_stored_in_pieces_between_others_and_applied_in_pieces_at_once(parts: Parts) -> None:
    """At most so many ops a sync and so many a lock; what is published meanwhile is stored and told with the next piece."""
    shell, disk, told, _ = parts
    locked: list[int] = []
    written: list[int] = []
    append = disk.append

    class Counting(StateLock):
        @contextmanager
        def first(self) -> Iterator[None]:
            before = len(shell.broker.state.log)
            with super().first():
                yield
            locked.append(len(shell.broker.state.log) - before)

    def count(raws: Sequence[bytes]) -> list[tuple[int, int]]:
        written.append(len(raws))
        return append(raws)

    shell.lock = Counting()
    disk.append = count  # type: ignore[method-assign]
    size = limits.BATCH_LONG_OPS + 5
    shell.run([Submitted("a", [Publish("news", str(number)) for number in range(size)], 1, 100.0)])
    rounds = 1
    while shell.has_more:
        before = len(told.replies())
        shell.run([publish(f"other {rounds}")])
        assert len(told.replies()) > before, "others do not wait for the batch"
        rounds += 1
    assert [row.messages for row in topics(shell.broker.state)] == [size + rounds - 1]
    assert max(locked) <= limits.PIECE_OPS
    assert max(written) <= limits.BATCH_PIECE_OPS + 2, "with one publish, and the `began` of the batch"
    assert len(written) == disk.syncs
    receipts = [reply for reply in told.replies() if isinstance(reply, Receipt) and reply.count == size]
    assert len(receipts) == 1
    assert len(set(receipts[0].ids)) == size


def test_who_subscribes_in_a_piece_is_told_with_it(parts: Parts) -> None:
    """Before anything can be read of it: `told-when-all-is-applied` shows in the simulator what would be lost."""
    shell, _, told, _ = parts
    messages = [Publish("news", str(number)) for number in range(limits.PIECE_OPS)]
    shell.run([Submitted("a", (Subscribe("Alice", "news"),), 1, 100.0), Submitted("b", messages, 1, 100.0)])
    wakes = [(set(action.topics), set(action.users)) for action in told.actions if isinstance(action, Wake)]
    assert wakes == [(set(), {"Alice"}), ({"news"}, set())]


def test_a_query_that_goes_on_lets_a_commit_in_after_each_piece(parts: Parts) -> None:
    shell, _, _, _ = parts
    shell.run([publish("a")])
    seen: list[int] = []
    wants, committed = threading.Event(), threading.Event()

    def commit() -> None:
        wants.wait()
        shell.run([publish("b")])
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
    assert shell.query(pieces) == seen[0] + 1
    thread.join()


def test_readers_get_in_between_two_pieces_of_a_batch(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAKE_WAY_TRIES", 100_000)
    shell, _, _, _ = parts
    seen: list[int] = []

    class Meeting(StateLock):
        """The writer goes on when a reader waits for it."""

        @contextmanager
        def first(self) -> Iterator[None]:
            with super().first():
                while not self.readers_wait:
                    threading.Event().wait(0.0001)
                yield

    shell.lock = Meeting()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.append(shell.read(lambda state: len(state.log)))

    reader = threading.Thread(target=read)
    reader.start()
    before = len(shell.broker.state.log)
    shell.run([publish(str(number)) for number in range(4 * limits.PIECE_OPS)])
    done.set()
    reader.join()
    assert {before + limits.PIECE_OPS * pieces for pieces in (1, 2, 3)} <= set(seen)
