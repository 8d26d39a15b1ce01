"""A log handler: what is published for a record, and what becomes of those that cannot be."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from newswire.client.log_handler import NewswireHandler
from newswire.core import limits
from newswire.errors import BadRequest
from tests.kit.client_fakes import LIMIT_SECONDS, FakeBroker, Reply, problem
from tests.kit.waiting import wait_until


class Broker:
    """Takes what is published; `answer` says what becomes of it."""

    def __init__(self, fake: FakeBroker) -> None:
        self.messages: list[dict[str, Any]] = []
        self.answer: Callable[[], Reply | None] = lambda: None
        fake.on("POST", "/publish", self._take)

    def _take(self, asked: Any) -> Reply:
        lines = [json.loads(line) for line in asked.body.splitlines()]
        refusal = self.answer()
        if refusal:
            return refusal
        self.messages += lines
        count = {"message": "Published", "count": len(lines), "first": "x.1", "last": f"x.{len(lines)}", "copies": 1}
        return Reply({**count, "id": "x.1", "ids": [f"x.{n}" for n in range(1, len(lines) + 1)]})

    @property
    def shown(self) -> list[tuple[str, int, str]]:
        return [(one["data"], one["priority"], one["tags"][0]) for one in self.messages]


@pytest.fixture
def broker(a: FakeBroker) -> Broker:
    return Broker(a)


@pytest.fixture
def log(a: FakeBroker, broker: Broker) -> Iterator[logging.Logger]:
    logger = logging.getLogger("shop.till")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    handler = NewswireHandler(a.address, "alarms")
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)
    handler.close()


def flush(log: logging.Logger) -> None:
    (handler,) = (one for one in log.handlers if isinstance(one, NewswireHandler))
    handler.flush()
    wait_until(lambda: handler._counts.records == 0)  # an outcome is there before it is noted


def test_a_record_is_a_message(log: logging.Logger, broker: Broker) -> None:
    log.debug("quiet")
    log.info("opened %s", "it")
    log.warning("warm")
    log.error("broken")
    log.critical("on fire")
    flush(log)
    texts = ("quiet", "opened it", "warm", "broken", "on fire")
    assert broker.shown == [(text, priority, "shop.till") for priority, text in enumerate(texts, 1)]
    assert {one["topic"] for one in broker.messages} == {"alarms"}


def test_a_topic_may_follow_from_the_record(a: FakeBroker, broker: Broker) -> None:
    handler = NewswireHandler(a.address, lambda record: f"logs.{record.name}", level="WARNING")
    for level in (logging.INFO, logging.ERROR):
        if level >= handler.level:
            handler.handle(logging.LogRecord("till", level, __file__, 1, "text", None, None))
    handler.close()
    assert [one["topic"] for one in broker.messages] == ["logs.till"]
    with pytest.raises(BadRequest):
        NewswireHandler(a.address, "no such topic")


def test_long_and_empty_texts_become_messages(log: logging.Logger, broker: Broker) -> None:
    log.info("é" * limits.MESSAGE_BYTES)
    log.info("")
    log.info("half \ud800")
    flush(log)
    first, second, third = (one["data"] for one in broker.messages)
    assert len(first.encode()) <= limits.MESSAGE_BYTES
    assert first.endswith("é…")
    assert (second, third) == ("-", "half ?")


def test_too_many_are_left_out_and_counted(log: logging.Logger, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLIENT_LOG_RECORDS", 2)
    came, go = threading.Event(), threading.Event()

    def hang() -> None:
        came.set()
        assert go.wait(LIMIT_SECONDS)

    broker.answer = hang
    for text in ("1", "2", "3", "4"):
        log.info(text)
    assert came.wait(LIMIT_SECONDS)
    go.set()
    flush(log)
    log.info("5")
    flush(log)
    assert [text for text, _, _ in broker.shown] == ["1", "2", "2 log records were not published.", "5"]


def test_what_fails_is_told_once_and_counted(
    log: logging.Logger, broker: Broker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", True)
    broker.answer = lambda: problem(403, "forbidden", "you may not")
    for text in ("1", "2"):
        log.info(text)
        flush(log)
    shown: list[str] = []

    def is_told() -> bool:
        shown.append(capsys.readouterr().err)
        return "you may not" in "".join(shown)

    wait_until(is_told)
    assert "".join(shown).count("--- Logging error ---") == 1
    broker.answer = lambda: None
    log.info("3")
    flush(log)
    log.info("4")
    flush(log)
    assert [text for text, _, _ in broker.shown] == ["2 log records were not published.", "3", "4"]


def test_a_record_that_cannot_be_formatted_is_an_error_of_the_handler(
    log: logging.Logger, broker: Broker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", True)
    record = logging.LogRecord("shop.till", logging.INFO, __file__, 1, "%d", ("text",), None)
    log.handlers[0].handle(record)
    flush(log)
    assert "--- Logging error ---" in capsys.readouterr().err
    assert broker.messages == []
