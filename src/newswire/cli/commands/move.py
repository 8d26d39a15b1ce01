"""`newswire move`: the history of a broker into a log that servers of NATS JetStream keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from newswire.cli import output
from newswire.cli.command import Command
from newswire.cli.nats_options import nats_options, nats_settings
from newswire.cli.options import BROKER_ID, config_option, json_option, option


@click.command(
    cls=Command,
    short_help="Append a stopped broker's history to a log of NATS JetStream.",
    epilog="Example: newswire move --nats nats://a:4222,nats://b:4222,nats://c:4222 --id 1001",
)
@config_option
@nats_options
@option(
    "--ops-dir", type=click.Path(path_type=Path, file_okay=False), default="ops_logs", help="Home of the ops files of brokers."
)
@option("--id", "broker_id", type=BROKER_ID, default="1001", help="The broker whose history it is; it must not run.")
@json_option
def move(ops_dir: Path, broker_id: str, as_json: bool, **values: Any) -> int:
    """Append all that a stopped broker holds to the log of --nats (also: --to), which is made where there is none.

    Of brokers that replicate to each other any one is enough; after another one only what that held alone is appended. Done
    again it appends nothing.
    """
    settings = nats_settings(values)
    if not settings.servers:
        raise click.UsageError("Name the servers of the log: --nats nats://HOST:4222.")
    from newswire.engine.jetstream.move import move as move_history

    with output.Bar("Reading") as bar:
        moved = move_history(settings, ops_dir / broker_id, bar)
    output.print_answer(
        f"Appended {moved.operations:,} operations to {settings.stream}, which holds {moved.messages:,} messages and"
        f" {moved.subscriptions:,} subscriptions.",
        as_json=as_json,
        operations=moved.operations,
        stream=settings.stream,
        messages=moved.messages,
        subscriptions=moved.subscriptions,
        damaged=moved.damaged,
    )
    if moved.damaged:
        output.warn(f"{moved.damaged:,} places of the ops file are damaged: move the history of another broker, too.")
    return output.DONE
