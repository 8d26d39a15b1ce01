"""The one place that prints: exit codes and sentences, JSON, tables, the progress bar, and output that may fail.

Foreign text is escaped here. Standard output and standard error may fail without anything else failing (docs/rules.md, OUTPUT):
what a command did stays done when its output cannot be written: a full disk, a reader that has left, a stream that is
closed. `install` puts files in place of `sys.stdout` and `sys.stderr` that drop what cannot be written and remember why, so
that nothing which prints (click, rich, logging, a traceback) has to know. `failure` tells those whose work the output is.

Standard output is given up at its first failure: what follows would stand behind a hole. Standard error is not: the log of a
broker goes on when there is room on the disk again.
"""

from __future__ import annotations

import errno
import io
import json
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple, TextIO

import click

from newswire import errors, escape
from newswire.errors import FewerCopies, NewswireError, NoBroker, Unauthenticated, Unavailable, Unknown

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.progress import Progress

DONE: Final = 0  # also when only the output could not be written
FAILED: Final = 1  # refused or failed
USAGE: Final = 2
NO_BROKER: Final = 4  # none reachable: try again
FEWER_COPIES: Final = 5  # stored on fewer copies than asked
UNKNOWN: Final = 6  # perhaps done: nobody answered in time
INTERRUPTED: Final = 130  # as shells say for SIGINT

MEANINGS: Final = {
    DONE: "done, also when only the output could not be written",
    FAILED: "refused or failed",
    USAGE: "not understood: a wrong option, argument, variable or file",
    NO_BROKER: "no broker could be reached, nothing is done: try again",
    FEWER_COPIES: "stored on fewer copies than asked",
    UNKNOWN: "perhaps done: the key to repeat it with is printed",
    INTERRUPTED: "interrupted (Ctrl-C)",
}
_SIGN_IN: Final = {  # by what was sent with a request that came back with 401
    "nothing": "the brokers ask who you are: `newswire login` signs you in, NEWSWIRE_TOKEN_FILE a program",
    "token": "the brokers do not take your token: it has expired, was revoked or is mistyped; `newswire login` makes a new one",
    "password": "the name or the password is wrong",
}

_BETWEEN: Final = "  "  # two columns
_LEAST_WIDTH: Final = 20  # columns, of folded text that can still be read
_WIDE: Final = 400  # columns: a pipe has no edge; the longest topic and user fit
BAR_AFTER_SECONDS: Final = 1.0  # a shorter wait needs no bar
_QUIET: Final = (errno.EPIPE, errno.EBADF)  # the reader left, or nobody ever wanted it


def exit_code(error: NewswireError) -> int:
    """The exit code of an error. A broker that does not serve yet is as good as none: both say try again."""
    if error.code == "bad-time":  # only an option can be one
        return USAGE
    if isinstance(error, FewerCopies):
        return FEWER_COPIES
    if isinstance(error, Unknown):
        return UNKNOWN
    return NO_BROKER if isinstance(error, (NoBroker, Unavailable)) else FAILED


def sentence(error: NewswireError) -> str:
    """What people at a command line are told: the detail, as a sentence, with commands in place of requests."""
    text = _SIGN_IN.get(str(error.extra.get("sent", "")), "") if isinstance(error, Unauthenticated) else ""
    return sentence_of(errors.as_sentence(text or error.detail.strip() or error.title, "command"))


def sentence_of(text: str) -> str:
    """One line that is safe to print and is a sentence."""
    return errors.as_sentence(escape.line(text.strip()))


# -- lines -------------------------------------------------------------------------------------------------------------
def print_json(value: object) -> None:
    """Print a value as JSON on one line: as it is, but to a terminal nothing that could do anything to it."""
    text = json.dumps(value, ensure_ascii=False)
    click.echo(escape.json(text) if sys.stdout.isatty() else text)


def print_answer(message: str, *, as_json: bool, to_stderr: bool = False, **more: object) -> None:
    """Print what was done: a sentence, or as JSON `message` and what else a program may want to know."""
    text = json.dumps({"message": message, **more}, ensure_ascii=False) if as_json else message
    is_terminal = (sys.stderr if to_stderr else sys.stdout).isatty()
    click.echo((escape.json(text) if is_terminal else text) if as_json else escape.line(text), err=to_stderr)


def warn(text: str) -> None:
    """Print a sentence on standard error, as the program's; what came from strangers in it must have been escaped."""
    click.echo(f"newswire: {text}", err=True)


# -- tables: cells are plain text, nothing in them is markup ---------------------------------------------------------------
class Table(NamedTuple):
    """Headings, rows of cells, and a line that stands below."""

    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""


