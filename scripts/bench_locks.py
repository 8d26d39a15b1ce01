"""Measure how long the state lock is held, by whom, and what each query costs, in CPU time of the thread that runs it.

One engine with its ops file in a temporary directory: many topics, one user with many patterns that all match all of
them, and a hub's worth of readers of every kind. No clients and no load: what is measured is one query after another, so
the figures say what a query costs, not what a machine gives. "Longest" is the longest time that one hold of the lock took.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path

from newswire.config import Settings
from newswire.core import limits
from newswire.core.model.commands import Acknowledge, Publish, Request, Subscribe
from newswire.core.model.coverage import Coverage, write
from newswire.engine.embedded.engine import EmbeddedEngine
from newswire.engine.lock import StateLock
from newswire.streams.audience import PatternIndex


class TimedLock(StateLock):
    """A state lock that knows the CPU time of its holds, in seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.held, self.longest, self.holds = 0.0, 0.0, 0
        self._since = 0.0

    def __enter__(self) -> None:
        super().__enter__()
        self._since = time.thread_time()

    def __exit__(self, *error: object) -> None:
        self._note()
        super().__exit__(*error)

    @contextmanager
    def first(self) -> Iterator[None]:
        with super().first():
            self._since = time.thread_time()
            try:
                yield
            finally:
                self._note()

    def _note(self) -> None:
        took = time.thread_time() - self._since
        self.held, self.longest, self.holds = self.held + took, max(self.longest, took), self.holds + 1

    def clear(self) -> None:
        self.held, self.longest, self.holds = 0.0, 0.0, 0


class Bench:
    """An engine and a table."""

    def __init__(self, directory: Path) -> None:
        self.engine = EmbeddedEngine(Settings(ops_dir=directory), on_fatal=lambda error: None)
        self.engine.start("127.0.0.1:5053")
        self.lock = self.engine._shell.lock = TimedLock()
        print(f"{'':52}{'CPU ms':>10}{'holds':>8}{'longest ms':>12}")

    def row(self, what: str, run: Callable[[], object]) -> None:
        """Measure `run`, once to warm what is kept, and then again."""
        for note in ("first", "again"):
            self.lock.clear()
            before = time.thread_time()
            run()
            took = time.thread_time() - before
            print(
                f"{f'{what}, {note}':52}{took * 1000:>10.1f}{self.lock.holds:>8}{self.lock.longest * 1000:>12.2f}", flush=True
            )

    def submit(self, *requests: Request) -> None:
        for at in range(0, len(requests), limits.BATCH_MESSAGES):
            self.engine.submit(requests[at : at + limits.BATCH_MESSAGES], timeout=60)

    def page(self, user: str, messages: int) -> Callable[[], object]:
        """Read as `GET /messages` does, from the earliest."""

        def run() -> None:
            start = self.engine.open_page(user, None, 0, 0)
            assert start is not None
            at, left = start.position, messages
            while left > 0:
                page = self.engine.next_page(at, min(left, limits.STREAM_PAGE_MESSAGES))
                at, left = page.position, left - len(page.entries)
                if not page.more:
                    break

        return run

    def catch_up(self, user: str) -> Callable[[], object]:
        """Read as a stream without an id does, to the end of the log."""

        def run() -> None:
            start = self.engine.open_stream(user, None)
            assert start is not None
            at, more = start.position, True
            while more:
                page = self.engine.next_page(at, limits.STREAM_PAGE_MESSAGES)
                at, more = page.position, page.more

        return run


def wide(count: int) -> list[str]:
    """Patterns that all match `a.a.a.a.a.a.a.a.a.<anything>`."""
    every = (".".join(levels) + end for levels in product("a*", repeat=9) for end in (".*", ".>"))
    return [pattern for pattern, _ in zip(every, range(count), strict=False)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--topics", type=int, default=10_000)
    parser.add_argument("--patterns", type=int, default=500)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory))
        measure(bench, asked.topics, asked.patterns)
        bench.engine.close()


def measure(bench: Bench, topics: int, patterns: int) -> None:
    engine = bench.engine
    for pattern in wide(patterns):
        bench.submit(Subscribe("wide", pattern))
    for number in range(patterns):
        bench.submit(Subscribe("narrow", f"a.a.a.a.a.a.a.a.a.t{number}"))
    bench.submit(Subscribe("quiet", "nothing.*"), Subscribe("all", ">"))
    names = [f"a.a.a.a.a.a.a.a.a.t{number}" for number in range(topics)]
    batches = [names[at : at + limits.BATCH_MESSAGES] for at in range(0, len(names), limits.BATCH_MESSAGES)]

    def publish(texts: list[str]) -> Callable[[], object]:
        return lambda: bench.submit(*(Publish(name, "x" * 100, key=f"{time.monotonic_ns()}") for name in texts))

    print(f"{topics} topics, {patterns} patterns")
    for batch in batches[1:]:
        publish(batch)()
    bench.row(f"a batch of {len(batches[0])} (the commit's holds)", publish(batches[0]))
    bench.row("one message", publish(names[:1]))
    for user in ("wide", "narrow", "all"):
        bench.row(f"GET /subscriptions of {user}", partial(engine.subscriptions_of, user))
    bench.row("GET /topics", partial(engine.topics, limits.TIME_MILLISECONDS, len))
    for user in ("wide", "narrow", "quiet", "all"):
        bench.row(f"a stream of {user} opened", partial(engine.open_stream, user, None))
        bench.row(f"a stream of {user} that catches up", bench.catch_up(user))
    bench.row("GET /messages of 1,000 for wide", bench.page("wide", 1_000))
    bench.row("GET /messages of 1,000 for all", bench.page("all", 1_000))
    place = engine._shell.read(lambda state: write(Coverage("", dict(state.vector))))
    bench.row(f"POST /ack of {patterns} subscriptions", lambda: bench.submit(Acknowledge("wide", place)))
    index: PatternIndex[int] = PatternIndex()
    mine = tuple(wide(patterns))
    for member in range(100):
        index.put(member, mine)
    bench.row(f"the hub: a batch of {len(batches[0])} topics, 100 such streams", lambda: index.matching(batches[0]))


if __name__ == "__main__":
    main()
