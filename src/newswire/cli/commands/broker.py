"""`newswire broker`: from options to settings, five lines about the start, then the log until a signal."""

from __future__ import annotations

import gc
import ipaddress
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from newswire.cli import logs, output
from newswire.cli.command import Command
from newswire.cli.nats_options import nats_options, nats_settings
from newswire.cli.options import (
    ADDRESS,
    BROKER_ID,
    HOST_NAME,
    NETWORK,
    Secret,
    ca_file,
    ca_file_option,
    config_option,
    ignored,
    named,
    option,
)
from newswire.cli.parameters import Number, WholeNumber
from newswire.cli.secret_files import as_secrets
from newswire.core import limits
from newswire.core.model.addresses import place_of, url_of
from newswire.errors import NewswireError

if TYPE_CHECKING:
    from newswire.config import Settings
    from newswire.engine.seam import BrokerStatus
    from newswire.server import Server

_DAY_SECONDS: Final = 86_400
_EVERYWHERE: Final = ("", "0.0.0.0", "::", "[::]")


@click.command(
    cls=Command,
    epilog="Examples: newswire broker; newswire broker --id 1002 --port 5054 --peer 127.0.0.1:5053;"
    " newswire broker --id 1001 --primary --host 10.0.0.11 --peer 10.0.0.12:5053 --auth required",
)
@config_option
@option("--id", "broker_id", type=BROKER_ID, default="1001", help="This broker's id, another one for every broker.")
@option("--host", default="127.0.0.1", may_be_empty=True, help="Address to listen on.")
@option("--port", type=WholeNumber(0, 65535), default=5053, help="Port to listen on; 0 takes a free one.")
@option(
    "--advertise",
    type=ADDRESS,
    help="How peers and clients reach this broker: HOST:PORT, or https://HOST where a proxy ends TLS  [default: host:port]",
)
@option("--primary/--secondary", default=False, help="Whether clients try this broker first.")
@option("--peer", "peers", type=ADDRESS, multiple=True, help="Another broker; repeatable (environment: commas between).")
@ca_file_option
@option(
    "--engine",
    type=click.Choice(["embedded", "jetstream"]),
    default="embedded",
    help="Who keeps what is published: brokers themselves, or servers of NATS JetStream.",
)
@nats_options
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
@option(
    "--open-reading", is_flag=True, help="With --auth none, let anybody read topics by ntfy's wire, without a subscription."
)
@option("--insecure", is_flag=True, help="Serve addresses other than this machine's own without access control.")
@option(
    "--min-copies", type=WholeNumber(1, limits.PEERS_COUNT), default=1, help="Refuse a publish that fewer brokers would hold."
)
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
@option(
    "--away-days",
    type=Number(0),
    default=limits.COMPACT_AWAY_SECONDS / _DAY_SECONDS,
    help="Days that compaction waits for a broker that is away; then that one is handed everything when it is back.",
)
@option(
    "--disk-reserve",
    type=WholeNumber(0),
    default=limits.DISK_RESERVE_BYTES,
    help="Bytes of the disk that are left free: below it publishing is refused, and reading goes on.",
)
@option(
    "--compress-segments",
    is_flag=True,
    help="Compress ops files that are complete, to about a third. An older newswire refuses such a folder.",
)
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
@option("--admin-password", cls=Secret)
@option(
    "--reset-admin-password",
    is_flag=True,
    help="Set the password of the user `admin` to that of NEWSWIRE_ADMIN_PASSWORD_FILE, or make such an admin.",
)
@option("--log-format", type=click.Choice(logs.FORMATS), default="text", help="A log line for people, or a JSON object a line.")
@option("--log-level", type=click.Choice(logs.LEVELS), default="info", help="The least of what is logged.")
@option("--menu", is_flag=True, help="Run the broker menu in this terminal.")
def broker(menu: bool, log_format: Any, log_level: Any, **options: Any) -> int:
    """Run a broker in the foreground.

    The secret that brokers sign with comes from NEWSWIRE_CLUSTER_SECRET, from the file named by NEWSWIRE_CLUSTER_SECRET_FILE,
    or from `cluster-secret` or `cluster-secret-file` in the TOML file; never from a flag. With --auth required and no secret
    one is made in --ops-dir. The first admin's password comes from NEWSWIRE_ADMIN_PASSWORD, or the file named by
    NEWSWIRE_ADMIN_PASSWORD_FILE.
    """
    return run(settings_of(**options), logs.LogOptions(log_format, log_level), menu=menu)


