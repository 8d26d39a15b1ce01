"""What a start reads of a log: runs of messages by the column, and all else as ops. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias, cast

from newswire.core.model.ops import Published, decode
from newswire.core.model.runs import count_run
from newswire.core.state.fold import State
from newswire.core.state.message_run import MessageRun, run_of
from newswire.engine.embedded.segment import Found, split_place

_SHORT_RUN: Final = 64  # messages: fewer are folded as fast as ops


class StoredRun(NamedTuple):
    """A run of messages, and where its records lie."""

    run: MessageRun
    places: Sequence[int]
    lengths: Sequence[int]

    def __reduce__(self) -> tuple[type[StoredRun], tuple[MessageRun, array[int], array[int]]]:
        """From one process to another it goes as arrays, which are copied, not read one by one."""
        return StoredRun, (self.run.packed(), array("Q", self.places), array("I", self.lengths))


Piece: TypeAlias = "StoredRun | list[Found]"


def condense(rows: list[Found]) -> Iterator[Piece]:
    """The same in order, with runs of messages by the column where they are long."""
    rest: list[Found] = []
    start = 0
    while start < len(rows):
        stop = start + max(1, count_run(rows, start, rows[start][0].sequence))
        run = run_of([cast(Published, op) for op, _, _ in rows[start:stop]]) if stop - start >= _SHORT_RUN else None
        if run is None:
            rest += rows[start:stop]
        else:
            if rest:
                yield rest
                rest = []
            places = [place for _, place, _ in rows[start:stop]]
            yield StoredRun(run, places, [length for _, _, length in rows[start:stop]])
        start = stop
    if rest:
        yield rest


def replay(state: State, pieces: Iterable[Piece], read: Callable[[Sequence[tuple[int, int]]], list[bytes]]) -> None:
    """Have `state` fold them. `read` gives the records at (place, length), or raises; for runs whose ops it has to see."""
    for piece in pieces:
        if not isinstance(piece, StoredRun):
            state.replay(piece)
        elif not state.replay_run(*piece):
            places = list(zip(piece.places, piece.lengths, strict=True))
            state.replay([(decode(raw), *where) for raw, where in zip(read(places), places, strict=True)])


def fold_log(pieces: Callable[[], Iterable[Piece]], read: Callable[[Sequence[tuple[int, int]]], list[bytes]]) -> State:
    """The state of a log that `pieces` reads from its first record on; `read` as for `replay`.

    Where some of its voids are missing it is read once more, and none counts (COMPACT): `lacks_voids` says so.
    """
    state = State()
    replay(state, pieces(), read)
    if state.lacks_voids:
        state = State(without_voids=True)
        replay(state, pieces(), read)
    state.revive(None)
    return state


def end_of(piece: Piece) -> int:
    """Where the last record of a piece ends in its file."""
    where, length = (piece.places[-1], piece.lengths[-1]) if isinstance(piece, StoredRun) else piece[-1][1:]
    return split_place(where)[1] + length
