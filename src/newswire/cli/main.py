"""The commands and their options, all on one page; what they do stands in the modules that they import when they run.

Nothing heavy is imported here, so that `newswire publish` in a shell loop starts fast.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from newswire import __version__
from newswire.cli import exits, logs, output
from newswire.cli.command import CommandGroup, MessageCommand
from newswire.cli.options import (
    ADDRESS,
    BROKER_ID,
    HOST_NAME,
    NETWORK,
    Number,
    Secret,
    WholeNumber,
    brokers_option,
    config_option,
    option,
    timeout_option,
)
from newswire.core import limits
from newswire.errors import NewswireError

_DAY_SECONDS = 86_400
_json = option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    invoke_without_command=True,
    epilog="Every option is also an environment variable, NEWSWIRE_<OPTION>, and a name in a TOML file (--config)."
    " A flag beats the environment, the environment beats the file. Text that begins with - goes behind --.",
)
@click.version_option(__version__, prog_name="newswire", message="%(prog)s %(version)s")
@click.pass_context
def newswire(ctx: click.Context) -> None:
    """Live news for an organisation over plain HTTP."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(exits.USAGE)


@newswire.command(
    epilog="The secret that brokers sign with comes from NEWSWIRE_CLUSTER_SECRET, from the file named by"
    " NEWSWIRE_CLUSTER_SECRET_FILE, or from `cluster-secret` or `cluster-secret-file` in the TOML file; never from a flag."
)
@config_option
@option("--id", "broker_id", type=BROKER_ID, default="1001", help="This broker's id, another one for every broker.")
@option("--host", default="127.0.0.1", help="Address to listen on.")
@option("--port", type=WholeNumber(0, 65535), default=5053, help="Port to listen on; 0 takes a free one.")
@option("--advertise", type=ADDRESS, help="How peers and clients reach this broker  [default: host:port]")
@option("--primary/--secondary", default=False, help="Whether clients try this broker first.")
@option("--peer", "peers", type=ADDRESS, multiple=True, help="Another broker; repeatable (environment: commas between).")
@option("--ops-dir", type=click.Path(path_type=Path, file_okay=False), default="ops_logs", help="Home of the ops files.")
@option(
    "--heartbeat",
    type=Number(limits.HEARTBEAT_LEAST_SECONDS, limits.HEARTBEAT_MOST_SECONDS),
    default=limits.HEARTBEAT_SECONDS,
    help="Seconds between heartbeats.",
)
@option(
    "--allow-host",
    "allowed_hosts",
    type=HOST_NAME,
    multiple=True,
    help="A name under which clients reach this broker, beside --host, --advertise and localhost; * for any; repeatable.",
)
@option(
    "--trusted-proxy",
    "trusted_proxies",
    type=NETWORK,
    multiple=True,
    help="Address or network of a proxy whose X-Forwarded-For, -Host and -Proto count; repeatable.",
)
@option("--auth", type=click.Choice(["none", "required"]), default="none", help="Whether clients must say who they are.")
@option("--insecure", is_flag=True, help="Serve addresses other than this machine's own without access control.")
@option("--min-copies", type=WholeNumber(1), default=1, help="Refuse a publish that fewer brokers would hold.")
@option(
    "--threads",
    type=WholeNumber(1, limits.LARGE_THREADS_MOST),
    default=limits.LARGE_THREADS,
    help="Threads for large bodies and batches; what is small needs none.",
)
@option(
    "--retention-days",
    type=Number(0, min_open=True),
    default=limits.RETENTION_SECONDS / _DAY_SECONDS,
    help="Days that messages are kept.",
)
@option("--trust-clock", is_flag=True, help="The clock is right, though it jumped: drop what is old by it from this start on.")
@option("--retention-messages", type=WholeNumber(1), default=limits.RETENTION_MESSAGES, help="Messages kept of a topic.")
@option("--retention-bytes", type=WholeNumber(0), default=0, help="Bytes of all messages that are kept; 0: any number.")
@option("--streams-per-user", type=WholeNumber(1), default=limits.STREAMS_PER_USER, help="Open streams of one user.")
@option("--streams", type=WholeNumber(1), default=limits.STREAMS_COUNT, help="Open streams of this broker.")
@option(
    "--subscriptions-per-user", type=WholeNumber(1), default=limits.SUBSCRIPTIONS_PER_USER, help="Subscriptions of one user."
)
@option("--connections", type=WholeNumber(16), default=limits.CONNECTIONS_COUNT, help="Open connections other than streams.")
@option(
    "--connections-per-address",
    type=WholeNumber(1),
    show_default=f"{limits.CONNECTIONS_PER_CALLER}, but not of this machine's own address",
    help="Open connections from one address (of IPv6: one /64).",
)
@option(
    "--streams-per-address",
    type=WholeNumber(1),
    show_default=f"{limits.STREAMS_PER_CALLER}, but not of this machine's own address",
    help="Open streams to one address.",
)
@option(
    "--requests-per-address",
    type=Number(0),
    show_default=f"{limits.REQUESTS_PER_CALLER:.0f}, but not of this machine's own address",
    help="Requests a second from one address, on average of ten seconds; 0: any number.",
)
@option(
    "--requests-per-user",
    type=Number(0),
    default=limits.REQUESTS_PER_USER,
    help="Requests a second that read for one user, on average of ten seconds; 0: any number.",
)
@option("--cluster-secret", cls=Secret)
@option("--log-format", type=click.Choice(logs.FORMATS), default="text", help="A log line for people, or a JSON object a line.")
@option("--log-level", type=click.Choice(logs.LEVELS), default="info", help="The least of what is logged.")
@option("--menu", is_flag=True, help="Run the broker menu in this terminal.")
def broker(menu: bool, log_format: Any, log_level: Any, **options: Any) -> int:
    """Run a broker in the foreground."""
    from newswire.cli.commands import broker as body

    return body.run(body.settings_of(**options), logs.LogOptions(log_format, log_level), menu=menu)


