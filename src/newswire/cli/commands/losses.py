"""`newswire accept-loss`: shows what no broker can bring, asks, gives it up."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import click

from newswire import escape
from newswire.cli import output
from newswire.cli.command import Command
from newswire.cli.options import brokers_option, config_option, json_option, option, times
from newswire.core import limits
from newswire.errors import NewswireError, NoBroker, Refused

if TYPE_CHECKING:
    from newswire.client.pool import BrokerPool

_ROUNDS: Final = 20  # what is given up may show what else is missing behind it


@dataclass(frozen=True, order=True)
class MissingRange:
    """What `GET /readyz` lists. `origin`: one run of one broker."""

    broker: str
    origin: str
    first: int
    last: int
    waiting: int = 0
    unreadable: bool = False

    def __str__(self) -> str:
        count = self.last - self.first + 1
        what = f"{count:,} operation{'' if count == 1 else 's'} of {self.origin} ({self.first}"
        what += f" to {self.last})" if count > 1 else ")"
        lack = "cannot be read at" if self.unreadable else "missing at"
        behind = f"; {self.waiting:,} more wait behind" if self.waiting else ""
        return f"{what}, {lack} broker {self.broker}{behind}"


@dataclass(frozen=True)
class _Condition:
    holes: tuple[MissingRange, ...]
    away: tuple[str, ...] = ()


@click.command(
    "accept-loss", cls=Command, short_help="Give up what no broker can bring.", epilog="Example: newswire accept-loss"
)
@config_option
@brokers_option
@option("--yes", is_flag=True, help="Give it up without asking.")
@option("--even-if-away", is_flag=True, help="Also while a broker is away that may hold it: its disk is gone for good.")
@json_option
def accept_loss(brokers: tuple[str, ...], yes: bool, even_if_away: bool, as_json: bool) -> int:
    """Close the holes that damage has left and no broker can fill: show what would be given up, ask, deliver what waits behind.

    Exit code 0: nothing is missing any more, and with --even-if-away at those brokers that are there.
    """
    from newswire.cli.credentials import signature
    from newswire.client.pool import BrokerPool

    with closing(BrokerPool(brokers, **signature(brokers), **times(None))) as pool:
        return give_up_all(pool, yes=yes, even_if_away=even_if_away, as_json=as_json)


def give_up_all(pool: BrokerPool, *, yes: bool, even_if_away: bool, as_json: bool) -> int:
    """Show what is missing, ask, give it up, and look again, until nothing is. Returns the exit code. Raises Refused.

    `as_json`: standard output has one JSON object a line, for what is missing, for each range that was given up, and for the
    end; what is for people goes to standard error.
    """
    given_up = 0
    holes, away = look(pool)
    for _ in range(_ROUNDS):
        if not holes and away and not even_if_away:
            who = f"broker {', '.join(away)}, which cannot be reached"
            done = f"Gave up {given_up:,} operations. " if given_up else ""
            text = f"{done}Nothing is missing at the brokers that are there; what {who}, lacks is not known."
            output.print_answer(text, as_json=as_json, count=given_up, holes=[], away=away)
            return output.FAILED
        if not holes:
            end = "Nothing is missing." if not given_up else "Nothing is missing any more."
            output.print_answer(end, as_json=as_json, count=given_up, holes=[])
            return output.DONE
        unless = ", unless a broker that is away has it" if away else ""
        if as_json:
            output.print_json({"holes": [asdict(hole) for hole in holes], "away": away})
        text = "\n".join([f"This would be given up for good{unless}:", *(escape.line(f"  {hole}") for hole in holes)])
        click.echo(text, err=as_json)
        click.echo("What waits behind is delivered then. Readers are told how many messages may be missing.", err=as_json)
        if away and not even_if_away:
            raise Refused(
                f"Nothing was given up: broker {', '.join(away)} may hold it and cannot be reached. Bring it back, or remove it"
                " with Remove Replica; if its disk is gone for good, say --even-if-away",
                code="may-be-elsewhere",
            )
        if not yes and not sys.stdin.isatty():
            raise Refused("Nothing was given up: say --yes, or answer at a terminal", code="not-lost")
        if not yes and not click.confirm("Give it up?", err=as_json):
            click.echo("Nothing was given up.", err=as_json)
            return output.FAILED
        count = sum(_give_up(pool, hole, even_if_away=even_if_away, as_json=as_json) for hole in dict.fromkeys(holes))
        given_up += count
        if not count:
            return output.FAILED
        time.sleep(limits.LOSS_SETTLE_SECONDS)
        holes, away = _look_again(pool, holes, away)
    return output.FAILED


def _look_again(
    pool: BrokerPool, given_up: Collection[MissingRange], away: Collection[str]
) -> tuple[list[MissingRange], list[str]]:
    """As `look`, once brokers have told each other what was given up: nobody lacks it, nor is away who was there before."""
    end = time.monotonic() + limits.CLI_CALL_SECONDS
    before = {(hole.origin, hole.first, hole.last) for hole in given_up}
    while True:
        holes, gone = look(pool)
        is_settled = set(gone) <= set(away) and before.isdisjoint((hole.origin, hole.first, hole.last) for hole in holes)
        if is_settled or time.monotonic() >= end:
            return holes, gone
        time.sleep(limits.LOSS_SETTLE_SECONDS / 4)


def look(pool: BrokerPool) -> tuple[list[MissingRange], list[str]]:
    """All holes that any broker knows of, and the brokers that are away. Raises NoBroker, also where none says so."""
    from newswire.client.transport import Call
    from newswire.client.unreached import Unreached

    ranges: dict[MissingRange, None] = {}
    away: dict[str, None] = {}
    reasons: dict[str, str] = {}
    is_told = False
    pool.look()
    for address in pool.brokers.addresses():
        try:
            answer = pool.transport.send(address, Call("GET", "/readyz"), limits.CLIENT_SIDE_SECONDS)
            ready = answer.read(_Condition)
        except (Unreached, NewswireError) as error:
            reasons[address] = error.reason if isinstance(error, Unreached) else error.detail
            continue
        is_told = True
        ranges |= dict.fromkeys(ready.holes)
        away |= dict.fromkeys(ready.away)
    if not is_told:
        why = "; ".join(f"{address}: {reason}" for address, reason in reasons.items())
        raise NoBroker(f"no broker says whether something is missing ({why}): try again")
    return sorted(ranges), sorted(away)


def _give_up(pool: BrokerPool, hole: MissingRange, *, even_if_away: bool, as_json: bool) -> int:
    """Ask the broker that lacks it, and the others where that stands on it; return how many operations were given up."""
    from newswire.client.transport import Call, form
    from newswire.client.unreached import Unreached

    fields = {"origin": hole.origin, "first": str(hole.first), "last": str(hole.last)}
    if even_if_away:
        fields["even_if_away"] = "1"
    body, kind = form(fields)
    rows = sorted(pool.nodes(), key=lambda row: row.id != hole.broker)
    refusal = ""
    for row in rows:
        call = Call("POST", "/accept_loss", params={}, body=body, type=kind)
        try:
            answer = pool.transport.send(pool.brokers.ours(row.ip), call, limits.CLI_CALL_SECONDS)
            if answer.status == 200:
                count = int(answer.json()["count"])
                text = f"Gave up {hole.origin} {hole.first} to {hole.last}."
                output.print_answer(text, as_json=as_json, origin=hole.origin, first=hole.first, last=hole.last, count=count)
                return count
            raise answer.error()
        except Unreached as error:
            refusal = refusal or f"Broker {row.id}: {error.reason}"
        except NewswireError as error:
            if error.code == "no-hole":
                return 0  # closed meanwhile
            refusal = refusal or output.sentence(error)
            if error.code != "restart-first":
                break
    output.warn(output.sentence_of(refusal))
    return 0
