"""`newswire publish`: one message from the command line or standard input, or a batch from a file.

A key is made before anything is sent, so that whatever happens (no answer, Ctrl-C) there is one to repeat the command with.
The lines of a batch that have none get the batch's, with their number behind it: the same file again is the same messages.
"""

from __future__ import annotations

import json
import signal
import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import click

from newswire import escape
from newswire.cli import output
from newswire.cli.command import Command, MessageCommand
from newswire.cli.options import brokers_option, config_option, json_option, option, timeout_option, times
from newswire.cli.parameters import WholeNumber
from newswire.core import limits
from newswire.core.model import names
from newswire.errors import BadRequest, FewerCopies, NewswireError, NoBroker, TooLarge, Unknown
from newswire.text import decode, without_mark

if TYPE_CHECKING:
    from newswire.client import BatchReceipt, Publisher

_NUMBER_CHARS: Final = 10  # a hyphen and the number of a line behind a batch's key


@click.command(
    cls=MessageCommand, short_help="Publish a message, or a batch.", epilog="Example: newswire publish news 'Soup is ready'"
)
@config_option
@brokers_option
@click.argument("topic", required=False)
@click.argument("data", required=False)
@option(
    "--ndjson",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="Publish a batch: one JSON object a line.",
)
@option(
    "--copies",
    type=WholeNumber(1),
    help="Brokers that must hold it: refused if fewer are in sync, exit code 5 if one is lost on the way.",
)
@timeout_option
@json_option
def publish(topic: str | None, data: str | None, ndjson: Path | None, **options: Any) -> int:
    """Publish DATA to TOPIC; without DATA, or with -, what standard input holds (less one line end).

    With --ndjson each line names its own topic, or takes TOPIC. DATA that begins with - goes behind --, as in
    `newswire publish TOPIC -- '-5 degrees'`.
    """
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
def withdraw(brokers: tuple[str, ...], message_id: str, timeout: float | None) -> int:
    """Have the message ID shown no more, which you published. Its readers are told."""
    from newswire.cli.credentials import signature
    from newswire.client import Publisher

    with Publisher(brokers, **signature(brokers), **times(timeout)) as publisher:
        click.echo(escape.line(publisher.withdraw(message_id)))
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
        receipt = publisher.publish(topic, data, **fields_of(options), key=key, copies=copies)
    repeat = {"duplicate": True} if receipt.duplicate else {}
    if as_json:
        output.print_json({"message": receipt.message, "id": receipt.id, "copies": receipt.copies, **repeat})
    else:
        before = ", published before with this key" if repeat else ""
        click.echo(f"{escape.line(receipt.message)} (id {receipt.id}, copies {receipt.copies}{before})")
    return output.DONE


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
    from newswire.cli.message_options import fields_of
    from newswire.client import Publisher

    most = limits.KEY_BYTES - _NUMBER_CHARS
    if key and len(key.encode()) > most:
        raise click.UsageError(f"--key of a batch has at most {most} characters: each line's number follows.")
    if topic is not None:
        names.check_topic(topic)
    key = key or str(uuid.uuid4())
    common = fields_of({"topic": topic, **options})
    with _opened(path) as lines, Publisher(brokers, **signature(brokers), **times(timeout)) as publisher, _key_told(key):
        receipt = _with_bar(publisher, messages_in(lines, common, key), path, copies, key)
    if as_json:
        fields = {name: getattr(receipt, name) for name in ("message", "count", "first", "last", "copies")}
        output.print_json(fields | ({"duplicates": receipt.duplicates} if receipt.duplicates else {}))
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


def messages_in(lines: Iterable[bytes], common: dict[str, Any], key: str) -> Iterator[dict[str, Any]]:
    """The object on each line; what a line leaves out comes from `common`, and its key is made of `key` and its number.

    Raises BadRequest naming the line.
    """
    for number, line in enumerate(lines, 1):
        if without_mark(line).strip():
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
        return sys.stdin.buffer
    try:
        return path.open("rb")
    except OSError as error:
        raise click.UsageError(f"cannot read {path}: {error.strerror}.") from None


def _with_bar(
    publisher: Publisher, messages: Iterator[dict[str, Any]], path: Path, copies: int | None, key: str
) -> BatchReceipt:
    """Publish, with a progress bar on a terminal; an error says how many messages were stored before it."""
    try:
        with output.Bar("Publishing", after_seconds=0) as bar:
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
