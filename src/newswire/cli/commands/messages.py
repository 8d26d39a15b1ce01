"""`newswire topics`, `messages` and `ack`: what is there, what was said, and how far somebody has read."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from newswire.cli import completing, output
from newswire.cli.command import Command
from newswire.cli.options import PATTERN, brokers_option, config_option, json_option, option, timeout_option, times
from newswire.cli.parameters import MOMENT, WholeNumber
from newswire.core import limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from newswire.client import Message, Subscriber
    from newswire.client.answers import ScheduledMessage


_MORE: Final = "There are more, which are due later."


@click.command(cls=Command, short_help="List the topics.", epilog="Examples: newswire topics; newswire topics --json")
@config_option
@brokers_option
@timeout_option
@json_option
def topics(brokers: tuple[str, ...], timeout: float | None, as_json: bool) -> int:
    """List the topics that you may see, with how many messages each holds and the time of the last one."""
    from newswire.cli.credentials import signature
    from newswire.cli.local_time import in_words
    from newswire.client.cluster import ClusterClient

    with ClusterClient(brokers, **signature(brokers), **times(timeout)) as client:
        rows = client.topics()
    if as_json:
        output.print_json([{"topic": row.topic, "messages": row.messages, "last": row.last} for row in rows])
    elif not rows:
        click.echo("There are no topics yet: the first message to one makes it.")
    else:
        cells = [(row.topic, f"{row.messages:,}", in_words(row.last or "")) for row in rows]
        output.print_tables([output.Table(("Topic", "Messages", "Last"), cells)])
    return output.DONE


@click.command(
    cls=Command,
    short_help="Print messages that are there.",
    epilog="Examples: newswire messages ann --since 1d --topic 'finance.>'; newswire messages ann --search invoice;"
    " newswire messages --scheduled",
)
@config_option
@brokers_option
@click.argument("user", required=False)
@option("--topic", type=PATTERN, shell_complete=completing.topics, help="Only what this topic or pattern covers.")
@option(
    "--since",
    type=MOMENT,
    help="all, a duration such as 90m or 7d, a time such as 09:41 or 2026-11-28, or an event id"
    "  [default: what is not delivered yet]",
)
@option("--search", metavar="WORDS", help="Only what has all of these words in text, title, tags or topic, the newest first.")
@option("--scheduled", is_flag=True, help="What you, or USER, publish later and what waits until then; an admin's: of all.")
@option(
    "--limit",
    type=WholeNumber(1),
    default=limits.PAGE_DEFAULT_MESSAGES,
    help="At most so many, the oldest first; what is found, the newest; what waits, what is due first.",
)
@timeout_option
@json_option
def messages(
    brokers: tuple[str, ...],
    user: str | None,
    topic: str | None,
    since: str | None,
    search: str | None,
    scheduled: bool,
    limit: int,
    timeout: float | None,
    as_json: bool,
) -> int:
    """Print messages of what USER is subscribed to, or you are, and end. Nothing counts as delivered by it.

    `newswire stream` goes on with what comes.
    """
    from newswire.cli.chosen_topics import user_or_topic
    from newswire.cli.commands.stream import OutputFailed, printer
    from newswire.cli.credentials import check_named, signature
    from newswire.client import Subscriber

    who = signature(brokers)
    if scheduled:
        if topic or since or search:
            raise click.UsageError("--scheduled lists all that waits: leave --topic, --since and --search out.")
        return _print_scheduled(brokers, user, limit, timeout, as_json=as_json)
    check_named(user, who)
    take = printer(as_json, terminal=sys.stdout.isatty(), user=user)
    with user_or_topic(brokers, user, who), Subscriber(brokers, user, **who, **times(timeout)) as subscriber:
        try:
            rows = _search(subscriber, search, topic, since, limit) if search else _messages(subscriber, topic, since, limit)
            for message in rows:
                take(message)
        except OutputFailed as failed:
            why = failed.__cause__
            if isinstance(why, OSError) and output.is_quiet(why):  # `| head`
                return output.DONE
            raise click.ClickException(f"the output cannot be written ({getattr(why, 'strerror', why)}).") from None
    return output.DONE


@click.command(
    cls=Command, short_help="Say how far somebody has read.", epilog="Example: newswire ack ann 1001-a1b2.41 --topic news"
)
@config_option
@brokers_option
@click.argument("user", metavar="[USER]")
@click.argument("event_id", metavar="EVENT_ID", required=False)
@option("--topic", type=PATTERN, help="Only of the subscription to exactly this topic or pattern.")
@timeout_option
@json_option
def ack(
    brokers: tuple[str, ...], user: str, event_id: str | None, topic: str | None, timeout: float | None, as_json: bool
) -> int:
    """Let all that USER, or you, were sent up to EVENT_ID count as delivered. It moves forwards only.

    `newswire stream --json` prints it, as `event_id`.
    """
    from newswire.cli.commands.subscribe import whose
    from newswire.cli.credentials import signature
    from newswire.client import Subscriber

    who = signature(brokers)
    whom, event = whose(user, event_id, who, missing="EVENT_ID")
    with Subscriber(brokers, whom, **who, **times(timeout)) as subscriber:
        output.print_answer(subscriber.ack(event, topic), as_json=as_json)
    return output.DONE


def _print_scheduled(brokers: tuple[str, ...], user: str | None, limit: int, timeout: float | None, *, as_json: bool) -> int:
    """Print what waits to be published, what is due first."""
    import msgspec

    from newswire.cli.credentials import signature
    from newswire.cli.local_time import in_words
    from newswire.client.cluster import ClusterClient

    rows: list[ScheduledMessage] = []
    with ClusterClient(brokers, **signature(brokers), **times(timeout)) as client:
        page = client.scheduled(user, min(limit, limits.PAGE_MESSAGES))
        rows += page.messages
        while page.next and page.messages and len(rows) < limit:
            page = client.scheduled(user, min(limit - len(rows), limits.PAGE_MESSAGES), page.next)
            rows += page.messages
    if as_json:
        for row in rows:
            output.print_json(msgspec.to_builtins(row))
        if page.more:
            output.warn(_MORE)
    elif not rows:
        click.echo("Nothing waits to be published.")
    else:
        texts = ((row.title or row.data).strip().split("\n")[0] for row in rows)
        cells = [(in_words(row.due), row.topic, row.id, text) for row, text in zip(rows, texts, strict=True)]
        note = _MORE if page.more else ""
        output.print_tables([output.Table(("Due", "Topic", "Id", "Message"), cells, note)])
    return output.DONE


def _messages(subscriber: Subscriber, topic: str | None, since: str | None, limit: int) -> Iterator[Message]:
    """Page by page, at most `limit`."""
    while limit > 0:
        page = subscriber.messages(topic, since, min(limit, limits.PAGE_MESSAGES))
        yield from page.messages
        if not page.more or not page.messages:
            return
        limit -= len(page.messages)
        since = page.messages[-1].event_id


def _search(subscriber: Subscriber, words: str, topic: str | None, since: str | None, limit: int) -> Iterator[Message]:
    """What a search finds, at most `limit`: each answer is about a part of all that there is."""
    before: str | None = None
    while limit > 0:
        page = subscriber.search(words, topic, since=since, before=before, limit=min(limit, limits.PAGE_MESSAGES))
        yield from page.messages
        if not page.next:
            return
        limit -= len(page.messages)
        before = page.next
