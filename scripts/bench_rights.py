"""Measure what rights cost, in µs of CPU: a publish, opening a stream, reading on after a message, and a change of rights.

One process and one thread, an engine in memory, without sockets: what is counted is what the engine does. Where nobody is asked
and where everybody is takes turns, and each gets the best of its rounds.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Final

from newswire.core.access import Principal
from newswire.core.broker.events import Now
from newswire.core.model.commands import AddGrant, AddUser, Publish, RevokeGrant, Subscribe
from newswire.engine.lone import LoneEngine
from newswire.engine.memory import MemoryLog
from newswire.engine.seam import Position

PUBLISHES: Final = 300  # in one go, between two looks at the clock
WALL: Final = 1_795_514_400_000


class Side:
    """An engine with readers of one topic: users that are asked who they are, or not."""

    def __init__(self, users: int, *, asks: bool) -> None:
        self.engine = LoneEngine(MemoryLog(), lambda: Now(0.0, WALL))
        self.names = [f"user{number}" for number in range(users)]
        self.by: dict[str, Principal | None] = dict.fromkeys(self.names)
        for start in range(0, users, 1_000):
            part = self.names[start : start + 1_000]
            if asks:
                ids = self.engine.submit([AddUser(name) for name in part]).ids
                self.by.update({name: Principal(account) for name, account in zip(part, ids, strict=True)})
                self.engine.submit([AddGrant(name, "subscribe", "news.>") for name in part])
                for number in range(10):  # what else a user may do
                    self.engine.submit([AddGrant(name, "publish", f"team{number}.*") for name in part])
            accounts = {name: by.account if (by := self.by[name]) is not None else "" for name in part}
            self.engine.submit([Subscribe(name, "news.*", account=accounts[name]) for name in part])
        if asks:
            self.engine.submit([AddGrant("*", "publish", "news.>")])

    def publish(self) -> None:
        """Publish, one message after the other."""
        by = self.by[self.names[0]]
        for _ in range(PUBLISHES):
            self.engine.submit([Publish("news.today", "Soup is ready")], by=by)

    def open(self) -> None:
        """Open a stream for each user."""
        self.positions: list[Position] = []
        for name, by in self.by.items():
            start = self.engine.open_stream(name, None, by)
            assert start is not None
            self.positions.append(start.position)

    def read(self) -> None:
        """Publish a message, and read on for each stream as the hub does: once for all that stand at one place."""
        self.engine.submit([Publish("news.today", "Soup is ready")])
        pages = {position: self.engine.next_page(position, 256) for position in set(self.positions)}
        self.positions = [pages[position].position for position in self.positions]

    def grant_to_everybody(self) -> None:
        """Change what everybody may do, and open each stream again."""
        self.engine.submit([AddGrant("*", "publish", "extra")])
        self.open()

    def revoke_one(self) -> None:
        """Take a grant from one user, whose stream is opened again, and give it back."""
        name = self.names[0]
        for request in (RevokeGrant(name, "subscribe", "news.>"), AddGrant(name, "subscribe", "news.>")):
            self.engine.submit([request])
            self.engine.open_stream(name, None, self.by[name])


def spent(run: Callable[[], object]) -> float:
    """CPU of one run, µs."""
    began = time.process_time()
    run()
    return 1e6 * (time.process_time() - began)


def main() -> int:
    """Read the command line, measure, print a table."""
    parser = argparse.ArgumentParser(prog="scripts/bench_rights", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--users", type=int, default=10_000, help="with a stream each")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured, in turn")
    asked = parser.parse_args()
    open_side, guarded = Side(asked.users, asks=False), Side(asked.users, asks=True)
    rows: dict[str, tuple[float, Callable[[Side], object]]] = {
        "a publish": (PUBLISHES, Side.publish),
        "opening a stream": (asked.users, Side.open),
        f"a message for {asked.users} streams, read": (1, Side.read),
    }
    print("| µs of CPU | nobody is asked | everybody is asked |\n| --- | --- | --- |")
    for what, (count, run) in rows.items():
        best = [float("inf")] * 2
        for _ in range(asked.rounds):
            for number, side in enumerate((open_side, guarded)):
                best[number] = min(best[number], spent(lambda run=run, side=side: run(side)) / count)  # type: ignore[misc]
        print(f"| {what} | {best[0]:.1f} | {best[1]:.1f} |", flush=True)
    print(f"| a grant to everybody, and each stream again | | {min(spent(guarded.grant_to_everybody) for _ in range(3)):.0f} |")
    print(f"| a revocation and a grant for one | | {min(spent(guarded.revoke_one) for _ in range(20)):.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
