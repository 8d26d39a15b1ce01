"""`newswire broker`: from options to settings, five lines about the start, then the log until a signal."""

from __future__ import annotations

import gc
import ipaddress
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import click

from newswire.cli import exits, logs
from newswire.cli.options import as_secrets, ignored, named
from newswire.config import Settings
from newswire.errors import NewswireError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from newswire.engine.seam import BrokerStatus
    from newswire.server import Server

_BAR_AFTER_SECONDS: Final = 1.0
_DAY_SECONDS: Final = 86_400
_EVERYWHERE: Final = ("", "0.0.0.0", "::", "[::]")


def settings_of(
    *, broker_id: str, retention_days: float, cluster_secret: str | None, advertise: str | None, **same: Any
) -> Settings:
    """Make settings of the options; what may not stand together is refused. Raises click.UsageError."""
    settings = Settings(
        id=broker_id,
        advertise=advertise or "",
        retention_seconds=retention_days * _DAY_SECONDS,
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
    if settings.auth == "required":
        raise click.UsageError(
            f"{named('auth', 'auth')} required is not available in this version: access control comes with a later one."
            " Until then listen on 127.0.0.1 behind a proxy that authenticates, or trust the network and use --insecure."
        )
    host = named("host", "host")
    if not is_loopback(settings.host) and not settings.insecure:
        if not settings.secrets:
            raise click.UsageError(
                f"{host} {settings.host} can be reached from other machines and there is no secret that brokers sign with: put"
                " one into a file (`openssl rand -hex 32`), the same for every broker, and name the file in"
                " NEWSWIRE_CLUSTER_SECRET_FILE. --insecure goes without, and lets anybody publish and read: add it if you trust"
                " everybody in that network."
            )
        raise click.UsageError(
            f"{host} {settings.host} can be reached from other machines and --auth none lets anybody publish and read."
            " Listen on 127.0.0.1 behind a proxy that authenticates, or add --insecure if you trust everybody in that network."
        )
    if settings.host in _EVERYWHERE and not settings.advertise:
        raise click.UsageError(
            f"--host {settings.host or '(empty)'} means every address of this machine, which others cannot connect to:"
            " say with --advertise HOST:PORT how they reach it."
        )


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
            return exits.DONE


def _run(settings: Settings, log: logs.LogOptions, menu: bool) -> int:
    from newswire import server

    path = settings.ops_dir / f"{settings.id}.log" if menu else None
    logs.start(log, path)
    for sentence in ignored():
        logging.getLogger("newswire").warning("%s", sentence)
    with Restoring() as restoring:
        broker = server.Server(settings, progress=restoring)
        try:
            broker.start()
            gc.collect()
            gc.freeze()  # what the start made stays, and to look through it takes 0.1 s each time
            restoring.close()
            say_started(broker, settings, path)
            if menu:
                _run_menu(broker.address)
            return broker.wait()
        except (NewswireError, server.StartFailed) as error:
            raise click.ClickException(exits.sentence_of(str(error))) from None
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):  # from here on a second signal ends the process at once
                signal.signal(number, signal.SIG_DFL)
            broker.stop()


def say_started(broker: Server, settings: Settings, log: Path | None) -> None:
    """Print the five lines of a start."""
    rows = [row for row in broker.engine.describe().rows if not row.self]
    summary = broker.restored
    lines = started_lines(
        broker.address, settings, summary.messages, summary.subscriptions, summary.seconds, peer_states(settings.peers, rows)
    )
    click.echo("\n".join(lines) + (f"\nLog: {log.resolve()}" if log else ""))
    if settings.insecure and not is_loopback(settings.host):
        logging.getLogger("newswire").warning(
            "open to everybody who reaches %s; brokers %s", broker.address, "sign" if settings.secrets else "do not sign"
        )


def started_lines(
    address: str, settings: Settings, messages: int, subscriptions: int, seconds: float, peers: list[str]
) -> list[str]:
    """The five lines: address, role, what was restored, peers, where the files lie."""
    return [
        f"Broker {settings.id} at http://{address}",
        f"Role: {'primary' if settings.primary else 'secondary'}",
        f"Restored: {messages:,} messages, {subscriptions:,} subscriptions in {seconds:.1f} s",
        f"Peers: {', '.join(peers) or 'none'}",
        f"Ops file: {settings.directory.resolve()}",
    ]


def peer_states(configured: tuple[str, ...], rows: list[BrokerStatus]) -> list[str]:
    """Each peer and its state; one that nobody has heard of yet is being looked for."""
    states = {row.ip: row.state for row in rows}
    return [f"{address} {states.get(address, 'not heard yet')}" for address in dict.fromkeys((*configured, *states))]


class Restoring:
    """A progress bar of the restore: only on a terminal, and only once it has taken over a second."""

    def __init__(self, *, visible: bool | None = None) -> None:
        self._visible = sys.stderr.isatty() if visible is None else visible
        self._begun = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __call__(self, count: int, total: int) -> None:
        """Take note that `count` of `total` bytes are read."""
        if self._bar is None and self._visible and time.monotonic() - self._begun > _BAR_AFTER_SECONDS:
            self._open(total)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=count, total=total)

    def _open(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._bar = Progress(console=Console(stderr=True), transient=True)
        self._bar.start()
        self._task = self._bar.add_task("Restoring from the ops file", total=total)

    def close(self) -> None:
        """Take the bar away, for good."""
        self._visible = False
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __enter__(self) -> Restoring:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


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
