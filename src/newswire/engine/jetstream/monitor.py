"""Whether the servers of a log sync what they acknowledge: they say so at their monitoring addresses alone (`/varz`)."""

from __future__ import annotations

import http.client
import logging
import threading
import urllib.parse
from collections.abc import Callable
from typing import Final

import msgspec

from newswire.config import NatsSettings
from newswire.core import limits
from newswire.core.model import conditions
from newswire.core.model.bad_json import BAD_JSON
from newswire.core.model.times import span
from newswire.engine.jetstream.shell import Durability
from newswire.threads import OnFatal, supervise

_log: Final = logging.getLogger("newswire.nats")
_EVERY_SECONDS: Final = 30.0  # between two looks: a server's configuration changes with its restart
_ANSWER_BYTES: Final = 1024 * 1024  # of `/varz`: it has some KB


class VarzConfig(msgspec.Struct):
    """How a server syncs."""

    sync_interval: int = 0  # ns
    sync_always: bool = False


class VarzJetStream(msgspec.Struct):
    """What it says of JetStream."""

    config: VarzConfig | None = None


class Varz(msgspec.Struct):
    """What of `/varz` says how a server syncs."""

    jetstream: VarzJetStream | None = None


class Monitor:
    """Asks them now and then, in a thread of its own; `tell` gets what follows."""

    def __init__(
        self, settings: NatsSettings, replicas: Callable[[], int], on_fatal: OnFatal, tell: Callable[[Durability], None]
    ) -> None:
        """`replicas`: how many servers keep the log now, whatever was asked for when it was made."""
        self._settings, self._replicas, self._tell = settings, replicas, tell
        self._stop = threading.Event()
        tell(durability(replicas(), []))
        self._thread = supervise(self._main, "nats-monitor", on_fatal, may_end=self._stop.is_set)
        if settings.monitors:
            self._look()
            self._thread.start()

    def close(self) -> None:
        """Ask no more."""
        self._stop.set()

    def _main(self) -> None:
        while not self._stop.wait(_EVERY_SECONDS):
            self._look()

    def _look(self) -> None:
        self._tell(durability(self._replicas(), [_ask(url) for url in self._settings.monitors]))


def _ask(url: str) -> Varz | None:
    place = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
    connection = kind(place.hostname or "", place.port, timeout=limits.LOG_ANSWER_SECONDS)
    try:
        connection.request("GET", f"{place.path.rstrip('/')}/varz")
        return msgspec.json.decode(connection.getresponse().read(_ANSWER_BYTES), type=Varz)
    except (OSError, http.client.HTTPException, *BAD_JSON) as error:
        _log.debug("%s does not say whether it syncs: %s", url, error)
        return None
    finally:
        connection.close()


def durability(replicas: int, answers: list[Varz | None]) -> Durability:
    """What acknowledgements prove: of a majority that syncs always, so many disks; else none, which is told.

    A server that does not answer now stands in nobody's way, as long as one did: it acknowledges nothing meanwhile.
    """
    known = [answer.jetstream.config for answer in answers if answer is not None and answer.jetstream is not None]
    configs = [config for config in known if config is not None]
    if not configs:
        return Durability(reasons=(conditions.LOG_UNPROVED.say(),))
    late = [config for config in configs if not config.sync_always]
    if late:
        longest = max(config.sync_interval for config in late) // 1_000_000
        return Durability(reasons=(conditions.LOG_LATE.say(span=span(longest)),))
    return Durability(copies=replicas // 2 + 1)
