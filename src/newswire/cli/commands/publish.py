"""`newswire publish`: one message from the command line or standard input, or a batch from a file.

A key is made before anything is sent, so that whatever happens (no answer, Ctrl-C) there is one to repeat the command with.
The lines of a batch that have none get the batch's, with their number behind it: the same file again is the same messages.
"""

from __future__ import annotations

import difflib
import json
import signal
import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import click

from newswire import escape
from newswire.cli import completing, output
from newswire.cli.command import Command, MessageCommand
from newswire.cli.options import brokers_option, config_option, json_option, named, option, timeout_option, times
from newswire.cli.parameters import DELAY, MOMENT_TO_COME, WholeNumber
from newswire.core import limits
from newswire.core.model import names
from newswire.errors import BadRequest, FewerCopies, NewswireError, NoBroker, TooLarge, Unknown
from newswire.text import decode, without_mark

if TYPE_CHECKING:
    from newswire.client import BatchReceipt, Publisher

_NOTE_SECONDS: Final = 1.0  # that a person waits for a word on a topic, at most
_NUMBER_CHARS: Final = 10  # a hyphen and the number of a line behind a batch's key


@click.command(
    cls=MessageCommand,
    short_help="Publish a message, or a batch.",
    epilog="Examples: newswire publish news 'Soup is ready'; newswire publish news 'At noon' --title Lunch --priority 4"
    " --tags food,today; newswire publish news 'Doors close' --at 17:45;"
    " newswire publish weather -- '-5 degrees'; newswire publish office.clock < /etc/motd;"
    " newswire publish --ndjson batch.ndjson",
)
@config_option
@brokers_option
@click.argument("topic", required=False, shell_complete=completing.topics)
@click.argument("data", required=False)
@option(
    "--ndjson",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="Publish a batch: one JSON object a line; - is standard input.",
)
@option("--at", type=MOMENT_TO_COME, help="When it is delivered: a time such as 18:00 or 2026-11-28T09:41, within 30 days.")
@option("--delay", type=DELAY, help="In how long it is delivered: 30m, 12h or 2d, up to 30 days.", metavar="DURATION")
@option(
    "--copies",
    type=WholeNumber(1),
    help="Brokers that must hold it: refused if fewer are in sync, exit code 5 if one is lost on the way.",
)
@timeout_option
@json_option
def publish(topic: str | None, data: str | None, ndjson: Path | None, **options: Any) -> int:
    """Publish DATA to TOPIC; without DATA, or with -, what standard input holds (less one line end).

    With --ndjson each line names its own topic, or takes TOPIC. From a pipe lines are published as they come, all within a
    second: `tail -f x.ndjson | newswire publish --ndjson -`. DATA that begins with - goes behind --, as in
    `newswire publish TOPIC -- '-5 degrees'`.
    """
    if options["at"] and options["delay"]:
        raise click.UsageError(
            f"{named('at', 'at')} and {named('delay', 'delay')} both say when it is delivered: leave one out."
        )
    if ndjson:
        if data is not None:
            raise click.UsageError("DATA and --ndjson exclude each other.")
        return publish_file(ndjson, topic, **options)
    if topic is None:
        raise click.UsageError("Missing argument 'TOPIC'.")
    return publish_one(topic, data, **options)


@click.command(cls=Command, short_help="Withdraw a message.", epilog="Example: newswire withdraw 1001-k3b9.7")
@config_option
@brokers_option
@click.argument("message_id", metavar="ID")
@timeout_option
@json_option
def withdraw(brokers: tuple[str, ...], message_id: str, timeout: float | None, as_json: bool) -> int:
    """Have the message ID shown no more, which you published. Its readers are told."""
    from newswire.cli.credentials import signature
    from newswire.client import Publisher

    with Publisher(brokers, **signature(brokers), **times(timeout)) as publisher:
        output.print_answer(publisher.withdraw(message_id), as_json=as_json)
    return output.DONE