def rendered(tables: Sequence[Table], columns: int) -> Group:
    """Make them printable on lines of `columns` characters, an empty line between two."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    for table in map(_without_empty_end, tables):
        parts += [Text()] if parts else []
        if table.rows:  # all columns but the last, which may be folded, stand side by side, with some room for that
            cells = zip(table.headings, *table.rows, strict=True)
            *widths, last = (max(len(escape.line(cell)) for cell in column) for column in cells)
            least = sum(width + len(_BETWEEN) for width in widths) + min(last, _LEAST_WIDTH)
            parts += [_rows(table)] if least <= columns else [_records(table), *([Text()] if table.note else [])]
        parts += [Text(escape.line(table.note))] if table.note else []
    return Group(*parts)


def print_tables(tables: Sequence[Table], file: TextIO | None = None) -> None:
    """Print them. Lines are not cut where the output is no terminal."""
    from rich.console import Console

    console = Console(file=file, highlight=False)
    if not console.is_terminal:
        console = Console(file=file, highlight=False, width=_WIDE)
    console.print(rendered(tables, console.width))


def _without_empty_end(table: Table) -> Table:
    """Leave out a last column that says nothing: the rest then fits a terminal of 80 columns."""
    if not table.headings or table.headings[-1] or any(row[-1] for row in table.rows):
        return table
    return Table(table.headings[:-1], [row[:-1] for row in table.rows], table.note)


def _records(table: Table) -> RenderableType:
    """A line a cell, with its heading before it, an empty line between two rows: for narrow terminals."""
    from rich.text import Text

    names = [f"{heading}: " if heading else "" for heading in table.headings]
    cells = [[f"{name}{escape.line(cell)}" for name, cell in zip(names, row, strict=True)] for row in table.rows]
    return Text("\n\n".join("\n".join(line for line in lines if line) for lines in cells))


def _rows(table: Table) -> RenderableType:
    """A column that holds numbers alone, or `-` for none, stands to the right."""
    import rich.table
    from rich.text import Text

    grid = rich.table.Table(box=None, pad_edge=False, header_style="bold")
    for at, heading in enumerate(table.headings):
        numbers = all(row[at] == "-" or row[at].replace(",", "").isdigit() for row in table.rows)
        grid.add_column(Text(heading), justify="right" if numbers else "left", overflow="fold")
    for row in table.rows:
        grid.add_row(*(Text(escape.line(cell)) for cell in row))
    return grid


# -- the bar -----------------------------------------------------------------------------------------------------------
class Bar:
    """A progress bar on standard error: only on a terminal, and only once the work has taken `after_seconds`. One thread."""

    def __init__(self, label: str, *, after_seconds: float = BAR_AFTER_SECONDS, is_visible: bool | None = None) -> None:
        self.is_visible = sys.stderr.isatty() if is_visible is None else is_visible
        self._label = label
        self._start = time.monotonic() + after_seconds
        self._bar: Progress | None = None

    def __call__(self, count: int, total: int | None) -> None:
        """Take note that `count` of `total` are done; None: nobody knows how many there are."""
        if not self.is_visible or (self._bar is None and time.monotonic() < self._start):
            return
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            count_alone = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f}"))
            columns = count_alone if total is None else Progress.get_default_columns()
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.add_task(escape.line(self._label).replace("[", r"\["), total=total)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=count, total=total)

    def close(self) -> None:
        """Take the bar away, for good."""
        self.is_visible = False
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


# -- output that may fail ------------------------------------------------------------------------------------------------
class _Tolerant(io.FileIO):
    """Takes all that is written. `failed` is why something of it was dropped."""

    def __init__(self, descriptor: int, *, for_good: bool, failed: OSError | None) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.failed = failed
        self._for_good = for_good

    def write(self, data: object, /) -> int:
        size = memoryview(data).nbytes  # type: ignore[arg-type]  # a buffer
        if self.failed is not None and self._for_good:
            return size
        try:
            written = super().write(data)  # type: ignore[arg-type]
            if written is None:  # somebody has made it non-blocking, and it is full
                select.select([], [self.fileno()], [])
                return self.write(data)
            return written
        except OSError as error:
            self.failed = error
            return size


def install() -> None:
    """Put tolerant files in place of `sys.stdout` and `sys.stderr`. Descriptors that are closed come to lead nowhere.

    `sys.stdin` is then a file, too, so that nobody who asks whether it is a terminal fails.

    They must not stay closed: the next socket or ops file would get the number, and the output of a child with it.
    """
    closed = [descriptor for descriptor in (0, 1, 2) if not _is_open(descriptor)]
    sys.stdout = _file(1, for_good=True, closed=1 in closed)
    sys.stderr = _file(2, for_good=False, closed=2 in closed)
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115  # as long as the process lives


def is_input_closed() -> bool:
    """Say whether there is no standard input at all; an empty one is there."""
    return sys.stdin is None or getattr(sys.stdin, "name", "") == os.devnull


def failure() -> OSError | None:
    """Why standard output lacks something, None if all is written. Flushes it first."""
    try:
        sys.stdout.flush()
    except OSError as error:  # not one of ours: a test's, or of a program that calls `run`
        return error
    return getattr(getattr(getattr(sys.stdout, "buffer", None), "raw", None), "failed", None)


def is_quiet(error: OSError) -> bool:
    """Say whether a failure of standard output is what its reader wanted, so that nobody needs to be told."""
    return error.errno in _QUIET


def reader_left(descriptor: int, then: Callable[[], object]) -> None:
    """Call `then`, in a thread of its own, once nobody reads what is written to `descriptor`, a pipe, any more."""
    poll = select.poll()
    poll.register(descriptor, 0)

    def watch() -> None:
        poll.poll()
        then()

    threading.Thread(target=watch, name="reader", daemon=True).start()


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
        return False
    return True


def _file(descriptor: int, *, for_good: bool, closed: bool) -> io.TextIOWrapper:
    failed = OSError(errno.EBADF, "it is closed") if closed else None
    raw = _Tolerant(descriptor, for_good=for_good, failed=failed)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(sys.__stdout__, "encoding", None) or "utf-8",
        errors="backslashreplace",  # what a terminal of another character set cannot show
        line_buffering=descriptor == 2 or raw.isatty(),
        write_through=bool(os.environ.get("PYTHONUNBUFFERED")),
    )
