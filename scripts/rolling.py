"""What goes on while brokers are upgraded one after the other, and whether anybody noticed: for upgrade.py and machines.py.

`Load` publishes numbered messages with keys at all brokers, reads them from a stream, and asks every broker all the time
whether it is ready. `check` then reads at each broker what it holds.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from types import TracebackType
from typing import Any, Final

from brokers import UNREACHABLE, Failed, Stream, ask, get, post, until

PUBLISHERS: Final = 3
PROBE_SECONDS: Final = 0.05
TRY_SECONDS: Final = 5.0
PAUSE_SECONDS: Final = 0.01  # of a publisher between two messages
READER: Final = "reader"
TOPIC: Final = "rolling"
DARK_MOST_SECONDS: Final = 1.0  # without a broker that says that it is ready


class Load:
    """Publishers, a reader and probes, from `with` to its end."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = list(addresses)
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._number = 0
        self.acknowledged: dict[str, str] = {}  # text -> id
        self.slowest_seconds = 0.0  # from the first try of a message to its answer
        self.repeats = 0  # tries that were not answered with 200
        self.failures: list[str] = []
        self._ready_at: list[float] = []
        self._began = self._ended = 0.0
        self._stream = Stream(READER, addresses)
        self._threads = [
            *(threading.Thread(target=self._publish, args=(turn,), daemon=True) for turn in range(PUBLISHERS)),
            *(threading.Thread(target=self._probe, args=(address,), daemon=True) for address in addresses),
        ]

    def __enter__(self) -> Load:
        post(self._addresses[0], "/subscribe", username=READER, topic=TOPIC)
        self._began = time.monotonic()
        self._stream.start()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(60.0)
        self._ended = time.monotonic()
        if kind is None:
            until("the reader has all", lambda: self.acknowledged.keys() <= set(self._stream.texts), 60.0)
        self._stream.close()

    def wait_more(self, count: int, seconds: float = 60.0) -> None:
        """Wait until so many more messages are acknowledged."""
        enough = len(self.acknowledged) + count
        until(f"{count} more messages are acknowledged", lambda: len(self.acknowledged) >= enough or self.failures, seconds)

    def _publish(self, turn: int) -> None:
        while not self._ending.wait(PAUSE_SECONDS):
            with self._lock:
                self._number += 1
                text = f"message {self._number}"
            began = time.monotonic()
            name = self._publish_one(text, turn)
            with self._lock:
                self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)
                if name:
                    self.acknowledged[text] = name
                else:
                    self.failures.append(f"{text} was not taken within a minute")
                    return

    def _publish_one(self, text: str, turn: int) -> str:
        """The id of the message; "" if nobody took it within a minute."""
        fields = {"topic": TOPIC, "data": text, "key": text.replace(" ", "-")}
        limit = time.monotonic() + 60.0
        while time.monotonic() < limit:
            try:
                answer = ask(self._addresses[turn % len(self._addresses)], "POST", "/publish", fields, timeout=TRY_SECONDS)
                if answer.status == 200:
                    return str(answer.json()["id"])
            except UNREACHABLE:
                pass
            with self._lock:
                self.repeats += 1
            turn += 1
            time.sleep(PAUSE_SECONDS)
        return ""

    def _probe(self, address: str) -> None:
        while not self._ending.wait(PROBE_SECONDS):
            try:
                is_ready = ask(address, "GET", "/readyz", timeout=DARK_MOST_SECONDS).status == 200
            except UNREACHABLE:
                continue
            if is_ready:
                self._ready_at.append(time.monotonic())

    def dark_seconds(self) -> float:
        """The longest time in which no broker said that it is ready."""
        moments = [self._began, *sorted(self._ready_at), self._ended]
        return max(later - earlier for earlier, later in pairwise(moments))

    def check(self) -> dict[str, Any]:
        """The figures of the run. Raises Failed if anything was lost, refused for long, or no broker was ready for a second."""
        if self.failures:
            raise Failed("; ".join(self.failures))
        for number, address in enumerate(self._addresses):
            held = list(texts_at(address, f"auditor{number}"))
            missing = self.acknowledged.keys() - set(held)
            if missing:
                raise Failed(f"{len(missing)} acknowledged messages are not at {address}, such as {min(missing)}")
            if len(held) != len(set(held)):
                raise Failed(f"{address} shows {len(held) - len(set(held))} keys twice")
        if self.dark_seconds() >= DARK_MOST_SECONDS:
            raise Failed(f"for {self.dark_seconds():.2f} s no broker was ready")
        came = Counter(self._stream.texts)
        return {
            "seconds": round(self._ended - self._began, 1),
            "acknowledged": len(self.acknowledged),
            "lost": 0,
            "repeated tries": self.repeats,
            "slowest publish, s": round(self.slowest_seconds, 2),
            "longest without a ready broker, s": round(self.dark_seconds(), 2),
            "read": len(came),
            "read more than once": sum(count > 1 for count in came.values()),
        }


def texts_at(address: str, user: str) -> Iterator[str]:
    """The texts of all that is held at a broker, from the earliest on."""
    post(address, "/subscribe", username=user, topic=TOPIC, **{"from": "earliest"})
    since, more = "earliest", True
    while more:
        page = get(address, "/messages", username=user, since=since, limit="1000")
        yield from (message["data"] for message in page["messages"])
        more = page["more"]
        since = page["messages"][-1]["event_id"] if more else since
