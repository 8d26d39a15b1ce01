"""Where `newswire login` keeps tokens, and whose token a command shows to the brokers that it asks.

One TOML file, `newswire/credentials.toml` in $XDG_CONFIG_HOME or ~/.config, a table a list of brokers. It is read and written
by its owner alone: one that others can read is refused, with the command that mends it. It is written beside itself and put
in its place at once, under a lock of its folder, so that two commands at the same time leave both their tokens.

A token goes to brokers of the list that it was made for, and to no others: a command that is asked about some of that list
finds it, one that names a broker beside it does not.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict

import click

from newswire.cli.options import TOKEN_META
from newswire.errors import BadRequest
from newswire.text import decode

if TYPE_CHECKING:
    from newswire.client.credential import Credential

_HEAD: Final = "# Written by `newswire login`. Who can read this can act as you; `newswire logout` ends it.\n"


@dataclass(frozen=True)
class SavedToken:
    """A token that `newswire login` has made, and the brokers that it is for."""

    brokers: tuple[str, ...]
    username: str
    id: str
    token: str = field(repr=False)


class Signature(TypedDict, total=False):
    """What a client of the library is told of who asks."""

    token: str
    user: str
    password: str


def signature(brokers: Sequence[str]) -> Signature:
    """Who asks these brokers: the token of the environment or the settings, else the one kept for them, else nobody.

    Raises BadRequest for a file that others can read.
    """
    context = click.get_current_context(silent=True)
    token = context.meta.get(TOKEN_META) if context else None
    if token:
        return {"token": token}
    entry = find(brokers)
    return {"token": entry.token} if entry else {}


def check_named(user: str | None, who: Signature) -> None:
    """Raise click.UsageError if nobody says whom a command is about: neither its argument nor a credential."""
    if user is None and not who:
        raise click.UsageError("Missing argument 'USER': only who is signed in may leave it out.")


def to_credential(who: Signature) -> Credential | None:
    """What such a client sends."""
    from newswire.client.credential import choose

    return choose(who.get("token"), who.get("user"), who.get("password"), os.environ)


def path(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the file is."""
    home = environ.get("XDG_CONFIG_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path("~/.config").expanduser()) / "newswire" / "credentials.toml"


def find(brokers: Sequence[str]) -> SavedToken | None:
    """The token for these brokers: that of this list, else of the shortest list that has all of them. Raises BadRequest."""
    able = [one for one in _read(path()) if set(brokers) <= set(one.brokers)]
    return min(able, key=lambda one: len(one.brokers), default=None)


def save(token: SavedToken) -> Path:
    """Keep a token in place of the one for the same brokers. Returns the file. Raises BadRequest."""
    file = path()
    with _locked(file.parent):
        others = [one for one in _read(file) if set(one.brokers) != set(token.brokers)]
        _write(file, [*others, token])
    return file


def forget(token: SavedToken) -> None:
    """Keep it no longer. Raises BadRequest."""
    file = path()
    with _locked(file.parent):
        _write(file, [one for one in _read(file) if one.id != token.id or one.brokers != token.brokers])


def _read(file: Path) -> list[SavedToken]:
    try:
        with open(file, "rb") as opened:
            if stat.S_IMODE(os.fstat(opened.fileno()).st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
                sentence = f"{file} holds your tokens and other users of this machine can read or write it: chmod 600 {file}"
                raise BadRequest(sentence, code="bad-field")
            table = tomllib.loads(decode(opened.read()))
        return [
            SavedToken(tuple(brokers.split(",")), str(one["username"]), str(one["id"]), token=str(one["token"]))
            for brokers, one in table.items()
        ]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BadRequest(f"cannot read {file}: {error.strerror}", code="bad-field") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError):
        raise BadRequest(f"{file} is not what `newswire login` writes: delete it and sign in again", code="bad-field") from None


def _write(file: Path, tokens: Sequence[SavedToken]) -> None:
    parts = [_HEAD]
    for one in tokens:
        lines = [f"{name} = {json.dumps(text)}" for name, text in vars(one).items() if name != "brokers"]
        parts.append("\n".join([f"\n[{json.dumps(','.join(one.brokers))}]", *lines, ""]))
    beside = ""
    try:
        descriptor, beside = tempfile.mkstemp(dir=file.parent, prefix=".credentials-")  # 0600
        with open(descriptor, "w", encoding="utf-8") as opened:
            opened.write("".join(parts))
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(beside, file)
    except OSError as error:
        with suppress(OSError):
            os.unlink(beside)
        raise BadRequest(f"cannot write {file}: {error.strerror}", code="bad-field") from None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise BadRequest(f"cannot use {folder}: {error.strerror}", code="bad-field") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