def publish_one(
    topic: str,
    data: str | None,
    *,
    brokers: tuple[str, ...],
    as_json: bool,
    copies: int | None,
    timeout: float | None,
    key: str | None = None,
    at: str | None = None,
    delay: str | None = None,
    **options: Any,
) -> int:
    """Publish one message and say its id and copies. Raises NewswireError."""
    from newswire.cli.credentials import signature
    from newswire.cli.message_options import fields_of
    from newswire.client import Publisher

    names.check_topic(topic)  # before standard input is waited for
    if data is None or data == "-":
        if output.is_input_closed():
            raise click.UsageError("Standard input is closed: give the text as DATA.")
        if sys.stdin.isatty():
            click.echo("Type the text, then Ctrl-D on a line of its own.", err=True)
        data = read_data(sys.stdin.buffer)
    key = key or str(uuid.uuid4())
    with Publisher(brokers, **signature(brokers), **times(timeout)) as publisher, _key_told(key):
        receipt = publisher.publish(topic, data, **fields_of(options), key=key, copies=copies, at=at, delay=delay)
        is_for_people = sys.stdout.isatty() and not (as_json or at or delay)
        note = _topic_note(publisher, topic) if is_for_people else ""  # for a person, who may mistype it
    repeat = {"duplicate": True} if receipt.duplicate else {}
    if as_json:
        due = {"due": receipt.due} if receipt.due else {}
        gone = {"withdrawn": True} if receipt.withdrawn else {}
        output.print_json({"message": receipt.message, "id": receipt.id, "copies": receipt.copies, **repeat, **due, **gone})
    else:
        before = ", published before with this key" if repeat else ""
        from newswire.cli.local_time import in_sentence

        said = in_sentence(receipt.message) if receipt.due else receipt.message
        click.echo(f"{escape.line(said)} (id {receipt.id}, copies {receipt.copies}{before})")
        if note:
            output.warn(note)
    return output.DONE


def _topic_note(publisher: Publisher, topic: str) -> str:
    """What a person should know of the topic; "" for nothing, also where brokers take long to say."""
    from newswire.client.answers import TopicCount
    from newswire.client.transport import Call

    try:
        rows: list[TopicCount] = publisher.pool.request(Call("GET", "/topics"), seconds=_NOTE_SECONDS).read(list[TopicCount])
    except NewswireError:
        return ""
    return new_topic_note(topic, {row.topic: row.messages for row in rows})


def new_topic_note(topic: str, counts: Mapping[str, int]) -> str:
    """That a message was the first of its topic, and which may be meant; "" if it was not. `counts`: messages by topic."""
    if counts.get(topic) != 1:
        return ""
    near = difflib.get_close_matches(topic, [name for name in counts if name != topic])
    end = f": did you mean {max(near, key=counts.__getitem__)}?" if near else "."
    return f"This is the first message of topic {topic}{end}"


def publish_file(
    path: Path,
    topic: str | None,
    *,
    brokers: tuple[str, ...],
    as_json: bool,
    copies: int | None,
    timeout: float | None,
    key: str | None = None,
    **options: Any,
) -> int:
    """Publish a file of JSON objects, one a line, in order. Raises NewswireError."""
    from newswire.cli.credentials import signature
    from newswire.cli.line_input import lines_of
    from newswire.cli.message_options import fields_of
    from newswire.client import Publisher

    most = limits.KEY_BYTES - _NUMBER_CHARS
    if key and len(key.encode()) > most:
        raise click.UsageError(f"--key of a batch has at most {most} characters: each line's number follows.")
    if topic is not None:
        names.check_topic(topic)
    key = key or str(uuid.uuid4())
    when = {name: options.pop(name, None) for name in ("at", "delay")}
    common = fields_of({"topic": topic, **options}) | {name: value for name, value in when.items() if value}
    with _opened(path) as lines, Publisher(brokers, **signature(brokers), **times(timeout)) as publisher, _key_told(key):
        receipt = _with_bar(publisher, messages_in(lines_of(lines), common, key), path, copies, key)
    if as_json:
        fields = {name: getattr(receipt, name) for name in ("message", "count", "first", "last", "copies")}
        more = {name: count for name in ("duplicates", "scheduled") if (count := getattr(receipt, name))}
        output.print_json(fields | more)
    else:
        total = receipt.count or receipt.duplicates
        click.echo(f"{receipt.message} (copies {receipt.copies})" if total else receipt.message)
    return output.DONE


