"""`newswire stream`: print messages, or hand each to a command; what was not taken stays unacknowledged.

What cannot be printed is not taken: printing is the work here. A reader that leaves ends the stream, as it ends `tail -f`.

With a user it is that user's stream, of all subscriptions or of chosen topics (`cli/chosen_topics.py`). With topics and no user
it is a stream of these topics, which needs no subscription and leaves nothing behind (`client/topic_stream.py`).
"""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING

import click

from newswire import escape
from newswire.cli import completing, output
from newswire.cli.command import Command
from newswire.cli.message_text import as_object, gap_text, plain_text, terminal_text
from newswire.cli.options import PATTERN, brokers_option, config_option, json_option, option, times
from newswire.cli.parameters import MOMENT, WholeNumber
from newswire.core import limits
from newswire.errors import BadRequest, Refused

if TYPE_CHECKING:
    from newswire.cli.chosen_topics import ChosenTopics
    from newswire.cli.credentials import Signature
    from newswire.client import ConnectionState, Gap, Message, MessageStream, Subscriber, Withdrawal

Take = Callable[["Message"], None]


class CommandFailed(Exception):
    """The command of `--exec` did not exit 0."""


class OutputFailed(Exception):
    """A message could not be printed."""


@click.command(
    cls=Command,
    short_help="Print messages as they come.",
    epilog="Examples: newswire stream ann; newswire stream ann --topic 'alarms.>' --notify;"
    " newswire stream --topic news --since 1h; newswire stream ann --json | jq .data",
)
@config_option
@brokers_option
@click.argument("user", required=False)
@json_option
@option(
    "--topic",
    "topics",
    type=PATTERN,
    multiple=True,
    shell_complete=completing.topics,
    help="Only what this topic or pattern covers; can be given again.",
)
@option(
    "--since",
    type=MOMENT,
    help="First, once more, what has come since: all, a duration such as 10m, a time such as 09:41, or an event id.",
)
@option("--count", type=WholeNumber(1), help="Stop after so many messages.")
@option("--exec", "command", help="Run a shell command for each message; it counts as delivered when the command exits 0.")
@option("--notify", is_flag=True, help="Notify, too: on the desktop by notify-send, else by the terminal.")
def stream(
    brokers: tuple[str, ...],
    user: str | None,
    as_json: bool,
    topics: tuple[str, ...],
    since: str | None,
    count: int | None,
    command: str | None,
    notify: bool,
) -> int:
    """Print the messages of USER, or your own, as they come, across broker failures, until interrupted.

    A terminal shows time, topic and text. Elsewhere a message is a line of topic, text and, if it has one, title, with tabs
    between; in them tabs, line ends and backslashes are \\t, \\n, \\r and \\\\. --json has all fields.

    With --topic the rest of what USER is subscribed to stays undelivered. --topic without USER reads topics without a
    subscription, from now on or --since, where brokers let you; nothing counts as delivered by it.

    The command of --exec finds the message as JSON on its standard input and its fields in NEWSWIRE_MESSAGE_ID, _EVENT_ID,
    _TOPIC, _DATA, _TIME, _TITLE, _PRIORITY, _TAGS, _CLICK and _PUBLISHER (each with NEWSWIRE_MESSAGE before it). They set no
    option: to forward a title, say --title "$NEWSWIRE_MESSAGE_TITLE".
    """
    from newswire.cli.credentials import check_named, signature

    who = signature(brokers)
    if not topics:
        check_named(user, who)
    take = command_taker(command) if command else printer(as_json, terminal=sys.stdout.isatty(), user=user)
    take = notifying(take) if notify else take
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    stop = threading.Event()
    if not command and is_pipe(1):
        output.reader_left(1, stop.set)
    try:
        if topics and user is None:
            _follow_topics(brokers, who, topics, since, Budget(take, count), stop)
        else:
            _follow_user(brokers, who, user, topics, since, Budget(take, count), stop)
    except (KeyboardInterrupt, Enough):
        pass
    except OutputFailed as failed:
        why = failed.__cause__
        if not isinstance(why, BrokenPipeError):  # a pipe's reader has left
            reason = why.strerror if isinstance(why, OSError) else why
            raise click.ClickException(f"{failed}: the output cannot be written ({reason}).") from None
    except CommandFailed as error:
        raise click.ClickException(str(error)) from None
    finally:
        signal.signal(signal.SIGTERM, before)
    return output.DONE