@newswire.command()
@config_option
@brokers_option
def publisher(brokers: tuple[str, ...]) -> int:
    """Publish from a menu."""
    from newswire.cli import actions, menus

    return actions.run(menus.PUBLISHER, brokers)


@newswire.command()
@config_option
@brokers_option
def subscriber(brokers: tuple[str, ...]) -> int:
    """Subscribe and stream from a menu."""
    from newswire.cli import actions, menus

    return actions.run(menus.SUBSCRIBER, brokers)


@newswire.command(short_help="Brokers, publisher and subscriber in one menu.")
@config_option
@brokers_option
@option(
    "--ops-dir", type=click.Path(path_type=Path, file_okay=False), default="ops_logs", help="Home of the ops files of brokers."
)
def menu(brokers: tuple[str, ...], ops_dir: Path) -> int:
    """Set up and manage brokers, publish and subscribe from one menu."""
    from newswire.cli import actions, menus

    return actions.run(menus.EVERYTHING, brokers, ops_dir)


@newswire.command(cls=MessageCommand, short_help="Publish a message, or a batch.")
@config_option
@brokers_option
@click.argument("topic", required=False)
@click.argument("data", required=False)
@option(
    "--ndjson",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="Publish a batch: one JSON object a line.",
)
@option(
    "--copies",
    type=WholeNumber(1),
    help="Brokers that must hold it: refused if fewer are in sync, exit code 5 if one is lost on the way.",
)
@timeout_option
@_json
def publish(topic: str | None, data: str | None, ndjson: Path | None, **options: Any) -> int:
    """Publish DATA to TOPIC; without DATA, or with -, what standard input holds (less one line end).

    With --ndjson each line names its own topic, or takes TOPIC. DATA that begins with - goes behind --, as in
    `newswire publish TOPIC -- '-5 degrees'`.
    """
    from newswire.cli.commands import publish

    if ndjson:
        if data is not None:
            raise click.UsageError("DATA and --ndjson exclude each other.")
        return publish.publish_file(ndjson, topic, **options)
    if topic is None:
        raise click.UsageError("Missing argument 'TOPIC'.")
    return publish.publish_one(topic, data, **options)


