"""`newswire status`: what the brokers say of the cluster and of themselves, once or again and again."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from newswire.cli import output
from newswire.cli.command import Command
from newswire.cli.options import brokers_option, config_option, json_option, option
from newswire.core import limits
from newswire.errors import NewswireError, Refused

if TYPE_CHECKING:
    from rich.console import Group

    from newswire.cli.credentials import Signature


@click.command(
    cls=Command,
    short_help="Show brokers, topics and streams.",
    epilog="Examples: newswire status; newswire status --watch; newswire status --json",
)
@config_option
@brokers_option
@json_option
@option("--watch", is_flag=True, help="Look again every two seconds.")
def status(brokers: tuple[str, ...], as_json: bool, watch: bool) -> int:
    """Show brokers, their roles and states, topics and streams."""
    from newswire.cli import summary
    from newswire.cli.credentials import signature

    who = signature(brokers)
    if not watch:
        cluster = summary.gather(brokers, who=who)
        output.print_json(asdict(cluster)) if as_json else output.print_tables(summary.as_tables(cluster))
        if cluster.refusal:
            raise Refused(cluster.refusal)
        return output.DONE
    try:
        _watch_json(brokers, who) if as_json else _watch(brokers, who)
    except KeyboardInterrupt:
        pass
    return output.DONE


def _watch(brokers: Sequence[str], who: Signature) -> None:
    from rich.console import Console
    from rich.live import Live

    if not sys.stdout.isatty():  # Live would show nothing before its end
        while output.failure() is None:
            Console().print(_picture(brokers, who, Console().width))
            _pause()
        return
    with Live(auto_refresh=False, screen=True) as live:
        while output.failure() is None:
            live.update(_picture(brokers, who, live.console.width), refresh=True)
            _pause()


def _picture(brokers: Sequence[str], who: Signature, columns: int) -> Group:
    from newswire.cli import summary

    try:
        return output.rendered(summary.as_tables(summary.gather(brokers, who=who)), columns)
    except NewswireError as error:
        return output.rendered([output.Table((), (), output.sentence(error))], columns)


def _watch_json(brokers: Sequence[str], who: Signature) -> None:
    from newswire.cli import summary

    while output.failure() is None:
        try:
            output.print_json(asdict(summary.gather(brokers, who=who)))
        except NewswireError as error:
            output.warn(output.sentence(error))
        _pause()


def _pause() -> None:
    time.sleep(limits.STATUS_EVERY_SECONDS)
