"""Two hands for the same deeds, those of a user: publish, subscribe, open a stream.

`OverHttp` does them by plain requests, `OverMenus` by typing into `newswire publisher` and `newswire subscriber`. One chain
of cases runs with either hand.
"""

from __future__ import annotations

import contextlib
import secrets
import shlex
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import parse_qs, urlsplit

from brokers import (
    UNREACHABLE,
    Answer,
    Broker,
    Failed,
    Stream,
    ask,
    post,
    until,
)
from tests.kit.ledger import LATE
from tests.kit.processes import Pair
from tests.kit.terminal import Terminal


class Switched(Protocol):
    """Brokers that are switched on and off, the primary first."""

    brokers: Sequence[Broker]
    addresses: list[str]

    @property
    def copies(self) -> int:
        """How many a publish gets now."""

    def living(self) -> list[Broker]:
        """Those that have a process, primary first."""

    def start(self) -> object:
        """Start all at once and wait until they are ready."""


class Hand(ABC):
    """What a user does, by one means or another."""

    def __init__(self, pair: Switched, home: Path) -> None:
        self.pair = pair

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None  # nothing is held

    @abstractmethod
    def publish(self, topic: str, data: str) -> str:
        """Publish; the address that took it."""

    @abstractmethod
    def subscribe(self, user: str, topic: str) -> str:
        """Subscribe; the address that took it."""

    @abstractmethod
    def stream(self, user: str) -> Stream:
        """A stream of `user`, to be entered."""

    @abstractmethod
    def refused(self, user: str) -> None:
        """Open a stream, which is refused for good."""


class OverHttp(Hand):
    """Does deeds with plain requests: to the first broker that answers, as any client would."""

    late = 0  # messages whose other copies came late

    def publish(self, topic: str, data: str) -> str:
        """Publish; the address that took it."""
        fields = {"topic": topic, "data": data, "key": secrets.token_hex(8)}
        address, answer = self._post("/publish", **fields)
        told, copies = answer.json(), self.pair.copies
        assert told["message"] == f"Published topic {topic} data {data}"
        assert told["id"]
        if told["copies"] < copies:  # a broker was not heard in time: then it comes late
            self.late += 1
            assert self.late <= LATE, told
            until("it has all copies", lambda: post(address, "/publish", **fields)["copies"] == copies)
        else:
            assert told["copies"] == copies
        return address

    def subscribe(self, user: str, topic: str) -> str:
        """Subscribe; the address that took it."""
        address, answer = self._post("/subscribe", username=user, topic=topic)
        assert answer.json()["message"] == f"Successfully subscribed {user} to topic {topic}"
        return address

    def stream(self, user: str) -> Stream:
        """A stream of `user`, to be entered."""
        return Stream(user, self.pair.addresses)

    def refused(self, user: str) -> None:
        """Open a stream that is refused for good: once that is sure, for a broker that was just silent may know better."""
        for broker in self.pair.living():

            def refusal(at: str = broker.address) -> Answer | None:
                answer = ask(at, "GET", f"/stream?username={user}")
                if answer.status == 200:  # a push that was answered late is enough (docs/rules.md, OPEN)
                    assert b"may know better: try again" in answer.body
                    return None
                return answer

            answer = until(f"{broker.id} knows that nobody knows better", refusal)
            assert answer.status == 403, (broker.id, answer.status, answer.body)
            assert answer.headers.get_content_type() == "application/problem+json"
            assert answer.json()["code"] == "not-registered"
            assert answer.json()["detail"]

    def _post(self, path: str, **fields: str) -> tuple[str, Answer]:
        for address in self.pair.addresses:
            with contextlib.suppress(*UNREACHABLE):
                answer = ask(address, "POST", path, fields)
                assert answer.status == 200, answer.body
                return address, answer
        raise Failed("no broker answers")


