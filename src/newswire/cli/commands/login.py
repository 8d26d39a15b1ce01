"""`newswire login`, `logout` and `whoami`: who this user of the machine is at which brokers."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

from newswire import escape
from newswire.cli import output
from newswire.cli.command import Command
from newswire.cli.options import brokers_option, config_option, json_option, option, timeout_option, times
from newswire.cli.parameters import WholeNumber
from newswire.cli.passwords import password_option, read_password
from newswire.core import limits
from newswire.core.model import names
from newswire.errors import NewswireError, NoBroker, Unauthenticated, Unknown

AUTH_IS_OFF = "These brokers ask nobody who he is (--auth none): everybody may do everything, under any name."


@click.command(
    cls=Command,
    short_help="Sign in, and stay signed in.",
    epilog="Examples: newswire login ann; for scripts: newswire login backup --password-file secret",
)
@config_option
@brokers_option
@click.argument("user", required=False)
@password_option
@option("--days", type=WholeNumber(1, limits.LOGIN_DAYS_MOST), default=limits.LOGIN_DAYS, help="How long it lasts.")
@timeout_option
@json_option
def login(
    brokers: tuple[str, ...], user: str | None, password_file: Path | None, days: int, timeout: float | None, as_json: bool
) -> int:
    """Sign in as USER at the brokers, and keep a token for them, so that all other commands are signed in.

    The password is asked for, or is the first line of standard input. It is not kept.
    """
    from newswire.cli import credentials
    from newswire.client.access import AccessClient

    if user is None:
        if not sys.stdin.isatty():
            raise click.UsageError("Missing argument 'USER'.")
        user = click.prompt("User", err=True)
    names.check_username(user)
    before = credentials.find(brokers)
    password = read_password(password_file)
    with AccessClient(brokers, user=user, password=password, **times(timeout)) as client:
        if client.me().auth == "none":
            raise click.ClickException(AUTH_IS_OFF)
        label = f"newswire login at {socket.gethostname()}"[: limits.CLI_LABEL_CHARS]
        token = client.create_token(label=label, expires=days * 86_400)
        try:
            file = credentials.save(credentials.SavedToken(brokers, user, id=token.id, token=token.token))
        except NewswireError:
            client.revoke_token(token.id)
            raise
        if before and set(before.brokers) == set(brokers):
            with suppress(NewswireError), AccessClient(brokers, token=before.token, **times(timeout)) as earlier:
                earlier.revoke_token(before.id)
    output.print_answer(
        f"Signed in as {user} at {', '.join(brokers)} for {days} days; the token is in {file}.",
        as_json=as_json,
        username=user,
        brokers=brokers,
        days=days,
        file=str(file),
    )
    return output.DONE


@click.command(cls=Command, short_help="End the sign-in.", epilog="Example: newswire logout")
@config_option
@brokers_option
@timeout_option
@json_option
def logout(brokers: tuple[str, ...], timeout: float | None, as_json: bool) -> int:
    """Revoke the token that `newswire login` has kept for the brokers, and forget it."""
    from newswire.cli import credentials
    from newswire.client.access import AccessClient

    token = credentials.find(brokers)
    if token is None:
        output.print_answer(f"Nobody is signed in at {', '.join(brokers)}.", as_json=as_json)
        return output.DONE
    credentials.forget(token)
    try:
        with AccessClient(brokers, token=token.token, **times(timeout)) as client:
            client.revoke_token(token.id)
    except Unauthenticated:  # it had ended already
        pass
    except (NoBroker, Unknown) as error:
        output.warn(output.sentence(error))
        output.warn(
            f"The token is forgotten here, and counts elsewhere until it expires or `newswire token revoke {token.id}`."
        )
        return output.exit_code(error)
    output.print_answer(f"Signed out {token.username} at {', '.join(token.brokers)}.", as_json=as_json)
    return output.DONE


@click.command(cls=Command, short_help="Say who you are to the brokers.", epilog="Example: newswire whoami --json")
@config_option
@brokers_option
@timeout_option
@json_option
def whoami(brokers: tuple[str, ...], timeout: float | None, as_json: bool) -> int:
    """Say who the brokers take you for, and what you may do."""
    from newswire.cli.credentials import signature
    from newswire.client.access import AccessClient

    with AccessClient(brokers, **signature(brokers), **times(timeout)) as client:
        me = client.me()
    if as_json:
        grants = [{"verb": one.verb, "topic": one.topic} for one in me.grants]
        output.print_json({"username": me.username, "admin": me.admin, "auth": me.auth, "grants": grants})
    elif me.auth == "none":
        click.echo(AUTH_IS_OFF)
    else:
        click.echo(escape.line(f"{me.username}{', an admin: may do everything' if me.admin else ''}"))
        for verb in ("publish", "subscribe"):
            patterns = list(dict.fromkeys(one.topic for one in me.grants if one.verb == verb))
            if not me.admin:
                click.echo(escape.line(may(verb, patterns)))
    return output.DONE


def may(verb: str, patterns: Sequence[str]) -> str:
    """A line about what somebody may do who is no admin."""
    return f"may {verb} to {', '.join(patterns)}" if patterns else f"may not {verb} to anything: an admin can grant it"
