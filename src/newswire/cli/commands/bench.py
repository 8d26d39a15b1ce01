"""`newswire bench`: what a running cluster can do, and what limits it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from newswire.cli import output
from newswire.cli.command import Command
from newswire.cli.options import brokers_option, config_option, json_option, option
from newswire.cli.parameters import Number, WholeNumber
from newswire.core import limits
from newswire.errors import NoBroker, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from newswire.cli.bench_load import BenchLoad
    from newswire.cli.bench_report import Measurement
    from newswire.cli.credentials import Signature
    from newswire.cli.summary import Status
    from newswire.client import Row

_MEASUREMENTS: Final = 5
_STORED_BYTES: Final = 300  # of a message beside its text, at each broker: about
_READERS_MOST: Final = 500  # threads of this process


@click.command(
    cls=Command,
    short_help="Measure what the brokers can do.",
    epilog="Examples: newswire bench; newswire bench --readers 50 --json",
)
@config_option
@brokers_option
@option("--seconds", type=Number(0.1, 60), default=2.0, help="Of each of the five measurements.")
@option("--clients", type=WholeNumber(1, 256), default=8, help="That publish at once.")
@option("--readers", type=WholeNumber(0, _READERS_MOST), default=10, help="Streams at once, by turns at each broker.")
@option("--size", type=WholeNumber(40, limits.MESSAGE_BYTES), default=100, help="Bytes of a message.")
@option("--yes", is_flag=True, help="Do not ask, also where the brokers are in use.")
@json_option
def bench(brokers: tuple[str, ...], seconds: float, clients: int, readers: int, size: int, yes: bool, as_json: bool) -> int:
    """Publish and read at the brokers for some seconds, and print how much a second, how late, and what limits it.

    The load is bounded and goes to a topic of its own, bench.XXXXXXXX; its messages expire within a minute, its subscriptions
    are ended. Where brokers are in use it asks first. Other load on them and on this machine makes figures lower.
    """
    from newswire.cli import summary
    from newswire.cli.bench_load import Bench, BenchLoad, shared_machine
    from newswire.cli.bench_report import as_objects, as_table, limits_in_words
    from newswire.cli.credentials import signature

    who = signature(brokers)
    status = summary.gather(brokers, who=who)
    if status.refusal:
        raise Refused(status.refusal)
    load = BenchLoad(seconds=seconds, clients=clients, streams=readers, size=size)
    username = _username(brokers, who)
    if username is not None and readers > limits.STREAMS_PER_USER:
        raise click.UsageError(f"--readers: where brokers ask who one is, one has {limits.STREAMS_PER_USER} at most.")
    if not yes and not _may_load(status, load):
        click.echo("Nothing was measured.")
        return output.FAILED
    rows = [row for row in summary.look(brokers, who=who).rows if row.state == "up"]
    if not rows:
        raise NoBroker("no broker is in sync: see `newswire status`")
    one = Bench(living_first(brokers, rows), who, rows, load, username)
    measurements: list[Measurement] = []
    with output.Bar("Measuring", after_seconds=0) as bar:
        bar(0, _MEASUREMENTS)
        for measurement in one.measure():
            measurements.append(measurement)
            bar(len(measurements), _MEASUREMENTS)
    here = shared_machine(rows)
    if as_json:
        output.print_json(
            {
                "topic": one.topic,
                "copies": status.copies,
                "brokers": [row.id for row in rows],
                "measurements": as_objects(measurements, here),
            }
        )
        return output.DONE
    held = f"{status.copies} {'broker' if status.copies == 1 else 'brokers'}"
    output.print_tables([as_table(measurements)])
    click.echo("\n".join(["", *limits_in_words(measurements, here), ""]))
    click.echo(f"Messages of {size} bytes, on the disks of {held} before the answer.")
    click.echo(f"Topic {one.topic} is gone in a minute; its subscriptions are ended.")
    return output.DONE


def living_first(brokers: Sequence[str], rows: Sequence[Row]) -> tuple[str, ...]:
    """The addresses that were named, those of `rows` first: each client would wait for one that hangs."""
    living = {row.ip for row in rows}
    return tuple(sorted(brokers, key=lambda address: address not in living))


def _username(brokers: Sequence[str], who: Signature) -> str | None:
    """Who reads the streams where brokers ask who that is; None where anybody may be anybody."""
    from newswire.client.access import AccessClient

    with AccessClient(brokers, **who, timeout=limits.CLI_CALL_SECONDS, absent=0) as client:
        me = client.me()
    return None if me.auth == "none" else me.username


def _may_load(status: Status, load: BenchLoad) -> bool:
    """Say what it would do to brokers that are in use, and ask. Raises Refused where nobody can be asked."""
    topics = sum(not str(topic.get("topic", "")).startswith("bench.") for topic in status.topics)
    streams = sum(one.streams or 0 for one in status.brokers)
    if not topics and not streams:
        return True
    count, size = load.most_messages(), load.most_messages() * (load.size + _STORED_BYTES)
    text = (
        f"These brokers are in use (topics: {topics:,}, streams: {streams:,})."
        f" For about {_MEASUREMENTS * load.seconds:.0f} seconds everybody would wait longer, and up to {count:,} messages"
        f" ({size // 1_000_000} MB) be stored for a minute."
    )
    if not sys.stdin.isatty():
        raise Refused(f"{text} To go on say --yes")
    click.echo(text, err=True)
    return click.confirm("Measure?", err=True)
