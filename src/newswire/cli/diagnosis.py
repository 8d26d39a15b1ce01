"""What usually goes wrong, found in what brokers say of themselves and of each other. Pure: `newswire doctor` asks them.

A finding names what is wrong and what to do about it. Each check below looks at all brokers and yields what it finds; none of
them repeats what another one says better.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import msgspec

from newswire.client import Row
from newswire.core import limits
from newswire.core.model import conditions
from newswire.core.model.addresses import place_of
from newswire.core.model.times import span

_STREAMS_FULL: Final = 0.9  # of what there may be: time to allow more before one is refused
_WAY_BETWEEN: Final = (
    "both are reached from here, so it is the way between them: a firewall, a route, or an --advertise address that the other"
    " one cannot reach"
)
_FILLS_NOTED_SECONDS: Final = 60 * 86_400  # a day further off is no news
_CERTIFICATE_SECONDS: Final = 14 * 86_400  # before its end a certificate is renewed, and shown, or nobody does it
_CERTIFICATE_SHARE: Final = 0.25  # of its time, where it is good for less: what renews them begins at a third
_REACHES: Final = ("machine", "network", "internet")  # who gets to an address, the fewest first
_FILLS_WRONG_SECONDS: Final = limits.DISK_FILLS_DAYS * 86_400


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """How many seconds a certificate is good, and how many of them are left."""

    seconds: float
    seconds_left: float


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """One broker, asked from here.

    `refusal` is why it gave no answer, "" if it did; `is_stranger`: it does not know who asks. `condition` is its `/readyz`,
    `rows` its `/list_replicas`.
    `clock_seconds`: by how much its clock is ahead of this machine's, None where it did not say. `stream`: how opening one
    went (`opened`, `held back`, or why it was refused), "" if nobody tried. `asks`: clients must say who they are.
    `certificate`: that which is shown at its address, None where that cannot be told, and without TLS.
    """

    address: str
    id: str = ""
    refusal: str = ""
    is_stranger: bool = False
    condition: Mapping[str, Any] = {}
    rows: tuple[Row, ...] = ()
    clock_seconds: float | None = None
    stream: str = ""
    asks: bool = False
    certificate: Certificate | None = None

    @property
    def name(self) -> str:
        """What people call it."""
        return f"broker {self.id}, {self.address}" if self.id else self.address

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it was asked, and where it says that others reach it: on its own machine these differ."""
        return tuple(dict.fromkeys((self.address, *(row.ip for row in self.rows if row.itself))))


class Finding(msgspec.Struct, frozen=True):
    """Something that an operator should know. `severity`: `wrong` makes `newswire doctor` end with 1, `note` does not."""

    code: str
    severity: Literal["wrong", "note"]
    text: str
    advice: str


def diagnose(brokers: Sequence[Examined]) -> list[Finding]:
    """Return what is wrong with these brokers, the gravest first. Empty: nothing was found."""
    findings = [finding for check in _CHECKS for finding in check(brokers)]
    return sorted(dict.fromkeys(findings), key=lambda finding: finding.severity != "wrong")


def _answering(brokers: Sequence[Examined]) -> list[Examined]:
    return [broker for broker in brokers if not broker.refusal]


def find_unreached(brokers: Sequence[Examined]) -> Iterator[Finding]:
    """Who gives no answer here."""
    for broker in brokers:
        if not broker.refusal:
            continue
        rows = [(one.id, row) for one in _answering(brokers) for row in one.rows if row.ip == broker.address]
        name = next((f"broker {row.id}, {row.ip}," for _, row in rows if row.id), broker.address)
        seen_up = [seer for seer, row in rows if row.state == "up"]
        if seen_up:
            yield Finding(
                code="unreached-here",
                severity="wrong",
                text=f"{name} cannot be reached from here ({broker.refusal}), though broker {', '.join(seen_up)} reaches it",
                advice="clients as far away as this machine cannot use it either: open its port in the firewall, or"
                " set --advertise to an address that clients can reach",
            )
        else:
            yield Finding(
                code="unreached",
                severity="wrong",
                text=f"{name} cannot be reached ({broker.refusal})",
                advice="start it, or look at its log; one that is gone for good should be removed: newswire remove-replica",
            )


def find_not_ready(brokers: Sequence[Examined]) -> Iterator[Finding]:
    """Who answers, and serves no clients."""
    for broker in _answering(brokers):
        if not broker.condition.get("ready", True):
            yield Finding(
                code="not-ready",
                severity="wrong",
                text=f"{broker.name} serves no clients: {broker.condition.get('detail', 'it does not say why')}",
                advice="clients use another broker meanwhile; if it stays so for minutes, its log says what it waits for",
            )


def find_broken_links(brokers: Sequence[Examined]) -> Iterator[Finding]:
    """What brokers say of each other, where both of the two answer here: then the way between them is at fault."""
    answering = {address for broker in _answering(brokers) for address in broker.addresses}
    for broker in _answering(brokers):
        for row in broker.rows:
            if row.itself or row.ip not in answering or row.state in ("up", "catching-up"):
                continue
            condition = conditions.OF_STATE.get(row.state)
            why = f" ({row.detail})" if row.detail else ""
            code = condition.code if condition else "peer-unreached"
            yield Finding(
                code=code,
                severity="wrong",
                text=f"{broker.name} says that {row.ip} is {row.state}{why}, though both answer here",
                advice=condition.advice if condition else _WAY_BETWEEN,
            )


