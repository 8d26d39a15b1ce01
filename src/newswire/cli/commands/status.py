"""`newswire status`: what the brokers say of the cluster and of themselves."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from newswire import escape
from newswire.cli import exits, output, tables
from newswire.core import limits
from newswire.errors import NewswireError

if TYPE_CHECKING:
    from rich.console import Group

    from newswire.client import ClusterSnapshot, Row
    from newswire.client.pool import BrokerPool

_TOPICS_SHOWN: Final = 20  # newest first; --json has all


@dataclass(frozen=True)
class BrokerSummary:
    """A broker. `state` is what the answering broker says of it, `ready` what it says itself, None when it did not answer.

    What a broker does not tell is None: `streams`, open ones; `copies` of a publish that it took now; `version`;
    `disk_free_bytes`; `clock_seconds`, by which its clock is ahead of this machine's; `down_since`, RFC 3339.
    """

    id: str
    address: str
    role: str
    state: str
    lag: int
    ready: bool | None
    streams: int | None
    notes: tuple[str, ...] = ()
    copies: int | None = None
    version: str | None = None
    disk_free_bytes: int | None = None
    clock_seconds: float | None = None
    down_since: str | None = None


@dataclass(frozen=True)
class Status:
    """The cluster at one moment. `copies`: brokers that would hold a message published now."""

    brokers: tuple[BrokerSummary, ...]
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


def look(brokers: Sequence[str], absent: float = limits.CLI_ABSENT_SECONDS) -> ClusterSnapshot:
    """Ask the first broker that answers who is there; for `absent` seconds if none is. Raises NoBroker."""
    from newswire.client.pool import BrokerPool

    pool = BrokerPool(brokers, timeout=limits.CLI_CALL_SECONDS, absent=absent)
    try:
        return pool.look()
    finally:
        pool.close()


def gather(brokers: Sequence[str], absent: float = limits.CLI_ABSENT_SECONDS) -> Status:
    """Ask a broker for the rows and the topics, and each broker how it is. Raises NoBroker."""
    from newswire.client.pool import BrokerPool

    pool = BrokerPool(brokers, timeout=limits.CLI_CALL_SECONDS, absent=absent)
    try:
        rows = pool.look().rows
        topics = _ask(pool, pool.current, "/topics")
        ready = {row.ip: _ask_condition(pool, pool.brokers.ours(row.ip)) for row in rows}
    finally:
        pool.close()
    return combine(rows, ready, topics if isinstance(topics, list) else [])


def _ask_condition(pool: BrokerPool, address: str) -> Mapping[str, Any] | None:
    """What a broker says of itself, and by how much its clock is ahead of the one here. None: no answer."""
    before = time.time()
    ready = _ask(pool, address, "/readyz")
    if not isinstance(ready, dict):
        return None
    return {**ready, "clock_seconds": clock_ahead(ready.get("time"), before, time.time())}


def clock_ahead(stamp: object, before: float, after: float) -> float | None:
    """By how many seconds a clock that said `stamp` (RFC 3339) between `before` and `after` is ahead; 0 if that explains it."""
    try:
        moment = datetime.fromisoformat(str(stamp)).timestamp()
    except ValueError:
        return None
    return round(max(0.0, moment - after) - max(0.0, before - moment), 3)


def _ask(pool: BrokerPool, address: str, path: str) -> Any:
    """Ask one broker, once; what it says of itself counts whatever its status. None: no answer."""
    from newswire.client.transport import Call, Unreached

    try:
        return pool.transport.send(address, Call("GET", path), limits.CLIENT_SIDE_SECONDS).json()
    except (Unreached, NewswireError):
        return None


def combine(rows: Sequence[Row], ready: Mapping[str, Mapping[str, Any] | None], topics: Sequence[Mapping[str, Any]]) -> Status:
    """Make one picture of what was told; primary first."""
    summaries = [_broker(row, ready.get(row.ip)) for row in sorted(rows, key=lambda row: (not row.is_primary, row.id))]
    newest = sorted(topics, key=lambda topic: str(topic.get("last") or ""), reverse=True)
    copies = next((broker.copies for broker in summaries if broker.ready and broker.copies is not None), None)
    return Status(tuple(summaries), sum(row.state == "up" for row in rows) if copies is None else copies, tuple(newest))


def _broker(row: Row, condition: Mapping[str, Any] | None) -> BrokerSummary:
    notes = [f"down since {row.down_since}"] if row.down_since else []
    notes += [row.detail] if row.detail else []
    if condition is None:
        notes.append("does not answer here")
    else:
        notes += [] if condition.get("ready") else [str(condition.get("detail", "not ready"))]
        notes += [str(reason) for reason in condition.get("degraded", ())]
    facts = condition or {}
    ahead = facts.get("clock_seconds")
    if ahead is not None and abs(ahead) > limits.CLOCK_NOTE_SECONDS:
        notes.append(f"its clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine's")
    return BrokerSummary(
        id=row.id,
        address=row.ip,
        role="primary" if row.is_primary else "secondary",
        state=row.state,
        lag=row.lag,
        ready=None if condition is None else bool(condition.get("ready")),
        streams=facts.get("streams"),
        notes=tuple(dict.fromkeys(notes)),
        copies=facts.get("copies"),
        version=facts.get("version"),
        disk_free_bytes=facts.get("disk_free_bytes"),
        clock_seconds=ahead,
        down_since=row.down_since or None,
    )


def as_text(status: Status) -> str:
    """The status as JSON on one line."""
    text = json.dumps(asdict(status), ensure_ascii=False)
    return escape.json(text) if sys.stdout.isatty() else text


def as_tables(status: Status) -> list[tables.Table]:
    """The status as tables."""
    more = {heading: cells for heading, cells in _told(status.brokers).items() if any(cell != "-" for cell in cells)}
    headings = ("Broker", "Address", "Role", "State", "Lag", *more, "")
    rows = [
        (
            one.id,
            one.address,
            one.role,
            one.state,
            f"{one.lag:,}",
            *(cells[at] for cells in more.values()),
            "; ".join(one.notes),
        )
        for at, one in enumerate(status.brokers)
    ]
    promise = (
        "no broker would take"
        if not status.copies
        else f"{status.copies} {'broker' if status.copies == 1 else 'brokers'} would hold"
    )
    sections = [
        (str(t.get("topic", "")), f"{t.get('messages', 0):,}", str(t.get("last") or "")) for t in status.topics[:_TOPICS_SHOWN]
    ]
    others = len(status.topics) - len(sections)
    note = "No topics yet." if not sections else f"and {others} more" if others else ""
    return [
        tables.Table(headings, rows, f"{promise} a message published now."),
        tables.Table(("Topic", "Messages", "Newest"), sections, note),
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


def _told(brokers: Sequence[BrokerSummary]) -> dict[str, list[str]]:
    """What brokers say of themselves, a column each; `-` where one does not."""
    return {
        "Copies": ["-" if one.copies is None else str(one.copies) for one in brokers],
        "Streams": ["-" if one.streams is None else f"{one.streams:,}" for one in brokers],
        "Free": ["-" if one.disk_free_bytes is None else _size(one.disk_free_bytes) for one in brokers],
        "Version": [one.version or "-" for one in brokers],
    }


def _size(count: int) -> str:
    """Bytes as people say them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count} {unit}"
        count //= 1000
    return f"{count:,} TB"


def _watch(brokers: Sequence[str]) -> None:
    from rich.console import Console
    from rich.live import Live

    if not sys.stdout.isatty():  # Live would show nothing before its end
        while output.failure() is None:
            Console().print(_picture(brokers, Console().width))
            _pause()
        return
    with Live(auto_refresh=False, screen=True) as live:
        while output.failure() is None:
            live.update(_picture(brokers, live.console.width), refresh=True)
            _pause()


def _picture(brokers: Sequence[str], columns: int) -> Group:
    try:
        return tables.rendered(as_tables(gather(brokers)), columns)
    except NewswireError as error:
        return tables.rendered([tables.Table((), (), exits.sentence(error))], columns)


def _watch_json(brokers: Sequence[str]) -> None:
    while output.failure() is None:
        try:
            click.echo(as_text(gather(brokers)))
        except NewswireError as error:
            click.echo(f"newswire: {exits.sentence(error)}", err=True)
        _pause()


def _pause() -> None:
    time.sleep(limits.STATUS_EVERY_SECONDS)
