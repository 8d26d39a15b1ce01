"""The composition root: builds a broker of its parts, and takes them down in order."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import signal
import socket
import sys
import threading
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from newswire import __version__, own_secret
from newswire.config import Settings
from newswire.core import limits
from newswire.engine.commit_engine import CommitEngine, Restored
from newswire.engine.embedded.engine import EmbeddedEngine
from newswire.engine.embedded.ops_file import Progress
from newswire.engine.seam import Wake
from newswire.errors import NewswireError
from newswire.first_admin import FirstAdmin
from newswire.hkdf import derive
from newswire.listener import Bounds, Listener, Threads
from newswire.quotas.descriptors import share
from newswire.sampler import Sampler
from newswire.streams.downloads import Downloads
from newswire.streams.hub import Hub
from newswire.web import Authenticator, SlimApp, create_admission, create_app, light_routes

if TYPE_CHECKING:
    from newswire.engine.jetstream.engine import JetstreamEngine

T = TypeVar("T")

log = logging.getLogger("newswire.server")

_M_MMAP_THRESHOLD = -3  # malloc.h
_EXIT_FATAL = 70  # EX_SOFTWARE: the disk failed, or the core did; systemd starts the broker again


class StartFailed(Exception):
    """The broker cannot start; the text says why and what to do."""


class Server:
    """One broker in this process. `start`, `wait`, `stop`: one thread, in this order."""

    def __init__(self, settings: Settings, *, progress: Progress | None = None) -> None:
        self.settings = settings
        self._progress = progress
        self._stopped = threading.Event()
        self.address = ""
        self._started = False
        self.restored = Restored(0, 0, 0.0)
        self.engine: EmbeddedEngine | JetstreamEngine
        self._parts: list[EmbeddedEngine | JetstreamEngine | Listener | Hub | Downloads | Sampler] = []

    def start(self) -> None:
        """Recover, bind, serve. Raises NewswireError or StartFailed with a sentence."""
        # Have glibc map every large block by itself: the columns of the log grow for ever, and left 30 MB of holes behind
        # them. By its own rule it stops doing so after the first large block is freed. Other C libraries have nothing to set.
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, limits.MAPPED_BLOCK_BYTES)
        sys.setswitchinterval(limits.SWITCH_SECONDS)
        _check_port(self.settings.host, self.settings.port)
        try:
            self._start()
        except OSError as error:
            self.stop()
            raise StartFailed(f"cannot start: {error}") from error
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        streams_configured = self.settings.streams
        settings = self.settings = _with_secret(_fit(self.settings, _raise_descriptor_limit()))
        engine: EmbeddedEngine | JetstreamEngine
        cluster: EmbeddedEngine | None = None
        if settings.engine == "jetstream":
            from newswire.engine.jetstream.engine import JetstreamEngine

            engine = JetstreamEngine(settings, progress=self._progress, on_fatal=_die)
        else:
            engine = cluster = EmbeddedEngine(settings, progress=self._progress, on_fatal=_die, on_exit=self._left)
        self.engine, self.restored = engine, engine.restored
        self._parts.append(engine)
        hub, downloads = Hub(engine, settings, on_fatal=_die), Downloads(_die)
        sampler = Sampler(
            engine,
            streams=lambda: hub.count,
            deliveries=lambda: hub.message_count,
            streams_limit=settings.streams,
            on_fatal=_die,
        )
        auth = None
        if settings.auth == "required":
            auth = Authenticator(engine, [derive(secret, "session") for secret in settings.secrets])
        app = create_app(
            engine,
            settings,
            auth=auth,
            cluster=cluster,
            hand_over=lambda order: partial(hub.adopt, order),
            streams_open=lambda: hub.count,
            messages_delivered=lambda: hub.message_count,
            streams_sent=lambda: hub.move_count,
            streams_configured=streams_configured,
            download=lambda parts: partial(downloads.adopt, parts),
            is_downloading=lambda: downloads.is_busy,
            measured=sampler,
            no_room=hub.refusal,
            give_way=lambda: listener.give_way(),
            version=__version__,
        )
        listener = Listener(
            SlimApp(app),
            host=settings.host,
            port=settings.port,
            threads=Threads(large=settings.threads),
            bounds=Bounds(
                connections=settings.connections,
                connections_per_caller=min(
                    _or_default(settings.connections_per_address, limits.CONNECTIONS_PER_CALLER), settings.connections // 2
                ),
                requests_per_caller=_or_default(settings.requests_per_address, limits.REQUESTS_PER_CALLER),
                counts_own_connections=settings.connections_per_address is not None,
                counts_own_requests=settings.requests_per_address is not None,
            ),
            light=light_routes(app),
            together=engine.together,
            admit=create_admission(app, engine, settings, cluster, auth),
            user_of=auth.user_of if auth is not None else lambda authorization, cookie: "",
            trusted_proxies=settings.trusted_proxies,
            on_fatal=_die,
        )
        self._parts += [downloads, hub, listener, sampler]
        host, port = listener.host, listener.port
        self.address = settings.advertise or (f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        engine.on_wake(hub.wake if auth is None else partial(_wake, auth, hub))
        engine.start(self.address)
        hub.start()
        listener.start()
        sampler.start()
        if auth is not None:
            self._first_admin = FirstAdmin(
                engine, auth, settings.admin_password, self._stopped, _die, resets=settings.reset_admin_password
            )
            self._first_admin.start()
        self._say_started()

    def _say_started(self) -> None:
        settings, summary = self.settings, self.restored
        role = "primary" if settings.primary else "secondary"
        log.info("started: broker %s, %s, %s, version %s", settings.id, self.address, role, __version__)
        log.info("restored messages: %d, subscriptions: %d", summary.messages, summary.subscriptions)
        self._started = True

    def wait(self) -> int:
        """Block until SIGTERM, SIGINT or the end of this broker's membership; return the exit code, 0. Main thread only."""
        signals: list[str] = []

        def stop(number: int, frame: object) -> None:
            signals.append(signal.Signals(number).name)
            self._stopped.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        while not self._stopped.wait(1.0):
            pass  # woken now and then, so that a signal's handler runs
        log.info("stopping: %s", signals[0] if signals else "this broker has left the cluster")
        return 0

    def stop(self) -> None:
        """Take the parts down: listener and its pools, then streams, then the engine. Once more does nothing."""
        self._stopped.set()
        parts, self._parts = self._parts, []
        for part in reversed(parts):
            try:
                part.close(limits.STOP_SECONDS) if isinstance(part, CommitEngine) else part.stop(limits.STOP_SECONDS)
            except Exception:
                log.exception("while stopping")
        if self._started:
            self._started = False
            log.info("stopped: broker %s, %s", self.settings.id, self.address)

    def _left(self, why: str) -> None:
        log.info("%s", why)
        self._stopped.set()


