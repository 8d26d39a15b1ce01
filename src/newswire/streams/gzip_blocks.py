"""A stream that is compressed by gzip, of blocks that many streams share. Pure.

A block is raw DEFLATE that begins with nothing to refer to, and ends at a byte without being the last (a sync flush: RFC 1951,
3.2.4), so it means the same in whatever stream it stands: like a page, it is made once for all that stand at one place. Each
stream has a head, a checksum that is taken on, and an end of its own: a few bytes of memory, where an encoder has 130 KB.

The price is that no block refers to the one before. A message alone becomes 0.6 of what it was, one of a page that catches up
0.25; an encoder of its own would make 0.32 of each, in 7 µs a message and stream (docs/results.md, Compression).
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

HEAD: Final = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # RFC 1952, 2.3: no name, no time, no system
_LAST: Final = b"\x03\0"  # a block without anything, the last one (RFC 1951, 3.2.6)
_LEVEL: Final = 1
_RAW: Final = -zlib.MAX_WBITS
_WHOLE: Final = 16 + zlib.MAX_WBITS


def block(plain: bytes) -> bytes:
    """What stands for `plain` in any stream."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW)
    return compressor.compress(plain) + compressor.flush(zlib.Z_SYNC_FLUSH)


def end(checksum: int, length: int) -> bytes:
    """The end of a stream whose blocks stand for `length` bytes, with the CRC-32 `checksum`."""
    return _LAST + struct.pack("<II", checksum, length & 0xFFFFFFFF)


def whole(plain: bytes) -> bytes:
    """A stream that says no more than this."""
    return zlib.compress(plain, _LEVEL, _WHOLE)
