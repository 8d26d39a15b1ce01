"""Passwords from people and scripts: never from the command line, never shown.

At a terminal they are asked for without echo, a new one twice; otherwise the first line of standard input is one, or a file.
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from newswire.cli import output
from newswire.cli.options import option
from newswire.cli.secret_files import read_secret
from newswire.core import limits
from newswire.core.model.passwords import check_new_password
from newswire.errors import NewswireError
from newswire.text import decode


def password_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--password-file`."""
    return option(
        "--password-file",
        type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
        help="Read the password from this file, or with - from standard input, instead of asking for it.",
    )(command)


def read_password(path: Path | None, prompt: str = "Password") -> str:
    """The password of somebody who signs in. Raises click.UsageError when there is none."""
    password = _from_file(path) if path or not sys.stdin.isatty() else _ask(prompt)
    if not password:
        raise click.UsageError("No password was given: it is asked for at a terminal, or is the first line of standard input.")
    return password


def read_new_password(path: Path | None, prompt: str = "New password") -> str:
    """A new password, "" for none; a person types it twice, and is asked again where that is none.

    Raises BadRequest when it is too short and comes from a file.
    """
    if path or not sys.stdin.isatty():
        password = _from_file(path)
        return check_new_password(password) if password else ""
    while password := _ask(prompt):
        try:
            check_new_password(password)
        except NewswireError as error:
            output.warn(output.sentence(error))
            continue
        if _ask("The same again") == password:
            break
        output.warn("The two are not the same.")
    return password


def _from_file(path: Path | None) -> str:
    if path and str(path) != "-":
        return read_secret(path, "password")
    if output.is_input_closed():
        return ""
    line = sys.stdin.buffer.readline(limits.CLI_PASSWORD_BYTES)
    try:
        return decode(line).rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"the password is not UTF-8 text: {error.reason}.") from None


def _ask(prompt: str) -> str:
    try:
        return getpass.getpass(f"{prompt}: ")
    except EOFError:
        raise click.Abort from None
