"""What a row is, how large it is, and what all rows are put together from."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from benchmark.machine import CORES, server_cores
from benchmark.report import Figures
from benchmark.services import Newswire, NotOffered, System


@dataclass(frozen=True)
class Sizes:
    """How much and how long. The defaults are those of the table."""

    seconds: float = 4.0
    warm: float = 1.0
    connections: int = 64
    crowd: int = 1_000
    batch_connections: int = 4
    streams: int = 1_000
    many_streams: int = 10_000
    steady_seconds: float = 10.0
    idle_seconds: float = 15.0
    backlog: int = 200_000  # messages of a stream that catches up
    subscriber_backlog: int = 60_000
    record_factor: float = 1.0  # of the records that a start reads
    kills: int = 4
    between_kills_seconds: float = 2.0
    growth_factor: float = 1.0
    processes: int = 2  # of the load


QUICK: Final = Sizes(
    seconds=0.3,
    warm=0.1,
    connections=8,
    crowd=20,
    batch_connections=2,
    streams=20,
    many_streams=40,
    steady_seconds=0.4,
    idle_seconds=0.2,
    backlog=2_000,
    subscriber_backlog=2_000,
    record_factor=0.001,
    kills=1,
    between_kills_seconds=0.4,
    growth_factor=0.01,
    processes=1,
)

Measure = Callable[[System, Sizes], Figures]


class Row(NamedTuple):
    """A row of the table. `groups`: further words that select it; `table` is what is measured unless told otherwise.

    `rounds`: how often it is measured; once where it takes long, or where many rows show how cost grows.
    """

    name: str
    groups: str
    title: str
    unit: str
    measure: Measure
    rounds: int = 3


def only_newswire(system: System) -> Newswire:
    """The system. Raises NotOffered if it is not newswire."""
    if not isinstance(system, Newswire):
        raise NotOffered
    return system


def parts(count: int, processes: int) -> list[range]:
    """Numbers 0 to `count` - 1 in as many parts."""
    bounds = [count * i // processes for i in range(processes + 1)]
    return [range(a, b) for a, b in itertools.pairwise(bounds) if a < b]


def in_ms(seconds: float | None) -> float | None:
    """Milliseconds."""
    return None if seconds is None else 1e3 * seconds


Placement = Sequence[Sequence[int]]
"""The cores of each server."""

ONE: Final[Placement] = [server_cores(1)]
OWN: Final[Placement] = [CORES[:1], CORES[1:2] or CORES]
SHARED: Final[Placement] = [CORES[:2], CORES[:2]]


def cores_of(placement: Placement) -> list[int]:
    """All cores that servers have."""
    return sorted({core for cores in placement for core in cores})
