"""`newswire receipts` and `confirm`: who has got a message, and who has confirmed it."""

from __future__ import annotations

import click

from newswire.cli import output
from newswire.cli.command import Command
from newswire.cli.options import brokers_option, config_option, json_option, timeout_option, times


@click.command(
    cls=Command,
    short_help="Show who has got a message.",
    epilog="Example: newswire receipts 1001-k3b9.7",
)
@config_option
@brokers_option
@click.argument("message_id", metavar="ID")
@timeout_option
@json_option
def receipts(brokers: tuple[str, ...], message_id: str, timeout: float | None, as_json: bool) -> int:
    """Show to whom the message ID is due, who of them has got it, and who has confirmed it."""
    from newswire.cli.credentials import signature
    from newswire.cli.local_time import in_words
    from newswire.client.cluster import ClusterClient

    with ClusterClient(brokers, **signature(brokers), **times(timeout)) as client:
        report = client.receipts(message_id)
    if as_json:
        people = [{"username": one.username, "state": one.state, "at": one.at} for one in report.subscribers]
        counts = {"delivered": report.delivered, "pending": report.pending, "confirmed": report.confirmed}
        output.print_json({"id": report.id, "topic": report.topic, **counts, "subscribers": people})
        return output.DONE
    note = f"{report.confirmed} confirmed, {report.delivered} delivered, {report.pending} pending."
    rows = [(one.username, one.state, in_words(one.at or "")) for one in report.subscribers]
    output.print_tables([output.Table(("Reader", "State", "At"), rows, note)])
    return output.DONE


@click.command(cls=Command, short_help="Confirm a message.", epilog="Example: newswire confirm ann 1001-k3b9.7")
@config_option
@brokers_option
@click.argument("user", metavar="[USER]")
@click.argument("message_id", metavar="ID", required=False)
@timeout_option
@json_option
def confirm(brokers: tuple[str, ...], user: str, message_id: str | None, timeout: float | None, as_json: bool) -> int:
    """Confirm, as USER or yourself, the message ID, which asks for it."""
    from newswire.cli.commands.subscribe import whose
    from newswire.cli.credentials import signature
    from newswire.client import Subscriber

    who = signature(brokers)
    whom, message = whose(user, message_id, who, missing="ID")
    with Subscriber(brokers, whom, **who, **times(timeout)) as subscriber:
        output.print_answer(subscriber.confirm(message), as_json=as_json)
    return output.DONE
