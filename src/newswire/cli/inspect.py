"""What an ops file says of itself: operations counted, gaps found, and what it comes to, for people and for programs. Pure.

Two things can be wrong. *Damage*: synced bytes are not what was written. *Gaps*: operations are missing. A broker takes
only the next sequence of an origin, and a `began` only when it holds all that its vector names; so whatever the order of
the file, each origin counts up from 1 without a hole, as far as any `began` in the file says. Damage without a gap is what
a healed file looks like: the other broker has brought again what was hit, and a segment is never rewritten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Final, get_args

from newswire import escape
from newswire.cli import output
from newswire.core.model import ops
from newswire.core.model.ops import BareOp, Began, Lost, Op, Void
from newswire.engine.embedded.ops_file import Damage, path_of

_ROWS_SHOWN: Final = 20  # of a table for people; --json has all
_GAPS_SHOWN: Final = 5  # of one origin
OP_TYPES: Final[dict[str, type[Op]]] = {str(one.__struct_config__.tag): one for one in (*get_args(ops.KnownOp), BareOp)}
_KINDS: Final = {kind: name for name, kind in OP_TYPES.items()}


@dataclass(frozen=True)
class Origin:
    """What is held of an origin: how many, the highest sequence, and the stretches (first, last) that are missing."""

    origin: str
    operations: int
    last: int
    gaps: tuple[tuple[int, int], ...]

    @property
    def missing(self) -> int:
        """How many operations the gaps have."""
        return sum(last - first + 1 for first, last in self.gaps)


class OpTally:
    """Counts operations in file order."""

    def __init__(self) -> None:
        self._types: Counter[type[Op]] = Counter()
        self._runs: dict[str, list[tuple[int, int]]] = {}  # origin -> first and last sequence of each run
        self._named: dict[str, int] = {}  # origin -> highest sequence that a `began` says was held
        self._given_up: dict[str, list[tuple[int, int]]] = {}  # origin -> what an operator gave up: no gap
        self.compacted = 0  # operations of which a compaction left but the range

    def add(self, batch: Sequence[Op]) -> None:
        """Count these."""
        self._types.update(map(type, batch))
        for origin, those in groupby(batch, lambda op: op.origin):
            _extend(
                self._runs.setdefault(origin, []),
                ((op.first if isinstance(op, Void) else op.sequence, op.sequence) for op in those),
            )
        self.compacted += sum(op.sequence - op.first + 1 for op in batch if isinstance(op, Void))
        for lost in (op for op in batch if isinstance(op, Lost) and op.is_valid):
            self._given_up.setdefault(lost.source, []).append((lost.first, lost.last))
        for run in (op for op in batch if isinstance(op, Began)):
            for origin, sequence in run.vector.items():
                self._named[origin] = max(sequence, self._named.get(origin, 0))

    @property
    def kinds(self) -> dict[str, int]:
        """How many there are of each kind, most first; those of a later version are `unknown`."""
        return {_KINDS[kind]: count for kind, count in self._types.most_common()}

    @property
    def origins(self) -> tuple[Origin, ...]:
        """What is held of each origin."""
        names = sorted({*self._runs, *self._named})
        return tuple(
            _origin(one, self._runs.get(one, []), self._named.get(one, 0), self._given_up.get(one, [])) for one in names
        )

    def holds(self, origin: str, sequence: int) -> bool:
        """Say whether an operation is held, or was given up."""
        runs = [*self._runs.get(origin, []), *self._given_up.get(origin, [])]
        return any(first <= sequence <= last for first, last in runs)


def _extend(runs: list[tuple[int, int]], ranges: Iterable[tuple[int, int]]) -> None:
    """Add ranges of sequences, in file order; one that follows the last makes its run longer."""
    first, last = runs.pop() if runs else (0, -1)
    for start, end in ranges:
        if start != last + 1:
            if first:
                runs.append((first, last))
            first = start
        last = end
    runs.append((first, last))


def _origin(name: str, runs: list[tuple[int, int]], highest: int, given_up: list[tuple[int, int]]) -> Origin:
    """Join the runs; what an operation that was hit left behind may come later in the file, and twice."""
    last, operations, reached = 0, 0, 0
    gaps: list[tuple[int, int]] = []
    for start, end, is_held in sorted([*((*run, True) for run in runs), *((*run, False) for run in given_up)]):
        if start > reached + 1:
            gaps.append((reached + 1, start - 1))
        reached = max(reached, end)
        if is_held:
            operations += max(0, end - max(last, start - 1))
            last = max(last, end)
    if highest > reached:
        gaps.append((reached + 1, highest))
    return Origin(origin=name, operations=operations, last=last, gaps=tuple(gaps))


@dataclass(frozen=True)
class Report:
    """What a look at one directory found. `error`: why there was none, "" if there was.

    `compacted`: how many operations the compactions have left out; they are held, and of no effect any more.
    `damaged_manifests`: the names of the copies of the MANIFEST that are damaged or gone, where another one is not.
    """

    directory: str
    segments: int = 0
    bytes: int = 0
    cluster: str = ""
    kinds: dict[str, int] = field(default_factory=dict)
    origins: tuple[Origin, ...] = ()
    torn_bytes: int = 0
    compactions: int = 0
    compacted: int = 0
    damage: tuple[Damage, ...] = ()
    damaged_manifests: tuple[str, ...] = ()
    error: str = ""

    @property
    def missing(self) -> int:
        """How many operations the gaps of all origins have."""
        return sum(origin.missing for origin in self.origins)

    @property
    def whole(self) -> bool:
        """Whether all is as it was written, and nothing is missing."""
        return not (self.error or self.damage or self.missing or self.damaged_manifests)

    @property
    def verdict(self) -> str:
        """What it comes to, and what to do."""
        if self.error:
            return f"Unreadable: {self.error}"
        copies = "".join(f"{name} is damaged or gone. {_REWRITES} " for name in self.damaged_manifests)
        return copies + self._verdict_on_operations

    @property
    def _verdict_on_operations(self) -> str:
        if not (self.damage or self.missing):
            return f"Whole: {count_of(sum(self.kinds.values()), 'operation')}, each as it was written, and none is missing."
        if not self.damage:
            return f"Not whole: {count_of(self.missing, 'operation')} missing. {_FETCHES}"
        hit = f"Damaged: {count_of(sum(one.length for one in self.damage), 'byte')} in {count_of(len(self.damage), 'place')}"
        if self.missing:
            return f"{hit}, and {count_of(self.missing, 'operation')} missing. {_FETCHES}"
        return f"{hit}; no operation is missing before the last ones held. {_REPLACE}"


_REWRITES: Final = "The other copy is whole, and a broker that starts here writes it anew: look at the disk."
_FETCHES: Final = "A broker that runs on it fetches from the others what they hold; keep a copy of the folder until it has."
_REPLACE: Final = (
    "The damage itself stays in the file. To be rid of it, start the broker on an empty folder while another is in sync."
)


def as_object(report: Report) -> dict[str, Any]:
    """The report as JSON has it."""
    fields: dict[str, Any] = {**asdict(report), "damage": [_damage(report, one) for one in report.damage]}
    fields |= {"missing": report.missing, "whole": report.whole, "verdict": report.verdict}
    return fields


def as_tables(report: Report) -> list[output.Table]:
    """The report for people."""
    if report.error:
        return [output.Table((), (), f"{report.directory}: {report.verdict}")]
    holds = ", ".join(f"{kind} {count:,}" for kind, count in report.kinds.items()) or "none"
    compacted = f"{count_of(report.compacted, 'operation')}, by {count_of(report.compactions, 'compaction')}"
    facts = [
        ("Segments", f"{report.segments:,}"),
        ("Bytes", f"{report.bytes:,}"),
        ("Cluster", report.cluster or "none yet"),
        ("Operations", holds),
        *([("Compacted", compacted)] if report.compactions else []),
        ("Torn bytes", f"{report.torn_bytes:,}" + (f" ({_TORN})" if report.torn_bytes else "")),
    ]
    result = [output.Table((escape.line(report.directory), ""), facts), _origin_table(report), _damage_table(report)]
    return [*(table for table in result if table.rows), output.Table((), (), report.verdict)]


_TORN: Final = "ignored: what a crash cut short, or a running broker is writing; nobody was told of it"


def _origin_table(report: Report) -> output.Table:
    """Those with gaps first."""
    listed = sorted(report.origins, key=lambda one: not one.gaps)
    rows = [(one.origin, f"{one.operations:,}", f"{one.last:,}", _gaps(one)) for one in listed[:_ROWS_SHOWN]]
    return output.Table(("Origin", "Operations", "Last", "Missing"), rows, _more(len(listed), "origins"))


def _damage_table(report: Report) -> output.Table:
    places = [_damage(report, one) for one in report.damage[:_ROWS_SHOWN]]
    rows = [(one["segment"], f"{one['offset']:,}", f"{one['length']:,}", one["reason"]) for one in places]
    return output.Table(("Damaged", "Offset", "Bytes", "Reason"), rows, _more(len(report.damage), "places"))


def _damage(report: Report, one: Damage) -> dict[str, Any]:
    name = path_of(Path(report.directory), one.segment).name
    return {"segment": name, "offset": one.offset, "length": one.length, "reason": one.reason}


def _gaps(origin: Origin) -> str:
    parts = [str(first) if first == last else f"{first} to {last}" for first, last in origin.gaps[:_GAPS_SHOWN]]
    more = len(origin.gaps) - len(parts)
    return ", ".join([*parts, *([f"{more:,} more stretches"] if more else [])]) or "none"


def _more(count: int, what: str) -> str:
    return f"and {count - _ROWS_SHOWN:,} more {what}: --json has all" if count > _ROWS_SHOWN else ""


def count_of(count: int, what: str) -> str:
    """Say how many there are."""
    return f"1 {what}" if count == 1 else f"{count:,} {what}s"
