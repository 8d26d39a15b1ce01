"""A connection to NATS for threads that wait: in a thread of its own, and kept.

One that is lost, or whose server does not answer, is not mended but made anew, to the next server: so there is one place where
the log is looked at before anything goes on (`Follower.must_look`), and nothing is sent from a buffer meanwhile.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import TimeoutError as NoAnswer
from typing import Any, Final, TypeVar

import msgspec

from newswire.config import NatsSettings
from newswire.core import limits
from newswire.engine.jetstream.servers import LogAway, LogElsewhere, LogMoved
from newswire.errors import Refused
from newswire.threads import OnFatal, supervise

try:
    import nats
    import nats.errors
    from nats.aio.client import Client
    from nats.aio.msg import Msg
except ImportError:  # the tests install it
    nats = None  # type: ignore[assignment]

T = TypeVar("T")

_log: Final = logging.getLogger("newswire.nats")
_RETRY_SECONDS: Final = 0.01  # nats-py tries a server twice: one that is not there must not hold up the next one
_GRACE: Final = 1.0  # beyond what the event loop waits itself


class NatsConnection:
    """See above. Any thread may call."""

    def __init__(self, settings: NatsSettings, on_fatal: OnFatal) -> None:
        """Begin to connect. Raises Refused where nats-py is not installed."""
        if nats is None:
            raise Refused("the engine jetstream needs nats-py: pip install 'newswire[jetstream]'", code="unavailable")
        self._settings, self._name = settings, settings.stream
        self._take: Callable[[str, bytes], object] = lambda kind, payload: None
        self._me = secrets.token_hex(8).encode()  # begins what this one shouts
        self._client: Client | None = None
        self._epoch, self._why = 0, "no connection yet"
        self._renew: asyncio.Event | None = None
        self._closed, self._is_there = threading.Event(), threading.Event()
        self._has_loop = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._thread = supervise(self._main, "nats", on_fatal, may_end=self._closed.is_set)
        self._thread.start()
        self._has_loop.wait()

    @property
    def why(self) -> str:
        """Why there is no connection, in a few words."""
        return self._why

    def wait(self) -> None:
        """Wait for the first connection. Raises LogAway for none in time."""
        if not self._is_there.wait(limits.LOG_ANSWER_SECONDS + _GRACE):
            raise LogAway(self._why)

    def epoch(self) -> int:
        """See `LogServers`."""
        return self._epoch if self._client is not None else 0

    def on_news(self, take: Callable[[str, bytes], object]) -> None:
        """See `LogServers`."""
        self._take = take

    def close(self) -> None:
        """See `LogServers`."""
        self._closed.set()
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._drop, "closed")
            self._thread.join(limits.LOG_ANSWER_SECONDS + _GRACE)

    def _main(self) -> None:
        asyncio.run(self._keep())

    async def _keep(self) -> None:
        """Have a connection, whatever becomes of one."""
        self._loop, self._renew = asyncio.get_running_loop(), asyncio.Event()
        self._has_loop.set()
        places = itertools.cycle(self._settings.servers)
        while not self._closed.is_set():
            self._renew.clear()
            client = await self._connect(next(places))
            if client is None:
                await asyncio.sleep(limits.LOG_AGAIN_SECONDS)
                continue
            self._epoch += 1
            self._client, self._why = client, ""
            self._is_there.set()
            if client.is_closed:
                self._drop("the connection was lost")
            await self._renew.wait()
            self._client = None
            await self._close(client)

    async def _connect(self, server: str) -> Client | None:
        async def quiet(error: Exception) -> None:
            reasons.append(_first_line(error))

        async def lost() -> None:
            if made and self._client is made[0]:  # else an older one is being closed
                self._drop("the connection was lost")

        made: list[Client] = []
        reasons: list[str] = []  # of tries that failed
        options: dict[str, Any] = {"user_credentials": self._settings.credentials} if self._settings.credentials else {}
        try:
            client = await asyncio.wait_for(
                nats.connect(
                    server,
                    name="newswire",
                    allow_reconnect=False,
                    reconnect_time_wait=_RETRY_SECONDS,
                    max_reconnect_attempts=1,
                    connect_timeout=limits.LOG_ANSWER_SECONDS,
                    ping_interval=limits.LOG_ANSWER_SECONDS,
                    max_outstanding_pings=2,
                    error_cb=quiet,
                    disconnected_cb=lost,
                    closed_cb=lost,
                    **options,
                ),
                limits.LOG_ANSWER_SECONDS + _GRACE,
            )
        except Exception as error:  # a library's own, of sockets, TLS, credentials
            self._why = reasons[-1] if reasons else _first_line(error)
            return None
        try:
            await client.subscribe(f"{self._name}.news.*", cb=self._hear)
        except Exception as error:
            self._why = _first_line(error)
        else:
            if client.max_payload >= limits.LOG_PAYLOAD_BYTES + 4096:
                made.append(client)
                return client
            self._why = f"its max_payload is {client.max_payload}, and at least 1 MiB is needed"
        await self._close(client)
        return None

    async def _close(self, client: Client) -> None:
        try:
            await asyncio.wait_for(client.close(), _GRACE)
        except Exception as error:
            _log.debug("a connection was not closed in order: %s", error)

    def _drop(self, why: str) -> None:
        """End this connection; the event loop's thread."""
        self._client, self._why = None, self._why or why
        if self._renew is not None:
            self._renew.set()

    async def _hear(self, message: Msg) -> None:
        sender, payload = message.data[: len(self._me)], message.data[len(self._me) :]
        if sender != self._me:
            self._take(message.subject.rpartition(".")[2], payload)

    def shout(self, kind: str, payload: bytes) -> None:
        """See `LogServers`."""

        async def send() -> None:
            client = self._client
            if client is not None:
                try:
                    await client.publish(f"{self._name}.news.{kind}", self._me + payload)
                except Exception as error:
                    _log.debug("not told: %s", error)

        if not self._closed.is_set():
            asyncio.run_coroutine_threadsafe(send(), self._loop)

    def run(self, ask: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        """Ask, in the thread of the loop. Raises LogAway; a server that does not answer, or not for the log, is left."""
        client = self._client
        if client is None or self._closed.is_set():
            raise LogAway(self._why or "no connection")
        future = asyncio.run_coroutine_threadsafe(ask(client), self._loop)
        try:
            return future.result(limits.LOG_ANSWER_SECONDS + _GRACE)
        except (NoAnswer, TimeoutError):
            future.cancel()
            self._loop.call_soon_threadsafe(self._drop, "no answer in time")
            raise LogAway("no answer in time") from None
        except LogElsewhere as error:
            self._loop.call_soon_threadsafe(self._drop, str(error))
            raise
        except nats.errors.NoRespondersError:
            raise LogMoved("no server answers for the log") from None
        except nats.errors.Error as error:
            raise LogAway(str(error) or type(error).__name__) from error

    async def ask(self, client: Client, subject: str, body: object = None, headers: dict[str, str] | None = None) -> bytes:
        payload = body if isinstance(body, bytes) else msgspec.json.encode(body) if body is not None else b""
        message = await client.request(subject, payload, timeout=limits.LOG_ANSWER_SECONDS, headers=headers)
        return message.data


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:120] or type(error).__name__
