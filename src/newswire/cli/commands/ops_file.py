"""`newswire opsfile check` and `show`: ops files seen from outside, also while a broker runs on them.

Nothing is locked, written or changed: the segments are opened to read, and that is all. What of their bytes counts, and
what is damage or a torn write, is decided where a broker's start decides it (`engine/embedded/segment.py`); here it is counted.

Two things can be wrong. *Damage*: synced bytes are not what was written. *Gaps*: operations are missing. A broker takes
only the next sequence of an origin, and a `began` only when it holds all that its vector names; so whatever the order of
the file, each origin counts up from 1 without a hole, as far as any `began` in the file says. Damage without a gap is what
a healed file looks like: the other broker has brought again what was hit, and a segment is never rewritten.
"""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Final, get_args

import click
import msgspec

from newswire import escape
from newswire.cli import exits, output, progress, tables
from newswire.core.model import ops
from newswire.core.model.ops import BareOp, Began, Lost, Op
from newswire.engine.embedded.ops_file import Damage, Reader, Scan, path_of, segments_in
from newswire.errors import Damaged, NewswireError, Refused

_ROWS_SHOWN: Final = 20  # of a table for people; --json has all
_GAPS_SHOWN: Final = 5  # of one origin
_TYPES: Final[dict[str, type[Op]]] = {str(one.__struct_config__.tag): one for one in (*get_args(ops.KnownOp), BareOp)}
_KINDS: Final = {kind: name for name, kind in _TYPES.items()}


# -- what is held (pure) ----------------------------------------------------------------------------------------


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

    def add(self, batch: Sequence[Op]) -> None:
        """Count these."""
        self._types.update(map(type, batch))
        for origin, those in groupby(batch, lambda op: op.origin):
            _extend(self._runs.setdefault(origin, []), (op.sequence for op in those))
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


def _extend(runs: list[tuple[int, int]], sequences: Iterable[int]) -> None:
    """Add sequences, in file order; one that follows the last makes its run longer."""
    first, last = runs.pop() if runs else (0, -1)
    for sequence in sequences:
        if sequence != last + 1:
            if first:
                runs.append((first, last))
            first = sequence
        last = sequence
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
    """What a look at one directory found. `error`: why there was none, "" if there was."""

    directory: str
    segments: int = 0
    bytes: int = 0
    cluster: str = ""
    kinds: dict[str, int] = field(default_factory=dict)
    origins: tuple[Origin, ...] = ()
    torn_bytes: int = 0
    damage: tuple[Damage, ...] = ()
    error: str = ""

    @property
    def missing(self) -> int:
        """How many operations the gaps of all origins have."""
        return sum(origin.missing for origin in self.origins)

    @property
    def whole(self) -> bool:
        """Whether all is as it was written, and nothing is missing."""
        return not (self.error or self.damage or self.missing)

    @property
    def verdict(self) -> str:
        """What it comes to, and what to do."""
        if self.error:
            return f"Unreadable: {self.error}"
        if self.whole:
            return f"Whole: {_count(sum(self.kinds.values()), 'operation')}, each as it was written, and none is missing."
        if not self.damage:
            return f"Not whole: {_count(self.missing, 'operation')} missing. {_FETCHES}"
        hit = f"Damaged: {_count(sum(one.length for one in self.damage), 'byte')} in {_count(len(self.damage), 'place')}"
        if self.missing:
            return f"{hit}, and {_count(self.missing, 'operation')} missing. {_FETCHES}"
        return f"{hit}; no operation is missing before the last ones held. {_REPLACE}"


_FETCHES: Final = "A broker that runs on it fetches from the others what they hold; keep a copy of the folder until it has."
_REPLACE: Final = (
    "The damage itself stays in the file. To be rid of it, start the broker on an empty folder while another is in sync."
)


def as_json(report: Report) -> str:
    """The report as JSON on one line."""
    fields: dict[str, Any] = {**asdict(report), "damage": [_damage(report, one) for one in report.damage]}
    fields |= {"missing": report.missing, "whole": report.whole, "verdict": report.verdict}
    return json.dumps(fields, ensure_ascii=False)


