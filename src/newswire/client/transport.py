"""The one place that does HTTP: `requests.Session`s behind three calls. Nothing is decided here.

A call ends in an `BrokerAnswer` (any status) or in `Unreached`. What requests and urllib3 raise is turned into the latter and
told apart in two ways only, since nothing else matters above: may the broker have got the request (`perhaps`), and did
it keep silent (`silent`) instead of refusing.

Processes (docs/rules.md, FORK). A connection that a child process inherits by `fork` is the parent's: two that write to one
get each other's answers. Whoever holds one looks whether the process is another now (`is_foreign`), and opens its own; the
inherited descriptor is closed here, which does nothing to the parent's, and never shut down, which would.

Threads. No session is used by two threads at once: who sends takes one that nobody uses, or makes one, and puts it back.

Logging. urllib3 logs what it does. A handler that publishes log records through this library would publish those too, and
those of that publish, and so on: what is logged within a call (in this thread) is dropped.

Streams. `raw.read1` gives what has come, chunk by chunk, at once; `iter_lines` and a sized `iter_content` hold a message
back until their buffer is full. To end a blocked read from another thread the connection's descriptor is duplicated when the
stream opens: shutting the duplicate down ends the connection, and nothing of requests is touched outside its thread.

Time. An answer is to have come, whole, when the time of its call is over, whatever trickles in (`Deadline`); so is the head
of a stream or a download. On those it counts from byte to byte then.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
import requests
import urllib3
from requests.structures import CaseInsensitiveDict

from newswire import sse, tls
from newswire.client import checks
from newswire.client.credential import NO_ONE, Credential, refusal
from newswire.client.deadline import Deadline, TimedAdapter
from newswire.client.unreached import Unreached, judge
from newswire.core import limits
from newswire.core.model.addresses import is_tls, url_of
from newswire.core.model.bad_json import BAD_JSON
from newswire.errors import NewswireError, Unauthenticated, from_problem

_LOGGERS: Final = (  # that a request may log to; `warnings` go to the last, where they are captured
    "urllib3", "urllib3.connection", "urllib3.connectionpool", "urllib3.poolmanager", "urllib3.response", "urllib3.util.retry",
    "requests", "py.warnings",
)  # fmt: skip
_PART_BYTES: Final = 64 * 1024
_within: Final[ContextVar[bool]] = ContextVar("newswire-call", default=False)


@dataclass(frozen=True)
class Call:
    """A request without the broker that it goes to: the same one can be sent again elsewhere."""

    method: str
    path: str
    params: Mapping[str, str | int] = field(default_factory=dict)
    body: bytes | None = None
    type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class _Said(msgspec.Struct):
    message: str


@dataclass(frozen=True)
class BrokerAnswer:
    """What a broker answered."""

    broker: str
    status: int
    body: bytes
    retry_after: float | None = None  # seconds
    location: str = ""  # of a redirect
    after_doubt: bool = False  # an earlier try of the same call may have been carried out
    sent: str = NO_ONE  # the kind of credential that the request had

    def json(self) -> Any:
        """The body's JSON. Raises NewswireError when it is none: something that is no broker answered."""
        try:
            return msgspec.json.decode(self.body)
        except BAD_JSON:
            raise self.no_broker() from None

    def read(self, kind: type[Any]) -> Any:
        """The body's JSON as `kind`. Raises as `json`."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except BAD_JSON:
            raise self.no_broker() from None

    def sentence(self) -> str:
        """What the broker says that it did. Raises as `json`, also where nothing is said: that is no broker."""
        said: _Said = self.read(_Said)
        return said.message

    @property
    def code(self) -> str:
        """The error code, "" if there is none (a proxy answered)."""
        return str(self._problem().get("code", ""))

    def error(self) -> NewswireError:
        """The error that a refusal tells; of a credential, what to do about the one that was sent."""
        error = from_problem(self._problem(), self.status)
        if isinstance(error, Unauthenticated):
            return Unauthenticated(refusal(self.sent), **error.extra, sent=self.sent)
        return error

    def why_strange(self) -> str:
        """Why this can be no broker's answer, "" if it can: one answers JSON, and refuses with a code."""
        if 300 <= self.status < 400:
            return f"it redirects (HTTP {self.status}) to {self.location[:200] or 'another address'}: name that one"
        if 400 <= self.status < 500 and self.status not in (413, 429) and not self.code:  # those two a proxy may say for one
            if tls.is_tls_port(self.body):
                return tls.SPEAKS_TLS
            return f"what answers there is no newswire broker (it says HTTP {self.status})"
        if 200 <= self.status < 300 and self.body.lstrip()[:1] not in (b"{", b"["):
            return "what answers there is no newswire broker"
        return ""

    def _problem(self) -> Mapping[str, Any]:
        try:
            problem = msgspec.json.decode(self.body)
        except BAD_JSON:
            return {}
        return problem if isinstance(problem, dict) else {}

    def no_broker(self) -> NewswireError:
        """What to raise where something that is no broker answered."""
        return NewswireError(f"what answers at {self.broker} is no newswire broker: check the address", code="unreachable")