def settings_of(
    *,
    broker_id: str,
    retention_days: float,
    away_days: float,
    cluster_secret: str | None,
    admin_password: str | None,
    advertise: str | None,
    **same: Any,
) -> Settings:
    """Make settings of the options; what may not stand together is refused. Raises click.UsageError."""
    from newswire.config import Settings

    settings = Settings(
        nats=nats_settings(same),
        id=broker_id,
        advertise=advertise or "",
        ca_file=ca_file(),
        retention_seconds=retention_days * _DAY_SECONDS,
        away_seconds=away_days * _DAY_SECONDS,
        admin_password=(admin_password or "").strip("\r\n"),
        secrets=as_secrets(cluster_secret, f"the cluster-secret ({named('cluster-secret', 'cluster_secret')})"),
        **{
            **same,
            **{name: tuple(same.get(name, ())) for name in ("peers", "allowed_hosts", "trusted_proxies")},
            "ops_dir": Path(same["ops_dir"]),
        },
    )
    check(settings)
    others = tuple(peer for peer in settings.peers if peer != settings.address)  # one list of all brokers may serve them all
    return replace(settings, peers=others)


def check(settings: Settings) -> None:
    """Refuse settings that would leave the service open or unreachable. Raises click.UsageError."""
    host = named("host", "host")
    is_gateway = settings.engine == "jetstream"
    if is_gateway != bool(settings.nats.servers):
        raise click.UsageError(
            "--engine jetstream needs --nats nats://HOST:4222, the servers that keep the log."
            if is_gateway
            else "--nats names servers that nobody uses: add --engine jetstream, or leave it out."
        )
    if is_gateway and settings.peers:
        raise click.UsageError(
            "With --engine jetstream there are no peers: leave --peer out; brokers of one log find each other."
        )
    if not is_gateway and not settings.secrets and (place := _other_machine(settings)):
        raise click.UsageError(
            f"{place} is not this machine alone, and there is no secret that brokers sign with, so whoever reaches this broker"
            " could pass for another one: put one into a file (umask 077; openssl rand -hex 32 > cluster-secret), the same for"
            " every broker, and name the file in NEWSWIRE_CLUSTER_SECRET_FILE."
        )
    if settings.auth == "none" and not is_loopback(settings.host) and not settings.insecure:
        raise click.UsageError(
            f"{host} {settings.host} can be reached from other machines and --auth none lets anybody publish and read."
            " Use --auth required, or add --insecure if you trust everybody in that network."
        )
    if settings.reset_admin_password and not (settings.admin_password and settings.auth == "required"):
        raise click.UsageError(
            "--reset-admin-password needs --auth required, and the new one in the file that NEWSWIRE_ADMIN_PASSWORD_FILE names."
        )
    if settings.open_reading and settings.auth != "none":
        raise click.UsageError(
            "--open-reading is for --auth none: with --auth required topics are read by who has a grant to (newswire grant)."
        )
    if settings.host in _EVERYWHERE and not settings.advertise:
        raise click.UsageError(
            f"--host {settings.host or '(empty)'} means every address of this machine, which others cannot connect to:"
            " say with --advertise how they reach it (HOST:PORT, or https://HOST behind a proxy)."
        )


