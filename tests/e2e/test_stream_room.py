"""Streams at their limit, at a real broker: who was idle makes room for who comes, is told so, and comes again."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import pytest

from brokers import Broker, free_ports, get, post, until
from newswire.client import ConnectionState, Message, Subscriber
from newswire.streams.admission import PATIENCE_SECONDS as IDLE_SECONDS
from tests.kit.waiting import PATIENCE_SECONDS


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker("1001", free_ports(1)[0], tmp_path, primary=True, options=("--streams-per-user", "1"))
    try:
        yield made.start()
    finally:
        made.kill9()


class Device(threading.Thread):
    """A program of Ann's that reads her stream with the client library, and leaves acknowledging to the others."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(daemon=True)
        self.states: list[ConnectionState] = []
        self.texts: list[str] = []
        self._subscriber = Subscriber([broker.address], "ann")
        self._end = threading.Event()

    def __enter__(self) -> Device:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end.set()
        self.join(PATIENCE_SECONDS)

    def run(self) -> None:
        with self._subscriber.stream(ack=False, stop=self._end, on_state=self.states.append) as stream:
            for item in stream:
                assert isinstance(item, Message)
                self.texts.append(item.data)

    def count(self, kind: str) -> int:
        return sum(state.kind == kind for state in list(self.states))


def test_two_programs_and_one_place(broker: Broker) -> None:
    post(broker.address, "/subscribe", username="ann", topic="news")
    with Device(broker) as first:
        until("the first one reads", lambda: first.count("live") == 1)
        with Device(broker) as second:

            def waits() -> bool:
                post(broker.address, "/publish", topic="news", data="zero")  # who has been idle for long makes room
                return second.count("lost") >= 1

            until("the second one is told to wait", waits)
            assert "1 stream of this user is open, which is the limit" in second.states[0].detail
            assert first.count("lost") == 0
            until("the second one has the place", lambda: second.count("live") == 1)
            until("the first one is told", lambda: first.count("lost") == 1)
            lost = next(state for state in first.states if state.kind == "lost")
            idle = re.search(r"another stream takes the place of this one, which has brought nothing for (\d+) s", lost.detail)
            assert idle is not None
            assert int(idle[1]) >= IDLE_SECONDS
            assert get(broker.address, "/readyz")["streams"] == 1
            post(broker.address, "/publish", topic="news", data="one")
            until("the second one gets the news", lambda: second.texts[-1:] == ["one"])
            waiting = until("the first one waits", lambda: [state for state in list(first.states) if state.kind == "waiting"])
            assert float(waiting[0].detail.removeprefix("trying again in ").removesuffix(" s")) > IDLE_SECONDS
            assert (set(first.texts), first.count("live"), second.count("live")) == ({"zero"}, 1, 1)
