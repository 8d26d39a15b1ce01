"""Text from files, pipes and requests: a byte order mark at its start is no part of it, wherever it comes from.

Editors and shells on Windows begin UTF-8 files with one. It is dropped at the start of JSON, of each NDJSON line (files are
joined with `cat`), of forms, TOML files, secrets and standard input, and nowhere else: inside a text it is a character.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

_MARK: Final = b"\xef\xbb\xbf"
_MARK_CHAR: Final = "\ufeff"
_MOST_BYTES: Final = 1024 * 1024  # of a file of settings or a secret: hundreds of times what any has
_UTF_16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")


def read_small(path: Path) -> bytes:
    """Return what a file of settings or a secret holds. Raises OSError, also for more than such a file has: `/dev/zero`."""
    with path.open("rb") as file:
        raw = file.read(_MOST_BYTES + 1)
    if len(raw) > _MOST_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return raw


def without_mark(raw: bytes) -> bytes:
    """Return `raw` without the byte order mark of UTF-8 that it may begin with."""
    return raw.removeprefix(_MARK)


def without_mark_char(text: str) -> str:
    """Return `text` without the byte order mark that it may begin with."""
    return text.removeprefix(_MARK_CHAR)


def decode(raw: bytes) -> str:
    """Decode UTF-8 that may begin with a byte order mark. Raises UnicodeDecodeError, whose `reason` names UTF-16."""
    try:
        return without_mark(raw).decode()
    except UnicodeDecodeError as error:
        if raw.startswith(_UTF_16_MARKS):
            error.reason = "it is UTF-16: save it as UTF-8"
        raise
