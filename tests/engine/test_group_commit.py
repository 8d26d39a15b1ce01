"""The order of a round, with effects that only write down what comes: no thread, clock or disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from newswire.core import limits
from newswire.core.broker.broker import Broker
from newswire.core.broker.events import Now, Reply, Submitted
from newswire.core.broker.values import Identity
from newswire.core.model.commands import Publish, Subscribe
from newswire.core.model.ops import Op
from newswire.core.state.fold import State
from newswire.engine.group_commit import GroupCommit, Outward
from newswire.errors import StorageFull


class Notes:
    """Effects that are notes, in order; `[` and `]` stand for the state lock."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.full_at = ""  # the call that finds no room

    def now(self) -> Now:
        return Now(0.0, 1_700_000_000_000)

    @contextmanager
    def locked(self) -> Iterator[None]:
        self.notes.append("[")
        yield
        self.notes.append("]")

    def make_way(self) -> None:
        self.notes.append("make way")

    def roll(self, cluster: str) -> None:
        self._note("roll")

    def append(self, ops: Sequence[Op], raws: Sequence[bytes]) -> list[tuple[int, int]]:
        self._note(f"append {len(raws)}")
        return [(place, len(raw)) for place, raw in enumerate(raws)]

    def sync(self) -> None:
        self._note("sync")

    def after_apply(self, places: Sequence[tuple[int, int]], ops: Sequence[Op], raws: Sequence[bytes]) -> None:
        assert len(places) == len(ops) == len(raws)

    def before_apply(self, places: Sequence[tuple[int, int]]) -> None:
        self.notes.append(f"apply {len(places)}")

    def execute(self, action: Outward) -> None:
        result = type(action.result).__name__ if isinstance(action, Reply) else ""
        self.notes.append(f"{type(action).__name__} {result}".strip())

    def _note(self, what: str) -> None:
        self.notes.append(what)
        if self.full_at == what:
            raise StorageFull("no room")

    def outside(self) -> list[str]:
        """What was noted but for the lock."""
        return [note for note in self.notes if note not in "[]"]


@pytest.fixture
def effects() -> Notes:
    return Notes()


@pytest.fixture
def commit(effects: Notes) -> GroupCommit:
    commit = GroupCommit(Broker(Identity("1001", "127.0.0.1:1", "1001-a"), State(), "c", settled=True), effects)
    list(commit.begin())
    effects.notes.clear()
    return commit


def publish(reply_to: str, count: int = 1) -> Submitted:
    return Submitted(reply_to, [Publish("news", str(number)) for number in range(count)], 1, 100.0)


def test_a_run_begins_when_its_first_op_is_stored(effects: Notes) -> None:
    commit = GroupCommit(Broker(Identity("1001", "127.0.0.1:1", "1001-a"), State(), "c", settled=True), effects)
    list(commit.begin())
    assert effects.outside() == ["append 1", "sync", "apply 1", "Wake"]


def test_the_order_of_a_round(commit: GroupCommit, effects: Notes) -> None:
    list(commit.run([publish("a"), publish("b")]))
    stage = ["[", "]"]
    assert effects.notes == [*stage, "append 2", "sync", "[", "apply 2", "Wake", "]", "Reply Receipt", "Reply Receipt"]


def test_nothing_of_a_round_is_told_where_it_ends_before_the_sync(commit: GroupCommit, effects: Notes) -> None:
    phases = commit.run([publish("a")])
    next(phases)
    assert effects.outside() == ["append 1"]
    phases.close()  # type: ignore[attr-defined]
    assert effects.outside() == ["append 1"]
    assert len(commit.broker.state.log) == 1


def test_what_needs_no_disk_is_told_without_a_sync(commit: GroupCommit, effects: Notes) -> None:
    list(commit.run([publish("a", limits.BATCH_MESSAGES + 1)]))
    assert effects.outside() == ["Reply TooLarge"]


def test_what_has_to_wait_for_the_state_is_stored_with_what_comes_next(commit: GroupCommit, effects: Notes) -> None:
    list(commit.run([Submitted(str(number), [Subscribe("Alice", "news")], 1, 100.0) for number in range(2)]))
    assert effects.outside() == ["append 1", "sync", "apply 1", "Wake", "Reply Receipt"]
    assert commit.has_more
    effects.notes.clear()
    list(commit.run([publish("c")]))
    assert effects.outside() == ["append 2", "sync", "apply 2", "Wake", "Reply Receipt", "Reply Receipt"]
    assert not commit.has_more


@pytest.mark.parametrize("full_at", ["append 1", "sync"])
def test_a_round_without_room_applies_nothing(commit: GroupCommit, effects: Notes, full_at: str) -> None:
    effects.full_at = full_at
    list(commit.run([publish("a")]))
    assert "apply 1" not in effects.notes
    assert effects.notes[-1] == "Reply StorageFull"
    effects.full_at = ""
    list(commit.run([publish("b")]))
    assert effects.notes[-1] == "Reply Receipt"


def test_a_large_round_is_applied_in_pieces_with_room_for_readers_between(commit: GroupCommit, effects: Notes) -> None:
    list(commit.run([publish("a"), publish("b", 2 * limits.PIECE_OPS - 1), publish("c", 3)]))
    piece = f"apply {limits.PIECE_OPS}"
    assert effects.outside()[2:] == [piece, "make way", piece, "make way", "apply 3", "Wake", *["Reply Receipt"] * 3]


def test_a_long_batch_is_a_piece_a_round_and_shows_when_its_last_op_is_stored(
    commit: GroupCommit, effects: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BATCH_LONG_OPS", 2)
    monkeypatch.setattr(limits, "BATCH_PIECE_OPS", 2)
    list(commit.run([publish("a", 4)]))
    assert effects.outside() == ["append 3", "sync", "apply 3"]
    assert len(commit.broker.state.log) == 1
    for _ in range(2):
        assert commit.has_more
        effects.notes.clear()
        list(commit.run([]))
    assert effects.outside() == ["append 1", "sync", "apply 1", "make way", "apply 0", "Wake", "Reply Receipt"]
    assert len(commit.broker.state.log) == 6, "with the two `began`"


def test_what_was_applied_is_told_under_the_lock_and_all_else_after_it(commit: GroupCommit, effects: Notes) -> None:
    list(commit.run([Submitted("a", [Subscribe("Alice", "news")], 1, 100.0), publish("b", limits.PIECE_OPS)]))
    under_lock = 0
    for note in effects.notes:
        under_lock += {"[": 1, "]": -1}.get(note, 0)
        assert under_lock == 1 or note != "Wake"
        assert under_lock == 0 or not note.startswith("Reply")
    assert effects.notes.count("Wake") == 2, "of the subscription with its piece, of the topics at the end"
