"""The secret of brokers that were told none, in the home of their ops files: made by the first that needs it, read by all.

So a broker alone, and brokers that share a folder on one machine, need nothing to be set up. Others need a copy of it.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from newswire.errors import NewswireError

NAME: Final = "cluster-secret"


def own_secret(folder: Path) -> bytes:
    """The secret in `folder`, made now if there is none. Raises `ops-dir` for a file that others can read; OSError."""
    path = folder / NAME
    with suppress(FileNotFoundError):
        return _read(path)
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f"{NAME}.{os.getpid()}.{secrets.token_hex(4)}"
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_hex(32).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        with suppress(FileExistsError):  # another broker was faster
            os.link(draft, path)
    finally:
        draft.unlink()
    return _read(path)


def _read(path: Path) -> bytes:
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise NewswireError(f"{path} holds the secret of the brokers and others can read it: chmod 600 {path}", code="ops-dir")
    secret = path.read_bytes().strip()
    if not secret:
        raise NewswireError(f"{path} is blank: remove it, and a new secret is made", code="ops-dir")
    return secret
