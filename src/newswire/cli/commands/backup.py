"""`newswire backup` and `newswire restore`: a copy of a running broker as a file, and an ops directory of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Protocol

import click

from newswire import escape
from newswire.cli import output
from newswire.cli.command import Command
from newswire.cli.options import BROKER_ID, brokers_option, config_option, json_option, option, times
from newswire.core import limits
from newswire.errors import NoBroker, Refused

if TYPE_CHECKING:
    from newswire.client.transport import Download
    from newswire.engine.embedded.archive import Archive, Manifest, Source

_STANDARD: Final = Path("-")
_ID_SHOWN: Final = 8  # characters of a cluster id


class Sink(Protocol):
    """What a backup is written to."""

    def write(self, data: bytes, /) -> object: ...


_file = click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))


# -- backup -------------------------------------------------------------------------------------------------------


@click.command(
    cls=Command,
    short_help="Copy a running broker into a file.",
    epilog="Examples: newswire backup monday.tar.gz; newswire backup - | ssh elsewhere 'cat > monday.tar.gz'",
)
@config_option
@brokers_option
@_file
@json_option
def backup(file: Path, brokers: tuple[str, ...], as_json: bool) -> int:
    """Write a copy of all that a running broker holds to FILE (a compressed tar), checked while it comes; - is standard output.

    The first of --brokers that answers is asked. FILE is there when the copy is whole, and else is as it was.
    """
    from newswire.client.unreached import Unreached
    from newswire.engine.embedded.archive import Archive

    if file == _STANDARD and sys.stdout.isatty():
        raise click.UsageError("A backup is no text: name a file, or lead standard output into one.")
    if file != _STANDARD and file.exists() and not file.is_file():  # a device or pipe, which a file would take the place of
        raise click.UsageError(f"Cannot write {escape.line(str(file))}, which is no file: name one, or - for standard output.")
    with ExitStack() as ending:
        download = _begin(brokers, ending)
        sink = ending.enter_context(
            _standard_output() if file == _STANDARD else _whole_file(file.resolve())
        )  # what a link leads to
        try:
            manifest, records, bad = _check(Archive(_Tee(download, sink)))
        except Unreached as error:
            raise NoBroker(f"the backup broke off: {error}. Nothing is written: try again") from None
    _tell_backup(file, manifest, records, bad, as_json=as_json)
    return output.DONE


def _begin(brokers: tuple[str, ...], ending: ExitStack) -> Download:
    from newswire.cli.credentials import signature
    from newswire.client.pool import BrokerPool
    from newswire.client.transport import Call, Download
    from newswire.client.unreached import Unreached

    pool = BrokerPool(brokers, **signature(brokers), **times(None))
    ending.callback(pool.close)
    reasons = []
    for address in pool.brokers.configured:
        try:
            pool.check_answers(address)
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
    from newswire.engine.embedded.archive import LineTally

    records = bad = done = 0
    with output.Bar("Copying") as bar:
        for _, parts in archive.segments():
            tally = LineTally()
            for part in parts:
                tally.add(part)
                done += len(part)
                bar(done, archive.manifest.length)
            tally.end()
            records, bad = records + tally.records, bad + tally.bad
    return archive.manifest, records, bad


@contextmanager
def _whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that is there when the block ends well, synced, and else is as it was. Raises click.ClickException."""
    import tempfile

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


def _tell_backup(file: Path, manifest: Manifest, records: int, bad: int, *, as_json: bool) -> None:
    from newswire.cli.local_time import in_words
    from newswire.core.model.times import rfc3339

    of = f"broker {manifest.broker}, cluster {_cluster(manifest.cluster)}, as of {in_words(rfc3339(manifest.time))}"
    where = "standard output" if file == _STANDARD else str(file)
    output.print_answer(
        f"Wrote {where}: {of}, {records:,} records, all checked.",
        as_json=as_json,
        to_stderr=file == _STANDARD,
        broker=manifest.broker,
        cluster=manifest.cluster,
        time=rfc3339(manifest.time),
        records=records,
        damaged=bad,
    )
    if bad:
        output.warn(
            f"{bad:,} {'record is' if bad == 1 else 'records are'} damaged at the broker already, and copied as they"
            " are: run `newswire opsfile check` there, and back up another broker, too."
        )


def _cluster(id: str) -> str:
    return id[:_ID_SHOWN] or "not settled yet"


# -- restore ------------------------------------------------------------------------------------------------------


@click.command(
    cls=Command,
    short_help="Make an ops directory of a backup.",
    epilog="Example: newswire restore monday.tar.gz --ops-dir ops_logs",
)
@config_option
@_file
@option(
    "--ops-dir", type=click.Path(path_type=Path, file_okay=False), default="ops_logs", help="Home of the ops files of brokers."
)
@option("--id", "broker_id", type=BROKER_ID, help="The broker that will run on it  [default: the one that was copied]")
@option("--new-cluster", is_flag=True, help="Begin a cluster of its own, which never joins the one that was copied.")
@json_option
def restore(file: Path, ops_dir: Path, broker_id: str | None, new_cluster: bool, as_json: bool) -> int:
    """Make an ops directory of the backup FILE (- is standard input): all of it is checked, or nothing is made.

    The broker may start on it then. It must not be running, and no other may have its id.
    """
    from newswire.cli.local_time import in_words
    from newswire.core.model.times import rfc3339
    from newswire.engine.embedded.archive import Archive
    from newswire.engine.embedded.restore import restore as make_directory

    with ExitStack() as ending:
        try:
            source: Source = sys.stdin.buffer if file == _STANDARD else ending.enter_context(file.open("rb"))
            archive = Archive(source)
            bar = ending.enter_context(output.Bar("Restoring"))
            made = make_directory(archive, ops_dir, broker_id or "", new_cluster=new_cluster, progress=bar)
        except OSError as error:
            raise Refused(
                f"cannot use {error.filename or file}: {error.strerror or error}. Nothing is restored", code="ops-dir"
            ) from error
    kind = "new cluster" if new_cluster else "cluster"
    output.print_answer(
        f"Restored broker {made.broker} of {kind} {_cluster(made.cluster)} as of {in_words(rfc3339(made.time))}:"
        f" {made.messages:,} messages, {made.subscriptions:,} subscriptions, in {made.directory}.",
        as_json=as_json,
        broker=made.broker,
        cluster=made.cluster,
        time=rfc3339(made.time),
        messages=made.messages,
        subscriptions=made.subscriptions,
        directory=str(made.directory),
        damaged_bytes=made.damaged_bytes,
    )
    if not new_cluster and not as_json:
        click.echo("What is newer comes from another broker of the cluster, if one has it; else it is gone.")
    if made.damaged_bytes:
        output.warn(
            f"{made.damaged_bytes:,} bytes were damaged at the broker already: run `newswire opsfile check"
            f" {escape.line(str(made.directory))}`."
        )
    return output.DONE