@contextmanager
def _key_told(key: str) -> Iterator[None]:
    """Name the key where the outcome is not known, or not what was asked: with an error, or on SIGINT and SIGTERM."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except Unknown as error:
        error.detail = f"{error.detail.removesuffix(f' with the same key ({key})')} if you add --key {key} to the command"
        raise
    except FewerCopies as error:
        stored = f"id {error.extra.get('id', '?')}, copies {error.extra.get('copies', '?')}"
        error.detail = f"{error.detail} ({stored}); to ask again add --key {key} to the command"
        raise
    except KeyboardInterrupt:
        sentence = f"interrupted, perhaps it is stored; to repeat it is safe if you add --key {key} to the command."
        output.warn(sentence)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def read_data(stream: BinaryIO) -> str:
    """Read a message's text, less the line end that `echo` adds. Raises TooLarge, BadRequest."""
    received = stream.read(limits.MESSAGE_BYTES + len(b"\xef\xbb\xbf\r\n") + 1)
    for end in (b"\r\n", b"\n"):
        if received.endswith(end):
            received = received.removesuffix(end)
            break
    if len(without_mark(received)) > limits.MESSAGE_BYTES:
        raise TooLarge(f"the data is longer than {limits.MESSAGE_BYTES} bytes, the most a message may have")
    try:
        return decode(received)
    except UnicodeDecodeError as error:
        raise BadRequest(f"the data is not UTF-8 text: {error.reason} (byte {error.start})", code="bad-field") from None


def messages_in(lines: Iterable[bytes | None], common: dict[str, Any], key: str) -> Iterator[dict[str, Any] | None]:
    """The object on each line; what a line leaves out comes from `common`, and its key is made of `key` and its number.

    None, which is no line, is passed on. Raises BadRequest naming the line.
    """
    number = 0
    for line in lines:
        number += line is not None
        if line is None:
            yield None
        elif without_mark(line).strip():
            yield {"key": f"{key}-{number}"} | common | _object(number, line)


def _object(number: int, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(decode(line), object_pairs_hook=_once, parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise BadRequest(f"line {number}: not UTF-8 text ({error.reason})", code="bad-line") from None
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"line {number}: not a JSON object ({error})", code="bad-line") from None
    if not isinstance(value, dict):
        raise BadRequest(f"line {number}: not a JSON object", code="bad-line")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field is given twice")
    return fields


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def _opened(path: Path) -> BinaryIO:
    if str(path) == "-":
        if output.is_input_closed():
            raise click.UsageError("Standard input is closed: name a file with --ndjson.")
        if sys.stdin.isatty():
            click.echo('Type one object a line, such as {"topic": "news", "data": "text"}, and Ctrl-D at the end.', err=True)
        return sys.stdin.buffer
    try:
        return path.open("rb")
    except OSError as error:
        raise click.UsageError(f"cannot read {path}: {error.strerror}.") from None


def _with_bar(
    publisher: Publisher, messages: Iterator[dict[str, Any] | None], path: Path, copies: int | None, key: str
) -> BatchReceipt:
    """Publish, with a progress bar on a terminal; an error says how many messages were stored before it."""
    try:
        is_typed = str(path) == "-" and sys.stdin.isatty()  # where a bar would stand in the way
        with output.Bar("Publishing", after_seconds=0, is_visible=False if is_typed else None) as bar:
            total = None  # of a pipe nobody knows it
            if bar.is_visible and path.is_file():
                with path.open("rb") as lines:
                    total = sum(1 for line in lines if line.strip())
            bar(0, total)
            return publisher.publish_batch(messages, copies=copies, progress=lambda count: bar(count, total))
    except NewswireError as error:
        raise _of_a_part(error, key) from None


def _of_a_part(error: NewswireError, key: str) -> NewswireError:
    """The error of a batch, of which some may be stored: then it is not as if nothing had been done."""
    stored = error.extra.get("published")
    if not stored:
        return error
    whole = Unknown(error.detail, **error.extra) if isinstance(error, NoBroker) else error
    whole.detail += f" (the {stored} messages before are stored"
    whole.detail += ")" if isinstance(whole, Unknown) else f"; to go on add --key {key} to the command)"
    return whole
