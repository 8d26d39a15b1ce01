"""Bodies in chunks: read as waitress reads them, however they are cut, and in steps that are counted."""

from __future__ import annotations

import itertools
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waitress.buffers import OverflowableBuffer
from waitress.receiver import ChunkedReceiver

from newswire.core import limits
from newswire.listener.chunks import Chunks


def take(receiver: Chunks | ChunkedReceiver, pieces: list[bytes]) -> bytes:
    """Give it all pieces; what is left behind the body."""
    left = b""
    for piece in pieces:
        left += piece
        while left and not receiver.completed and not receiver.error:
            left = left[receiver.received(left) :]
    return left


def fresh() -> Chunks:
    return Chunks(OverflowableBuffer(1 << 30))


def body_of(receiver: Chunks | ChunkedReceiver) -> bytes:
    found: bytes = receiver.getfile().read()
    return found


CHUNK = st.tuples(st.binary(min_size=1, max_size=20), st.sampled_from([b"", b";a", b";a=b", b';a="b"']), st.sampled_from("xX"))
TRAILER = st.sampled_from([b"\r\n", b"A: b\r\n\r\n", b"A: b\r\nC: d\r\n\r\n"])


@given(st.lists(CHUNK, max_size=20), TRAILER, st.binary(max_size=10), st.lists(st.integers(0, 400), max_size=20))
def test_however_it_is_cut_it_is_read_as_waitress_reads_it(
    chunks: list[tuple[bytes, bytes, str]], trailer: bytes, behind: bytes, cuts: list[int]
) -> None:
    sent = b"".join(f"{len(data):{case}}".encode() + more + b"\r\n" + data + b"\r\n" for data, more, case in chunks)
    sent += b"0\r\n" + trailer + behind
    places = [0, *sorted(min(cut, len(sent)) for cut in cuts), len(sent)]
    ours, theirs = fresh(), ChunkedReceiver(OverflowableBuffer(1 << 30))
    left = take(ours, [sent[a:b] for a, b in itertools.pairwise(places)])
    assert take(theirs, [sent]) == left == behind
    assert ours.completed
    assert body_of(ours) == body_of(theirs) == b"".join(data for data, _, _ in chunks)


NO_CHUNKS = [b"five\r\n", b"\r\n", b"-1\r\n", b"1 2\r\n", b"1;\x00\r\n", b"2\r\nabc\r\n", b"1\r\na\n\n", b"1\r\naXY"]


@pytest.mark.parametrize("sent", [*NO_CHUNKS, b"f" * 16 + b"\r\n", b"0x1\r\n"])
def test_what_is_no_chunk_is_an_error(sent: bytes) -> None:
    for pieces in ([sent], [sent[n : n + 1] for n in range(len(sent))]):
        receiver = fresh()
        take(receiver, pieces)
        assert receiver.error is not None
        assert not receiver.completed


def test_a_turn_is_bounded_and_the_rest_is_given_again() -> None:
    receiver, sent, turns = fresh(), b"10\r\n0123456789abcdef\r\n" * (3 * limits.CHUNKS_A_TURN) + b"0\r\n\r\n", 0
    while not receiver.completed:
        before = len(receiver)
        sent = sent[receiver.received(sent) :]
        assert len(receiver) - before <= 16 * limits.CHUNKS_A_TURN
        turns += 1
    assert 3 <= turns <= 5
    assert receiver.error is None


def test_a_turn_appends_once() -> None:
    appended: list[bytes] = []

    class Buffer(BytesIO):
        def append(self, data: bytes) -> None:
            appended.append(data)

        def __len__(self) -> int:
            return sum(map(len, appended))

    Chunks(Buffer()).received(b"1\r\nx\r\n" * 100)
    assert appended == [b"x" * 100]


def test_chunks_that_are_too_small_are_refused_after_so_many() -> None:
    receiver = fresh()
    take(receiver, [b"1\r\nx\r\n" * limits.CHUNKS_COUNT])
    assert receiver.error is None
    take(receiver, [b"1\r\nx\r\n" * limits.CHUNKS_COUNT])
    assert receiver.error is not None
    assert "too small" in str(receiver.error.body)
    assert len(receiver) <= 2 * limits.CHUNKS_COUNT


def test_lines_of_a_batch_may_come_one_a_chunk() -> None:
    line = b'{"topic":"t","data":"x"}\n'
    receiver = fresh()
    take(receiver, [b"%x\r\n%b\r\n" % (len(line), line) * limits.BATCH_MESSAGES, b"0\r\n\r\n"])
    assert receiver.completed
    assert receiver.error is None
