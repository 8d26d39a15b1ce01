"""The one place that does HTTP: a `requests.Session` behind three calls. Nothing is decided here.

A call ends in an `Answer` (any status) or in `Unreached`. What requests and urllib3 raise is turned into the latter and
told apart in two ways only, since nothing else matters above: may the broker have got the request (`perhaps`), and did
it keep silent (`silent`) instead of refusing.

Streams. `raw.read1` gives what has come, chunk by chunk, at once; `iter_lines` and a sized `iter_content` hold a message
back until their buffer is full. The read timeout counts from byte to byte. To end a blocked read from another thread the
connection's descriptor is duplicated when the stream opens: shutting the duplicate down ends the connection, and nothing
of requests is touched outside its thread.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import msgspec
import requests
import urllib3
from requests.adapters import HTTPAdapter

from newswire.core import limits, sse
from newswire.errors import NewswireError, from_problem

_REASONS = {
    requests.exceptions.ConnectTimeout: "no connection in time",
    requests.exceptions.ReadTimeout: "no answer in time",
    requests.exceptions.SSLError: "no secure connection (is its certificate known here?)",
}


class Unreached(Exception):
    """No answer. `perhaps`: the broker may have got the request. `silent`: it kept silent until the timeout."""

    def __init__(self, reason: str, *, perhaps: bool = True, silent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.perhaps = perhaps
        self.silent = silent


@dataclass(frozen=True)
class Call:
    """A request without the broker that it goes to: the same one can be sent again elsewhere."""

    method: str
    path: str
    params: Mapping[str, str | int] = field(default_factory=dict)
    body: bytes | None = None
    type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What a broker answered."""

    broker: str
    status: int
    body: bytes
    retry_after: float | None = None  # seconds

    def json(self) -> Any:
        """The body's JSON. Raises NewswireError when it is none: something that is no broker answered."""
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            raise self._no_broker() from None

    def read(self, kind: type[Any]) -> Any:
        """The body's JSON as `kind`. Raises as `json`."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except msgspec.DecodeError:
            raise self._no_broker() from None

    @property
    def code(self) -> str:
        """The error code, "" if there is none (a proxy answered)."""
        return str(self._problem().get("code", ""))

    def error(self) -> NewswireError:
        """The error that a refusal tells."""
        return from_problem(self._problem(), self.status)

    def _problem(self) -> Mapping[str, Any]:
        try:
            problem = msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            return {}
        return problem if isinstance(problem, dict) else {}

    def _no_broker(self) -> NewswireError:
        return NewswireError(f"what answers at {self.broker} is no newswire broker: check the address", code="unreachable")


def form(fields: Mapping[str, str | None]) -> tuple[bytes, str]:
    """A form body of the fields that are not None, and its content type."""
    return urlencode({k: v for k, v in fields.items() if v is not None}).encode(), "application/x-www-form-urlencoded"


class Incoming:
    """An open stream. The thread that opened it reads and closes; any thread may interrupt."""

    def __init__(self, broker: str, response: requests.Response, last_event_id: str) -> None:
        self.broker = broker
        self.reader = sse.Reader(last_event_id)
        self._response = response
        self._socket = socket.socket(fileno=os.dup(response.raw.fileno()))

    def read(self) -> list[sse.Event] | None:
        """Wait for bytes; the events that they complete, often none; None at the end. Raises Unreached."""
        try:
            received = self._response.raw.read1(decode_content=False)
        except urllib3.exceptions.ReadTimeoutError:
            raise Unreached("not even a keepalive came", silent=True) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreached(f"the connection broke ({type(error).__name__})") from None
        return self.reader.feed(received) if received else None

    def interrupt(self) -> None:
        """End the connection: a blocked `read` returns or raises at once."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:  # it has ended already
            pass

    def close(self) -> None:
        """Free the connection."""
        self.interrupt()
        self._response.close()
        self._socket.close()


class Transport:
    """HTTP to any broker. One thread.

    `scheme` is for addresses without one. The environment's proxies and netrc are left alone: brokers are named by
    address inside an organisation, and neither news nor tokens may take a way that was meant for the web.
    """

    def __init__(self, *, token: str | None = None, verify: bool | str = True, scheme: str = "http") -> None:
        self._scheme = scheme
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = verify
        self._session.headers.update({"Accept": "application/json", "User-Agent": "newswire"})
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"
        for prefix in ("http://", "https://"):
            self._session.mount(prefix, HTTPAdapter(pool_connections=limits.CLIENT_BROKERS_COUNT, max_retries=0))

    def url(self, address: str, path: str, params: Mapping[str, str | int] | None = None) -> str:
        """The URL of `path` at a broker."""
        base = address if "://" in address else f"{self._scheme}://{address}"
        return f"{base}{path}" + (f"?{urlencode(params)}" if params else "")

    def send(self, address: str, call: Call, seconds: float) -> Answer:
        """Send one request, once. Raises Unreached."""
        response = self._request(address, call, seconds, stream=False)
        return self._answer(address, response)

    def open(self, address: str, call: Call, silence: float, last_event_id: str = "") -> Incoming | Answer:
        """Open a stream, on which a read may last `silence` seconds; an Answer if it is refused. Raises Unreached."""
        response = self._request(address, call, silence, stream=True)
        if response.status_code != 200 or not response.headers.get("Content-Type", "").startswith("text/event-stream"):
            with response:
                return self._answer(address, response)
        return Incoming(address, response, last_event_id)

    def close(self) -> None:
        """Close idle connections."""
        self._session.close()

    def _request(self, address: str, call: Call, seconds: float, *, stream: bool) -> requests.Response:
        headers = dict(call.headers)
        if call.body is not None:
            headers["Content-Type"] = call.type
        try:
            return self._session.request(
                call.method,
                self.url(address, call.path, call.params),
                data=call.body,
                headers=headers,
                timeout=(min(limits.CLIENT_CONNECT_SECONDS, seconds), seconds),
                allow_redirects=False,  # a followed redirect turns a POST into a GET
                stream=stream,
            )
        except requests.RequestException as error:
            raise _unreached(error) from None

    def _answer(self, address: str, response: requests.Response) -> Answer:
        try:
            body = response.content
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise Unreached(f"the answer broke off ({type(error).__name__})") from None
        return Answer(address, response.status_code, body, _seconds(response.headers.get("Retry-After", "")))


def _seconds(retry_after: str) -> float | None:
    """Read a Retry-After of the form that brokers send, whole seconds; a date, which proxies may send, counts as none."""
    return float(retry_after) if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 6 else None


def _unreached(error: requests.RequestException) -> Unreached:
    cause = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(cause, urllib3.exceptions.NewConnectionError):
        return Unreached("no connection (nobody listens there)", perhaps=False)
    broke = f"the connection broke ({type(error).__name__})"
    reason = next((text for kind, text in _REASONS.items() if isinstance(error, kind)), broke)
    connecting = isinstance(error, (requests.exceptions.ConnectTimeout, requests.exceptions.InvalidURL))
    return Unreached(reason, perhaps=not connecting, silent=isinstance(error, requests.exceptions.Timeout))
