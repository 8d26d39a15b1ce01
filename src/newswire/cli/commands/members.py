"""`newswire add-replica` and `remove-replica`: which brokers belong to the cluster."""

from __future__ import annotations

import sys

import click

from newswire import escape
from newswire.cli import completing, output
from newswire.cli.command import Command
from newswire.cli.options import brokers_option, config_option, json_option, option, times


@click.command(cls=Command, short_help="Add a broker to the cluster.", epilog="Example: newswire add-replica 10.0.0.3:5053")
@config_option
@brokers_option
@click.argument("address", metavar="HOST:PORT")
@json_option
def add_replica(brokers: tuple[str, ...], address: str, as_json: bool) -> int:
    """Make the broker at HOST:PORT a member; all others are told, and it catches up with what they hold."""
    from newswire.cli.credentials import signature
    from newswire.client.cluster import ClusterClient

    with ClusterClient(brokers, **signature(brokers), **times(None)) as client:
        output.print_answer(client.add(address), as_json=as_json)
    return output.DONE


@click.command(
    cls=Command, short_help="Remove a broker from the cluster.", epilog="Example: newswire remove-replica 1003 --yes"
)
@config_option
@brokers_option
@click.argument("broker", metavar="ID|HOST:PORT", shell_complete=completing.broker_addresses)
@option("--yes", is_flag=True, help="Do not ask, as where nobody can be asked.")
@json_option
def remove_replica(brokers: tuple[str, ...], broker: str, yes: bool, as_json: bool) -> int:
    """End the membership of a broker that is gone for good: no publish waits for it, and nothing is kept for it.

    What only it holds is not seen again. A broker that comes back has to be added.
    """
    from newswire.cli.credentials import signature
    from newswire.client.cluster import ClusterClient

    ask = f"Remove broker {escape.line(broker)}? What only it holds is not seen again"
    if not yes and sys.stdin.isatty() and not click.confirm(ask, err=True):
        click.echo("Nothing was removed.")
        return output.FAILED
    with ClusterClient(brokers, **signature(brokers), **times(None)) as client:
        output.print_answer(client.remove(broker), as_json=as_json)
    return output.DONE
