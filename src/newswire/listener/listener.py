"""The listener as others see it: built, started, stopped, and its numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from newswire.core import limits
from newswire.listener.bind import bind
from newswire.listener.kinds import Kind, Threads
from newswire.listener.light import LightWork
from newswire.listener.loop import Loop
from newswire.listener.phases import Bounds, Deadlines
from newswire.listener.pools import Pool
from newswire.listener.proxies import Proxies
from newswire.listener.request import Admit, UserOf
from newswire.threads import OnFatal, check_may_wait, supervise

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class Listener:
    """Serves a WSGI application on one port; streams leave by hand-over. Built, started and stopped by one thread."""

    def __init__(
        self,
        app: WSGIApplication,
        *,
        host: str,
        port: int,
        threads: Threads | None = None,
        bounds: Bounds | None = None,
        deadlines: Deadlines | None = None,
        light: Collection[tuple[str, str]] = (),
        together: Callable[[], AbstractContextManager[None]] = nullcontext,
        admit: Admit | None = None,
        user_of: UserOf = lambda authorization, cookie: "",
        clock: Callable[[], float] = time.monotonic,
        trusted_proxies: Sequence[str] = (),
        on_fatal: OnFatal = lambda error: None,
    ) -> None:
        """Bind and listen (port 0: any free one); requests wait in the kernel until `start`. Raises Unavailable.

        `light`: method and path of what the loop runs itself, those of one turn in a `with` of `together`; `admit` says of a
        request's head why its body is not taken. `user_of`: whose turn it is; where it does not know, an address's.
        `on_fatal` must end the process: a thread died.
        """
        sock = bind(host, port)
        self._threads = threads or Threads()
        self._server = Loop(
            app,
            sock,
            bounds=bounds or Bounds(),
            deadlines=deadlines or Deadlines(),
            light=LightWork(light, together=together),
            admit=admit,
            user_of=user_of,
            clock=clock,
            proxies=Proxies(trusted_proxies),
            on_fatal=on_fatal,
        )
        self._loop = supervise(self._server.run, "listener", on_fatal, may_end=lambda: self._server.stop_at is not None)
        self.host: str = host
        self.port: int = sock.getsockname()[1]

    def start(self) -> None:
        """Serve from now on."""
        for pool in self._pools:
            pool.set_thread_count(getattr(self._threads, pool.name))
        self._loop.start()

    def stop(self, timeout: float) -> None:
        """Stop accepting, let running requests end within `timeout` seconds, close all connections, end the threads."""
        if self._loop.ident is None:
            self._server.close()
            self._server.interest.close()
            return
        end = time.monotonic() + timeout
        if self._loop.is_alive():
            self._server.stop(end)
            self._loop.join(timeout + 1.0)
        for pool in self._pools:
            pool.shutdown(timeout=max(0.5, end - time.monotonic()))  # type: ignore[arg-type]
        if not any(pool.threads for pool in self._pools) and not self._loop.is_alive():
            self._server.close_trigger()

    @property
    def _pools(self) -> tuple[Pool, ...]:
        return tuple(self._server.pools.values())

    def give_way(self) -> None:
        """Wait for publishes that are served now, for a moment at most. For what computes, between its steps.

        Threads that may wait. Computing makes each change of threads wait, and what the loop and the commit thread do for a
        publish needs some.
        """
        check_may_wait("others")
        publishing, light = self._server.pools[Kind.PUBLISH], self._server.light
        until = time.monotonic() + limits.GIVE_WAY_SECONDS
        while (light.is_publishing or publishing.queue or publishing.active_count) and time.monotonic() < until:
            time.sleep(limits.GIVE_WAY_SECONDS / 5)

    # Any thread; numbers of the moment.

    @property
    def connections(self) -> int:
        """Open connections; streams that were handed over are not among them."""
        return len(self._server.channels)

    @property
    def long_runs(self) -> int:
        """Requests that took the loop too long so far: each is a fault."""
        return self._server.light.long_runs

    @property
    def handed_over(self) -> int:
        """Streams given to their adopters so far."""
        return self._server.handed_over

    @property
    def evicted(self) -> int:
        """Connections closed to make room so far."""
        return self._server.evicted

    @property
    def crowded_out(self) -> int:
        """Half-received requests and unsent answers dropped so far because all together were too large."""
        return self._server.crowded_out

    @property
    def refused(self) -> int:
        """Connections and requests refused so far because their caller had too many."""
        return self._server.refused

    @property
    def timed_out(self) -> int:
        """Connections closed so far because the client sent or read too slowly."""
        return self._server.timed_out
