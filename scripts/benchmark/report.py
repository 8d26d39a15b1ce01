"""Medians of rounds, as a table and as JSON."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

COLUMNS = ("row", "system", "median", "least to most", "CPU µs", "p50 / p99 ms", "beside", "generator", "errors")


@dataclass(frozen=True)
class Figures:
    """What one measurement gave.

    `value`: in the row's unit. `cpu`: µs of all servers' processors an operation. `p50`, `p99`: ms. `generator`: the share of a
    core that the busiest process of the load took, 0 to 1. `beside`: further figures, by unit.
    """

    value: float
    cpu: float | None = None
    p50: float | None = None
    p99: float | None = None
    generator: float | None = None
    failed: int = 0
    beside: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Line:
    """All rounds of a row and a system."""

    row: str
    title: str
    system: str
    unit: str
    rounds: list[Figures]


def quantile(values: Sequence[float], percent: float) -> float | None:
    """The value below which so many of a hundred are; None of nothing."""
    return sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))] if values else None


def number(value: float | None) -> str:
    """A figure with as many digits as say something."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def median(values: Sequence[float | None]) -> float | None:
    """The median of what is there."""
    there = [value for value in values if value is not None]
    return statistics.median(there) if there else None


def table(lines: Sequence[Line]) -> str:
    """All rows, as Markdown."""
    rows = [COLUMNS, ("---",) * len(COLUMNS)]
    rows += [_cells(line) for line in lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _cells(line: Line) -> tuple[str, ...]:
    rounds = line.rounds
    values = [figures.value for figures in rounds]
    times = [number(median([getattr(figures, name) for figures in rounds])) for name in ("p50", "p99")]
    units = dict.fromkeys(unit for figures in rounds for unit in figures.beside)
    beside = [f"{number(median([figures.beside.get(unit) for figures in rounds]))} {unit}" for unit in units]
    share = median([figures.generator for figures in rounds])
    return (
        line.title,
        line.system,
        f"{number(median(values))} {line.unit}",
        f"{number(min(values))} to {number(max(values))}",
        number(median([figures.cpu for figures in rounds])),
        " / ".join(times) if any(times) else "",
        ", ".join(beside),
        "" if share is None else f"{100 * share:.0f} %",
        str(sum(figures.failed for figures in rounds)),
    )


def as_json(machine: str, began: str, load: tuple[float, float], lines: Sequence[Line]) -> str:
    """All rounds, for programs."""
    content: dict[str, Any] = {"machine": machine, "began": began, "load_average": load}
    content["rows"] = [dataclasses.asdict(line) for line in lines]
    return json.dumps(content, indent=1)
