"""`newswire stream`: print messages, or hand each to a command; what was not taken stays unacknowledged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from newswire import escape
from newswire.cli import exits
from newswire.core import limits

if TYPE_CHECKING:
    from newswire.client import ConnectionState, Gap, Message, Subscriber

_FIELDS = ("id", "event_id", "topic", "data", "time", "title", "priority", "tags", "click", "publisher")


class CommandFailed(Exception):
    """The command of `--exec` did not exit 0."""


def run(*, brokers: tuple[str, ...], user: str, as_json: bool, count: int | None, command: str | None) -> int:
    """Stream until interrupted, or `count` messages. Raises NewswireError."""
    from newswire.client import Subscriber

    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    take = command_taker(command) if command else printer(as_json, terminal=sys.stdout.isatty())
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Subscriber(brokers, user, timeout=limits.CLI_CALL_SECONDS) as subscriber:
            subscriber.cluster.look()  # with no broker at all a script wants to know; later failures are waited out
            return _take_all(subscriber, take, count)
    except KeyboardInterrupt:
        return exits.DONE
    except CommandFailed as error:
        raise click.ClickException(str(error)) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _take_all(subscriber: Subscriber, take: Callable[[Message], None], count: int | None) -> int:
    from newswire.client import Gap

    left = count
    with subscriber.stream(ack="manual", on_state=_Teller()) as stream:
        try:
            for item in stream:
                if isinstance(item, Gap):
                    _say(gap_text(item))
                else:
                    take(item)
                    left = None if left is None else left - 1
                stream.taken(item)
                if left == 0:
                    break
        except (KeyboardInterrupt, CommandFailed):
            stream.close()  # what was taken before is acknowledged
            raise
    return exits.DONE


def printer(as_json: bool, *, terminal: bool) -> Callable[[Message], None]:
    """Print a message: as JSON, one a line; on a terminal with time and topic; else its text alone."""

    def take(message: Message) -> None:
        if as_json:
            text = json.dumps(as_object(message), ensure_ascii=False)
            click.echo(escape.json(text) if terminal else text)
        else:
            click.echo(terminal_text(message) if terminal else plain_text(message))

    return take


def as_object(message: Message) -> dict[str, Any]:
    """The message as the stream's JSON has it: absent fields left out."""
    found = {name: getattr(message, name) for name in _FIELDS}
    return {name: value for name, value in found.items() if value or name == "data"}


def plain_text(message: Message) -> str:
    """Title and text, as they are."""
    return "\n".join(part for part in (message.title, message.data) if part)


def terminal_text(message: Message) -> str:
    """Time, topic, title and text; further lines are indented, controls are escaped."""
    title = f"{escape.line(message.title)}: " if message.title and message.data else escape.line(message.title)
    text = escape.block(message.data).replace("\n", "\n    ")
    return f"{escape.line(message.time[11:19])} {escape.line(message.topic)}  {title}{text}"


def gap_text(gap: Gap) -> str:
    """Say what is missing."""
    return f"{gap.dropped} messages of topic {gap.topic} were removed by retention before they were delivered."


def command_taker(command: str) -> Callable[[Message], None]:
    """Run `command` for a message. Raises CommandFailed."""

    def take(message: Message) -> None:
        sys.stdout.flush()
        body = json.dumps(as_object(message), ensure_ascii=False).encode()
        done = subprocess.run(command, shell=True, input=body, env=environment(message, os.environ), check=False)
        if done.returncode:
            how = f"was ended by signal {-done.returncode}" if done.returncode < 0 else f"exited {done.returncode}"
            raise CommandFailed(f"the command {how} at message {message.id}: it stays unacknowledged and comes again.")

    return take


def environment(message: Message, base: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command: a field that the message lacks is not there. NUL, which none may hold, is replaced."""
    found = as_object(message) | {"tags": ",".join(message.tags)}
    names = {name: f"NEWSWIRE_{name.upper()}" for name in _FIELDS}
    kept = {name: value for name, value in base.items() if name not in names.values()}
    return kept | {names[name]: str(value).replace("\0", "\ufffd") for name, value in found.items() if value or name == "data"}


class _Teller:
    """Says on standard error how the connection stands, when that changes. A stream that opens at once is not news."""

    def __init__(self) -> None:
        self._kind = "live"

    def __call__(self, state: ConnectionState) -> None:
        if state.kind != self._kind:
            _say(f"{state.detail}.")
        self._kind = state.kind


def _say(text: str) -> None:
    click.echo(f"newswire: {escape.line(text)}", err=True)
