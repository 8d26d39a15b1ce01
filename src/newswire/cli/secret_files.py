"""Secrets as operators keep them: in files that others cannot read, or in a variable; never on a command line."""

from __future__ import annotations

import stat
from pathlib import Path

import click

from newswire.core import limits
from newswire.text import decode, read_small, without_mark_char


def read_secret(path: Path, word: str) -> str:
    """Read a file that holds a secret and that others may not read."""
    try:
        check_private(path, word)
        secret = decode(read_small(path)).strip()
    except UnicodeDecodeError:
        hint = f"; for example: openssl rand -hex 32 > {path}" if word == "cluster-secret" else ""
        raise click.UsageError(f"what the file {path} holds is no UTF-8 text, as the {word} must be{hint}") from None
    except OSError as error:
        raise click.UsageError(f"cannot read the {word} from {path}: {error.strerror}.") from None
    if not secret:
        raise click.UsageError(f"the file {path} is blank: {no_secret(word)} into it.")
    return secret


def check_private(path: Path, word: str) -> None:
    """Raise click.UsageError if others may read or write `path`.

    A group may read it: so systemd and Kubernetes hand secrets to a service.
    """
    if stat.S_IMODE(path.stat().st_mode) & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
        raise click.UsageError(f"the file {path} holds the {word} and others can read or write it: chmod 600 {path}")


def as_secrets(text: str | None, place: str = "the cluster-secret") -> tuple[bytes, ...]:
    """The secrets in `text`, one a line: the first signs, all verify; None: there is none. `place` is where it came from.

    Raises click.UsageError for one that is too short, and for a text without one: signing is never off by an accident.
    """
    if text is None:
        return ()
    secrets = [line.strip() for line in without_mark_char(text).splitlines() if line.strip()]
    if not secrets:
        raise click.UsageError(f"{place} is blank: {no_secret('cluster-secret')}.")
    if any(not secret.isprintable() for secret in secrets):
        raise click.UsageError(f"{place} holds characters that nobody sees: {no_secret('cluster-secret')}.")
    if any(len(secret.encode()) < limits.SECRET_BYTES for secret in secrets):
        raise click.UsageError(
            f"{place} is shorter than {limits.SECRET_BYTES} bytes: make one with `openssl rand -hex 32`,"
            " the same for every broker."
        )
    return tuple(secret.encode() for secret in secrets)


def no_secret(word: str) -> str:
    """What to say to who sets none."""
    if word != "cluster-secret":
        return f"put the {word}"
    return f"without a {word} brokers believe whoever reaches them. Put one (`openssl rand -hex 32`)"
