"""`newswire subscribe`, `unsubscribe` and `subscriptions`."""

from __future__ import annotations

import click

from newswire import escape
from newswire.cli import output
from newswire.cli.command import Command
from newswire.cli.options import brokers_option, config_option, json_option, option, timeout_option, times


@click.command(cls=Command, short_help="Subscribe a user to a topic.")
@config_option
@brokers_option
@click.argument("user")
@click.argument("topic")
@option("--from", "since", help="now, earliest, a duration such as 90m or 7d, or an RFC 3339 time  [default: now]")
@timeout_option
def subscribe(brokers: tuple[str, ...], user: str, topic: str, since: str | None, timeout: float | None) -> int:
    """Subscribe USER to TOPIC; `*` stands for one level, a final `>` for the rest."""
    from newswire.client import Subscriber

    with Subscriber(brokers, user, **times(timeout)) as subscriber:
        click.echo(escape.line(subscriber.subscribe(topic, since)))
    return output.DONE


@click.command(cls=Command, short_help="End a subscription.")
@config_option
@brokers_option
@click.argument("user")
@click.argument("topic")
@timeout_option
def unsubscribe(brokers: tuple[str, ...], user: str, topic: str, timeout: float | None) -> int:
    """End the subscription of USER to exactly TOPIC."""
    from newswire.client import Subscriber

    with Subscriber(brokers, user, **times(timeout)) as subscriber:
        click.echo(escape.line(subscriber.unsubscribe(topic)))
    return output.DONE


@click.command(cls=Command, short_help="List the subscriptions of a user.")
@config_option
@brokers_option
@click.argument("user")
@timeout_option
@json_option
def subscriptions(brokers: tuple[str, ...], user: str, as_json: bool, timeout: float | None) -> int:
    """List what USER is subscribed to, and how much of it is unread."""
    from newswire.client import Subscriber

    with Subscriber(brokers, user, **times(timeout)) as subscriber:
        rows = subscriber.subscriptions()
    if as_json:
        output.print_json([{"topic": r.topic, "since": r.since, "index": r.index, "unread": r.unread} for r in rows])
    elif not rows:
        click.echo(f"{escape.line(user)} is not subscribed to any topic.")
    else:
        cells = [(r.topic, str(r.since), f"{r.index:,}", f"{r.unread:,}") for r in rows]
        output.print_tables([output.Table(("Topic", "Since", "Delivered", "Unread"), cells)])
    return output.DONE
