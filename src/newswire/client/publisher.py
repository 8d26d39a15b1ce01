"""Publish, one message or many, so that a retry at any broker never makes two of one.

Longer than other rooms: each field of a message is a parameter of each way to publish.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, Final, TypeVar, Unpack

import msgspec

from newswire.client import checks
from newswire.client.answers import BatchReceipt, MessageReceipt, Row
from newswire.client.batches import batches, renumbered, sum_of
from newswire.client.gathering import late, send_posts
from newswire.client.outbox import Outbox
from newswire.client.pool import BrokerPool, PoolOptions
from newswire.client.posts import LaterPost, Post
from newswire.client.transport import Call
from newswire.core import limits
from newswire.core.model import names
from newswire.core.model.commands import RULES
from newswire.core.model.message import Message
from newswire.errors import BadRequest, NewswireError, NoBroker

T = TypeVar("T")
P = TypeVar("P", bound=Post)

_KEY_BYTES: Final = 16  # as a UUID
_KEYS_COUNT: Final = 256  # asked for at once
_NEVER_LEFT_OUT: Final = ("data", "at", "delay", "replaces")  # "" where nothing set it would be another message
_to_json: Final = msgspec.json.Encoder().encode


class RandomKeys:
    """Keys of 128 random bits as text. Any thread, any process.

    They are asked of the system by the hundred: each question lets go of the interpreter lock, which other threads want.
    """

    def __init__(self) -> None:
        self._process = 0
        self._ready: list[str] = []

    def take(self) -> str:
        """A key that nobody has."""
        if self._process != os.getpid():  # a child must not have its parent's
            self._ready, self._process = [], os.getpid()
        try:
            return self._ready.pop()
        except IndexError:
            digits = os.urandom(_KEY_BYTES * _KEYS_COUNT).hex()
            first, *rest = (digits[at : at + 2 * _KEY_BYTES] for at in range(0, len(digits), 2 * _KEY_BYTES))
            self._ready.extend(rest)
            return first


class Publisher:
    """Publishes to whichever broker serves, the primary first. Any thread may call.

    What threads publish while a request is in flight goes together in the next one; each call has its own receipt or error.
    `publish_later` does the same for a program that does not wait.

    `in_flight`: requests at once, at most. With 1, what is published later is stored in the order of the calls.
    `copies`: the brokers that must hold a message on disk, unless a call says otherwise; None: as many as are in sync.
    `options`: `timeout`, seconds for all tries of a call (twice that for each body of a batch); `absent`, seconds after
    which it ends while no broker listens anywhere; `token`, or `user` and `password`: who asks;
    `verify`: a file of CAs, for https.
    """

    def __init__(
        self,
        brokers: str | Sequence[str],
        *,
        copies: int | None = None,
        in_flight: int = limits.CLIENT_IN_FLIGHT_COUNT,
        **options: Unpack[PoolOptions],
    ) -> None:
        self._copies = checks.whole_or_none("copies", copies)
        self._in_flight = checks.whole("in_flight", in_flight)
        if self._in_flight < 1:
            raise ValueError(f"`in_flight` must be 1 or more, not {in_flight}")
        self.pool = BrokerPool(brokers, **options)
        self._new_key: Callable[[], str] = RandomKeys().take
        self._outboxes: dict[int, Outbox] = {}  # by process (docs/rules.md, FORK)

    def publish(
        self,
        topic: str,
        data: str,
        *,
        title: str | None = None,
        priority: int | None = None,
        tags: Iterable[str] | None = None,
        click: str | None = None,
        markdown: bool | None = None,
        key: str | None = None,
        expires: int | None = None,
        confirm: int | None = None,
        escalate: str | None = None,
        replaces: str | None = None,
        at: datetime | str | None = None,
        delay: timedelta | int | str | None = None,
        copies: int | None = None,
    ) -> MessageReceipt:
        """Publish one message. Raises what the broker refused it with, and TypeError for what is not of the type named.

        `at`: a time (a datetime with a zone, RFC 3339), or `delay`: a length of time (a timedelta, seconds, text like `30m`):
        when it is delivered, within 30 days. Until then nobody sees it, and `withdraw` takes it back.
        FewerCopies: it is stored, on fewer brokers than asked (`extra` has `id` and `copies`). NotStored, NoBroker: it is
        not stored. Unknown: it may be; publish it again with the key in `extra["key"]`.
        """
        post = self._post(
            Post,
            topic,
            data,
            title=title,
            priority=priority,
            tags=tags,
            click=click,
            markdown=markdown,
            key=key,
            expires=expires,
            confirm=confirm,
            escalate=escalate,
            replaces=replaces,
            at=at,
            delay=delay,
            copies=copies,
        )
        self._outbox().deliver(post)
        outcome = post.outcome or late(post)
        if isinstance(outcome, NewswireError):
            raise outcome
        return outcome

    def publish_later(
        self,
        topic: str,
        data: str,
        *,
        title: str | None = None,
        priority: int | None = None,
        tags: Iterable[str] | None = None,
        click: str | None = None,
        markdown: bool | None = None,
        key: str | None = None,
        expires: int | None = None,
        confirm: int | None = None,
        escalate: str | None = None,
        replaces: str | None = None,
        at: datetime | str | None = None,
        delay: timedelta | int | str | None = None,
        copies: int | None = None,
    ) -> Future[MessageReceipt]:
        """Publish one message and do not wait for it: `result()` of what is returned does, and returns or raises as `publish`.

        Raises TypeError, and BadRequest for a topic that is none, at once. While 10,000 messages or 16 MiB have no outcome, the
        call waits, as long as the time of its message lasts. The functions of `add_done_callback` are called by the threads
        that send: they should not take long. A program that ends waits for what it published.
        """
        post = self._post(
            LaterPost,
            topic,
            data,
            title=title,
            priority=priority,
            tags=tags,
            click=click,
            markdown=markdown,
            key=key,
            expires=expires,
            confirm=confirm,
            escalate=escalate,
            replaces=replaces,
            at=at,
            delay=delay,
            copies=copies,
        )
        if not self._outbox().deliver_later(post):
            post.settle(late(post))
        return post.future

    def withdraw(self, message_id: str) -> str:
        """Have a message shown no more, which you published. Returns the broker's sentence; again, the same.

        Raises BadRequest for what is no id, NotFound where there is none, and Refused (`replaced`, with the newer one's
        `id` in `extra`).
        """
        path = f"/messages/{checks.op_id('message_id', message_id)}"
        answer = self._alone(lambda: self.pool.request(Call("DELETE", path)))
        return answer.sentence()

    def flush(self) -> None:
        """Wait until all that was published later has its outcome, which their futures tell."""
        self._outbox().flush()

    def publish_batch(
        self,
        messages: Iterable[Mapping[str, Any] | Message | None],
        *,
        copies: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> BatchReceipt:
        """Publish many, in order, in bodies of at most 10,000 lines and 8 MiB, each of which is stored whole or not at all.

        A mapping has the fields of `publish`; None, for an iterable that waits for messages, sends what came before it.
        `progress` is told after each body how many are stored. An error has in
        `extra["published"]` how many were stored before the body that failed; lines it names count from the first message.
        Raises TypeError for what is no message, or holds what JSON has no words for; bodies before it are stored by then.
        """
        if isinstance(messages, str | bytes | Mapping | Message) or not isinstance(messages, Iterable):
            raise TypeError(f"`messages` must be a list of messages, not {type(messages).__name__}: put it into a list")
        checks.called("progress", progress)
        total = BatchReceipt(count=0, copies=0, first="", last="", message="Published 0 messages", duplicates=0)
        count = 0  # messages that are stored
        try:
            for lines in batches(self._lines(messages)):
                total = sum_of(total, self._alone(partial(self._publish_lines, lines, self._copies_of(copies), count)))
                count += len(lines)
                if progress is not None:
                    progress(count)
        except NewswireError as error:
            error.extra.setdefault("published", count)
            raise
        except TypeError as error:
            if count:
                error.add_note(f"The first {count} messages are stored.")
            raise
        return total

    def nodes(self) -> list[Row]:
        """A row a broker, primary first. Raises NoBroker."""
        return self._alone(self.pool.nodes)

    def primary(self) -> str:
        """The address of the primary. Raises NoBroker."""
        return self._alone(self.pool.primary)

    def close(self) -> None:
        """Wait for what was published later, and close the connections.

        It does not wait for calls of other threads: those under way go on, and the connections are closed when they have ended.
        """
        self.flush()
        self._outbox().run_when_idle(self.pool.close)

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _outbox(self) -> Outbox:
        mine = os.getpid()
        return self._outboxes.get(mine) or self._outboxes.setdefault(
            mine, Outbox(partial(send_posts, self.pool), self.pool.clock, self._in_flight)
        )

    def _post(
        self,
        kind: type[P],
        topic: str,
        data: str,
        *,
        title: str | None,
        priority: int | None,
        tags: Iterable[str] | None,
        click: str | None,
        markdown: bool | None,
        key: str | None,
        expires: int | None,
        confirm: int | None,
        escalate: str | None,
        replaces: str | None,
        at: datetime | str | None,
        delay: timedelta | int | str | None,
        copies: int | None,
    ) -> P:
        """A message as it is sent, all of it checked."""
        topic = names.check_topic(checks.text("topic", topic))
        data = checks.text("data", data)
        sent_key = checks.text_or_none("key", key) or self._new_key()
        fields: dict[str, Any] = {"topic": topic, "data": data, "key": sent_key}
        if title is not None:
            fields["title"] = checks.text("title", title)
        if priority is not None:
            fields["priority"] = checks.whole("priority", priority)
        if tags is not None:
            fields["tags"] = checks.words("tags", tags)
        if click is not None:
            fields["click"] = checks.text("click", click)
        if markdown is not None:
            fields["markdown"] = checks.flag("markdown", markdown)
        if expires is not None:
            fields["expires"] = checks.whole("expires", expires)
        if confirm is not None:
            fields["confirm"] = checks.whole("confirm", confirm)
        if escalate is not None:
            fields["escalate"] = names.check_topic(checks.text("escalate", escalate))
        if replaces is not None:
            fields["replaces"] = checks.text("replaces", replaces)
        if at is not None:
            fields["at"] = checks.time_to_come("at", at)
        if delay is not None:
            fields["delay"] = checks.length("delay", delay)
        if len(fields) > 3:
            fields = {name: value for name, value in fields.items() if value or name in _NEVER_LEFT_OUT}
        body = _as_json(fields)
        return kind(
            self._until(),
            self._copies_of(copies),
            body,
            topic=topic,
            text=data or title or "",
            key=sent_key,
            is_scheduled=at is not None or delay is not None,
        )

    def _until(self) -> float:
        return self.pool.clock() + self.pool.timeout

    def _alone(self, work: Callable[[], T]) -> T:
        result = self._outbox().run_alone(work, self._until())
        if result is None:
            raise NoBroker("no broker answered what was sent before this in time, so this was not sent: try again")
        return result[0]

    def _copies_of(self, copies: int | None) -> int | None:
        return self._copies if copies is None else checks.whole("copies", copies)

    def _lines(self, messages: Iterable[Mapping[str, Any] | Message | None]) -> Iterator[bytes]:
        """A line a message, an empty one for None."""
        number = 0
        for message in messages:
            number += message is not None
            yield b"" if message is None else self._line(number, message)

    def _line(self, number: int, message: Mapping[str, Any] | Message) -> bytes:
        if isinstance(message, Message):
            message = {name: value for name in RULES if (value := getattr(message, name)) or name == "data"}
        if not isinstance(message, Mapping):
            kind = type(message).__name__
            raise TypeError(f'message {number} must be a mapping like {{"topic": "t", "data": "text"}}, not {kind}')
        try:
            return _encode({**message, "key": message.get("key") or self._new_key()}) + b"\n"
        except (TypeError, BadRequest) as error:
            error.args = (f"message {number}: {error}",)
            if isinstance(error, BadRequest):
                error.detail = str(error)
            raise

    def _publish_lines(self, lines: list[bytes], copies: int | None, before: int) -> BatchReceipt:
        if not before and not self.pool.current:  # a broker that hangs costs a small question, not a whole body
            self.pool.look()
        ask: dict[str, str | int] = {} if copies is None else {"copies": copies}
        call = Call("POST", "/publish", params=ask, body=b"".join(lines), type="application/x-ndjson")
        try:
            answer = self.pool.request(call, seconds=2 * self.pool.timeout, try_seconds=limits.CLIENT_BATCH_TRY_SECONDS)
            receipt: BatchReceipt = answer.read(BatchReceipt)
            if answer.after_doubt:  # what a try of this call may have stored is no duplicate
                receipt = _as_first_try(receipt)
            return receipt
        except NewswireError as error:
            error.extra["published"] = before
            raise renumbered(error, before) from None


def _as_first_try(receipt: BatchReceipt) -> BatchReceipt:
    """The receipt of a call one of whose earlier tries stored what is there already, as far as anybody can tell."""
    done = receipt.duplicates - receipt.withdrawn
    scheduled = receipt.scheduled + receipt.waiting
    return msgspec.structs.replace(
        receipt, count=receipt.count + done, duplicates=receipt.withdrawn, scheduled=scheduled, waiting=0
    )


def _encode(fields: Mapping[str, Any]) -> bytes:
    """The JSON of the fields that are given; one that is empty counts as not given, but for `data`.

    Raises TypeError for a value that is not what JSON has (msgspec would turn bytes into base64), BadRequest for half a
    surrogate pair.
    """
    present = {name: value for name, value in fields.items() if not _is_empty(value) or name == "data"}
    for name, value in present.items():
        if not _is_plain(value):
            checks.text(str(name), value)
    return _as_json(present)


def _as_json(fields: Mapping[str, Any]) -> bytes:
    try:
        return _to_json(fields)
    except UnicodeEncodeError:
        half = "the text is not UTF-8: it holds half of a character (a lone surrogate); decode what it came from as UTF-8"
        raise BadRequest(half) from None


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | list | tuple) and not value) or (type(value) is int and value == 0)


def _is_plain(value: Any) -> bool:
    """Whether JSON has the very thing: text, numbers, truth, and lists of them; an object is for the broker to refuse."""
    if isinstance(value, list | tuple):
        return all(isinstance(one, str | int | bool | None) for one in value)
    return value is None or isinstance(value, str | int | bool | dict) or (isinstance(value, float) and math.isfinite(value))