def form(fields: Mapping[str, str | Sequence[str] | None]) -> tuple[bytes, str]:
    """A form body of the fields that are not None, one of several words as often as it has words; and its content type."""
    pairs = {name: value for name, value in fields.items() if value is not None}
    return urlencode(pairs, doseq=True).encode(), "application/x-www-form-urlencoded"


class Incoming:
    """An open stream. The thread that opened it reads and closes; any thread may interrupt."""

    def __init__(self, broker: str, response: requests.Response, last_event_id: str) -> None:
        self.broker = broker
        self.reader = sse.EventReader(last_event_id)
        self._response = response
        self._socket = socket.socket(fileno=os.dup(response.raw.fileno()))
        self._process = os.getpid()

    @property
    def is_foreign(self) -> bool:
        """Whether another process opened it, of which this one is a fork."""
        return self._process != os.getpid()

    def read(self) -> list[sse.Event] | None:
        """Wait for bytes; the events that they complete, often none; None at the end. Raises Unreached."""
        try:
            with _quiet_log():
                received = self._response.raw.read1(decode_content=False)
        except urllib3.exceptions.ReadTimeoutError:
            raise Unreached("not even a keepalive came", silent=True) from None
        except (urllib3.exceptions.HTTPError, OSError):
            raise Unreached("the connection broke") from None
        return self.reader.feed(received) if received else None

    def interrupt(self) -> None:
        """End the connection: a blocked `read` returns or raises at once. Another process's is left alone."""
        if self.is_foreign:
            return
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:  # it has ended already
            pass

    def close(self) -> None:
        """Free the connection."""
        self.interrupt()
        self._response.close()
        self._socket.close()


class Download:
    """A long answer that is read part by part. The thread that opened it reads and closes."""

    def __init__(self, broker: str, response: requests.Response) -> None:
        self.broker = broker
        self._response = response

    def read(self, size: int = -1) -> bytes:
        """Some bytes, at most `size`; none at the end. Raises Unreached, also where the end is missing."""
        try:
            with _quiet_log():
                part: bytes = self._response.raw.read(size, decode_content=False)
                return part
        except urllib3.exceptions.ReadTimeoutError:
            raise Unreached("nothing came any more", silent=True) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreached(f"the answer broke off ({type(error).__name__})") from None

    def close(self) -> None:
        """Free the connection."""
        self._response.close()


