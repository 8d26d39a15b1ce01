"""Queries in pieces (docs/rules.md, QUERIES): generators over the state that say where its lock may be let go.

A query yields None where a piece ends, and gets None back; or it yields a call that needs no lock, and gets back what that
returned. Between two pieces the state may have changed: ops were applied, so the log, its columns and the lists of topics
are longer, and nothing that was in them is elsewhere. An engine runs the pieces (`engine.shell.Shell.query`); `finish`
runs them in one go, for who holds the state alone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
Pieces: TypeAlias = Generator[Callable[[], Any] | None, Any, T]


def finish(pieces: Pieces[T]) -> T:
    """Run all pieces, one after the other."""
    beside = None
    while True:
        try:
            beside = pieces.send(beside() if beside is not None else None)
        except StopIteration as end:
            result: T = end.value
            return result
