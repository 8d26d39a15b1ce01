"""Publish, one message or many, so that a retry at any broker never makes two of one."""

from __future__ import annotations

import random
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final

import msgspec

from newswire.client.answers import BatchReceipt, Message, Receipt, Row
from newswire.client.cluster import Cluster
from newswire.client.transport import Answer, Call
from newswire.core import limits, topics
from newswire.errors import BadRequest, NewswireError, TooLarge, Unknown

_FIELDS: Final = ("topic", "data", "title", "priority", "tags", "click", "key", "expires")
_LINE: Final = re.compile(r"line (\d+)(?=:)")


class Publisher:
    """Publishes to whichever broker serves, the primary first. One thread.

    `copies`: the brokers that must hold a message on disk, unless a call says otherwise; None: as many as are in sync.
    `timeout`: seconds for all tries of a call (twice that for each body of a batch). `new_key` makes the keys by which
    brokers know a retry.
    """

    def __init__(
        self,
        brokers: str | Sequence[str],
        *,
        timeout: float = limits.CLIENT_DEADLINE_SECONDS,
        copies: int | None = None,
        token: str | None = None,
        verify: bool | str = True,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
        new_key: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self.cluster = Cluster(brokers, timeout=timeout, token=token, verify=verify, clock=clock, sleep=sleep, chance=chance)
        self._copies = copies
        self._new_key = new_key

    def publish(
        self,
        topic: str,
        data: str,
        *,
        title: str = "",
        priority: int = 0,
        tags: Sequence[str] = (),
        click: str = "",
        key: str | None = None,
        expires: int = 0,
        copies: int | None = None,
    ) -> Receipt:
        """Publish one message. Raises what the broker refused it with.

        FewerCopies: it is stored, on fewer brokers than asked (`extra` has `id` and `copies`). NotStored, NoBroker: it is
        not stored. Unknown: it may be; publish it again with the key in `extra["key"]`.
        """
        topics.check_topic(topic)
        key = key or self._new_key()
        fields = {"topic": topic, "data": data, "title": title, "priority": priority, "tags": list(tags), "click": click}
        body = _encode({**fields, "expires": expires, "key": key})
        answer = self._post(
            Call("POST", "/publish", self._ask(copies), body), self.cluster.timeout, limits.CLIENT_TRY_SECONDS, key=key
        )
        told: _Published = answer.read(_Published)
        return Receipt(told.id, told.copies, told.message, answer.broker)

    def publish_batch(
        self,
        messages: Iterable[Mapping[str, Any] | Message],
        *,
        copies: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> BatchReceipt:
        """Publish many, in order, in bodies of at most 10,000 lines and 8 MiB, each of which is stored whole or not at all.

        A mapping has the fields of `publish`. `progress` is told after each body how many are stored. An error has in
        `extra["published"]` how many were stored before the body that failed; lines it names count from the first message.
        """
        total = BatchReceipt(0, 0, "", "", "Published 0 messages")
        for lines in batches(map(self._line, messages)):
            total = _sum(total, self._publish_lines(lines, self._ask(copies), total.count))
            if progress is not None:
                progress(total.count)
        return total

    def nodes(self) -> list[Row]:
        """A row a broker, primary first. Raises NoBroker."""
        return self.cluster.nodes()

    def primary(self) -> str:
        """The address of the primary. Raises NoBroker."""
        return self.cluster.primary()

    def close(self) -> None:
        """Close idle connections."""
        self.cluster.close()

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _ask(self, copies: int | None) -> dict[str, str | int]:
        copies = self._copies if copies is None else copies
        return {} if copies is None else {"copies": copies}

    def _line(self, message: Mapping[str, Any] | Message) -> bytes:
        if isinstance(message, Message):
            message = {name: getattr(message, name) for name in _FIELDS if hasattr(message, name)}
        return _encode({**message, "key": message.get("key") or self._new_key()}) + b"\n"

    def _publish_lines(self, lines: list[bytes], ask: dict[str, str | int], before: int) -> BatchReceipt:
        call = Call("POST", "/publish", ask, b"".join(lines), "application/x-ndjson")
        try:
            answer = self._post(call, 2 * self.cluster.timeout, limits.CLIENT_BATCH_TRY_SECONDS, published=before)
            told: BatchReceipt = answer.read(BatchReceipt)
            return told
        except NewswireError as error:
            raise _renumbered(error, before) from None

    def _post(self, call: Call, seconds: float, try_seconds: float, **extra: Any) -> Answer:
        try:
            return self.cluster.request(call, seconds=seconds, try_seconds=try_seconds)
        except NewswireError as error:
            error.extra.update({k: v for k, v in extra.items() if k != "key" or isinstance(error, Unknown)})
            raise


def batches(
    lines: Iterable[bytes], most_lines: int = limits.BATCH_MESSAGES, most_bytes: int = limits.BATCH_BYTES
) -> Iterator[list[bytes]]:
    """Cut lines into lists within the limits of one body, in order. Raises TooLarge for a line that fits in none."""
    batch: list[bytes] = []
    size = 0
    for number, line in enumerate(lines, 1):
        if len(line) > most_bytes:
            raise TooLarge(f"line {number}: {len(line)} bytes are more than a batch may have ({most_bytes})")
        if batch and (len(batch) == most_lines or size + len(line) > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line)
    if batch:
        yield batch


class _Published(msgspec.Struct):
    id: str
    copies: int = 1
    message: str = ""


def _encode(fields: Mapping[str, Any]) -> bytes:
    """The JSON of the fields that have a value; `data` may be empty. Raises BadRequest for what JSON has no words for."""
    present = {name: value for name, value in fields.items() if value not in ("", 0, None, [], ()) or name == "data"}
    try:
        return msgspec.json.encode(present)
    except (TypeError, UnicodeEncodeError) as error:
        raise BadRequest(f"a field cannot be sent: {error}", code="bad-field") from None


def _sum(total: BatchReceipt, told: BatchReceipt) -> BatchReceipt:
    count = total.count + told.count
    copies = min(total.copies, told.copies) if total.count else told.copies
    return BatchReceipt(count, copies, total.first or told.first, told.last, f"Published {count} messages")


def _renumbered(error: NewswireError, before: int) -> NewswireError:
    """The same error, with the lines that it names counted from the first of all messages."""
    if not before:
        return error
    detail = _LINE.sub(lambda found: f"line {int(found[1]) + before}", error.detail, count=1)
    line = error.extra.get("line")
    extra = {**error.extra, "line": line + before} if isinstance(line, int) else error.extra
    return type(error)(detail, code=error.code, **extra)
