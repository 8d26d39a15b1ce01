"""How much memory a broker needs for what it keeps: counted, not measured at the system, so it is the same everywhere.

The whole, 1,000,000 messages in a real process, is what `scripts/bench --only start-1m` measures.
"""

from __future__ import annotations

import tracemalloc

from newswire.core.model.ops import Began, Op, Published
from newswire.core.read.counts import topics
from newswire.core.state.fold import State

ORIGIN = "1001-k3f9x2qa"
MESSAGES = 25_000
CHUNK = 1_000


def bytes_a_message(*, keyed: bool, by_run: bool) -> float:
    """What `State` holds a message after 25,000 of them, taken as a start does (`by_run`) or as a running broker does."""
    state = State()
    state.apply(Began(ORIGIN, 1, 0, "1001"), 0, 0, None)
    tracemalloc.start()
    try:
        for first in range(2, MESSAGES + 2, CHUNK):
            chunk = [message(sequence, keyed=keyed) for sequence in range(first, first + CHUNK)]
            if by_run:
                state.replay([(op, op.sequence * 300, 300) for op in chunk])
            else:
                for op in chunk:
                    state.apply(op, op.sequence * 300, 300, None)
            del chunk
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(state.log) == MESSAGES + 1
    assert sum(row.messages for row in topics(state)) == MESSAGES
    return held / MESSAGES


def message(sequence: int, *, keyed: bool) -> Op:
    key = f"{sequence:032x}" if keyed else ""
    return Published(ORIGIN, sequence, sequence, topic=f"news.t{sequence % 50}", data="x" * 150, key=key, publisher="Alice")


def test_a_message_costs_at_most_64_bytes() -> None:
    """An index entry has at most 64 bytes; the text is on disk."""
    assert 36 <= bytes_a_message(keyed=False, by_run=True) <= 64
    assert 36 <= bytes_a_message(keyed=False, by_run=False) <= 64


def test_a_key_costs_at_most_128_bytes_more() -> None:
    """So 1,000,000 keyed messages stay below 250 MB with the program itself."""
    assert bytes_a_message(keyed=True, by_run=True) <= 64 + 128
    assert bytes_a_message(keyed=True, by_run=False) <= 64 + 128
