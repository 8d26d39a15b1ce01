"""`newswire stream`: print messages, or hand each to a command; what was not taken stays unacknowledged.

What cannot be printed is not taken: printing is the work here. A reader that leaves ends the stream, as it ends `tail -f`.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from newswire import escape
from newswire.cli import output
from newswire.cli.command import Command
from newswire.cli.options import brokers_option, config_option, json_option, option, times
from newswire.cli.parameters import WholeNumber

if TYPE_CHECKING:
    from newswire.client import ConnectionState, Gap, Message, Subscriber, Withdrawal


class CommandFailed(Exception):
    """The command of `--exec` did not exit 0."""


class OutputFailed(Exception):
    """A message could not be printed."""


@click.command(cls=Command, short_help="Print messages as they come.", epilog="Example: newswire stream ann --json | jq .data")
@config_option
@brokers_option
@click.argument("user", required=False)
@json_option
@option("--count", type=WholeNumber(1), help="Stop after so many messages.")
@option("--exec", "command", help="Run a shell command for each message; it counts as delivered when the command exits 0.")
def stream(brokers: tuple[str, ...], user: str | None, as_json: bool, count: int | None, command: str | None) -> int:
    """Print the messages of USER, or your own, as they come, across broker failures, until interrupted.

    The command of --exec finds the message as JSON on its standard input and its fields in NEWSWIRE_MESSAGE_ID, _EVENT_ID,
    _TOPIC, _DATA, _TIME, _TITLE, _PRIORITY, _TAGS, _CLICK and _PUBLISHER (each with NEWSWIRE_MESSAGE before it). They set no
    option: to forward a title, say --title "$NEWSWIRE_MESSAGE_TITLE".
    """
    from newswire.cli.credentials import check_named, signature
    from newswire.client import Subscriber

    who = signature(brokers)
    check_named(user, who)
    take = command_taker(command) if command else printer(as_json, terminal=sys.stdout.isatty())
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    stop = threading.Event()
    if not command and is_pipe(1):
        output.reader_left(1, stop.set)
    try:
        with Subscriber(brokers, user, **who, **times(None)) as subscriber:
            subscriber.pool.look()  # with no broker at all a script wants to know; later failures are waited out
            return _take_all(subscriber, take, count, stop)
    except KeyboardInterrupt:
        return output.DONE
    except OutputFailed as failed:
        why = failed.__cause__
        if isinstance(why, BrokenPipeError):  # a pipe's reader has left
            return output.DONE
        reason = why.strerror if isinstance(why, OSError) else why
        raise click.ClickException(f"{failed}: the output cannot be written ({reason}).") from None
    except CommandFailed as error:
        raise click.ClickException(str(error)) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def is_pipe(descriptor: int) -> bool:
    """Say whether `descriptor` leads to a reader that may leave."""
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _take_all(subscriber: Subscriber, take: Callable[[Message], None], count: int | None, stop: threading.Event) -> int:
    from newswire.client import Gap

    budget = count
    with subscriber.stream(ack="manual", stop=stop, on_state=_Teller(), on_withdrawn=_tell_withdrawal) as stream:
        try:
            for item in stream:
                if isinstance(item, Gap):
                    _say(gap_text(item))
                else:
                    take(item)
                    budget = None if budget is None else budget - 1
                stream.taken(item)
                if budget == 0:
                    break
        except (KeyboardInterrupt, CommandFailed, OutputFailed):
            stream.close()  # what was taken before is acknowledged
            raise
    return output.DONE


def _tell_withdrawal(withdrawal: Withdrawal) -> None:
    _say(f"The message {withdrawal.id} of topic {withdrawal.topic} was withdrawn.")


def printer(as_json: bool, *, terminal: bool) -> Callable[[Message], None]:
    """Print a message: as JSON, one a line; on a terminal with time and topic; else its text alone. Raises OutputFailed."""

    def take(message: Message) -> None:
        if as_json:
            output.print_json(as_object(message))
        else:
            click.echo(terminal_text(message) if terminal else plain_text(message))
        if failure := output.failure():
            raise OutputFailed(f"message {message.id} stays unacknowledged and comes again") from failure

    return take


def as_object(message: Message) -> dict[str, Any]:
    """The message as the stream's JSON has it: absent fields left out."""
    from newswire.core.model.message import shown_object

    return shown_object(message, id=message.id, event_id=message.event_id, time=message.time)


def plain_text(message: Message) -> str:
    """Title and text, as they are."""
    return "\n".join(part for part in (message.title, message.data) if part)


def terminal_text(message: Message) -> str:
    """Time, topic, title and text; further lines are indented, controls are escaped."""
    title = f"{escape.line(message.title)}: " if message.title and message.data else escape.line(message.title)
    text = escape.block(message.data).replace("\n", "\n    ")
    if message.confirm:
        text += f"\n    To confirm it within {message.confirm} s: newswire confirm [USER] {escape.line(message.id)}"
    if message.replaces:
        text += f"\n    In place of the message {escape.line(message.replaces)}."
    return f"{escape.line(message.time[11:19])} {escape.line(message.topic)}  {title}{text}"


def gap_text(gap: Gap) -> str:
    """Say what is missing, and why."""
    why = {
        "waiting": f"{gap.dropped} messages of topic {gap.topic} wait behind damage at a broker and come when it is mended.",
        "lost": f"Up to {gap.dropped} messages of topic {gap.topic} were lost to damage at a broker, and given up.",
    }
    text = f"{gap.dropped} messages of topic {gap.topic} were removed by retention before they were delivered."
    return why.get(gap.reason, text)


def command_taker(command: str) -> Callable[[Message], None]:
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
