"""`newswire user`: people and programs that may sign in. For admins, but for one's own password."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from newswire.cli import output
from newswire.cli.command import CommandGroup, show_help
from newswire.cli.options import brokers_option, config_option, json_option, option, timeout_option, times
from newswire.cli.passwords import password_option, read_new_password, read_password
from newswire.core.model import names


@click.group(cls=CommandGroup, short_help="Add and remove people and programs.", invoke_without_command=True)
@click.pass_context
def user(ctx: click.Context) -> None:
    """Say who may sign in: people by password, programs by token."""
    show_help(ctx)


@user.command(short_help="Add somebody.", epilog="Examples: newswire user add ann --admin; newswire user add backup </dev/null")
@config_option
@brokers_option
@click.argument("name")
@option("--admin", is_flag=True, help="He may do everything.")
@password_option
@timeout_option
@json_option
def add(
    brokers: tuple[str, ...], name: str, admin: bool, password_file: Path | None, timeout: float | None, as_json: bool
) -> int:
    """Add NAME. The password is asked for, or is the first line of standard input; an empty one is none: then only tokens
    sign him in.
    """
    from newswire.cli.credentials import signature
    from newswire.client.access import AccessClient

    names.check_username(name)
    password = read_new_password(password_file, f"Password of {name} (Enter alone: none, he uses tokens)")
    with AccessClient(brokers, **signature(brokers), **times(timeout)) as client:
        output.print_answer(client.add_user(name, password or None, admin=admin), as_json=as_json)
    return output.DONE


@user.command(short_help="Remove somebody, and all he has.", epilog="Example: newswire user remove ann")
@config_option
@brokers_option
@click.argument("name")
@option("--yes", is_flag=True, help="Remove without asking, at a terminal, too.")
@timeout_option
@json_option
def remove(brokers: tuple[str, ...], name: str, yes: bool, timeout: float | None, as_json: bool) -> int:
    """Remove NAME with his tokens, grants, subscriptions and streams. A later user of that name inherits nothing."""
    from newswire.cli.credentials import signature
    from newswire.client.access import AccessClient

    names.check_username(name)
    ask = f"Remove {name}, with all tokens, grants and subscriptions?"
    if not yes and sys.stdin.isatty() and not click.confirm(ask, err=True):
        click.echo("Nobody was removed.")
        return output.FAILED
    with AccessClient(brokers, **signature(brokers), **times(timeout)) as client:
        output.print_answer(client.remove_user(name), as_json=as_json)
    return output.DONE


@user.command("list", short_help="List all.", epilog="Example: newswire user list --json")
@config_option
@brokers_option
@timeout_option
@json_option
def list_users(brokers: tuple[str, ...], timeout: float | None, as_json: bool) -> int:
    """List who may sign in."""
    from newswire.cli.credentials import signature
    from newswire.cli.local_time import in_words
    from newswire.client.access import AccessClient

    with AccessClient(brokers, **signature(brokers), **times(timeout)) as client:
        rows = client.users()
    if as_json:
        output.print_json([{"username": one.username, "admin": one.admin, "since": one.since} for one in rows])
    else:
        cells = [(one.username, "admin" if one.admin else "", in_words(str(one.since or ""))) for one in rows]
        output.print_tables([output.Table(("User", "", "Since"), cells)])
    return output.DONE


@user.command(short_help="Set a password.", epilog="Examples: newswire user password; newswire user password ann")
@config_option
@brokers_option
@click.argument("name", required=False)
@password_option
@timeout_option
@json_option
def password(
    brokers: tuple[str, ...], name: str | None, password_file: Path | None, timeout: float | None, as_json: bool
) -> int:
    """Give NAME, or yourself, another password, which is asked for, or is the first line of standard input.

    For your own you show the one before: it is asked for first, or is a line before the new one.
    It ends the sign-ins of NAME in browsers; tokens go on.
    """
    from newswire.cli.credentials import Signature, signature
    from newswire.client.access import AccessClient

    who = signature(brokers)
    with AccessClient(brokers, **who, **times(timeout)) as client:
        me = client.me().username or ""
    name = name or me
    names.check_username(name)
    if name == me:
        who = Signature(user=name, password=read_password(None, f"Password of {name} until now"))
    new = read_new_password(password_file, f"New password of {name}")
    if not new:
        raise click.UsageError("No password was given: nothing was done.")
    with AccessClient(brokers, **who, **times(timeout)) as client:
        output.print_answer(client.set_password(name, new), as_json=as_json)
    return output.DONE
