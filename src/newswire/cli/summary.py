"""The cluster at one moment: all brokers asked at once, what they tell made one picture, and the tables of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from newswire import escape
from newswire.cli import output
from newswire.cli.credentials import Signature, to_credential
from newswire.cli.local_time import in_sentence, in_words
from newswire.core import limits
from newswire.core.model.addresses import is_tls
from newswire.errors import NewswireError, NoBroker, Unauthenticated

if TYPE_CHECKING:
    from newswire.client import ClusterSnapshot, Row
    from newswire.client.transport import Transport

_TOPICS_SHOWN: Final = 20  # newest first; --json has all


@dataclass(frozen=True)
class BrokerSummary:
    """A broker. `state` is what the answering broker says of it, `ready` what it says itself, None when it did not answer.

    What a broker does not tell is None: `streams`, open ones; `copies` of a publish that it took now; `version`;
    `disk_free_bytes`, `disk_reserve_bytes`; `clock_seconds`, by which its clock is ahead of this machine's; `down_since`, RFC
    3339.
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
    disk_reserve_bytes: int | None = None
    clock_seconds: float | None = None
    down_since: str | None = None


@dataclass(frozen=True)
class Status:
    """The cluster at one moment. `copies`: brokers that would hold a message published now.

    `refusal`: why the broker that told all this is none of the cluster any more, "" if it is.
    """

    brokers: tuple[BrokerSummary, ...]
    copies: int
    topics: tuple[Mapping[str, Any], ...]
    refusal: str = ""


def look(brokers: Sequence[str], absent: float = limits.CLI_ABSENT_SECONDS, *, who: Signature) -> ClusterSnapshot:
    """Ask the first broker that answers who is there; for `absent` seconds if none is. Raises NoBroker, Unauthenticated."""
    from newswire.client.pool import BrokerPool

    pool = BrokerPool(brokers, **who, timeout=limits.CLI_CALL_SECONDS, absent=absent)
    try:
        return pool.look()
    finally:
        pool.close()


def gather(brokers: Sequence[str], absent: float = limits.CLI_ABSENT_SECONDS, *, who: Signature) -> Status:
    """Ask all brokers at once for the rows, and then each for how it is, and one for the topics.

    Raises NoBroker, and Unauthenticated where all who answer ask who asks.

    Each question may take `CLIENT_SIDE_SECONDS`, however many brokers hang. While nobody is there at all it is asked again, for
    `absent` seconds.
    """
    from newswire.client.failover import split
    from newswire.client.transport import Transport

    until, named = time.monotonic() + absent, split(brokers)
    new_transport = partial(Transport, credential=to_credential(who), tls_only=all(map(is_tls, named)))
    with ThreadPoolExecutor(limits.CLIENT_BROKERS_COUNT, thread_name_prefix="ask") as threads:
        while True:
            answers = list(threads.map(partial(_ask_rows, new_transport), named))
            speakers = [one for one in answers if one.rows]
            if speakers:
                break
            if any(one.is_there for one in answers) or time.monotonic() >= until:
                if stranger := next((one.stranger for one in answers if one.stranger), None):
                    raise stranger
                reasons = "; ".join(f"{one.address}: {one.refusal}" for one in answers)
                if any(one.is_there for one in answers):
                    raise NoBroker(f"no broker could serve this ({reasons}): try again")
                raise NoBroker(f"no broker is there ({reasons}): check that one runs there and try again")
            time.sleep(limits.BACKOFF_FIRST_SECONDS)
        best = min(speakers, key=lambda one: one.own is None or (one.own.state == "down", not one.own.is_primary))
        ours = {one.own.ip: one.address for one in speakers if one.own}
        topics = threads.submit(_ask, new_transport, best.address, "/topics")
        addresses = [row.ip for row in best.rows]
        conditions = threads.map(partial(_ask_condition, new_transport), [ours.get(ip, ip) for ip in addresses])
        ready = dict(zip(addresses, conditions, strict=True))
        listed = topics.result()
    status = combine(best.rows, ready, listed if isinstance(listed, list) else [])
    if best.own is None or best.own.state != "down":
        return status
    condition = ready.get(best.own.ip) or {}
    return replace(status, refusal=f"{best.address}: {condition.get('detail', 'this broker is no member any more')}")


class _Rows(NamedTuple):
    """What a broker told of all; `refusal`: why it told nothing; `is_there`: whether somebody may be there.

    `stranger`: the refusal of a broker that does not know who asks.
    """

    address: str
    rows: tuple[Row, ...] = ()
    refusal: str = ""
    is_there: bool = True
    stranger: Unauthenticated | None = None

    @property
    def own(self) -> Row | None:
        """What it says of itself."""
        return next((row for row in self.rows if row.itself), None)


