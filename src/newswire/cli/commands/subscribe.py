"""`newswire subscribe`, `unsubscribe` and `subscriptions`."""

from __future__ import annotations

import json

import click

from newswire import escape
from newswire.cli import exits
from newswire.cli.options import times


def subscribe(*, brokers: tuple[str, ...], user: str, topic: str, since: str | None, timeout: float | None) -> int:
    """Subscribe and print the broker's sentence. Raises NewswireError."""
    from newswire.client import Subscriber

    with Subscriber(brokers, user, **times(timeout)) as subscriber:
        click.echo(escape.line(subscriber.subscribe(topic, since)))
    return exits.DONE


def unsubscribe(*, brokers: tuple[str, ...], user: str, topic: str, timeout: float | None) -> int:
    """End a subscription and print the broker's sentence. Raises NewswireError."""
    from newswire.client import Subscriber

    with Subscriber(brokers, user, **times(timeout)) as subscriber:
        click.echo(escape.line(subscriber.unsubscribe(topic)))
    return exits.DONE


def show(*, brokers: tuple[str, ...], user: str, as_json: bool, timeout: float | None) -> int:
    """Print the subscriptions of a user. Raises NewswireError."""
    from newswire.client import Subscriber

    with Subscriber(brokers, user, **times(timeout)) as subscriber:
        rows = subscriber.subscriptions()
    if as_json:
        click.echo(json.dumps([{"topic": r.topic, "since": r.since, "index": r.index, "unread": r.unread} for r in rows]))
    elif not rows:
        click.echo(f"{escape.line(user)} is not subscribed to any topic.")
    else:
        from newswire.cli import tables

        tables.print_tables(
            [
                tables.Table(
                    ("Topic", "Since", "Delivered", "Unread"),
                    [(r.topic, str(r.since), f"{r.index:,}", f"{r.unread:,}") for r in rows],
                )
            ]
        )
    return exits.DONE
