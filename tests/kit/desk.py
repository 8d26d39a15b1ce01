"""A broker that holds its first answer, and the calls that gather behind it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from newswire.client import MessageReceipt, Publisher
from tests.kit.client_fakes import LIMIT_SECONDS, Asked, FakeBroker, Reply, problem
from tests.kit.waiting import wait_until

DUE = "2026-11-28T18:00:00.000Z"  # of all that has a `delay`


class Desk:
    """Answers POST /publish as a broker does, by the messages' data; holds the first request until it is told to go on."""

    def __init__(self, broker: FakeBroker) -> None:
        self.broker = broker
        self.go = threading.Event()
        self.known: set[str] = set()  # data of what is stored already
        self.withdrawn: set[str] = set()  # and of what of it is withdrawn
        self.refuse: Callable[[list[dict[str, Any]]], Reply | None] = lambda lines: None  # None: store
        self.lost = 0  # requests that are stored and not answered
        self.bodies: list[list[str]] = []
        broker.on("POST", "/publish", self.publish)

    def publish(self, asked: Asked) -> Reply | None:
        lines = [json.loads(line) for line in asked.body.splitlines()]
        self.bodies.append([line["data"] for line in lines])
        if len(self.bodies) == 1:
            assert self.go.wait(LIMIT_SECONDS)
        refused = self.refuse(lines)
        if refused is not None:
            return refused
        again = [number for number, line in enumerate(lines, 1) if line["data"] in self.known]
        self.known |= {line["data"] for line in lines}
        if self.lost:
            self.lost -= 1
            return None
        ids = [f"id of {line['data']}" for line in lines]
        if asked.headers["content-type"] == "application/json":
            told = {"message": "m", "id": ids[0], "copies": 2} | ({"duplicate": True} if again else {})
            told |= {"due": DUE} if "delay" in lines[0] else {}
        else:
            assert asked.query["ids"] == "1"
            told = {"message": "m", "count": len(lines) - len(again), "copies": 2, "ids": ids}
            told |= {"duplicates": len(again), "duplicate_lines": again} if again else {}
            told |= {"withdrawn_lines": [number for number in again if lines[number - 1]["data"] in self.withdrawn]}
        return Reply(told)


def bad_words(*bad: str, code: str = "bad-field", **extra: Any) -> Callable[[list[dict[str, Any]]], Reply | None]:
    """Refuse as a broker does: a batch with the number of its first bad line, a message by itself without."""

    def refuse(lines: list[dict[str, Any]]) -> Reply | None:
        status = 409 if code == "key-reused" else 400
        for number, line in enumerate(lines, 1):
            if line["data"] in bad and len(lines) > 1:
                return problem(status, code, f"line {number}: mind {line['data']}", line=number, **extra)
            if line["data"] in bad:
                return problem(status, code, f"mind {line['data']}", **extra)
        return None

    return refuse


def waiting(publisher: Publisher) -> int:
    """How many calls wait for the one that is in flight."""
    return len(publisher._outbox()._waiting)


def gather(pool: ThreadPoolExecutor, desk: Desk, publisher: Publisher, *calls: dict[str, Any]) -> list[Future[MessageReceipt]]:
    """One call of its own that is held in flight, and `calls`, in this order, which wait for it; then all go on."""
    first = pool.submit(publisher.publish, "t", "first")
    wait_until(lambda: len(desk.bodies) == 1)
    futures = []
    for number, call in enumerate(calls, 1):
        futures.append(pool.submit(publisher.publish, **{"topic": "t", **call}))
        wait_until(lambda number=number: waiting(publisher) == number)  # type: ignore[misc]
    desk.go.set()
    first.result(LIMIT_SECONDS)
    return futures


def results(futures: list[Future[MessageReceipt]]) -> list[MessageReceipt | BaseException]:
    return [future.exception(LIMIT_SECONDS) or future.result() for future in futures]


def receipts(futures: list[Future[MessageReceipt]]) -> list[MessageReceipt]:
    return [future.result(LIMIT_SECONDS) for future in futures]


def data(*words: str) -> list[dict[str, Any]]:
    return [{"data": word} for word in words]