@newswire.command(short_help="Subscribe a user to a topic.")
@config_option
@brokers_option
@click.argument("user")
@click.argument("topic")
@option("--from", "since", help="now, earliest, a duration such as 90m or 7d, or an RFC 3339 time  [default: now]")
@timeout_option
def subscribe(**options: Any) -> int:
    """Subscribe USER to TOPIC; `*` stands for one level, a final `>` for the rest."""
    from newswire.cli.commands import subscribe

    return subscribe.subscribe(**options)


@newswire.command(short_help="End a subscription.")
@config_option
@brokers_option
@click.argument("user")
@click.argument("topic")
@timeout_option
def unsubscribe(**options: Any) -> int:
    """End the subscription of USER to exactly TOPIC."""
    from newswire.cli.commands import subscribe

    return subscribe.unsubscribe(**options)


@newswire.command(short_help="List the subscriptions of a user.")
@config_option
@brokers_option
@click.argument("user")
@timeout_option
@_json
def subscriptions(**options: Any) -> int:
    """List what USER is subscribed to, and how much of it is unread."""
    from newswire.cli.commands import subscribe

    return subscribe.show(**options)


@newswire.command(short_help="Print messages as they come.")
@config_option
@brokers_option
@click.argument("user")
@_json
@option("--count", type=WholeNumber(1), help="Stop after so many messages.")
@option("--exec", "command", help="Run a shell command for each message; it counts as delivered when the command exits 0.")
def stream(**options: Any) -> int:
    """Print the messages of USER as they come, across broker failures, until interrupted.

    The command of --exec finds the message as JSON on its standard input and its fields in NEWSWIRE_MESSAGE_ID, _EVENT_ID,
    _TOPIC, _DATA, _TIME, _TITLE, _PRIORITY, _TAGS, _CLICK and _PUBLISHER (each with NEWSWIRE_MESSAGE before it). They set no
    option: to forward a title, say --title "$NEWSWIRE_MESSAGE_TITLE".
    """
    from newswire.cli.commands import stream

    return stream.run(**options)


@newswire.command(short_help="Show brokers, topics and streams.")
@config_option
@brokers_option
@_json
@option("--watch", is_flag=True, help="Look again every two seconds.")
def status(**options: Any) -> int:
    """Show brokers, their roles and states, topics and streams."""
    from newswire.cli.commands import status as body

    return body.run(**options)


@newswire.command(short_help="Look for what usually goes wrong.")
@config_option
@brokers_option
@_json
@option("--user", help="A registered user: whether a proxy holds his stream back is looked at; nothing is acknowledged.")
@option("--ops-dir", type=click.Path(path_type=Path, file_okay=False), help="Check the ops files there, too.")
def doctor(**options: Any) -> int:
    """Look for what usually goes wrong, and say what to do about it.

    Brokers that cannot be reached, from here or from each other; clocks, versions and secrets that differ; full disks, holes,
    a proxy that holds streams back. Ends with 1 if something is wrong.
    """
    from newswire.cli.commands import doctor as body

    return body.run(**options)


@newswire.command("accept-loss", short_help="Give up what no broker can bring.")
@config_option
@brokers_option
@option("--yes", is_flag=True, help="Give it up without asking.")
@option("--even-if-away", is_flag=True, help="Also while a broker is away that may hold it: its disk is gone for good.")
def accept_loss(**options: Any) -> int:
    """Close the holes that damage has left and no broker can fill: show what would be given up, ask, deliver what waits behind.

    Exit code 0: nothing is missing any more.
    """
    from newswire.cli.commands import losses

    return losses.run(**options)


_backup_file = click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))


@newswire.command(short_help="Copy a running broker into a file.")
@config_option
@brokers_option
@_backup_file
def backup(file: Path, brokers: tuple[str, ...]) -> int:
    """Write a copy of all that a running broker holds to FILE (a compressed tar), checked while it comes; - is standard output.

    The first of --brokers that answers is asked. FILE is there when the copy is whole, and else is as it was.
    """
    from newswire.cli.commands import backup as body

    return body.back_up(file, brokers)


