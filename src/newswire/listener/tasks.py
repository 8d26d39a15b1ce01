"""One run of the application, and the answer to what is refused. Worker threads."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, cast

from waitress import utilities
from waitress.task import ErrorTask, WSGITask

from newswire.listener import answer_head
from newswire.listener.kinds import Kind, wire_of
from newswire.listener.problems import answer, as_ours
from newswire.listener.request import HttpRequest

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

HAND_OVER: Final = "newswire.hand_over"  # in the environ: the view's adopter
POSSIBLE: Final = "newswire.listener"  # in the environ: True, hand-over is possible

OFFER: Final = "newswire.defer"  # in the environ: takes a `Later`, called once by an application that answers with it

_OF_THE_BODY: Final = frozenset({"CONTENT_TYPE", "CONTENT_LENGTH"})  # headers that have names of their own in an environ
_OF_PROXIES: Final = frozenset(  # headers of which the application is told what they come to (`proxies`)
    "X_FORWARDED_FOR X_FORWARDED_HOST X_FORWARDED_PROTO X_FORWARDED_PORT X_FORWARDED_BY FORWARDED".split()
)

Adopter = Callable[[socket.socket, bytes, bool], None]
"""Takes a stream's socket (non-blocking, with little memory in the kernel, TCP_NODELAY), the head that is to be sent first, and
whether its body is chunked. Loop thread; returns at once. So head and first event leave as one packet.
"""


class Later(Protocol):
    """An answer that comes later. The application gives it to what stands at `OFFER`, and starts no response."""

    seconds: float  # when to give up
    needs_thread: bool  # once it is settled: `finish` is not for the loop

    def when_settled(self, ring: Callable[[], object]) -> None:
        """Have `ring` called when it is settled: perhaps at once, perhaps twice, by any thread. It returns at once."""

    def give_up(self) -> None:
        """Settle it with the error for that its time is over, if it is not settled."""

    def finish(self) -> tuple[str, list[tuple[str, str]], bytes]:
        """Status, headers and body, once it is settled."""


class HasEnviron(Protocol):
    """What answers on a port."""

    environ: WSGIEnvironment  # what is the same for all its requests


class TaskChannel(Protocol):
    """What a run needs of the connection that it answers on."""

    server: HasEnviron
    hand_over: Callable[[socket.socket], None] | None
    lingers: bool

    def write_soon(self, data: bytes) -> object:
        """Have these bytes sent; waits while too many are unsent."""

    def has_served(self, request: HttpRequest) -> None:
        """Note that `request` was answered well."""


def common_environ(port: int) -> WSGIEnvironment:
    """What is the same in the environ of every request to `port` (PEP 3333)."""
    return {
        "SERVER_NAME": "newswire.invalid",
        "SERVER_PORT": str(port),
        "SERVER_SOFTWARE": "newswire",
        "SCRIPT_NAME": "",
        "wsgi.version": (1, 0),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        POSSIBLE: True,
    }


class AppTask(WSGITask):
    """One run of the application. Worker thread."""

    channel: TaskChannel  # type: ignore[assignment]  # of waitress's channel this is what is used
    request: HttpRequest  # type: ignore[assignment]  # the stubs say that tasks take something else
    later: Later | None = None  # the answer, if it comes later: the application has given it instead of one

    def service(self) -> None:
        """Run it; unlike waitress's own, an OSError of the application is an error like any other (500, logged)."""
        self.start()
        self.execute()
        if self.later is None:
            self.finish()

    def execute(self) -> None:
        """Call the application, and write what it answers; or offer to take an answer that comes later."""
        if self.request.kind is not Kind.CLUSTER:  # it waits for who may never answer: threads bound that
            self.get_environment()[OFFER] = self._take
        super().execute()

    def answer(self) -> None:
        """Write what has come later."""
        status, headers, body = cast(Later, self.later).finish()
        self.complete = True
        self.status, self.content_length = status, len(body)
        self.response_headers = headers
        self.write(body)
        self.finish()

    def _take(self, later: Later) -> None:
        self.later = later

    def get_environment(self) -> WSGIEnvironment:
        """The environ (PEP 3333), made when it is asked for first.

        A name in the target beats Host (RFC 9112, 3.2.2), and what a trusted proxy says beats both.
        """
        if self.environ is not None:
            return self.environ
        request = self.request
        proxied = request.forwarded
        environ: WSGIEnvironment = {
            **self.channel.server.environ,
            "REMOTE_ADDR": proxied.caller,
            "REQUEST_METHOD": request.command.upper(),
            "SERVER_PROTOCOL": "HTTP/" + self.version,
            "PATH_INFO": "/" + request.path.lstrip("/"),
            "REQUEST_URI": request.request_uri,
            "QUERY_STRING": request.query,
            "wsgi.url_scheme": proxied.scheme or request.url_scheme,
            "wsgi.input": request.get_body_stream(),
        }
        environ["wsgi.input"].seek(0)  # it may have been run before, and found that it needs a thread
        for name, value in request.headers.items():
            if name not in _OF_PROXIES:
                environ[name if name in _OF_THE_BODY else "HTTP_" + name] = value
        if proxied.host or request.proxy_netloc:
            environ["HTTP_HOST"] = proxied.host or request.proxy_netloc
        self.environ = environ
        return environ

    def build_response_header(self) -> bytes:
        """Make the head of the answer; of a usual one without waitress."""
        is_stream = self.content_length is None
        keeps = not self.close_on_finish and (is_stream or not self.request.connection_close)
        if keeps and self.version == "1.1" and self.has_body:
            head = answer_head.build(self.status, self.response_headers, self.content_length, self.start_time)
            if head is not None:
                self.chunked_response, self.close_on_finish = is_stream, is_stream
                return head
        built: bytes = super().build_response_header()
        return built

    def write(self, data: bytes) -> None:
        """Write; header and body in one piece where they are the whole answer, so that they leave as one packet."""
        if self.wrote_header or not self.has_body or self.content_length != len(data) or not self.complete:
            super().write(data)
            return
        self.channel.write_soon(self.build_response_header() + data)
        self.wrote_header, self.content_bytes_written = True, len(data)

    def finish(self) -> None:
        """End the answer; or leave it to the adopter, who sends the head, too."""
        if self.status.startswith("200 "):
            self.channel.has_served(self.request)
        adopter: Adopter | None = (self.environ or {}).get(HAND_OVER)
        if adopter is None or not self.status.startswith("200 ") or self.content_length is not None:
            super().finish()
            return
        head = b"" if self.wrote_header else self.build_response_header()
        chunked = self.chunked_response
        self.channel.hand_over = lambda sock: adopter(sock, head, chunked)
        self.wrote_header = self.close_on_finish = True


class ProblemTask(ErrorTask):
    """Answers what waitress refuses, and what the application raised. Worker thread."""

    channel: TaskChannel  # type: ignore[assignment]  # of waitress's channel this is what is used
    request: HttpRequest  # type: ignore[assignment]  # the stubs say that tasks take something else

    def execute(self) -> None:
        """Write the error as problem+json and close, but not before the client could read it."""
        error = self.request.error
        self.status, self.response_headers, body = answer(
            as_ours(cast(utilities.Error, error)), wire_of(self.request.command, self.request.route)
        )
        self.content_length = len(body)
        self.set_close_on_finish()
        self.channel.lingers = True
        self.write(body)