def as_tables(report: Report) -> list[tables.Table]:
    """The report for people."""
    if report.error:
        return [tables.Table((), (), f"{report.directory}: {report.verdict}")]
    holds = ", ".join(f"{kind} {count:,}" for kind, count in report.kinds.items()) or "none"
    facts = [
        ("Segments", f"{report.segments:,}"),
        ("Bytes", f"{report.bytes:,}"),
        ("Cluster", report.cluster or "none yet"),
        ("Operations", holds),
        ("Torn bytes", f"{report.torn_bytes:,}" + (f" ({_TORN})" if report.torn_bytes else "")),
    ]
    result = [tables.Table((escape.line(report.directory), ""), facts), _origin_table(report), _damage_table(report)]
    return [*(table for table in result if table.rows), tables.Table((), (), report.verdict)]


_TORN: Final = "ignored: what a crash cut short, or a running broker is writing; nobody was told of it"


def _origin_table(report: Report) -> tables.Table:
    """Those with gaps first."""
    listed = sorted(report.origins, key=lambda one: not one.gaps)
    rows = [(one.origin, f"{one.operations:,}", f"{one.last:,}", _gaps(one)) for one in listed[:_ROWS_SHOWN]]
    return tables.Table(("Origin", "Operations", "Last", "Missing"), rows, _more(len(listed), "origins"))


def _damage_table(report: Report) -> tables.Table:
    places = [_damage(report, one) for one in report.damage[:_ROWS_SHOWN]]
    rows = [(one["segment"], f"{one['offset']:,}", f"{one['length']:,}", one["reason"]) for one in places]
    return tables.Table(("Damaged", "Offset", "Bytes", "Reason"), rows, _more(len(report.damage), "places"))


def _damage(report: Report, one: Damage) -> dict[str, Any]:
    name = path_of(Path(report.directory), one.segment).name
    return {"segment": name, "offset": one.offset, "length": one.length, "reason": one.reason}


def _gaps(origin: Origin) -> str:
    parts = [str(first) if first == last else f"{first} to {last}" for first, last in origin.gaps[:_GAPS_SHOWN]]
    more = len(origin.gaps) - len(parts)
    return ", ".join([*parts, *([f"{more:,} more stretches"] if more else [])]) or "none"


def _more(count: int, what: str) -> str:
    return f"and {count - _ROWS_SHOWN:,} more {what}: --json has all" if count > _ROWS_SHOWN else ""


def _count(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count:,} {what}s"


# -- check ------------------------------------------------------------------------------------------------------


def check(directory: Path, *, as_json_lines: bool) -> int:
    """Check one broker's folder, or each that lies in `directory`, and print what was found. Returns the exit code."""
    whole = True
    for at, folder in enumerate(folders(directory)):
        report = look(folder)
        whole = whole and report.whole
        if as_json_lines:
            text = as_json(report)
            click.echo(escape.json(text) if sys.stdout.isatty() else text)
        else:
            click.echo("\n" if at else "", nl=False)
            tables.print_tables(as_tables(report))
    return exits.DONE if whole else exits.FAILED


def look(folder: Path) -> Report:
    """Read one broker's folder to its end."""
    tally, scan = OpTally(), Scan(folder)
    try:
        numbers = segments_in(folder)
        if not numbers:
            return Report(str(folder), error="it holds no segment (00000001.ops, ...).")
        with _quiet(), progress.bar(f"Checking {folder}") as moved:
            for batch in scan.batches(moved):
                tally.add([op for op, _, _ in batch])
            damage = tuple(_with_healing(scan, tally))
        size = sum(path_of(folder, number).stat().st_size for number in numbers)
    except OSError as error:
        return Report(str(folder), error=exits.sentence_of(f"{error.strerror or error} ({error.filename or folder})"))
    except NewswireError as error:
        return Report(str(folder), error=exits.sentence(error))
    return Report(
        directory=str(folder),
        segments=len(numbers),
        bytes=size,
        cluster=scan.cluster,
        kinds=tally.kinds,
        origins=tally.origins,
        torn_bytes=scan.torn_bytes,
        damage=damage,
    )


