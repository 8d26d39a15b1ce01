"""Many ops in one pass: what `core.model.ops` says of each, without a call for each. Pure.

What is not as usual is left to `ops`, which looks at one by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Final

import msgspec

from newswire.core import limits
from newswire.core.model import ops
from newswire.core.model.bad_json import BAD_JSON
from newswire.core.model.message import MessageFields
from newswire.core.model.ops import Op, Published

_decode: Final = msgspec.json.Decoder(ops.KnownOp).decode
_again: Final = attrgetter("again")
_encode_lines: Final = msgspec.json.Encoder().encode_lines


def decode_all(raws: Sequence[bytes]) -> list[Op] | None:
    """What `ops.decode` makes of each; None where any is not as usual."""
    if len(max(raws, key=len, default=b"")) > limits.OP_BYTES:
        return None
    try:
        decoded = list(map(_decode, raws))
    except BAD_JSON:
        return None
    return decoded if ops.are_named_well(decoded) else None


def encode_messages(messages: Sequence[MessageFields], origin: str, first: int, time: int) -> list[bytes]:
    """What `ops.encode` makes of the ops that publish these, from the sequence `first` on; none of them `expires`.

    Raises as `ops.encode`.
    """
    begin = b'{"op":"msg","o":"%b","s":%%d,"t":%d,%%b' % (origin.encode(), time)
    lines = _encode_lines(messages).split(b"\n")
    return [begin % (sequence, line[1:]) for sequence, line in enumerate(lines[:-1], first)]


def are_run(ops: Sequence[Op], origin: str, first: int) -> bool:
    """Say whether these are messages of one origin, each the next, from `first` on, and none of them was stored `again`."""
    return (
        [op.sequence for op in ops] == list(range(first, first + len(ops)))
        and {op.origin for op in ops} == {origin}
        and set(map(type, ops)) == {Published}
        and not any(map(_again, ops))
    )


def count_run(rows: Sequence[tuple[Op, int, int]], start: int, first: int) -> int:
    """How many ops of `rows` (op, place, length) from `start` on are such a run, which begins with the sequence `first`."""
    origin = rows[start][0].origin
    if not start and are_run([op for op, _, _ in rows], origin, first):
        return len(rows)
    for at in range(start, len(rows)):
        op = rows[at][0]
        if type(op) is not Published or op.again or op.sequence != first + at - start or op.origin != origin:
            return at - start
    return len(rows) - start
