"""What an operator is to be told when the cluster looks different from before: a line a fact, for the log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from newswire.core.broker.values import BrokerStatus, ClusterStatus

INFO: Final = 20  # as `logging` counts
WARNING: Final = 30

# "12 records wait", "a publish gets 2 copies", why a push failed the last time, whose address it is: no news if they change
_DETAIL: Final = re.compile(r"\d(?:[\d,.]*\d)?(?= [A-Za-z])|(?<= )cop(?:y|ies)\b|\([^)]*\)|broker \w+, |,(?= is)")


class Fact(msgspec.Struct, frozen=True):
    """One line. `level`: as `logging` counts."""

    level: int
    text: str


def tell_changes(before: ClusterStatus, after: ClusterStatus) -> Iterator[Fact]:
    """What has changed between two views of one broker; nothing where nothing has."""
    if before is after:
        return
    if after.serves and not before.serves:
        yield Fact(INFO, "serves clients")
    if not after.serves and (before.serves or before.why_not != after.why_not):
        yield Fact(WARNING if before.serves else INFO, f"serves no clients: {after.why_not}")
    if before.rows != after.rows:
        yield from _tell_rows(before.rows, after.rows)
    if before.degraded != after.degraded:
        yield from tell_reasons(before.degraded, after.degraded)
    if before.warnings != after.warnings:
        yield from tell_reasons(before.warnings, after.warnings)


def _tell_rows(before: tuple[BrokerStatus, ...], after: tuple[BrokerStatus, ...]) -> Iterator[Fact]:
    for row in after:
        old = _find(row, before)
        if row.self:
            continue
        if old is None:
            yield Fact(INFO, f"added: {name_of(row)}")
        elif old.ip != row.ip:
            yield Fact(INFO, f"moved: {name_of(row)}, before at {old.ip}")
        if row.state == "up" and (old is None or old.state != "up"):
            yield Fact(INFO, f"up: {name_of(row)}")
    for row in before:
        if not row.self and _find(row, after) is None:
            yield Fact(INFO, f"removed: {name_of(row)}")


def _find(row: BrokerStatus, rows: tuple[BrokerStatus, ...]) -> BrokerStatus | None:
    """The same broker in other rows. Before it was met it has an address only."""
    return next(
        (other for other in rows if (row.id and row.id == other.id) or (row.ip == other.ip and not (row.id and other.id))), None
    )


def tell_reasons(before: tuple[str, ...], after: tuple[str, ...]) -> Iterator[Fact]:
    """What of two lists of sentences is new, and what is over; of one that only has other numbers nothing."""
    old, new = ({_DETAIL.sub("", reason): reason for reason in reasons} for reasons in (before, after))
    for key, reason in new.items():
        if key not in old:
            yield Fact(WARNING, reason)
    for key, reason in old.items():
        if key not in new:
            yield Fact(INFO, f"no longer: {reason}")


def name_of(row: BrokerStatus) -> str:
    """A broker in a sentence."""
    return f"broker {row.id}, {row.ip}" if row.id else row.ip