class Transport:
    """HTTP to any broker. Any thread.

    The environment's proxies and netrc are left alone: brokers are named by address inside an organisation, and neither news
    nor tokens may take a way that was meant for the web. `verify`: as in requests; True: the file of NEWSWIRE_CA_FILE, if it is
    set. `tls_only`: nothing is sent in plain HTTP, whoever names such an address. `clock`: monotonic seconds.
    """

    def __init__(
        self,
        *,
        credential: Credential | None = None,
        verify: bool | str = True,
        tls_only: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tls_only, self._clock = tls_only, clock
        self._credential, self._verify = credential, checks.trust("verify", verify)
        self._headers = {**requests.utils.default_headers(), "Accept": "application/json", "User-Agent": "newswire"}
        self._foreign: list[requests.Session] = []  # kept: their ends would wait for locks that a thread held at the fork
        self._sessions: list[requests.Session] = []  # that nobody uses
        self._process = os.getpid()
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(_outside)  # once: adding it again does nothing

    def _session(self) -> requests.Session:
        """One that nobody else uses. Put it back into `_sessions`."""
        if self._process != os.getpid():
            self._foreign += self._sessions
            self._sessions, self._process = [], os.getpid()
        with suppress(IndexError):
            return self._sessions.pop()
        session = requests.Session()
        session.trust_env = False
        for prefix in ("http://", "https://"):
            session.mount(prefix, TimedAdapter(pool_connections=limits.CLIENT_BROKERS_COUNT, max_retries=0))
        return session

    def url(self, address: str, path: str, params: Mapping[str, str | int] | None = None) -> str:
        """The URL of `path` at a broker."""
        return f"{url_of(address)}{path}" + (f"?{urlencode(params)}" if params else "")

    def send(self, address: str, call: Call, seconds: float) -> BrokerAnswer:
        """Send one request, once; its answer has come within `seconds`. Raises Unreached."""
        with _quiet_log():
            return self._answer(address, self._request(address, call, Deadline(seconds, self._clock)))

    def open(self, address: str, call: Call, silence: float, last_event_id: str = "") -> Incoming | BrokerAnswer:
        """Open a stream, on which a read may last `silence` seconds; an Answer if it is refused. Raises Unreached."""
        with _quiet_log():
            deadline = Deadline(silence, self._clock)
            response = self._request(address, call, deadline)
            if response.status_code != 200 or not response.headers.get("Content-Type", "").startswith("text/event-stream"):
                return self._answer(address, response)
            deadline.lift()
            return Incoming(address, response, last_event_id)

    def download(self, address: str, call: Call, silence: float) -> Download | BrokerAnswer:
        """Begin to read an answer of any length, where a read may last `silence` seconds. Raises Unreached.

        It is a BrokerAnswer if it is refused, or JSON or HTML, as those answer who are no broker.
        """
        with _quiet_log():
            deadline = Deadline(silence, self._clock)
            response = self._request(address, call, deadline)
            if response.status_code != 200 or response.headers.get("Content-Type") != "application/gzip":
                return self._answer(address, response)
            deadline.lift()
            return Download(address, response)

    def close(self) -> None:
        """Close idle connections."""
        if self._process == os.getpid():
            for session in self._sessions[:]:
                session.close()

    def _request(self, address: str, call: Call, deadline: Deadline) -> requests.Response:
        if self._tls_only and not is_tls(address):
            raise Unreached("it speaks plain HTTP, and you named brokers by https:// alone", perhaps=False)
        try:
            seconds = deadline.seconds_left()
        except TimeoutError:  # this machine had no time for it
            raise Unreached("no connection in time", perhaps=False, silent=True) from None
        session = self._session()
        try:
            with deadline.of_answer():
                return session.send(
                    self._prepared(session, address, call),
                    timeout=(min(limits.CLIENT_CONNECT_SECONDS, seconds), seconds),
                    verify=self._verify,
                    allow_redirects=False,  # a followed redirect turns a POST into a GET
                    stream=True,
                    proxies={},
                )
        except (requests.RequestException, urllib3.exceptions.HTTPError, UnicodeError) as error:
            raise judge(error) from None
        finally:
            self._sessions.append(session)

    def _prepared(self, session: requests.Session, address: str, call: Call) -> requests.PreparedRequest:
        """The request as it is sent. `Session.request` would merge what no session of ours has: a quarter of its work."""
        prepared = requests.PreparedRequest()
        prepared.method = call.method
        prepared.prepare_url(self.url(address, call.path, call.params), None)
        prepared.headers = CaseInsensitiveDict(self._headers | dict(call.headers))
        if self._credential:
            prepared.headers["Authorization"] = self._credential.header()
        prepared.prepare_cookies(session.cookies)
        prepared.hooks = requests.hooks.default_hooks()
        if call.body is not None:
            prepared.body = call.body
            prepared.headers["Content-Type"] = call.type
            prepared.headers["Content-Length"] = str(len(call.body))
        return prepared

    def _answer(self, address: str, response: requests.Response) -> BrokerAnswer:
        body = bytearray()
        try:
            with response:
                for part in response.iter_content(_PART_BYTES):
                    body += part
                    if len(body) > limits.CLIENT_ANSWER_BYTES:
                        raise Unreached("it sends more than any newswire broker does", perhaps=False)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            if any(isinstance(cause, urllib3.exceptions.ReadTimeoutError) for cause in error.args):
                raise Unreached("no whole answer in time", silent=True) from None
            raise Unreached(f"the answer broke off ({type(error).__name__})") from None
        headers = response.headers
        text = headers.get("Retry-After", "")  # whole seconds, as brokers send; a date, which proxies may send, counts as none
        retry_after = float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None
        return BrokerAnswer(
            broker=address,
            status=response.status_code,
            body=bytes(body),
            retry_after=retry_after,
            location=headers.get("Location", ""),
            sent=self._credential.kind if self._credential else NO_ONE,
        )


class _Outside(logging.Filter):
    """Lets pass what is not logged by a call of this library."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not _within.get()


_outside: Final = _Outside()


@contextmanager
def _quiet_log() -> Iterator[None]:
    token = _within.set(True)
    try:
        yield
    finally:
        _within.reset(token)
