"""`newswire status`: what the brokers say of the cluster and of themselves."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from newswire import escape
from newswire.cli import exits, tables
from newswire.core import limits
from newswire.errors import NewswireError

if TYPE_CHECKING:
    from rich.console import Group

    from newswire.client import Look, Row
    from newswire.client.cluster import Cluster

_TOPICS_SHOWN: Final = 20  # newest first; --json has all


@dataclass(frozen=True)
class BrokerStatus:
    """A broker. `state` is what the answering broker says of it, `ready` what it says itself, None when it did not answer.

    `streams`: open ones, None where a broker does not tell.
    """

    id: str
    address: str
    role: str
    state: str
    lag: int
    ready: bool | None
    streams: int | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Status:
    """The cluster at one moment. `copies`: brokers that would hold a message published now."""

    brokers: tuple[BrokerStatus, ...]
    copies: int
    topics: tuple[Mapping[str, Any], ...]


def run(*, brokers: tuple[str, ...], as_json: bool, watch: bool) -> int:
    """Print the status, again and again with `watch`. Raises NoBroker."""
    if not watch:
        status = gather(brokers)
        click.echo(as_text(status)) if as_json else show(status)
        return exits.DONE
    try:
        _watch_json(brokers) if as_json else _watch(brokers)
    except KeyboardInterrupt:
        pass
    return exits.DONE


def look(brokers: Sequence[str], absent: float = limits.CLI_ABSENT_SECONDS) -> Look:
    """Ask the first broker that answers who is there; for `absent` seconds if none is. Raises NoBroker."""
    from newswire.client.cluster import Cluster

    cluster = Cluster(brokers, timeout=limits.CLI_CALL_SECONDS, absent=absent)
    try:
        return cluster.look()
    finally:
        cluster.close()


def gather(brokers: Sequence[str], absent: float = limits.CLI_ABSENT_SECONDS) -> Status:
    """Ask a broker for the rows and the topics, and each broker how it is. Raises NoBroker."""
    from newswire.client.cluster import Cluster

    cluster = Cluster(brokers, timeout=limits.CLI_CALL_SECONDS, absent=absent)
    try:
        rows = cluster.look().rows
        topics = _ask(cluster, cluster.current, "/topics")
        ready = {row.ip: _ask(cluster, cluster.brokers.ours(row.ip), "/readyz") for row in rows}
    finally:
        cluster.close()
    told = {address: answer if isinstance(answer, dict) else None for address, answer in ready.items()}
    return combine(rows, told, topics if isinstance(topics, list) else [])


def _ask(cluster: Cluster, address: str, path: str) -> Any:
    """Ask one broker, once; what it says of itself counts whatever its status. None: no answer."""
    from newswire.client.transport import Call, Unreached

    try:
        return cluster.transport.send(address, Call("GET", path), limits.CLIENT_SIDE_SECONDS).json()
    except (Unreached, NewswireError):
        return None


def combine(rows: Sequence[Row], ready: Mapping[str, Mapping[str, Any] | None], topics: Sequence[Mapping[str, Any]]) -> Status:
    """Make one picture of what was told; primary first."""
    found = [_broker(row, ready.get(row.ip)) for row in sorted(rows, key=lambda row: (not row.is_primary, row.id))]
    newest = sorted(topics, key=lambda topic: str(topic.get("last") or ""), reverse=True)
    return Status(tuple(found), sum(row.state == "up" for row in rows), tuple(newest))


def _broker(row: Row, told: Mapping[str, Any] | None) -> BrokerStatus:
    notes = [row.detail] if row.detail else []
    if told is None:
        notes.append("does not answer here")
    else:
        notes += [] if told.get("ready") else [str(told.get("detail", "not ready"))]
        notes += [str(reason) for reason in told.get("degraded", ())]
    streams = told.get("streams") if told else None
    role = "primary" if row.is_primary else "secondary"
    ready = None if told is None else bool(told.get("ready"))
    return BrokerStatus(row.id, row.ip, role, row.state, row.lag, ready, streams, tuple(dict.fromkeys(notes)))


def as_text(status: Status) -> str:
    """The status as JSON on one line."""
    text = json.dumps(asdict(status), ensure_ascii=False)
    return escape.json(text) if sys.stdout.isatty() else text


def as_tables(status: Status) -> list[tables.Table]:
    """The status as tables."""
    tell = any(broker.streams is not None for broker in status.brokers)
    headings = ("Broker", "Address", "Role", "State", "Lag", *(["Streams"] if tell else []), "")
    rows = [_cells(broker, tell) for broker in status.brokers]
    held = "no broker would take" if not status.copies else f"{_brokers(status.copies)} would hold"
    shown = [
        (str(t.get("topic", "")), f"{t.get('messages', 0):,}", str(t.get("last") or "")) for t in status.topics[:_TOPICS_SHOWN]
    ]
    more = len(status.topics) - len(shown)
    note = "No topics yet." if not shown else f"and {more} more" if more else ""
    return [
        tables.Table(headings, rows, f"{held} a message published now."),
        tables.Table(("Topic", "Messages", "Newest"), shown, note),
    ]


def row_line(row: Row) -> str:
    """A broker on one line, as the menus list it."""
    role = "primary" if row.is_primary else "secondary"
    return escape.line(
        f"{row.ip}  broker {row.id}, {role}, {row.state}" + (f", lacks {row.lag:,} operations" if row.lag else "")
    )


def show(status: Status, file: TextIO | None = None) -> None:
    """Print the tables."""
    tables.print_tables(as_tables(status), file)


def _cells(broker: BrokerStatus, tell: bool) -> tuple[str, ...]:
    streams = "-" if broker.streams is None else f"{broker.streams:,}"
    more = [streams] if tell else []
    return (broker.id, broker.address, broker.role, broker.state, f"{broker.lag:,}", *more, "; ".join(broker.notes))


def _brokers(count: int) -> str:
    return "1 broker" if count == 1 else f"{count} brokers"


def _watch(brokers: Sequence[str]) -> None:
    from rich.console import Console
    from rich.live import Live

    if not sys.stdout.isatty():  # Live would show nothing before its end
        while True:
            Console().print(_picture(brokers))
            _pause()
    with Live(auto_refresh=False, screen=True) as live:
        for picture in iter(lambda: _picture(brokers), None):
            live.update(picture, refresh=True)
            _pause()


def _picture(brokers: Sequence[str]) -> Group:
    try:
        return tables.rendered(as_tables(gather(brokers)))
    except NewswireError as error:
        return tables.rendered([tables.Table((), (), exits.sentence(error))])


def _watch_json(brokers: Sequence[str]) -> None:
    while True:
        try:
            click.echo(as_text(gather(brokers)))
        except NewswireError as error:
            click.echo(f"newswire: {exits.sentence(error)}", err=True)
        _pause()


def _pause() -> None:
    import time

    time.sleep(limits.STATUS_EVERY_SECONDS)
