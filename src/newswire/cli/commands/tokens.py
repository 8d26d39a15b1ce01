"""`newswire token`: what programs sign in with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from newswire import escape
from newswire.cli import output
from newswire.cli.command import CommandGroup, show_help
from newswire.cli.options import PATTERN, brokers_option, config_option, json_option, option, timeout_option, times
from newswire.cli.parameters import DURATION

if TYPE_CHECKING:
    from newswire.client.access import AccessClient


@click.group(cls=CommandGroup, short_help="Make and revoke tokens for programs.", invoke_without_command=True)
@click.pass_context
def token(ctx: click.Context) -> None:
    """Give programs what they sign in with: a token of a user, which may be good for less than he is."""
    show_help(ctx)


@token.command(
    short_help="Make a token.",
    epilog="Example, which leaves the token in a file and nowhere else: (umask 077 && newswire token create backup > token)",
)
@config_option
@brokers_option
@click.argument("user", required=False)
@option("--label", help="What it is for, so that you know it again.")
@option("--expires", type=DURATION, help="How long it lasts: 90d, 12h  [default: until it is revoked]")
@option("--publish", type=PATTERN, multiple=True, help="It may publish on this pattern alone; can be given again.")
@option("--subscribe", type=PATTERN, multiple=True, help="It may read this pattern alone; can be given again.")
@timeout_option
@json_option
def create(
    brokers: tuple[str, ...],
    user: str | None,
    label: str | None,
    expires: int | None,
    publish: tuple[str, ...],
    subscribe: tuple[str, ...],
    timeout: float | None,
    as_json: bool,
) -> int:
    """Make a token for USER, or yourself, and print it: the only time that anybody sees it.

    It may do what USER may, or less: with --publish or --subscribe nothing but what is named.
    """
    from newswire.cli.credentials import signature
    from newswire.cli.local_time import in_words
    from newswire.client.access import AccessClient

    narrow = bool(publish or subscribe)
    with AccessClient(brokers, **signature(brokers), **times(timeout)) as client:
        token = client.create_token(
            user,
            label=label,
            expires=expires,
            publish=publish if narrow else None,
            subscribe=subscribe if narrow else None,
        )
        rights = AccessClient(brokers, token=token.token, **times(timeout)) if narrow else None
        idle = _without_effect(rights, publish, subscribe) if rights else ""
    if as_json:
        output.print_json({"id": token.id, "token": token.token, "expires": token.expires})
    else:
        click.echo(token.token)
    output.warn(
        f"That is the token {escape.line(token.id)}. It is shown this once: keep it where only its program can read it."
    )
    if token.expires and expires is None:
        output.warn(f"It expires with the token that you are signed in with, at {escape.line(in_words(token.expires))}.")
    if idle:
        output.warn(idle)
    return output.DONE


def _without_effect(client: AccessClient, publish: tuple[str, ...], subscribe: tuple[str, ...]) -> str:
    """What of these patterns lets the token do nothing now, as its user may not; "" for nothing of them."""
    from newswire.core.access import overlap

    with client:
        granted = client.me().grants
    lines = [
        f"{verb} {pattern}"
        for verb, patterns in (("publish", publish), ("subscribe", subscribe))
        for pattern in patterns
        if not any(one.verb == verb and overlap(one.topic, pattern) for one in granted)
    ]
    if not lines:
        return ""
    return f"Its user may not do that now, and so the token may not: {', '.join(lines)}. It may as soon as that is granted."


@token.command("list", short_help="List tokens, without what is secret.", epilog="Example: newswire token list backup")
@config_option
@brokers_option
@click.argument("user", required=False)
@timeout_option
@json_option
def list_tokens(brokers: tuple[str, ...], user: str | None, timeout: float | None, as_json: bool) -> int:
    """List the tokens of USER, or your own."""
    import msgspec

    from newswire.cli.credentials import signature
    from newswire.cli.local_time import in_words
    from newswire.client.access import AccessClient

    with AccessClient(brokers, **signature(brokers), **times(timeout)) as client:
        rows = client.tokens(user)
    if as_json:
        output.print_json(
            [{name: value for name, value in msgspec.to_builtins(one).items() if value is not None} for one in rows]
        )
    elif not rows:
        click.echo("There are no tokens.")
    else:
        cells = [
            (one.id, one.username, one.label or "", in_words(str(one.expires or "never")), limited(one.publish, one.subscribe))
            for one in rows
        ]
        output.print_tables([output.Table(("Token", "User", "For", "Expires", "Limited to"), cells)])
    return output.DONE


def limited(publish: tuple[str, ...] | None, subscribe: tuple[str, ...] | None) -> str:
    """What a token is limited to, "" if to nothing but its user's rights."""
    pairs = [("publish", publish), ("subscribe", subscribe)]
    return "; ".join(f"{verb} {', '.join(patterns) or 'nothing'}" for verb, patterns in pairs if patterns is not None)


@token.command(short_help="End a token.", epilog="Example: newswire token revoke 1001-k3f9x2qa.57")
@config_option
@brokers_option
@click.argument("token_id", metavar="ID")
@timeout_option
@json_option
def revoke(brokers: tuple[str, ...], token_id: str, timeout: float | None, as_json: bool) -> int:
    """End the token that `newswire token list` shows as ID: its streams end within seconds."""
    from newswire.cli.credentials import signature
    from newswire.client.access import AccessClient

    with AccessClient(brokers, **signature(brokers), **times(timeout)) as client:
        output.print_answer(client.revoke_token(token_id), as_json=as_json)
    return output.DONE
