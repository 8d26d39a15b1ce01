"""`newswire opsfile check` and `show`: ops files seen from outside, also while a broker runs on them.

Nothing is locked, written or changed: the segments are opened to read, and that is all. What of their bytes counts, and
what is damage or a torn write, is decided where a broker's start decides it (`engine/embedded/segment.py`); what follows from
it is decided in `cli/inspect.py`. Here it is read and printed.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from newswire import escape
from newswire.cli import output
from newswire.cli.command import CommandGroup, show_help
from newswire.cli.options import json_option, option
from newswire.errors import Damaged, NewswireError, Refused

if TYPE_CHECKING:
    from newswire.cli.inspect import OpTally, Report
    from newswire.core.model.ops import Op
    from newswire.engine.embedded.ops_file import Damage, Reader, Scan

_LOOKS: Final = 3  # at a folder whose files are replaced meanwhile: seldom, and a look takes seconds

_directory = click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))


@click.group(cls=CommandGroup, short_help="Check and print ops files.", invoke_without_command=True)
@click.pass_context
def opsfile(ctx: click.Context) -> None:
    """Look at the ops files of brokers, which may be running: nothing is changed."""
    show_help(ctx)


@opsfile.command(short_help="Verify checksums, look for gaps.", epilog="Example: newswire opsfile check ops_logs/1001")
@_directory
@json_option
def check(directory: Path, as_json: bool) -> int:
    """Verify the checksums of a broker's folder DIR, such as ops_logs/1001, and look for operations that are missing.

    If DIR holds the folders of several brokers each is checked. Exit code 0: all are whole; 1: damaged, gaps, or unreadable.
    """
    from newswire.cli import inspect

    whole = True
    for at, folder in enumerate(folders(directory)):
        report = look(folder)
        whole = whole and report.whole
        if as_json:
            output.print_json(inspect.as_object(report))
        else:
            click.echo("\n" if at else "", nl=False)
            output.print_tables(inspect.as_tables(report))
    return output.DONE if whole else output.FAILED


def look(folder: Path, looks: int = _LOOKS) -> Report:
    """Read one broker's folder to its end; anew if its files were replaced meanwhile, as by a compaction."""
    from newswire.cli.inspect import OpTally, Report
    from newswire.engine.embedded.log_file import path_on_disk
    from newswire.engine.embedded.ops_file import Scan, bad_copies, segments_in

    before, tally, scan = _layout_of(folder), OpTally(), Scan(folder)
    try:
        numbers = segments_in(folder)
        if not numbers:
            return Report(str(folder), error="it holds no segment (00000001.ops, ...).")
        with _without_log(), output.Bar(f"Checking {folder}") as bar:
            for batch in scan.batches(bar):
                tally.add([op for op, _, _ in batch])
            damage = tuple(_with_healing(scan, tally))
        size = sum(path_on_disk(folder, number).stat().st_size for number in numbers)
    except OSError as error:
        if looks > 1 and _layout_of(folder) != before:
            return look(folder, looks - 1)
        return Report(str(folder), error=output.sentence_of(f"{error.strerror or error} ({error.filename or folder})"))
    except NewswireError as error:
        return Report(str(folder), error=output.sentence(error))
    if looks > 1 and _layout_of(folder) != before:
        return look(folder, looks - 1)
    return Report(
        directory=str(folder),
        segments=len(numbers),
        bytes=size,
        cluster=scan.cluster,
        kinds=tally.kinds,
        origins=tally.origins,
        torn_bytes=scan.torn_bytes,
        compactions=scan.layout.generation if scan.layout is not None else 0,
        compacted=tally.compacted,
        damage=damage,
        damaged_manifests=tuple(bad_copies(before)),
    )


def _layout_of(folder: Path) -> list[bytes | None]:
    from newswire.engine.embedded.ops_file import layout_copies

    try:
        return layout_copies(folder)
    except OSError:
        return [None, None]


def _with_healing(scan: Scan, tally: OpTally) -> Iterator[Damage]:
    """The damage, with a word where all that its bytes still name stands elsewhere in the file, or was given up."""
    import msgspec

    for one in scan.damage:
        names = scan.names_in(one)
        healed = names is None or (names and all(tally.holds(*name) for name in names))
        yield msgspec.structs.replace(one, reason=f"{one.reason}, healed") if healed else one


@opsfile.command(short_help="Print operations as JSON lines.", epilog="Example: newswire opsfile show ops_logs/1001 | less")
@_directory
@option("--op", "kind", help="Print this kind only, for example msg.")
def show(directory: Path, kind: str | None) -> int:
    """Print the operations in a broker's folder DIR, such as ops_logs/1001: as they are stored, one JSON object a line."""
    from newswire.cli.inspect import OP_TYPES, count_of
    from newswire.engine.embedded.ops_file import Reader, Scan

    if kind is not None and kind not in OP_TYPES:
        raise click.UsageError(f"--op {kind}: there are {', '.join(OP_TYPES)}.")
    folder, *others = folders(directory)
    if others:
        raise Refused(
            f"{directory} holds the folders of {1 + len(others)} brokers: name one, for example {folder}", code="ops-dir"
        )
    scan, unread = Scan(folder), 0
    with _without_log(), closing(Reader(folder)) as reader:
        for batch in _batches(scan):
            places = [(place, length) for op, place, length in batch if kind is None or type(op) is OP_TYPES[kind]]
            raws = _read(reader, places)
            unread += len(places) - len(raws)
            if sys.stdout.isatty():
                sys.stdout.writelines(escape.json(raw.decode("utf-8", "backslashreplace")) + "\n" for raw in raws)
            else:
                sys.stdout.buffer.writelines(raw + b"\n" for raw in raws)
            if failure := output.failure():
                if output.is_quiet(failure):
                    return output.FAILED  # what is printed is all that the command is for
                raise click.ClickException(f"the output could not be written ({failure.strerror}): it is not complete.")
    bad = len(scan.damage) + unread
    if bad:
        output.warn(f"{count_of(bad, 'place')} could not be read: run `newswire opsfile check {folder}`.")
    return output.FAILED if bad else output.DONE


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
    from newswire.engine.embedded.ops_file import segments_in

    try:
        return bool(segments_in(path)) or (path / "LOCK").exists()
    except (PermissionError, Refused):
        return True


@contextmanager
def _without_log() -> Iterator[None]:
    """Keep what a broker would log of damage and torn writes off the terminal: the report says it."""
    log, handler = logging.getLogger("newswire.engine"), logging.NullHandler()
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