def _other_machine(settings: Settings) -> str:
    """The setting by which brokers are spoken with beyond this machine, "" for none."""
    places = [("host", "host", settings.host, settings.host)]
    places += [("advertise", "advertise", settings.advertise, place_of(settings.advertise).host)] if settings.advertise else []
    places += [("peer", "peers", peer, place_of(peer).host) for peer in settings.peers]
    return next((f"{named(word, name)} {text}" for word, name, text, host in places if not is_loopback(host)), "")


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches `host`. A name that is not `localhost` may be anything."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def run(settings: Settings, log: logs.LogOptions, *, menu: bool) -> int:
    """Run a broker until a signal stops it. Returns the exit code."""
    with _stopped_by_signals():
        try:
            return _run(settings, log, menu)
        except KeyboardInterrupt:  # while it started; later the server takes signals itself
            return output.DONE


def _run(settings: Settings, log: logs.LogOptions, menu: bool) -> int:
    from newswire import server

    path = settings.ops_dir / f"{settings.id}.log" if menu else None
    logs.start(log, path)
    for sentence in ignored():
        logging.getLogger("newswire").warning("%s", sentence)
    with output.Bar("Restoring from the ops file") as bar:
        broker = server.Server(settings, progress=bar)
        try:
            broker.start()
            gc.collect()
            gc.freeze()  # what the start made stays, and to look through it takes 0.1 s each time
            gc.set_threshold(limits.YOUNG_OBJECTS)
            bar.close()
            say_started(broker, settings, path, is_read_by_people=menu or log.format == "text")
            if menu:
                _run_menu(broker.address)
            return broker.wait()
        except (NewswireError, server.StartFailed) as error:
            raise click.ClickException(output.sentence_of(str(error))) from None
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):  # from here on a second signal ends the process at once
                signal.signal(number, signal.SIG_DFL)
            broker.stop()


def say_started(broker: Server, settings: Settings, log: Path | None, *, is_read_by_people: bool) -> None:
    """Print the five lines of a start, and log who may reach it.

    What collects a log of JSON objects reads standard output, too, as a service and in a container: it says the same there.
    """
    rows = [row for row in broker.engine.describe().rows if not row.self]
    summary = broker.restored
    lines = started_lines(
        broker.address, settings, summary.messages, summary.subscriptions, summary.seconds, peer_states(settings.peers, rows)
    )
    if settings.engine == "jetstream":
        count = len(settings.nats.servers)
        lines[3:] = [f"Log: {settings.nats.stream}, NATS servers: {count}", f"Copy: {settings.directory.resolve()}"]
    if is_read_by_people:
        click.echo("\n".join(lines) + (f"\nLog: {log.resolve()}" if log else ""))
    if settings.auth == "none" and settings.insecure and not is_loopback(settings.host):
        logging.getLogger("newswire").warning(
            "open to everybody who reaches %s; brokers %s", broker.address, "sign" if settings.secrets else "do not sign"
        )


def started_lines(
    address: str, settings: Settings, messages: int, subscriptions: int, seconds: float, peers: list[str]
) -> list[str]:
    """The five lines: address, role, what was restored, peers, where the files lie."""
    return [
        f"Broker {settings.id} at {url_of(address)}",
        f"Role: {'primary' if settings.primary else 'secondary'}",
        f"Restored: {messages:,} messages, {subscriptions:,} subscriptions in {seconds:.1f} s",
        f"Peers: {', '.join(peers) or 'none'}",
        f"Ops file: {settings.directory.resolve()}",
    ]


def peer_states(configured: tuple[str, ...], rows: list[BrokerStatus]) -> list[str]:
    """Each peer and its state; one that nobody has heard of yet is being looked for."""
    states = {row.ip: row.state for row in rows}
    return [f"{address} {states.get(address, 'not heard yet')}" for address in dict.fromkeys((*configured, *states))]


def _run_menu(address: str) -> None:
    """Run the menu beside the broker, which owns the main thread for its signals; leaving the menu stops it."""
    from newswire.cli import actions, menus

    def serve() -> None:
        try:
            actions.run(menus.BROKER, (address,))
        finally:  # also if it failed: a broker whose terminal is dead would run on unseen
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=serve, name="menu", daemon=True).start()


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Make SIGTERM what Ctrl-C is: it interrupts whatever the main thread waits for."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
