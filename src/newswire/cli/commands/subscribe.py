"""`newswire subscribe`, `unsubscribe` and `subscriptions`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from newswire import escape
from newswire.cli import completing, output
from newswire.cli.command import Command
from newswire.cli.options import brokers_option, config_option, json_option, option, timeout_option, times
from newswire.cli.parameters import MOMENT

if TYPE_CHECKING:
    from newswire.cli.credentials import Signature


@click.command(
    cls=Command,
    short_help="Subscribe a user to a topic.",
    epilog="Examples: newswire subscribe ann kitchen; newswire subscribe ann 'finance.>' --from 7d",
)
@config_option
@brokers_option
@click.argument("user", metavar="[USER]")
@click.argument("topic", metavar="TOPIC", required=False, shell_complete=completing.topics)
@option(
    "--from",
    "since",
    type=MOMENT,
    help="now, earliest, a duration such as 90m or 7d, or a time such as 09:41 or 2026-11-28  [default: now]",
)
@timeout_option
@json_option
def subscribe(
    brokers: tuple[str, ...], user: str, topic: str | None, since: str | None, timeout: float | None, as_json: bool
) -> int:
    """Subscribe USER, or yourself, to TOPIC; `*` stands for one level, a final `>` for the rest."""
    from newswire.cli.credentials import signature
    from newswire.client import Subscriber

    who = signature(brokers)
    whom, wish = whose(user, topic, who)
    with Subscriber(brokers, whom, **who, **times(timeout)) as subscriber:
        output.print_answer(subscriber.subscribe(wish, since), as_json=as_json)
    return output.DONE


@click.command(cls=Command, short_help="End a subscription.", epilog="Example: newswire unsubscribe ann 'finance.>'")
@config_option
@brokers_option
@click.argument("user", metavar="[USER]")
@click.argument("topic", metavar="TOPIC", required=False, shell_complete=completing.topics)
@timeout_option
@json_option
def unsubscribe(brokers: tuple[str, ...], user: str, topic: str | None, timeout: float | None, as_json: bool) -> int:
    """End the subscription of USER, or your own, to exactly TOPIC."""
    from newswire.cli.credentials import signature
    from newswire.client import Subscriber

    who = signature(brokers)
    whom, wish = whose(user, topic, who)
    with Subscriber(brokers, whom, **who, **times(timeout)) as subscriber:
        output.print_answer(subscriber.unsubscribe(wish), as_json=as_json)
    return output.DONE


@click.command(cls=Command, short_help="List the subscriptions of a user.", epilog="Example: newswire subscriptions ann --json")
@config_option
@brokers_option
@click.argument("user", required=False)
@timeout_option
@json_option
def subscriptions(brokers: tuple[str, ...], user: str | None, as_json: bool, timeout: float | None) -> int:
    """List what USER is subscribed to, or you are, and how much of it is unread."""
    from newswire.cli.credentials import check_named, signature
    from newswire.cli.local_time import in_words
    from newswire.client import Subscriber

    who = signature(brokers)
    check_named(user, who)
    with Subscriber(brokers, user, **who, **times(timeout)) as subscriber:
        rows = subscriber.subscriptions()
    if as_json:
        output.print_json([{"topic": r.topic, "since": r.since, "index": r.index, "unread": r.unread} for r in rows])
    elif not rows:
        click.echo(f"{escape.line(user)} is not subscribed to any topic." if user else "You are not subscribed to any topic.")
    else:
        cells = [(r.topic, in_words(str(r.since)), f"{r.index:,}", f"{r.unread:,}") for r in rows]
        output.print_tables([output.Table(("Topic", "Since", "Delivered", "Unread"), cells)])
    return output.DONE


def whose(user: str, what: str | None, who: Signature, missing: str = "TOPIC") -> tuple[str | None, str]:
    """Who and what is meant by `[USER] TOPIC`: one word is the topic of whoever is signed in. Raises click.UsageError.

    `missing`: what it is that a user must be followed by.
    """
    if what is not None:
        return user, what
    if not who:
        raise click.UsageError(f"Missing argument '{missing}'.")
    return None, user
