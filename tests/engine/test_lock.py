"""The state lock: the commit thread goes first."""

from __future__ import annotations

import threading

from newswire.engine.lock import StateLock
from newswire.threads import NeedsThread, never_waits


def test_the_commit_thread_goes_before_the_readers_that_wait() -> None:
    lock = StateLock()
    order: list[str] = []
    inside, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            inside.set()
            go_on.wait()

    def read() -> None:
        with lock:
            order.append("reader")

    def commit() -> None:
        with lock.first():
            order.append("commit")

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait()
    threads = [threading.Thread(target=read) for _ in range(5)] + [threading.Thread(target=commit)]
    for thread in threads:
        thread.start()
    while not lock.writer_waits:
        threading.Event().wait(0.001)
    go_on.set()
    for thread in [holder, *threads]:
        thread.join()
    assert order == ["commit"] + ["reader"] * 5


def test_a_thread_that_never_waits_gets_it_at_once_or_not_at_all() -> None:
    lock = StateLock()
    outcome: list[str] = []

    def read() -> None:
        never_waits()
        try:
            with lock:
                outcome.append("read")
        except NeedsThread:
            outcome.append("needs a thread")

    def run() -> None:
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()

    run()
    with lock:
        run()
    with lock.first():
        run()
    run()
    assert outcome == ["read", "needs a thread", "needs a thread", "read"]