class OverMenus(Hand):
    """Does deeds by typing into the two menus, which run all the time, and checks what they show."""

    def __init__(self, pair: Pair, home: Path) -> None:
        super().__init__(pair, home)
        self.first, self.second = pair.brokers
        self.window = home / "window"  # where the "browser" writes the address that it was opened with
        browser = home / "browser"
        browser.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$1\" >> {shlex.quote(str(self.window))}\n")
        browser.chmod(0o755)
        brokers = ",".join(pair.addresses)
        self.publisher = Terminal("publisher", "--brokers", brokers, cwd=home)
        self.subscriber = Terminal("subscriber", "--brokers", brokers, cwd=home, BROWSER=str(browser))

    def __enter__(self) -> Self:
        self.publisher.expect("Menu:\n1. Publish Topic\n2. Exit\nEnter your choice: ")
        self.subscriber.expect("Menu:\n1. Subscribe User\n2. Stream Messages\n3. Exit\nEnter your choice: ")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self.publisher, self.subscriber:
            if error is None:
                self.publisher.type("2")
                self.subscriber.type("3")
                assert self.publisher.wait() == 0
                assert self.subscriber.wait() == 0

    def publish(self, topic: str, data: str) -> str:
        """Publish; the address that took it."""
        menu = self.publisher
        menu.type("1")
        menu.answer("Enter topic: ", topic)
        menu.answer("Enter data: ", data)
        shown = menu.expect(f"{{'message': 'Published topic {topic} data {data}'}}\n")
        assert self._nodes_line() in shown
        menu.expect("Enter your choice: ")
        return self._connected(shown)

    def subscribe(self, user: str, topic: str) -> str:
        """Subscribe; the address that took it."""
        menu = self.subscriber
        menu.type("1")
        menu.answer("Enter username: ", user)
        menu.answer("Enter topic to subscribe: ", topic)
        shown = menu.expect(f"{{'message': 'Successfully subscribed {user} to topic {topic}'}}\n")
        address = self._connected(shown)
        assert f"http://{address}/subscribe?username={user}&topic={topic}\n" in shown
        menu.expect("Enter your choice: ")
        return address

    def stream(self, user: str) -> Stream:
        """Open the window; a stream read from the address that it opened, to be entered."""
        before = self._windows()
        address = self._ask_for_stream(user)
        url = f"http://{address}/stream?username={user}"
        self.subscriber.expect(f"Opening window for streaming {user}'s messages..\n")
        self.subscriber.expect("Enter your choice: ")
        opened = until(f"a window is opened at {url}", lambda: self._windows()[len(before) :])
        parts = urlsplit(opened[0])
        assert (parts.netloc, parts.path, parse_qs(parts.query)["username"]) == (address, "/stream", [user])
        others = [a for a in self.pair.addresses if a != address]
        return Stream(user, [address, *others])

    def refused(self, user: str) -> None:
        """Open a window, in which the stream is refused."""
        with self.stream(user) as stream:
            answer = until("the stream is refused", lambda: stream.refused)
        assert answer.status == 403
        assert stream.texts == []

    def _ask_for_stream(self, user: str) -> str:
        menu = self.subscriber
        menu.type("2")
        menu.answer("Enter username to stream messages: ", user)
        shown = menu.expect(f"/stream?username={user}\n")
        return self._connected(shown)

    def _nodes_line(self) -> str:
        return f"List of available nodes: {[b.address for b in self.pair.living()]}\n"

    def _connected(self, shown: str) -> str:
        """The address that a menu says it talks to; with the primary dead, that it says so and lists the living."""
        if self.first.process is not None:
            assert f"Connecting to the primary broker... {self.first.address}\n" in shown
            return self.first.address
        assert self._nodes_line() in shown
        second = self.second.address
        assert f"Primary broker is down ,updating the broker the primary broker to {second}\n" in shown
        return second

    def _windows(self) -> list[str]:
        return self.window.read_text().splitlines() if self.window.exists() else []