def _with_healing(scan: Scan, tally: OpTally) -> Iterator[Damage]:
    """The damage, with a word where all that its bytes still name stands elsewhere in the file, or was given up."""
    for one in scan.damage:
        names = scan.names_in(one)
        healed = names is None or (names and all(tally.holds(*name) for name in names))
        yield msgspec.structs.replace(one, reason=f"{one.reason}, healed") if healed else one


# -- show -------------------------------------------------------------------------------------------------------


def show(directory: Path, kind: str | None) -> int:
    """Print the operations of one broker's folder as they are stored, in file order. Returns the exit code."""
    if kind is not None and kind not in _TYPES:
        raise click.UsageError(f"--op {kind}: there are {', '.join(_TYPES)}.")
    folder = _only(directory)
    scan, reader, write = Scan(folder), Reader(folder), _writer()
    unread = 0
    with _quiet(), ExitStack() as ending:
        ending.callback(reader.close)
        for batch in _batches(scan):
            places = [(place, length) for op, place, length in batch if kind is None or type(op) is _TYPES[kind]]
            raws = _read(reader, places)
            unread += len(places) - len(raws)
            write(raws)
            if failure := output.failure():
                if output.is_quiet(failure):
                    return exits.FAILED  # what is printed is all that the command is for
                raise click.ClickException(f"the output could not be written ({failure.strerror}): it is not complete.")
    bad = len(scan.damage) + unread
    if bad:
        click.echo(f"newswire: {_count(bad, 'place')} could not be read: run `newswire opsfile check {folder}`.", err=True)
    return exits.FAILED if bad else exits.DONE


def _batches(scan: Scan) -> Iterator[list[tuple[Op, int, int]]]:
    try:
        yield from scan.batches()
    except OSError as error:
        raise Refused(f"{scan.directory} can't be read: {error.strerror or error}", code="ops-dir") from error


def _read(reader: Reader, places: Sequence[tuple[int, int]]) -> list[bytes]:
    """The JSON objects of these; one by one if they can't be read together, since a bad block may lie between."""
    try:
        return reader.read_lines(places)
    except Damaged:
        raws = []
        for place in places:
            with suppress(Damaged):
                raws.append(reader.read(*place))
        return raws


def _writer() -> Callable[[list[bytes]], None]:
    """Write lines to standard output: to a pipe the stored bytes, to a terminal what can't do anything to it."""
    out = sys.stdout

    def to_terminal(raws: list[bytes]) -> None:
        out.writelines(escape.json(raw.decode("utf-8", "backslashreplace")) + "\n" for raw in raws)
        out.flush()

    def to_pipe(raws: list[bytes]) -> None:
        out.buffer.writelines(raw + b"\n" for raw in raws)
        out.flush()

    return to_terminal if out.isatty() else to_pipe


# -- folders ---------------------------------------------------------------------------------------


def folders(directory: Path) -> list[Path]:
    """`directory` if it is one broker's folder, else those that lie in it. Raises Refused if there is none."""
    try:
        if is_folder(directory):
            return [directory]
        paths = [path for path in sorted(directory.iterdir()) if path.is_dir() and is_folder(path)]
    except OSError as error:
        raise Refused(f"{directory} can't be read: {error.strerror or error}", code="ops-dir") from error
    if not paths:
        raise Refused(
            f"{directory} is no ops directory, and holds none: name a broker's folder, for example ops_logs/1001",
            code="ops-dir",
        )
    return paths


def is_folder(path: Path) -> bool:
    """Say whether a broker ran on it: also when its segments are gone, or can't be looked at."""
    try:
        return bool(segments_in(path)) or (path / "LOCK").exists()
    except PermissionError:
        return True


def _only(directory: Path) -> Path:
    paths = folders(directory)
    if len(paths) > 1:
        raise Refused(
            f"{directory} holds the folders of {len(paths)} brokers: name one, for example {paths[0]}", code="ops-dir"
        )
    return paths[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what a broker would log of damage and torn writes off the terminal: the report says it."""
    log, handler = logging.getLogger("newswire.engine"), logging.NullHandler()
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
