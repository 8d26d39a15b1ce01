"""`newswire doctor`: asks every broker, and looks at ops files that lie here, for what usually goes wrong."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import click
import msgspec

from newswire import escape
from newswire.cli import exits
from newswire.cli.commands import ops_file, status
from newswire.cli.diagnosis import Examined, Finding, diagnose
from newswire.client.answers import Row
from newswire.client.transport import BrokerAnswer, Call, Transport, Unreached
from newswire.core import limits
from newswire.errors import NewswireError, NoBroker

_BROKERS_MOST: Final = limits.CLIENT_BROKERS_COUNT
_STREAM_SECONDS: Final = 3.0  # in which the greeting of a stream arrives on any line that is worth using


def run(*, brokers: tuple[str, ...], as_json: bool, user: str | None, ops_dir: Path | None) -> int:
    """Look, print what was found, return 0 or, if something is wrong, 1. Raises NoBroker if no broker answers at all."""
    examined = list(examine(brokers, user))
    if all(one.refusal for one in examined):
        raise NoBroker("; ".join(f"{one.address}: {one.refusal}" for one in examined))
    findings = [*diagnose(examined), *(check_files(ops_dir) if ops_dir else ())]
    if as_json:
        text = json.dumps(
            {"brokers": [one.address for one in examined], "findings": [msgspec.to_builtins(one) for one in findings]},
            ensure_ascii=False,
        )
        click.echo(escape.json(text) if sys.stdout.isatty() else text)
    else:
        for line in describe(examined, findings, looked_at_streams=user is not None):
            click.echo(line)
    return exits.FAILED if any(one.severity == "wrong" for one in findings) else exits.DONE


def examine(brokers: Sequence[str], user: str | None) -> Iterator[Examined]:
    """Ask the brokers named, and then those that they name, each once and all at the same time."""
    visits: set[str] = set()
    addresses = list(dict.fromkeys(brokers))
    with ThreadPoolExecutor(_BROKERS_MOST, thread_name_prefix="ask") as pool:
        while addresses:
            visits.update(addresses)
            answers = list(pool.map(lambda address: examine_one(address, user), addresses))
            visits.update(one.itself for one in answers if one.itself)
            yield from (one.examined for one in answers)
            rows = [row.ip for one in answers for row in one.examined.rows]
            addresses = [address for address in dict.fromkeys(rows) if address not in visits][: _BROKERS_MOST - len(visits)]


class _Visit(msgspec.Struct, frozen=True):
    """A broker, and the address that it calls its own, which may be another than the one it was asked at."""

    examined: Examined
    itself: str = ""


def examine_one(address: str, user: str | None) -> _Visit:
    """Ask one broker. Any thread."""
    transport = Transport(scheme="https" if address.startswith("https://") else "http")
    try:
        before = time.time()
        condition = transport.send(address, Call("GET", "/readyz"), limits.CLIENT_SIDE_SECONDS).json()
        after = time.time()
        rows = transport.send(address, Call("GET", "/list_replicas"), limits.CLIENT_SIDE_SECONDS).read(tuple[Row, ...])
        own = next((row for row in rows if row.itself), None)
        return _Visit(
            Examined(
                address=address,
                id=own.id if own else "",
                condition=condition,
                rows=rows,
                clock_seconds=status.clock_ahead(condition.get("time"), before, after),
                stream=try_stream(transport, address, user) if user and condition.get("ready") else "",
            ),
            own.ip if own else "",
        )
    except Unreached as error:
        return _Visit(Examined(address=address, refusal=error.reason))
    except NewswireError as error:
        return _Visit(Examined(address=address, refusal=error.detail))
    finally:
        transport.close()


def try_stream(transport: Transport, address: str, user: str) -> str:
    """Open a stream that acknowledges nothing; `opened` if its greeting arrives, else `held back`, or why it is refused."""
    call = Call("GET", "/stream", {"username": user, "ack": "client"})
    try:
        stream = transport.open(address, call, _STREAM_SECONDS)
    except Unreached as error:
        if error.silent:  # a proxy that waits for the end holds back the head, too
            return "held back"
        return error.reason
    if isinstance(stream, BrokerAnswer):
        return stream.error().detail
    try:
        return "opened" if stream.read() is not None else "held back"
    except Unreached:
        return "held back"
    finally:
        stream.close()


def check_files(directory: Path) -> Iterator[Finding]:
    """Check the ops files below `directory`. Raises Refused if none lie there."""
    for folder in ops_file.folders(directory):
        report = ops_file.look(folder)
        if not report.whole:
            yield Finding(
                code="ops-file",
                severity="wrong",
                text=f"{folder}: {report.verdict}",
                advice=f"see `newswire opsfile check {folder}`",
            )


def describe(examined: Sequence[Examined], findings: Sequence[Finding], *, looked_at_streams: bool) -> Iterator[str]:
    """Yield lines for people: each finding with what to do, then what it comes to."""
    for finding in findings:
        yield escape.line(f"{'WRONG' if finding.severity == 'wrong' else 'note '}  {finding.text}")
        yield escape.line(f"       {finding.advice}")
    wrong = sum(finding.severity == "wrong" for finding in findings)
    answered = sum(not one.refusal for one in examined)
    yield (
        f"{answered} of {len(examined)} broker{'' if len(examined) == 1 else 's'} answered;"
        f" {wrong or 'nothing'} {'thing is' if wrong == 1 else 'things are' if wrong else 'is'} wrong."
    )
    if not looked_at_streams:
        yield "Whether a proxy holds streams back was not looked at: name a registered user with --user."
