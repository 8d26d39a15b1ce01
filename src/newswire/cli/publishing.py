"""`newswire publish`: one message from the command line or standard input, or a batch from a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from newswire import escape
from newswire.cli import exits
from newswire.core import limits, topics
from newswire.errors import BadRequest, NewswireError, TooLarge
from newswire.text import decode, without_mark

if TYPE_CHECKING:
    from newswire.client import BatchReceipt, Publisher


def publish_one(
    topic: str,
    data: str | None,
    *,
    brokers: tuple[str, ...],
    as_json: bool,
    title: str | None,
    priority: int | None,
    tags: str | None,
    click_url: str | None,
    key: str | None,
    copies: int | None,
) -> int:
    """Publish one message and say its id and copies. Raises NewswireError."""
    from newswire.client import Publisher

    topics.check_topic(topic)  # before standard input is waited for
    text = read_data(sys.stdin.buffer) if data in (None, "-") else str(data)
    with Publisher(brokers, timeout=limits.CLI_CALL_SECONDS) as publisher:
        receipt = publisher.publish(
            topic,
            text,
            title=title or "",
            priority=priority or 0,
            tags=split_tags(tags),
            click=click_url or "",
            key=key,
            copies=copies,
        )
    if as_json:
        _print_json({"message": receipt.message, "id": receipt.id, "copies": receipt.copies})
    else:
        click.echo(f"{escape.line(receipt.message)} (id {receipt.id}, copies {receipt.copies})")
    return exits.DONE


def publish_file(
    path: Path,
    topic: str | None,
    *,
    brokers: tuple[str, ...],
    as_json: bool,
    title: str | None,
    priority: int | None,
    tags: str | None,
    click_url: str | None,
    key: str | None,
    copies: int | None,
) -> int:
    """Publish a file of JSON objects, one a line, in order. Raises NewswireError."""
    if key:
        raise click.UsageError("--key is for one message: in a batch each line has its own `key`.")
    from newswire.client import Publisher

    common = {"topic": topic, "title": title, "priority": priority, "tags": split_tags(tags), "click": click_url}
    given = {name: value for name, value in common.items() if value}
    with _opened(path) as lines, Publisher(brokers) as publisher:
        receipt = _with_bar(publisher, messages_in(lines, given), path, copies)
    if as_json:
        _print_json({name: getattr(receipt, name) for name in ("message", "count", "first", "last", "copies")})
    else:
        click.echo(f"{receipt.message} (copies {receipt.copies})" if receipt.count else receipt.message)
    return exits.DONE


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


def split_tags(tags: str | None) -> list[str]:
    """The tags in a list with commas between."""
    return [tag.strip() for tag in (tags or "").split(",") if tag.strip()]


def messages_in(lines: Iterable[bytes], given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The object on each line; what a line leaves out comes from `given`. Raises BadRequest naming the line."""
    for number, line in enumerate(lines, 1):
        if without_mark(line).strip():
            yield given | _object(number, line)


def _object(number: int, line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(decode(line))
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"line {number}: not a JSON object ({error})", code="bad-line") from None
    if not isinstance(found, dict):
        raise BadRequest(f"line {number}: not a JSON object", code="bad-line")
    return found


def _opened(path: Path) -> BinaryIO:
    if str(path) == "-":
        return sys.stdin.buffer
    try:
        return path.open("rb")
    except OSError as error:
        raise click.UsageError(f"cannot read {path}: {error.strerror}.") from None


def _with_bar(publisher: Publisher, messages: Iterator[dict[str, Any]], path: Path, copies: int | None) -> BatchReceipt:
    """Publish, with a progress bar on a terminal; an error says how many messages were stored before it."""
    try:
        if not sys.stderr.isatty():
            return publisher.publish_batch(messages, copies=copies)
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("Publishing", total=_count_lines(path))
            return publisher.publish_batch(messages, copies=copies, progress=lambda done: bar.update(task, completed=done))
    except NewswireError as error:
        if stored := error.extra.get("published"):
            error.detail = f"{error.detail} (the first {stored} messages are stored)"
        raise


def _count_lines(path: Path) -> int | None:
    """How many messages to expect; unknown for a pipe."""
    if not path.is_file():
        return None
    with path.open("rb") as lines:
        return sum(1 for line in lines if line.strip())


def _print_json(value: dict[str, Any]) -> None:
    text = json.dumps(value, ensure_ascii=False)
    click.echo(escape.json(text) if sys.stdout.isatty() else text)