def find_holes(brokers: Sequence[Examined]) -> Iterator[Finding]:
    """Every broker names all holes: each is told once."""
    for hole in {_hole(hole) for broker in _answering(brokers) for hole in broker.condition.get("holes", ())}:
        broker, origin, first, last, waiting = hole
        yield Finding(
            code="hole",
            severity="wrong",
            text=f"broker {broker} lacks operations {first} to {last} of {origin}, and {waiting} more wait behind them",
            advice=conditions.HOLE.advice,
        )


def _hole(hole: Mapping[str, Any]) -> tuple[str, str, int, int, int]:
    return (str(hole["broker"]), str(hole["origin"]), int(hole["first"]), int(hole["last"]), int(hole.get("waiting", 0)))


def find_disks(brokers: Sequence[Examined]) -> Iterator[Finding]:
    """Disks that are full, nearly so, or soon will be."""
    for broker in _answering(brokers):
        free = broker.condition.get("disk_free_bytes")
        if free is None:
            continue
        reserve = broker.condition.get("disk_reserve_bytes", limits.DISK_RESERVE_BYTES)
        if free < conditions.low_water(free, broker.condition.get("ops_file_bytes", 0), reserve):
            condition = conditions.DISK_FULL if free <= reserve else conditions.DISK_LOW
            refusal = f"below {reserve // 2**20} MiB it refuses publishes" if free > reserve else "publishing is refused there"
            yield Finding(
                code=condition.code,
                severity="wrong",
                text=f"the disk of {broker.name} has {free // 2**20} MiB left: {refusal}",
                advice=condition.advice,
            )
        earliest, latest = broker.condition.get("disk_full_seconds", (None, None))
        if earliest is None or earliest > _FILLS_NOTED_SECONDS:
            continue
        first, last = _day(broker, earliest), _day(broker, latest)
        when = f"on {first}" if first == last else f"between {first} and {last}" if last else f"on {first}, or perhaps never"
        yield Finding(
            code=conditions.DISK_FILLS.code,
            severity="wrong" if latest is not None and latest < _FILLS_WRONG_SECONDS else "note",
            text=f"the disk of {broker.name} is full {when}, if its ops file grows on as in the last days",
            advice=conditions.DISK_FILLS.advice,
        )


def _day(broker: Examined, seconds: int | None) -> str:
    """The day in so many seconds, by the broker's clock, as it counts days (UTC); "" for never."""
    if seconds is None:
        return ""
    try:
        now = datetime.fromisoformat(str(broker.condition.get("time")))
    except ValueError:
        now = datetime.now(UTC)
    return f"{now + timedelta(seconds=seconds):%Y-%m-%d}"


def find_clocks(brokers: Sequence[Examined]) -> Iterator[Finding]:
    """Differences between brokers are wrong; if all differ alike it is this machine's clock that is."""
    ahead = [(broker, broker.clock_seconds) for broker in _answering(brokers) if broker.clock_seconds is not None]
    if not ahead:
        return
    low, high = min(ahead, key=lambda one: one[1]), max(ahead, key=lambda one: one[1])
    if high[1] - low[1] > limits.CLOCK_NOTE_SECONDS:
        yield Finding(
            code="clocks-apart",
            severity="wrong",
            text=f"the clock of {high[0].name} is {high[1] - low[1]:.0f} s ahead of that of {low[0].name}",
            advice="run NTP (chrony or systemd-timesyncd) on both: times of messages and their age are told by these clocks",
        )
    elif min(abs(low[1]), abs(high[1])) > limits.CLOCK_NOTE_SECONDS:
        way = "behind" if low[1] > 0 else "ahead of"
        yield Finding(
            code="clock-here",
            severity="note",
            text=f"the clock of this machine is {abs(low[1]):.0f} s {way} those of the brokers",
            advice="run NTP here, too: `--from 10m` and the like are told by the brokers' clocks",
        )


def find_certificates(brokers: Sequence[Examined]) -> Iterator[Finding]:
    """Certificates that are good no more soon: those of all brokers may have been made on one day."""
    for broker in _answering(brokers):
        its = broker.certificate
        if its is not None and its.seconds_left < min(_CERTIFICATE_SECONDS, _CERTIFICATE_SHARE * its.seconds):
            left = span(int(its.seconds_left * 1000))
            yield Finding(
                code="certificate-ends",
                severity="wrong",
                text=f"the certificate at {broker.address} ends in {left}: nobody goes there then",
                advice="renew it; if that was done, the proxy has not read it (nginx: systemctl reload nginx, each time)",
            )