def _ask_rows(new_transport: Callable[[], Transport], address: str) -> _Rows:
    from newswire.client import Row
    from newswire.client.transport import Call
    from newswire.client.unreached import Unreached

    try:
        with closing(new_transport()) as transport:
            answer = transport.send(address, Call("GET", "/list_replicas"), limits.CLIENT_SIDE_SECONDS)
        if strange := answer.why_strange():
            return _Rows(address, refusal=strange)
        if answer.status != 200:
            error = answer.error()
            return _Rows(address, refusal=error.detail, stranger=error if isinstance(error, Unauthenticated) else None)
        return _Rows(address, answer.read(tuple[Row, ...]))
    except Unreached as error:
        return _Rows(address, refusal=error.reason, is_there=error.perhaps)
    except NewswireError as error:
        return _Rows(address, refusal=error.detail)


def _ask_condition(new_transport: Callable[[], Transport], address: str) -> Mapping[str, Any] | None:
    """What a broker says of itself, and by how much its clock is ahead of the one here. None: no answer."""
    before = time.time()
    ready = _ask(new_transport, address, "/readyz")
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


def _ask(new_transport: Callable[[], Transport], address: str, path: str) -> Any:
    """Ask one broker, once; what it says of itself counts whatever its status. None: no answer."""
    from newswire.client.transport import Call
    from newswire.client.unreached import Unreached

    try:
        with closing(new_transport()) as transport:
            return transport.send(address, Call("GET", path), limits.CLIENT_SIDE_SECONDS).json()
    except (Unreached, NewswireError):
        return None


def combine(rows: Sequence[Row], ready: Mapping[str, Mapping[str, Any] | None], topics: Sequence[Mapping[str, Any]]) -> Status:
    """Make one picture of what was told; primary first."""
    summaries = [_broker(row, ready.get(row.ip)) for row in sorted(rows, key=lambda row: (not row.is_primary, row.id))]
    newest = sorted(topics, key=lambda topic: str(topic.get("last") or ""), reverse=True)
    told = [broker for broker in summaries if broker.copies is not None]
    best = next((broker for broker in told if broker.ready), told[0] if told else None)  # who is not ready takes none
    copies = sum(row.state == "up" for row in rows) if best is None else best.copies or 0
    return Status(tuple(summaries), copies, tuple(newest))


def _broker(row: Row, condition: Mapping[str, Any] | None) -> BrokerSummary:
    notes = [f"down since {row.down_since}"] if row.down_since else []
    notes += [row.detail] if row.detail else []
    if condition is None:
        notes.append("does not answer here")
    else:
        notes += [] if condition.get("ready") else [str(condition.get("detail", "not ready"))]
        notes += [str(reason) for reason in (*condition.get("degraded", ()), *condition.get("warnings", ()))]
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
        disk_reserve_bytes=facts.get("disk_reserve_bytes"),
        clock_seconds=ahead,
        down_since=row.down_since or None,
    )


def as_tables(status: Status) -> list[output.Table]:
    """The status as output."""
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
            in_sentence("; ".join(one.notes)),
        )
        for at, one in enumerate(status.brokers)
    ]
    promise = (
        "no broker would take"
        if not status.copies
        else f"{status.copies} {'broker' if status.copies == 1 else 'brokers'} would hold"
    )
    reserves = [one.disk_reserve_bytes for one in status.brokers if one.disk_reserve_bytes is not None]
    refusal = f" With less than {_size(max(reserves))} free a broker takes none." if reserves else ""
    sections = [
        (str(t.get("topic", "")), f"{t.get('messages', 0):,}", in_words(str(t.get("last") or "")))
        for t in status.topics[:_TOPICS_SHOWN]
    ]
    others = len(status.topics) - len(sections)
    note = "No topics yet." if not sections else f"and {others} more" if others else ""
    return [
        output.Table(headings, rows, f"{promise} a message published now.{refusal}"),
        output.Table(("Topic", "Messages", "Last"), sections, note),
    ]


def row_line(row: Row) -> str:
    """A broker on one line, as the menus list it."""
    role = "primary" if row.is_primary else "secondary"
    return escape.line(
        f"{row.ip}  broker {row.id}, {role}, {row.state}" + (f", lacks {row.lag:,} operations" if row.lag else "")
    )


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