def is_pipe(descriptor: int) -> bool:
    """Say whether `descriptor` leads to a reader that may leave."""
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


class Enough(Exception):
    """As many messages were taken as were asked for."""


class Budget:
    """Takes messages, `count` of them at most, None: all."""

    def __init__(self, take: Take, count: int | None) -> None:
        self._take, self._left = take, count

    def take(self, message: Message) -> None:
        """Take one."""
        self._take(message)
        self._left = None if self._left is None else self._left - 1

    def check(self) -> None:
        """Raise Enough when no more are wanted."""
        if self._left == 0:
            raise Enough


def _follow_topics(
    brokers: Sequence[str],
    who: Signature,
    topics: Sequence[str],
    since: str | None,
    budget: Budget,
    stop: threading.Event,
) -> None:
    """Take what is published to `topics`, without a subscription."""
    from newswire.client import Gap
    from newswire.client.pool import BrokerPool
    from newswire.client.topic_stream import TopicStream
    from newswire.core.model.names import is_pattern

    if patterns := [topic for topic in topics if is_pattern(topic)]:
        raise BadRequest(f"{patterns[0]} is a pattern, which needs a subscription: name a USER who has one", code="bad-topic")
    with closing(BrokerPool(brokers, **who, **times(None))) as pool:
        pool.look()
        start = "all" if since == "earliest" else to_unix(since) if since else None
        with TopicStream(pool, topics, since=start, stop=stop, on_state=_Teller()) as stream:
            for item in stream:
                if isinstance(item, Gap):
                    _say(gap_text(item))
                else:
                    budget.take(item)
                    budget.check()


def to_unix(moment: str) -> str:
    """A moment as ntfy's wire reads it: a time in seconds since 1970; what is none stays as it is."""
    from datetime import datetime

    try:
        return str(int(datetime.fromisoformat(moment).timestamp()))
    except ValueError:
        return moment


def _follow_user(
    brokers: Sequence[str],
    who: Signature,
    user: str | None,
    topics: Sequence[str],
    since: str | None,
    budget: Budget,
    stop: threading.Event,
) -> None:
    """Take what comes of the user's subscriptions, or of those of `topics` alone."""
    from newswire.cli.chosen_topics import ChosenTopics, Cursors, user_or_topic
    from newswire.client import Subscriber

    with user_or_topic(brokers, user, who), ExitStack() as ending:
        subscriber = ending.enter_context(Subscriber(brokers, user, **who, **times(None)))
        subscriber.pool.look()  # with no broker at all a script wants to know; later failures are waited out
        subscriptions = [row.topic for row in subscriber.subscriptions()] if topics else []
        chosen = ChosenTopics(topics, subscriptions)
        if user is not None and topics:
            _check(chosen, user)
        seen: OrderedDict[str, None] = OrderedDict()
        for message in _earlier(subscriber, since) if since else ():
            if stop.is_set():
                return
            if chosen.cover(message.topic):
                budget.take(message)
                budget.check()
                seen[message.id] = None
                if len(seen) > limits.CLIENT_SEEN_MESSAGES:
                    seen.popitem(last=False)
        tell = partial(_tell_withdrawal, chosen)
        if not topics or set(chosen.whole) == set(subscriptions):
            stream = ending.enter_context(subscriber.stream(ack="manual", stop=stop, on_state=_Teller(), on_withdrawn=tell))
            _take_all(stream, chosen, seen, budget, lambda item: stream.taken(item))
            return
        reader = ending.enter_context(Subscriber(brokers, user, **who, **times(None)))
        cursors = ending.enter_context(Cursors(reader.ack))
        stream = ending.enter_context(subscriber.stream(ack=False, stop=stop, on_state=_Teller(), on_withdrawn=tell))
        _take_all(stream, chosen, seen, budget, lambda item: cursors.move(item.event_id, chosen.subscriptions_to(item.topic)))


def _check(chosen: ChosenTopics, user: str) -> None:
    """Say what of the chosen topics does not count as delivered. Raises Refused where none is subscribed to."""
    if not chosen.whole and not chosen.parts:
        topics = ", ".join(chosen.patterns)
        advice = f"newswire subscribe {user} {chosen.patterns[0]}, or leave USER out to read it without a subscription"
        raise Refused(f"user {user} is not subscribed to {topics}: {advice}", code="not-registered")
    if chosen.parts:
        parts = ", ".join(chosen.parts)
        _say(f"What is shown of {parts} does not count as delivered, as it is only a part of it.")