def find_versions(brokers: Sequence[Examined]) -> Iterator[Finding]:
    """Versions that differ."""
    versions = {broker.id: str(broker.condition["version"]) for broker in _answering(brokers) if "version" in broker.condition}
    if len(set(versions.values())) > 1:
        each = ", ".join(f"broker {name} {version}" for name, version in sorted(versions.items()))
        yield Finding(
            code="versions-differ",
            severity="note",
            text=f"the brokers run different versions: {each}",
            advice="fine during an upgrade: finish it soon",
        )


def find_full_streams(brokers: Sequence[Examined]) -> Iterator[Finding]:
    """Streams that are nearly as many as there may be, and limits that descriptors do not allow."""
    for broker in _answering(brokers):
        count, most = broker.condition.get("streams", 0), broker.condition.get("streams_limit", 0)
        limit = broker.condition.get("streams_configured", 0)
        if most and count >= _STREAMS_FULL * most:
            yield Finding(
                code="streams-full",
                severity="wrong",
                text=f"{broker.name} has {count:,} open streams of at most {most:,}",
                advice="raise --streams and the descriptor limit (LimitNOFILE, ulimit -n), or add a broker",
            )
        if limit > most > 0:
            yield Finding(
                code="descriptors",
                severity="note",
                text=f"{broker.name} may have {most:,} streams, not {limit:,} as configured: too few descriptors are allowed",
                advice="raise LimitNOFILE in its unit (or ulimit -n), or lower --streams",
            )


def find_stream_of_user(brokers: Sequence[Examined]) -> Iterator[Finding]:
    """What became of the stream that was opened."""
    for broker in _answering(brokers):
        if broker.stream == "held back":
            yield Finding(
                code="proxy-buffers",
                severity="wrong",
                text=f"a stream of {broker.name} opens, but nothing of it arrives here",
                advice="something between here and the broker collects answers before it passes them on: switch buffering off"
                " for /stream (nginx: proxy_buffering off; deploy/nginx.conf has it)",
            )
        elif broker.stream not in ("", "opened"):
            yield Finding(
                code="stream-refused",
                severity="wrong",
                text=f"{broker.name} opens no stream for this user: {broker.stream}",
                advice="name a user who is registered for a topic: whether a proxy holds streams back could not be looked at",
            )


def find_open(brokers: Sequence[Examined]) -> Iterator[Finding]:
    """A broker on another address than loopback that asks nobody who he is."""
    for broker in _answering(brokers):
        reach, address = max((_REACHES.index(_reach(address)), address) for address in broker.addresses)
        if reach and not broker.asks:
            name = broker.name if address == broker.address else f"{broker.name}, which others reach at {address},"
            yield Finding(
                code="open-broker",
                severity="wrong" if _REACHES[reach] == "internet" else "note",
                text=f"{name} lets anybody who reaches it publish and read",
                advice="start it with --auth required, or keep its port inside a network that you trust",
            )


def _reach(address: str) -> str:
    """Who gets to an address: this machine, a network (as far as a name tells), or all of the Internet."""
    host = place_of(address).host
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return "machine" if host == "localhost" else "network"
    return "machine" if ip.is_loopback else "internet" if ip.is_global else "network"


def find_alone(brokers: Sequence[Examined]) -> Iterator[Finding]:
    """One broker alone."""
    if len(brokers) == 1:
        yield Finding(
            code="alone",
            severity="note",
            text="there is one broker: while it is down nothing is delivered, and what its disk loses is lost",
            advice="start a second one on another machine with --peer and the address of this one",
        )


# What a finding of the checks above says more of, by its code: conditions that brokers name themselves.
_SAYS_MORE: Final = {
    "unreached": ("peer-down",),
    "unreached-here": ("peer-down",),
    "peer-unreached": ("peer-down",),
    "disk-full": ("disk-full", "peer-disk-full"),
    "hole": ("hole", "more-holes"),
}


def find_others(brokers: Sequence[Examined]) -> Iterator[Finding]:
    """What brokers call degraded, or foresee, and no check above has found."""
    found = {finding.code for check in _CHECKS if check is not find_others for finding in check(brokers)}
    said = {condition for code in found for condition in _SAYS_MORE.get(code, (code,))}
    for broker in _answering(brokers):
        reasons = [(reason, "degraded") for reason in broker.condition.get("degraded", ())]
        reasons += [(reason, "warning") for reason in broker.condition.get("warnings", ())]
        answers = {conditions.STALE.say(peer=row.ip) for row in broker.rows if row.state in conditions.OF_STATE}
        for reason, kind in reasons:
            condition = conditions.condition_of(reason)
            if reason in answers or (condition is not None and condition.code in said):
                continue
            yield Finding(
                code=condition.code if condition else kind,
                severity="wrong" if kind == "degraded" else "note",
                text=f"{broker.name}: {reason}",
                advice=condition.advice if condition else "docs/operate.md, Conditions, says what to do",
            )


_CHECKS: Final[tuple[Callable[[Sequence[Examined]], Iterator[Finding]], ...]] = (
    find_unreached, find_not_ready, find_broken_links, find_holes, find_disks, find_clocks, find_certificates, find_versions,
    find_full_streams, find_stream_of_user, find_open, find_alone, find_others,
)  # fmt: skip
