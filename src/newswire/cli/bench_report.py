"""What `newswire bench` makes of what it measured: percentiles, shares, and in words what limits each figure. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from newswire.cli import output

_BUSY: Final = 0.85  # of a core, or of the time: what is so busy is what limits
_DISK_BUSY: Final = 0.6  # of the time: between two commits a broker has to think, too


@dataclass(frozen=True)
class BrokerNumbers:
    """What a broker's metrics say at one moment: seconds of processor and of commits, commits, requests refused as too many."""

    cpu_seconds: float = 0.0
    commit_seconds: float = 0.0
    commits: float = 0.0
    refusals: float = 0.0


@dataclass(frozen=True)
class BrokerUse:
    """What a measurement took of a broker: `cpu`, of one core; `disk`, of the time; a commit's mean; refusals (429)."""

    id: str
    cpu: float
    disk: float
    commit_milliseconds: float
    refusals: int


@dataclass(frozen=True)
class Measurement:
    """`count` of `unit` in `seconds`; latencies in milliseconds, None where none were measured; `client_cpu` of one core."""

    name: str
    unit: str
    count: int
    seconds: float
    p50: float | None
    p99: float | None
    client_cpu: float
    brokers: tuple[BrokerUse, ...] = ()

    @property
    def rate(self) -> float:
        """A second."""
        return self.count / self.seconds if self.seconds else 0.0


def percentile(values: Sequence[float], share: float) -> float | None:
    """The least of `values` that at least `share` of them do not exceed; None of none."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else None


def numbers_of(families: Iterable[Any]) -> BrokerNumbers:
    """What is needed of a broker's metrics, as prometheus_client parses them."""
    samples = [sample for family in families for sample in family.samples]

    def total(name: str, **labels: str) -> float:
        return sum(float(one.value) for one in samples if one.name == name and labels.items() <= one.labels.items())

    return BrokerNumbers(
        cpu_seconds=total("newswire_cpu_seconds_total"),
        commit_seconds=total("newswire_commit_seconds_sum"),
        commits=total("newswire_commit_seconds_count"),
        refusals=total("newswire_http_requests_total", status="429"),
    )


def use_of(id: str, before: BrokerNumbers, after: BrokerNumbers, seconds: float) -> BrokerUse:
    """What lies between two looks that are `seconds` apart."""
    commits, spent = after.commits - before.commits, after.commit_seconds - before.commit_seconds
    return BrokerUse(
        id=id,
        cpu=(after.cpu_seconds - before.cpu_seconds) / seconds,
        disk=spent / seconds,
        commit_milliseconds=1_000 * spent / commits if commits else 0.0,
        refusals=int(after.refusals - before.refusals),
    )


@dataclass(frozen=True)
class SharedMachine:
    """This machine, where brokers run on it, too: its processors, and how many programs want one (the load average)."""

    cores: int
    load: float


def limit(one: Measurement, here: SharedMachine | None) -> str:
    """What kept the figure from being higher, in words. `here`: None where brokers run elsewhere."""
    refusals = sum(broker.refusals for broker in one.brokers)
    if refusals:
        return f"a limit of the brokers: {refusals:,} requests were refused as too many (429)"
    used = one.client_cpu + sum(broker.cpu for broker in one.brokers)
    if here is not None and used >= _BUSY * here.cores:
        return f"the {here.cores} processors of this machine, which brokers and this client share"
    busiest = max(one.brokers, key=lambda broker: broker.cpu, default=None)
    if busiest is not None and busiest.cpu >= _BUSY and busiest.cpu >= one.client_cpu:
        return f"the processor of broker {busiest.id} ({busiest.cpu:.0%} of a core)"
    if one.client_cpu >= _BUSY:
        return f"this client ({one.client_cpu:.0%} of a core): brokers can do more"
    slowest = max(one.brokers, key=lambda broker: broker.disk, default=None)
    if slowest is not None and slowest.disk >= _DISK_BUSY:
        return f"the disk of broker {slowest.id} (a commit takes {slowest.commit_milliseconds:.1f} ms)"
    if here is not None and here.load > 2 * here.cores:
        return f"other programs on this machine (load {here.load:.0f} on {here.cores} processors)"
    if one.p50 is not None and slowest is not None and slowest.commit_milliseconds >= one.p50 / 3:
        return f"waiting: of {one.p50:.1f} ms a commit to disk is {slowest.commit_milliseconds:.1f} ms at each broker"
    return "waiting: for the network and for each other"


def as_table(measurements: Sequence[Measurement]) -> output.Table:
    """The figures for people."""

    def milliseconds(value: float | None) -> str:
        return "-" if value is None else f"{value:.1f} ms"

    rows = [(one.name, f"{one.rate:,.0f} {one.unit}/s", milliseconds(one.p50), milliseconds(one.p99)) for one in measurements]
    return output.Table(("Measured", "Rate", "p50", "p99"), rows)


def limits_in_words(measurements: Sequence[Measurement], here: SharedMachine | None) -> list[str]:
    """A sentence for each limit, which names what it limits; where there is one alone, that is all."""
    by_limit: dict[str, list[str]] = {}
    for one in measurements:
        by_limit.setdefault(limit(one, here), []).append(one.name)
    if len(by_limit) == 1:
        return [f"What limits all of it: {text}." for text in by_limit]
    return [f"What limits {' and '.join(f'`{name}`' for name in names)}: {text}." for text, names in by_limit.items()]


def as_objects(measurements: Sequence[Measurement], here: SharedMachine | None) -> list[Mapping[str, Any]]:
    """The same for programs."""
    return [{**asdict(one), "rate": round(one.rate, 1), "limit": limit(one, here)} for one in measurements]
