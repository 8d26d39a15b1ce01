"""A body in chunks (RFC 9112, 7.1), at a cost that is linear in its bytes. Pure.

waitress's own receiver copies what is left of a read for each part of each chunk: a read of one-byte chunks took it 0.1 s.
"""

from __future__ import annotations

import re
from typing import Any, Final

from waitress.utilities import BadRequest

from newswire.core import limits

_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?\r\n")  # extensions mean nothing here
_SMALL: Final = f"its chunks are too small: send at least {limits.CHUNK_LEAST_BYTES} bytes in each"


class Chunks:
    """Takes bytes as they come, and puts what they carry into a buffer. The interface is that of waitress's receivers."""

    def __init__(self, buffer: Any) -> None:
        self.completed = False
        self.error: BadRequest | None = None
        self.remaining_bytes = 0  # of the chunk that has begun
        self.line = b""  # of a size, an end or the trailer: what came of it
        self._buffer = buffer
        self._count = 0
        self._ending = False  # a chunk's bytes are all there, its line end is not
        self._trailing = False  # the last chunk was there

    def received(self, data: bytes) -> int:
        """Take what one turn may, as many bytes as are returned: the rest is to be given again."""
        before = len(self.line)
        buffer = self.line + data if before else data
        self.line = b""
        pieces: list[bytes] = []
        at = self._parse(buffer, pieces)
        if pieces:
            self._buffer.append(b"".join(pieces))
            if self._count > limits.CHUNKS_COUNT + len(self._buffer) // limits.CHUNK_LEAST_BYTES:
                self.error = BadRequest(_SMALL)
        return max(0, at - before + len(self.line))

    def _parse(self, buffer: bytes, pieces: list[bytes]) -> int:
        """Go through `buffer`; returns how far. What is kept in `line` was gone through, too: it is the last part of it."""
        at, end = 0, len(buffer)
        for _ in range(limits.CHUNKS_A_TURN):
            if self._trailing:
                return self._end_at(buffer, at)
            if self.remaining_bytes:
                piece = buffer[at : at + self.remaining_bytes]
                pieces.append(piece)
                at += len(piece)
                self.remaining_bytes -= len(piece)
                self._ending = not self.remaining_bytes
            if self._ending and end - at >= 2:
                if buffer[at : at + 2] != b"\r\n":
                    self.error = BadRequest("a chunk does not end where it should")
                    return at
                at += 2
                self._ending = False
            if self._ending or at == end:
                break
            size = _SIZE.match(buffer, at)
            if size is None:
                if buffer.find(b"\r\n", at) >= 0:
                    self.error = BadRequest("a chunk does not begin with its size")
                break
            at = size.end()
            self.remaining_bytes = int(size[1], 16)
            self._trailing = not self.remaining_bytes
            self._count += 1
        else:
            return at
        self.line = buffer[at:]
        return at

    def _end_at(self, buffer: bytes, at: int) -> int:
        """Where the body ends: behind an empty line, after a trailer or without one (its fields are dropped)."""
        if buffer.startswith(b"\r\n", at):
            self.completed = True
            return at + 2
        end = buffer.find(b"\r\n\r\n", at)
        if end < 0:
            self.line = buffer[at:]
            return at
        self.completed = True
        return end + 4

    def __len__(self) -> int:
        return len(self._buffer)

    def getfile(self) -> Any:
        """The body as a file."""
        return self._buffer.getfile()

    def getbuf(self) -> Any:
        """The body's buffer."""
        return self._buffer
