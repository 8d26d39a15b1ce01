"""Light requests: the loop runs them itself, and answers them when the engine has told. Loop thread.

A thread for each request that waits costs more than the request: a publish crossed four threads and changed between them
thirteen times. What is light never waits (`newswire.threads`), so the loop runs it; its answer comes later and is written by
the loop, with all others of a round. Four rules keep this fair: peers and probes run as soon as they are parsed; so many
requests of clients are in flight, so that a round stays short; one caller's are begun so that others hardly wait for them
(`quotas.in_flight`); and so many milliseconds of views make a turn.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Final

from newswire import escape
from newswire.core import limits
from newswire.listener.kinds import Kind
from newswire.listener.turns import Turns
from newswire.quotas.in_flight import InFlight

if TYPE_CHECKING:
    from newswire.listener.connection import Channel
    from newswire.listener.request import HttpRequest

_log: Final = logging.getLogger("newswire.listener")

_AT_ONCE: Final = (Kind.PEER, Kind.PROBE)


class LightWork:
    """What the loop runs itself."""

    def __init__(
        self,
        routes: Collection[tuple[str, str]],
        clock: Callable[[], float] = time.monotonic,
        together: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """`routes`: method and path of what is light; `clock`: seconds; `together`: views of one turn run in a `with` of it."""
        self._routes = frozenset(routes)
        self._clock, self._together = clock, together
        self._waiting: Turns[Channel] = Turns()
        self._in_flight: dict[Channel, str] = {}  # of clients: run here, and answered later; whose
        self._callers = InFlight()
        self.long_runs = 0

    def takes(self, request: HttpRequest) -> bool:
        """Say whether the loop runs this request. What is large takes long to read, and a batch waits for others."""
        if request.error is not None or (request.command, request.route) not in self._routes:
            return False
        kind = request.kind
        return request.held_bytes <= limits.LIGHT_BODY_BYTES if kind is Kind.PEER else kind is not Kind.LARGE

    def add(self, channel: Channel, kind: Kind) -> None:
        """Run the request of `channel`: now, if it is a peer's or a probe; else when it is its caller's turn."""
        if kind in _AT_ONCE:
            self._run(channel)
        else:
            self._waiting.append(channel)
            self._callers.ask(channel.caller, self._clock())

    @property
    def is_ready(self) -> bool:
        """Whether something can be run now."""
        if not self._waiting or len(self._in_flight) >= limits.LIGHT_IN_FLIGHT_COUNT:
            return False
        self._callers.look(self._clock())
        return self._waiting.has(self._callers.may)

    @property
    def is_waiting(self) -> bool:
        """Whether something waits: what cannot be run now can be within a moment, though nothing comes."""
        return bool(self._waiting)

    @property
    def is_publishing(self) -> bool:
        """Whether clients' requests wait or are in flight. Any thread."""
        return bool(self._in_flight) or bool(self._waiting)

    def run_some(self) -> None:
        """Run what waits, for a part of a turn."""
        if not self.is_ready:
            self._callers.close()
            return
        until = time.perf_counter() + limits.LIGHT_TURN_SECONDS
        with self._together():
            while (channel := self._take()) is not None:
                caller = channel.caller
                self._callers.begin(caller, self._clock())
                self._run(channel)
                if channel.later_task is not None:
                    self._in_flight[channel] = caller
                else:
                    self._callers.end(caller, self._clock())
                if time.perf_counter() >= until:
                    break
        self._callers.close()

    def _take(self) -> Channel | None:
        """Take the connection whose request runs next; None: none may run now."""
        if len(self._in_flight) >= limits.LIGHT_IN_FLIGHT_COUNT:
            return None
        self._callers.look(self._clock())
        try:
            return self._waiting.popleft(self._callers.may)
        except IndexError:
            return None

    def release(self, channel: Channel) -> None:
        """Its request is answered, or its client has left."""
        caller = self._in_flight.pop(channel, None)
        if caller is not None:
            self._callers.end(caller, self._clock())

    def _run(self, channel: Channel) -> None:
        start = time.perf_counter()
        path = channel.requests[0].path if channel.requests else ""
        channel.service()
        seconds = time.perf_counter() - start
        if seconds > limits.LIGHT_RUN_SECONDS:
            self.long_runs += 1
            _log.warning("%s took %.0f ms of the loop that serves everybody", escape.line(path), seconds * 1000)
