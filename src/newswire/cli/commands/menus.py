"""`newswire publisher`, `subscriber` and `menu`: the menus in this terminal."""

from __future__ import annotations

from pathlib import Path

import click

from newswire.cli.command import Command
from newswire.cli.options import brokers_option, config_option, option


@click.command(cls=Command, epilog="Example: newswire publisher --brokers 10.0.0.11:5053,10.0.0.12:5053")
@config_option
@brokers_option
def publisher(brokers: tuple[str, ...]) -> int:
    """Publish from a menu."""
    from newswire.cli import actions, menus

    return actions.run(menus.PUBLISHER, brokers)


@click.command(cls=Command, epilog="Example: newswire subscriber --brokers 10.0.0.11:5053,10.0.0.12:5053")
@config_option
@brokers_option
def subscriber(brokers: tuple[str, ...]) -> int:
    """Subscribe and stream from a menu."""
    from newswire.cli import actions, menus

    return actions.run(menus.SUBSCRIBER, brokers)


@click.command(cls=Command, short_help="Brokers, publisher and subscriber in one menu.", epilog="Example: newswire menu")
@config_option
@brokers_option
@option(
    "--ops-dir", type=click.Path(path_type=Path, file_okay=False), default="ops_logs", help="Home of the ops files of brokers."
)
def menu(brokers: tuple[str, ...], ops_dir: Path) -> int:
    """Set up and manage brokers, publish and subscribe from one menu."""
    from newswire.cli import actions, menus

    return actions.run(menus.EVERYTHING, brokers, ops_dir)