def _wake(auth: Authenticator, hub: Hub, wake: Wake) -> None:
    """Have what is known of callers forgotten first: a stream that is opened anew asks the engine."""
    if wake.users:
        auth.wake(wake.users)
    hub.wake(wake)


def _with_secret(settings: Settings) -> Settings:
    """Where people are asked who they are, brokers are, too: a broker that was told no secret has one of its own."""
    if settings.auth == "none" or settings.secrets:
        return settings
    log.info("brokers sign with the secret in %s", settings.ops_dir / own_secret.NAME)
    return replace(settings, secrets=(own_secret.own_secret(settings.ops_dir),))


def _or_default(setting: T | None, default: T) -> T:
    return default if setting is None else setting


def _raise_descriptor_limit() -> int:
    """Take as many descriptors as the system allows, and return how many: each connection and stream is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def _fit(settings: Settings, descriptors: int) -> Settings:
    """Lower the limits of streams and connections to what the descriptors allow, and say so."""
    fitting = share(descriptors, settings.streams, settings.connections)
    if fitting != (settings.streams, settings.connections):
        log.warning(
            "the system allows %d descriptors, which is enough for %d streams (of %d) and %d other connections (of %d):"
            " allow more (LimitNOFILE, ulimit -n), or lower --streams and --connections",
            descriptors, fitting.streams, settings.streams, fitting.connections, settings.connections,
        )  # fmt: skip
    return replace(settings, streams=fitting.streams, connections=fitting.connections)


def _check_port(host: str, port: int) -> None:
    """Fail before a long recovery, not after it. Raises StartFailed."""
    if not port:
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except OSError as error:
            sentence = f"port {port} at {host} is taken: stop the other program or choose another port with --port"
            raise StartFailed(sentence if error.errno == 98 else f"cannot listen at {host}:{port}: {error.strerror}") from error


def _die(error: BaseException) -> None:
    """End the process at once: what is in memory may not be what is on disk (docs/rules.md, DISK)."""
    detail = error.detail if isinstance(error, NewswireError) else f"{type(error).__name__}: {error}"
    log.critical("this broker ends now: %s", detail)
    logging.shutdown()
    os._exit(_EXIT_FATAL)