def _earlier(subscriber: Subscriber, since: str | None) -> Iterator[Message]:
    """What has come since, page by page."""
    while True:
        page = subscriber.messages(since=since, limit=limits.PAGE_MESSAGES)
        yield from page.messages
        if not page.more or not page.messages:
            return
        since = page.messages[-1].event_id


def _tell_withdrawal(chosen: ChosenTopics, withdrawal: Withdrawal) -> None:
    if chosen.cover(withdrawal.topic):
        _say(f"The message {withdrawal.id} of topic {withdrawal.topic} was withdrawn.")


def _take_all(
    stream: MessageStream,
    chosen: ChosenTopics,
    seen: Mapping[str, None],
    budget: Budget,
    taken: Callable[[Message | Gap], None],
) -> None:
    """Take what comes of the chosen topics and was not seen; say `taken` of all of them."""
    from newswire.client import Gap

    try:
        for item in stream:
            if not chosen.cover(item.topic):
                continue
            if isinstance(item, Gap):
                _say(gap_text(item))
            elif item.id not in seen:
                budget.take(item)
            taken(item)
            budget.check()
    except (KeyboardInterrupt, CommandFailed, OutputFailed, Enough):
        stream.close()  # what was taken before is acknowledged
        raise


def notifying(take: Take) -> Take:
    """Take a message, then notify of it."""
    from newswire.cli import notifying

    notifier = notifying.standard()
    if notifier.is_mute:
        output.warn("Nobody can be notified: notify-send is not there, or no desktop, and standard error is no terminal.")

    def take_and_tell(message: Message) -> None:
        take(message)
        notifier.tell(message)

    return take_and_tell


def printer(as_json: bool, *, terminal: bool, user: str | None = None) -> Take:
    """Print a message: as JSON, one a line; for people on a terminal, whose name is `user`; else in columns.

    Raises OutputFailed.
    """

    def take(message: Message) -> None:
        if as_json:
            output.print_json(as_object(message))
        else:
            click.echo(terminal_text(message, user) if terminal else plain_text(message))
        if failure := output.failure():
            raise OutputFailed(f"message {message.id} stays unacknowledged and comes again") from failure

    return take


def command_taker(command: str) -> Take:
    """Run `command` for a message. Raises CommandFailed."""
    import subprocess

    def take(message: Message) -> None:
        sys.stdout.flush()
        body = json.dumps(as_object(message), ensure_ascii=False).encode()
        try:
            result = subprocess.run(command, shell=True, input=body, env=environment(message, os.environ), check=False)
        except OSError as error:  # no shell, no memory, more in the environment than the system passes on
            raise CommandFailed(f"the command cannot be run at message {message.id}: {error.strerror}.") from None
        if result.returncode:
            how = f"was ended by signal {-result.returncode}" if result.returncode < 0 else f"exited {result.returncode}"
            raise CommandFailed(f"the command {how} at message {message.id}: it stays unacknowledged and comes again.")

    return take


def environment(message: Message, base: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command: a field that the message lacks is not there. NUL, which none may hold, is replaced.

    No name is that of an option (`NEWSWIRE_TITLE` is one): a `newswire publish` in the command is not told what to say.
    """
    from newswire.core.model.message import SHOWN_FIELDS

    fields = as_object(message) | {"tags": ",".join(message.tags)}
    names = {name: f"NEWSWIRE_MESSAGE_{name.upper()}" for name in SHOWN_FIELDS}
    variables = {name: value for name, value in base.items() if name not in names.values()}
    texts = {name: str(value).replace("\0", "\ufffd") for name, value in fields.items() if value or name == "data"}
    return variables | {names[name]: text for name, text in texts.items()}


class _Teller:
    """Says on standard error how the connection stands: each new thing once. A stream that opens at once is not news."""

    def __init__(self) -> None:
        self._said: set[str] = set()  # since it was live

    def __call__(self, state: ConnectionState) -> None:
        text = "trying again" if state.kind == "waiting" else state.detail
        if state.kind == "live":
            if self._said:
                _say(output.sentence_of(text))
            self._said.clear()
        elif text not in self._said:
            self._said.add(text)
            _say(output.sentence_of(text))


def _say(text: str) -> None:
    output.warn(escape.line(text))
