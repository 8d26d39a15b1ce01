"""`newswire grant`, `revoke`, `grants` and `audit`: who may do what, and who has done what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import click

from newswire.cli import output
from newswire.cli.command import Command
from newswire.cli.options import PATTERN, brokers_option, config_option, json_option, option, timeout_option, times
from newswire.cli.parameters import MOMENT, WholeNumber

_VERB: Final = click.Choice(("publish", "subscribe"))
_LEAD: Final = ("time", "by", "what")  # the columns of an audit row; what else it says stands behind them


@click.command(
    cls=Command,
    short_help="Let somebody publish or subscribe.",
    epilog="Examples: newswire grant ann publish 'finance.>'; newswire grant '*' subscribe news",
)
@config_option
@brokers_option
@click.argument("who")
@click.argument("verb", type=_VERB, metavar="publish|subscribe")
@click.argument("pattern", type=PATTERN)
@timeout_option
@json_option
def grant(brokers: tuple[str, ...], who: str, verb: str, pattern: str, timeout: float | None, as_json: bool) -> int:
    """Let WHO (a user, or '*' for all that are signed in) publish or subscribe to what PATTERN covers."""
    from newswire.cli.credentials import signature
    from newswire.client.access import AccessClient

    with AccessClient(brokers, **signature(brokers), **times(timeout)) as client:
        output.print_answer(client.grant(who, verb, pattern), as_json=as_json)
    return output.DONE


@click.command(cls=Command, short_help="End a grant.", epilog="Example: newswire revoke ann publish 'finance.>'")
@config_option
@brokers_option
@click.argument("who")
@click.argument("verb", type=_VERB, metavar="publish|subscribe")
@click.argument("pattern", type=PATTERN)
@timeout_option
@json_option
def revoke(brokers: tuple[str, ...], who: str, verb: str, pattern: str, timeout: float | None, as_json: bool) -> int:
    """End the grant of the same words. What it let through stays; streams that it carried end within seconds."""
    from newswire.cli.credentials import signature
    from newswire.client.access import AccessClient

    with AccessClient(brokers, **signature(brokers), **times(timeout)) as client:
        output.print_answer(client.revoke(who, verb, pattern), as_json=as_json)
    return output.DONE


@click.command(cls=Command, short_help="List grants.", epilog="Example: newswire grants ann")
@config_option
@brokers_option
@click.argument("who", required=False)
@timeout_option
@json_option
def grants(brokers: tuple[str, ...], who: str | None, timeout: float | None, as_json: bool) -> int:
    """List what was granted to WHO, or to all whose grants you may see."""
    from newswire.cli.credentials import signature
    from newswire.client.access import AccessClient

    with AccessClient(brokers, **signature(brokers), **times(timeout)) as client:
        rows = client.grants(who)
    if as_json:
        output.print_json([{"who": one.who, "verb": one.verb, "topic": one.topic} for one in rows])
    elif not rows:
        click.echo("There are no grants.")
    else:
        cells = [("everybody (*)" if one.who == "*" else one.who, one.verb, one.topic) for one in rows]
        output.print_tables([output.Table(("Who", "May", "To"), cells)])
    return output.DONE


@click.command(cls=Command, short_help="Show who did what.", epilog="Example: newswire audit --since 2d")
@config_option
@brokers_option
@option(
    "--since",
    type=MOMENT,
    help="A duration such as 90m or 7d, or a time such as 09:41 or 2026-11-28  [default: the newest]",
)
@option("--limit", type=WholeNumber(1), help="Lines at most.")
@timeout_option
@json_option
def audit(brokers: tuple[str, ...], since: str | None, limit: int | None, timeout: float | None, as_json: bool) -> int:
    """Show who signed in, and who changed users, tokens, grants and brokers, or published where; newest last."""
    from newswire.cli.credentials import signature
    from newswire.client.access import AccessClient

    with AccessClient(brokers, **signature(brokers), **times(timeout)) as client:
        rows = client.audit(since, limit)
    if as_json:
        output.print_json(rows)
    elif not rows:
        click.echo("Nothing happened.")
    else:
        output.print_tables([output.Table(("Time", "By", "What", ""), [audit_cells(row) for row in rows])])
    return output.DONE


def audit_cells(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """A row of the audit trail: when, who did it, what, and all else that it says."""
    from newswire.cli.local_time import in_words

    time, by, what = (str(row.get(name) or "") for name in _LEAD)
    return in_words(time), by, what, " ".join(str(value) for name, value in row.items() if name not in (*_LEAD, "id") and value)
