"""A handler for the `logging` of the standard library: what a program logs is published, and nobody waits for it."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final, NamedTuple, Unpack

from newswire.client import checks
from newswire.client.answers import MessageReceipt
from newswire.client.pool import PoolOptions
from newswire.client.publisher import Publisher
from newswire.core import limits
from newswire.core.model import names
from newswire.errors import NewswireError

_PRIORITIES: Final = ((logging.CRITICAL, 5), (logging.ERROR, 4), (logging.WARNING, 3), (logging.INFO, 2))


class NewswireHandler(logging.Handler):
    """Publishes each record to a topic: its text as `data`, the logger's name as a tag, its level as a priority.

    DEBUG has priority 1, CRITICAL 5. The order of records is kept. Any thread may log; a call returns at once: while a
    thousand records (or 2 MiB) have no outcome, further ones are left out. How many were left out, or failed, is the next
    message; the first that fails also goes to `handleError`, as with any handler.

    `topic`: a topic, or a function that says the one of a record. `options`: those of `Publisher`.
    """

    def __init__(
        self,
        brokers: str | Sequence[str],
        topic: str | Callable[[logging.LogRecord], str],
        *,
        level: int | str = logging.NOTSET,
        **options: Unpack[PoolOptions],
    ) -> None:
        super().__init__(level)
        self._topic_of = topic if callable(topic) else _always(names.check_topic(checks.text("topic", topic)))
        self._publisher = Publisher(brokers, in_flight=1, **options)
        self._of_process: dict[int, _Counts] = {}  # (docs/rules.md, FORK)

    def emit(self, record: logging.LogRecord) -> None:
        """Publish `record`. Called by `handle`."""
        try:
            topic, text, counts = self._topic_of(record), _cut(self.format(record)), self._counts
            with counts.lock:
                if counts.records >= limits.CLIENT_LOG_RECORDS or counts.bytes >= limits.CLIENT_LOG_BYTES:
                    counts.missing += 1
                    return
                missing, counts.missing = counts.missing, 0
            if missing:
                note = f"{missing} log records were not published."
                self._publish(_Sent(record, missing, note), topic, 3, "newswire")
            self._publish(_Sent(record, 1, text), topic, _priority(record.levelno), record.name)
        except Exception:  # as the handlers of the standard library
            self.handleError(record)

    def flush(self) -> None:
        """Wait until all that was logged has its outcome."""
        self._publisher.flush()

    def close(self) -> None:
        """Wait as `flush`, and close the connections."""
        self._publisher.close()
        super().close()

    @property
    def _counts(self) -> _Counts:
        """Those of this process: what waits in the one that it is a fork of has no outcome here, and its lock may be held."""
        mine = os.getpid()
        return self._of_process.get(mine) or self._of_process.setdefault(mine, _Counts())

    def _publish(self, sent: _Sent, topic: str, priority: int, name: str) -> None:
        tags, counts = [name[: limits.TAG_CHARS]], self._counts
        future = self._publisher.publish_later(topic, sent.text, priority=priority, tags=tags)
        with counts.lock:
            counts.records += 1
            counts.bytes += len(sent.text)
        future.add_done_callback(lambda done: self._settle(sent, done))

    def _settle(self, sent: _Sent, future: Future[MessageReceipt]) -> None:
        """Take note of an outcome. In a thread of the publisher."""
        error, counts = future.exception(), self._counts
        with counts.lock:
            counts.records -= 1
            counts.bytes -= len(sent.text)
            counts.missing += sent.stands_for if error else 0
            is_news, counts.is_failing = error is not None and not counts.is_failing, error is not None
        if is_news:
            try:
                future.result()
            except NewswireError:
                self.handleError(sent.record)  # it prints what is being handled


class _Counts:
    """What one process has logged."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.records = self.bytes = 0  # without an outcome
        self.missing = 0  # records that were left out, or failed, and of which no message tells yet
        self.is_failing = False


class _Sent(NamedTuple):
    """What was published: for `record`, telling of `stands_for` records."""

    record: logging.LogRecord
    stands_for: int
    text: str


def _always(topic: str) -> Callable[[logging.LogRecord], str]:
    return lambda record: topic


def _priority(level: int) -> int:
    return next((priority for least, priority in _PRIORITIES if level >= least), 1)


def _cut(text: str) -> str:
    """What fits into a message; an empty text is none."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= limits.MESSAGE_BYTES:
        return encoded.decode() or "-"
    return encoded[: limits.MESSAGE_BYTES - len("…".encode())].decode("utf-8", "ignore") + "…"