@newswire.command(short_help="Make an ops directory of a backup.")
@config_option
@_backup_file
@option(
    "--ops-dir", type=click.Path(path_type=Path, file_okay=False), default="ops_logs", help="Home of the ops files of brokers."
)
@option("--id", "broker_id", type=BROKER_ID, help="The broker that will run on it  [default: the one that was copied]")
@option("--new-cluster", is_flag=True, help="Begin a cluster of its own, which never joins the one that was copied.")
def restore(file: Path, ops_dir: Path, broker_id: str | None, new_cluster: bool) -> int:
    """Make an ops directory of the backup FILE (- is standard input): all of it is checked, or nothing is made.

    The broker may start on it then. It must not be running, and no other may have its id.
    """
    from newswire.cli.commands import backup as body

    return body.restore(file, ops_dir, broker_id, new_cluster=new_cluster)


@newswire.group(short_help="Check and print ops files.", invoke_without_command=True)
@click.pass_context
def opsfile(ctx: click.Context) -> None:
    """Look at the ops files of brokers, which may be running: nothing is changed."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(exits.USAGE)


_directory = click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))


@opsfile.command(short_help="Verify checksums, look for gaps.")
@_directory
@_json
def check(directory: Path, as_json: bool) -> int:
    """Verify the checksums of a broker's folder DIR, such as ops_logs/1001, and look for operations that are missing.

    If DIR holds the folders of several brokers each is checked. Exit code 0: all are whole; 1: damaged, gaps, or unreadable.
    """
    from newswire.cli.commands import ops_file as body

    return body.check(directory, as_json_lines=as_json)


@opsfile.command(short_help="Print operations as JSON lines.")
@_directory
@option("--op", "kind", help="Print this kind only, for example msg.")
def show(directory: Path, kind: str | None) -> int:
    """Print the operations in a broker's folder DIR, such as ops_logs/1001: as they are stored, one JSON object a line."""
    from newswire.cli.commands import ops_file as body

    return body.show(directory, kind)


def run(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; errors become one sentence on standard error."""
    code = _run(args)
    failure = output.failure()
    if failure and not output.is_quiet(failure) and code == exits.DONE:
        click.echo(f"newswire: the output could not be written ({failure.strerror}); the command has done its work.", err=True)
    return code


def _run(args: Sequence[str] | None) -> int:
    try:
        result = newswire.main(args=None if args is None else list(args), prog_name="newswire", standalone_mode=False)
        return result if isinstance(result, int) else exits.DONE
    except NewswireError as error:
        return _fail(exits.sentence(error), exits.exit_code(error))
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        return _fail(_usage_sentence(error), exits.USAGE if isinstance(error, click.UsageError) else exits.FAILED)
    except (KeyboardInterrupt, click.Abort):
        return exits.INTERRUPTED


def main() -> NoReturn:
    """The entry point."""
    output.install()
    sys.exit(run())


def _fail(text: str, code: int) -> int:
    click.echo(f"newswire: {text}", err=True)
    return code


def _usage_sentence(error: click.ClickException) -> str:
    text = exits.sentence_of(error.format_message())
    if not isinstance(error, click.UsageError) or error.ctx is None:
        return text
    path = error.ctx.command_path
    return " ".join(part for part in (text, _hint(error, path, error.ctx.command), f"Try `{path} --help`.") if part)


def _hint(error: click.UsageError, path: str, command: click.Command) -> str:
    """What is likely meant by words that the shell or click took for something else, "" if nothing is."""
    arguments = [str(p.name).upper() for p in command.params if isinstance(p, click.Argument)]
    if isinstance(error, click.NoSuchOption) and isinstance(command, click.Group):
        owners = [name for name, one in command.commands.items() if any(error.option_name in p.opts for p in one.params)]
        return f"It goes behind the command: {path} {owners[0]} {error.option_name} ..." if owners else ""
    if isinstance(error, click.NoSuchOption) and arguments:
        return f"Text that begins with - goes behind --: {path} {' '.join([*arguments[:-1], '--', arguments[-1]])}."
    if "unexpected extra argument" in error.message and arguments:
        return "Put quotes around text with blanks."
    return ""
