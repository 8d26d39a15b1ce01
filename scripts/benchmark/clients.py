"""A program that uses the client library, of whichever checkout PYTHONPATH names; rows start it (`Client`).

It prints a JSON object a line: first `{}` when it begins to be measured, and what it saw when it is done.

    clients.py publish BROKERS COPIES THREADS WARM SECONDS    threads that share a Publisher; 0: one that does not wait
    clients.py read BROKERS USER COUNT                        a Subscriber that reads so many messages
    clients.py watch BROKERS USER TOPIC                       publish and read, until a line comes in; when each was seen
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).resolve()
PAUSE_SECONDS: Final = 0.002  # between two publishes of `watch`


class Client:
    """This program, with the library of a checkout, on some cores."""

    def __init__(self, root: Path, cores: Sequence[int], *arguments: object) -> None:
        command = ["taskset", "-c", ",".join(map(str, cores)), sys.executable, str(FILE), *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(root / "src")}
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def line(self) -> dict[str, Any]:
        """What it prints next. Raises OSError if it ends instead."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise OSError(f"the client ended with status {self._process.wait()}")
        content: dict[str, Any] = json.loads(line)
        return content

    def end(self) -> None:
        """Ask it to end."""
        assert self._process.stdin is not None
        self._process.stdin.write("end\n")
        self._process.stdin.flush()


def say(**what: Any) -> None:
    """Print a line."""
    print(json.dumps(what), flush=True)


def publish(brokers: str, copies: int, threads: int, warm: float, seconds: float) -> None:
    """Threads that share a Publisher."""
    from newswire.client import MessageReceipt, Publisher
    from newswire.errors import NewswireError

    begin = time.monotonic() + warm
    end = begin + seconds
    took: list[float] = []
    failed: list[str] = []
    used: list[float] = []

    def note(began: float, future: Future[MessageReceipt]) -> None:
        if error := future.exception():
            failed.append(str(error))
        if begin <= (now := time.monotonic()) < end:
            took.append(now - began)

    def run_on(publisher: Publisher, number: int) -> None:
        while (began := time.monotonic()) < end:
            number += 1
            later = publisher.publish_later(f"news.t{number % 20}", f"{number} ".ljust(150, "x"))
            later.add_done_callback(partial(note, began))

    def run(publisher: Publisher, number: int) -> None:
        while (began := time.monotonic()) < end:
            number += 1
            try:
                publisher.publish(f"news.t{number % 20}", f"{number} ".ljust(150, "x"))
            except NewswireError as error:
                failed.append(str(error))
            now = time.monotonic()
            if begin <= now < end:
                took.append(now - began)

    with Publisher(brokers, copies=copies) as publisher:
        started = [threading.Thread(target=run, args=(publisher, 1_000_000 * i)) for i in range(threads)]
        started += [] if threads else [threading.Thread(target=run_on, args=(publisher, 0))]
        for thread in started:
            thread.start()
        for moment in (begin, end):
            time.sleep(max(0.0, moment - time.monotonic()))
            used.append(time.process_time())
            say()
        for thread in started:
            thread.join()
    say(seconds=took, failed=len(failed), errors=sorted(set(failed))[:3], cpu=used[1] - used[0])


def read(brokers: str, user: str, count: int) -> None:
    """A Subscriber that reads so many messages."""
    from newswire.client import Message, Subscriber

    with Subscriber(brokers, user) as subscriber:
        say()
        began, used, left = time.monotonic(), time.process_time(), count
        with subscriber.stream() as stream:
            for item in stream:
                left -= isinstance(item, Message)
                if not left:
                    break
            say(seconds=time.monotonic() - began, cpu=time.process_time() - used)


def watch(brokers: str, user: str, topic: str) -> None:
    """Publish and read at the same time; when each publish was answered, and when each message came."""
    from newswire.client import Message, Publisher, Subscriber

    ended = threading.Event()
    answered: list[float] = []
    came: list[float] = []

    def publish_all() -> None:
        with Publisher(brokers) as publisher:
            while not ended.wait(PAUSE_SECONDS):
                publisher.publish(topic, "x" * 150)
                answered.append(time.monotonic())

    def read_all() -> None:
        with Subscriber(brokers, user) as subscriber, subscriber.stream() as stream:
            for item in stream:
                if isinstance(item, Message):
                    came.append(time.monotonic())
                    if not (len(came) - 1):
                        say()

    with Subscriber(brokers, user) as subscriber:
        subscriber.subscribe(topic)
    threading.Thread(target=read_all, daemon=True).start()
    publisher = threading.Thread(target=publish_all)
    publisher.start()
    sys.stdin.readline()
    ended.set()
    publisher.join()
    say(answered=answered, came=came)


def main(what: str, brokers: str, *more: str) -> None:
    """Do one of the three."""
    if what == "publish":
        publish(brokers, int(more[0]), int(more[1]), float(more[2]), float(more[3]))
    elif what == "read":
        read(brokers, more[0], int(more[1]))
    else:
        watch(brokers, more[0], more[1])


if __name__ == "__main__":
    main(*sys.argv[1:])
