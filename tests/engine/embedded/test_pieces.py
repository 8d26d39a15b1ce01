"""A log in pieces is the same log."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.core.model.ops import Acknowledged, Began, Op, Published, Void
from newswire.core.state.fold import State
from newswire.core.state.message_run import MessageRun
from newswire.engine.embedded import pieces
from newswire.engine.embedded.pieces import Piece, StoredRun, condense, end_of, fold_log
from newswire.engine.embedded.segment import Found, place

A, B = "1001-a", "1002-b"
KINDS = ["", "", "", "key", "ack", "again", "expires"]


def log_of(kinds: list[tuple[str, str, str]]) -> list[Found]:
    """A log of two brokers: who took what, on which topic or under which key."""
    held = {A: 1, B: 1}
    ops: list[Op] = [Began(A, 1, 0, "1001"), Began(B, 1, 0, "1002")]
    for origin, kind, name in kinds:
        held[origin] += 1
        if kind == "ack":
            ops.append(Acknowledged(origin, held[origin], 7))
        else:
            again = f"{B}.1000" if kind == "again" else ""
            key = name if kind == "key" else ""
            expires = 9 if kind == "expires" else 0
            ops.append(
                Published(origin, held[origin], held[origin] % 5, topic=name, data="x", key=key, again=again, expires=expires)
            )
    return [(op, place(1, 100 + 10 * at), 10) for at, op in enumerate(ops)]


def folded(rows: list[Piece], all_rows: list[Found]) -> State:
    by_place = {row[1]: row for row in all_rows}
    state = State()
    for piece in rows:
        if not isinstance(piece, StoredRun):
            state.replay(piece)
        elif not state.replay_run(*piece):
            state.replay([by_place[where] for where in piece.places])
    return state


def shown(state: State) -> list[object]:
    log, messages = state.log, state.messages
    columns = (log.places, log.lengths, log.origins, log.sequences, log.topics, log.times, log.offsets_of)
    keys = [sorted(entries) for entries in messages.keys.entries()]
    by_topic = (messages.names, messages.sequences, messages.newest, messages.totals.counts)
    return [*columns, dict(log.vector), *by_topic, messages.lifetimes.peek(99), keys, messages.twins.rows()]


@pytest.fixture(autouse=True, scope="module")
def short() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "_SHORT_RUN", 2)
        yield


@given(
    st.lists(
        st.tuples(st.sampled_from([A, A, A, B]), st.sampled_from(KINDS), st.sampled_from(["n", "t"])),
        max_size=30,
    )
)
def test_a_log_in_pieces_folds_to_the_same_state(kinds: list[tuple[str, str, str]]) -> None:
    rows = log_of(kinds)
    whole = State()
    whole.replay(rows)
    parts = list(condense(rows))
    assert shown(folded(parts, rows)) == shown(whole)
    assert end_of(parts[-1]) == 100 + 10 * len(rows)


def test_a_long_run_is_one_piece() -> None:
    rows = log_of([(A, "", "n")] * 50)
    before, run = condense(rows)
    assert before == rows[:2]
    assert isinstance(run, StoredRun)
    assert (run.run.origin, run.run.first, len(run.run)) == (A, 2, 50)
    (only,) = condense(rows[2:])
    assert only == run


def test_a_run_that_does_not_go_on_from_what_is_held_is_left_alone() -> None:
    state = State()
    state.replay(log_of([]))
    late = MessageRun(A, 3, array("Q", [0]), ["n"], array("I", [0]), array("q"), array("Q"), ())
    assert not state.replay_run(late, array("Q", [1]), array("I", [1]))
    unknown = MessageRun("1003-c", 1, array("Q", [0]), ["n"], array("I", [0]), array("q"), array("Q"), ())
    assert not state.replay_run(unknown, array("Q", [1]), array("I", [1]))
    assert len(state.log) == 2


def test_a_log_of_which_a_void_is_missing_is_read_once_more_without_any() -> None:
    ops: list[Op] = [Began(A, 1, 0, "1001"), Void(A, 5, 0, first=2, of=2), Published(A, 6, 0, topic="t", data="x")]
    rows = [(op, place(1, 100 + 10 * at), 10) for at, op in enumerate(ops)]
    reads: list[int] = []

    def read() -> list[Piece]:
        reads.append(len(reads))
        return [rows]

    state = fold_log(read, lambda places: [])
    assert (len(reads), state.lacks_voids) == (2, True)
    assert [(hole.first, hole.last) for hole in state.holes.all] == [(2, 5)]
    rows[1] = (Void(A, 5, 0, first=2, of=1), *rows[1][1:])
    state = fold_log(read, lambda places: [])
    assert (len(reads), state.lacks_voids, state.holes.all) == (3, False, ())
