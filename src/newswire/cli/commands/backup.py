"""`newswire backup` and `newswire restore`: a copy of a running broker as a file, and an ops directory of it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Protocol

import click

from newswire import escape
from newswire.cli import exits, output, progress
from newswire.core import limits
from newswire.core.model.times import rfc3339
from newswire.engine.embedded.archive import Archive, LineTally, Manifest, Source
from newswire.engine.embedded.restore import OpsDirectory
from newswire.engine.embedded.restore import restore as make_directory
from newswire.errors import NoBroker, Refused

if TYPE_CHECKING:
    from newswire.client.transport import Download

_STANDARD: Final = Path("-")
_ID_SHOWN: Final = 8  # characters of a cluster id


class Sink(Protocol):
    """What a backup is written to."""

    def write(self, data: bytes, /) -> object: ...


# -- backup -------------------------------------------------------------------------------------------------------


def back_up(file: Path, brokers: tuple[str, ...]) -> int:
    """Write a copy of the first broker that answers to `file`, once it is whole and checked; `-`: standard output.

    Raises NoBroker, Refused.
    """
    if file == _STANDARD and sys.stdout.isatty():
        raise click.UsageError("A backup is no text: name a file, or lead standard output into one.")
    with ExitStack() as ending:
        download = _begin(brokers, ending)
        sink = ending.enter_context(_standard_output() if file == _STANDARD else _whole_file(file))
        try:
            manifest, records, bad = _check(Archive(_Tee(download, sink)))
        except _broken_off() as error:
            raise NoBroker(f"the backup broke off: {error}. Nothing is written: try again") from None
    _tell_backup(file, manifest, records, bad)
    return exits.DONE


def _broken_off() -> type[Exception]:
    from newswire.client.transport import Unreached

    return Unreached


def _begin(brokers: tuple[str, ...], ending: ExitStack) -> Download:
    from newswire.client.pool import BrokerPool
    from newswire.client.transport import Call, Download, Unreached

    pool = BrokerPool(brokers, timeout=limits.CLI_CALL_SECONDS, absent=limits.CLI_ABSENT_SECONDS)
    ending.callback(pool.close)
    reasons = []
    for address in pool.brokers.configured:
        try:
            answer = pool.transport.download(address, Call("GET", "/backup"), limits.CLI_BACKUP_SILENCE_SECONDS)
        except Unreached as error:
            reasons.append(f"{address}: {error.reason}")
            continue
        if isinstance(answer, Download):
            ending.callback(answer.close)
            return answer
        if strange := answer.why_strange():
            reasons.append(f"{address}: {strange}")
            continue
        raise answer.error()
    raise NoBroker(f"no broker is there ({'; '.join(reasons)}): check that one runs there and try again")


class _Tee:
    """Writes what is read."""

    def __init__(self, source: Source, sink: Sink) -> None:
        self._source, self._sink = source, sink

    def read(self, size: int = -1, /) -> bytes:
        part = self._source.read(size)
        self._sink.write(part)
        return part


def _check(archive: Archive) -> tuple[Manifest, int, int]:
    """Read to the end: the manifest, how many records are in it, and how many are none. Raises Refused."""
    records = bad = done = 0
    with progress.bar("Copying") as moved:
        for _, parts in archive.segments():
            tally = LineTally()
            for part in parts:
                tally.add(part)
                done += len(part)
                if moved is not None:
                    moved(done, archive.manifest.length)
            tally.end()
            records, bad = records + tally.records, bad + tally.bad
    return archive.manifest, records, bad


@contextmanager
def _whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that is there when the block ends well, synced, and else is as it was. Raises click.ClickException."""
    name = ""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)  # mode 0600
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
        name = ""
        _sync_directory(path.parent)
    except OSError as error:
        raise click.ClickException(f"{path} could not be written: {error.strerror or error}. Nothing is written.") from error
    finally:
        if name:
            with suppress(OSError):
                os.unlink(name)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _standard_output() -> Iterator[IO[bytes]]:
    yield sys.stdout.buffer
    if failure := output.failure():
        raise click.ClickException(f"the output could not be written ({failure.strerror}): it is not complete.")


def _tell_backup(file: Path, manifest: Manifest, records: int, bad: int) -> None:
    of = f"broker {manifest.broker}, cluster {_cluster(manifest.cluster)}, as of {rfc3339(manifest.time)}"
    where = "standard output" if file == _STANDARD else str(file)
    click.echo(escape.line(f"Wrote {where}: {of}, {records:,} records, all checked."), err=file == _STANDARD)
    if bad:
        click.echo(
            f"newswire: {bad:,} {'record is' if bad == 1 else 'records are'} damaged at the broker already, and copied as they"
            " are: run `newswire opsfile check` there, and back up another broker, too.",
            err=True,
        )


def _cluster(id: str) -> str:
    return id[:_ID_SHOWN] or "not settled yet"


# -- restore ------------------------------------------------------------------------------------------------------


def restore(file: Path, ops_dir: Path, broker_id: str | None, *, new_cluster: bool) -> int:
    """Make the ops directory of a broker in `ops_dir` from the backup `file` (`-`: standard input). Raises Refused."""
    with ExitStack() as ending:
        try:
            source: Source = sys.stdin.buffer if file == _STANDARD else ending.enter_context(file.open("rb"))
            archive = Archive(source)
            moved = ending.enter_context(progress.bar("Restoring"))
            made = make_directory(archive, ops_dir, broker_id or "", new_cluster=new_cluster, progress=moved)
        except OSError as error:
            raise Refused(
                f"{error.filename or file}: {error.strerror or error}. Nothing is restored", code="ops-dir"
            ) from error
    _tell_restore(made, new_cluster=new_cluster)
    return exits.DONE


def _tell_restore(made: OpsDirectory, *, new_cluster: bool) -> None:
    kind = "new cluster" if new_cluster else "cluster"
    click.echo(
        escape.line(
            f"Restored broker {made.broker} of {kind} {_cluster(made.cluster)} as of {rfc3339(made.time)}:"
            f" {made.messages:,} messages, {made.subscriptions:,} subscriptions, in {made.directory}."
        )
    )
    if not new_cluster:
        click.echo("What is newer comes from another broker of the cluster, if one has it; else it is gone.")
    if made.damaged_bytes:
        click.echo(
            f"newswire: {made.damaged_bytes:,} bytes were damaged at the broker already: run `newswire opsfile check"
            f" {escape.line(str(made.directory))}`.",
            err=True,
        )
