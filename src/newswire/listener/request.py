"""One request as it comes in: what is refused by its head, and how much of it is taken."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any, cast

from waitress import utilities
from waitress.adjustments import Adjustments
from waitress.buffers import OverflowableBuffer
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.receiver import FixedStreamReceiver

from newswire.core import limits
from newswire.errors import NewswireError
from newswire.listener.chunks import Chunks
from newswire.listener.http_head import CONTROL, body_limit_bytes, head_problem, route, too_many_headers
from newswire.listener.kinds import Kind, kind_of
from newswire.listener.lean_head import LeanHead, parse
from newswire.listener.problems import TOO_MANY_HEADERS, Refusal
from newswire.listener.proxies import Forwarded

_TLS_HELLO = b"\x16\x03"  # how a TLS connection begins: no HTTP method does
_NO_TLS = "this port speaks plain HTTP: use http://, not https://"

Head = Mapping[str, str]
"""What is known before a body comes, by the names that WSGI gives it: REQUEST_METHOD, PATH_INFO, HTTP_HOST ..."""

Admit = Callable[[Head], NewswireError | None]
"""Says why the request with this head is refused before its body is taken; None: it is not. Loop thread; returns at once."""

UserOf = Callable[[str, str], str]
"""The user whose credential these headers show (`Authorization`, `Cookie`), "" if that is not known. Loop thread."""


class WholeBody:
    """A body that came at once, where waitress has a receiver and a buffer."""

    completed, error = True, None

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def getfile(self) -> io.BytesIO:
        """The body as a file, from its beginning."""
        return io.BytesIO(self._data)

    def getbuf(self) -> WholeBody:
        """What is closed when the request is."""
        return self

    def close(self) -> None:
        """Let go of the body."""
        self._data = b""


class HttpRequest(HTTPRequestParser):
    """A request as it comes in. Loop thread; then its worker's."""

    path = ""  # waitress logs it, also when the head could not be read
    version = "1.1"  # of the answer to such a head
    proxy_netloc = ""  # the name in the target, if it is a whole URL
    command: str = ""  # type: ignore[assignment]  # the stubs say bytes
    query: str
    body_limit_bytes = limits.FORM_BYTES
    caller = ""  # whose turn it is
    forwarded = Forwarded("")  # what its proxies say
    route = ""  # its path as the application will see it; "" until it is read
    kind = Kind.OPEN  # which threads it is for; as far as is known while it comes in
    parse_lean: Callable[[bytes], LeanHead | None] = staticmethod(parse)

    def __init__(self, adj: Adjustments, admit: Callable[[HttpRequest], NewswireError | None] | None = None) -> None:
        """`admit`: says why it is refused when its head is there, and whose it is."""
        super().__init__(adj)
        self._admit = admit

    def received(self, data: bytes) -> int:
        """Take bytes; returns how many belong to this request. Refuses a body as soon as it must pass its limit."""
        if data.startswith(_TLS_HELLO) and not self.header_plus and not self.headers_finished:
            self.error, self.completed = utilities.BadRequest(_NO_TLS), True  # a TLS client would wait for an answer
            return len(data)
        size = self._receive_lean(data) or super().received(data)
        if self.chunked:
            self._note_kind()  # it may have become large
        if self.error is None and self._needed_bytes() > self.body_limit_bytes:
            detail = f"the body is larger than {self.body_limit_bytes} bytes: send less, or several requests"
            self.error, self.completed = utilities.RequestEntityTooLarge(detail), True
        unfinished = len(self.body_rcv.line) if isinstance(self.body_rcv, Chunks) else 0  # of a chunk's line, or a trailer
        if self.error is None and unfinished > limits.HEAD_BYTES:
            self.error, self.completed = utilities.RequestHeaderFieldsTooLarge(""), True
        if self.completed:
            self.expect_continue = False  # else waitress says "100 Continue" to what is refused, and waits for ever
        return size

    def _receive_lean(self, data: bytes) -> int:
        """Take a usual head, and what has come of its body; 0 where that is for waitress to do."""
        end = data.find(b"\r\n\r\n") + 4
        if end < 4 or self.header_plus or self.headers_finished or self.completed:
            return 0
        head = self.parse_lean(data[:end])
        if head is None:
            return 0
        self._begin(head)
        self.header_bytes_received = end
        if self.completed or self.content_length > self.body_limit_bytes:
            return end
        whole = end + self.content_length
        if len(data) < whole:
            self.body_rcv = FixedStreamReceiver(self.content_length, OverflowableBuffer(self.adj.inbuf_overflow))
            return end + super().received(data[end:])
        self.body_rcv, self.completed = WholeBody(data[end:whole]), True  # type: ignore[assignment]
        self.body_bytes_received = self.content_length
        return whole

    def _begin(self, head: LeanHead) -> None:
        """Set what waitress's parser sets for this head."""
        self.headers_finished, self.headers = True, head.headers
        self.command, self.version, self.connection_close = head.method, "1.1", head.closes
        self.request_uri, self.path, self.query = head.target, head.path, head.query
        self.proxy_scheme = self.proxy_netloc = self.fragment = ""
        self.url_scheme = self.adj.url_scheme
        self.content_length = head.content_length
        self.completed = not head.content_length
        if head.content_length:
            self.body_rcv = WholeBody(b"")  # type: ignore[assignment]  # until it is taken
        self._bound_and_admit()

    def _note_kind(self) -> None:
        headers = self.headers
        self.kind = kind_of(
            self.command,
            self.route,
            self._needed_bytes(),
            headers.get("CONTENT_TYPE", ""),
            headers.get("CONTENT_ENCODING", ""),
        )

    @property
    def held_bytes(self) -> int:
        """What it holds in memory."""
        return len(self.header_plus) + (len(self.body_rcv) if self.body_rcv is not None else 0)

    def _needed_bytes(self) -> int:
        """What the body is known to need: as announced, or, chunked, what came and what the chunk that has begun adds."""
        body = self.body_rcv
        return len(body) + body.remaining_bytes if isinstance(body, Chunks) else self.content_length

    def parse_header(self, header_plus: bytes) -> None:
        """Read the head; raises ParsingError, which waitress answers with 400 and a close."""
        if too_many_headers(header_plus):
            self.refuse(NewswireError(TOO_MANY_HEADERS, code="head-too-large"))
            return
        if problem := head_problem(header_plus):
            raise ParsingError(problem)
        try:
            super().parse_header(header_plus)
        except ValueError as error:  # of urlsplit; uncaught it would close the connection without an answer
            raise ParsingError("its target is not a URL") from error
        if CONTROL.search(self.path.encode("latin-1")):
            self.route = route(self.path)  # the answer has the shape of the wire that is spoken there
            raise ParsingError("its path holds a control character")
        self.header_plus = b""
        if self.chunked:
            self.body_rcv = Chunks(cast(Any, self.body_rcv).getbuf())  # type: ignore[assignment]
        self._bound_and_admit()

    def _bound_and_admit(self) -> None:
        """Now that its path is known: how large its body may be, and whether it is taken at all."""
        self.route = route(self.path)
        self.body_limit_bytes = body_limit_bytes(self.route)
        self._note_kind()
        refusal = self._admit(self) if self._admit else None
        if refusal is not None:
            self.refuse(refusal)

    def refuse(self, error: NewswireError) -> None:
        """Make it one that is answered with `error`, and let go of its body."""
        self.close()
        self.error, self.completed, self.body_rcv = Refusal(error), True, None

    @property
    def is_worth_a_look(self) -> bool:
        """Whether its body is large, of no known size, a peer's, or waits for a word: a small one is taken unseen."""
        kinds = (Kind.PEER, Kind.LARGE)
        return self.body_rcv is not None and (self.chunked or self.expect_continue or self.kind in kinds)

    def head(self) -> Head:
        """Its head as WSGI will name it."""
        head = {f"HTTP_{name}": value for name, value in self.headers.items()}
        head["CONTENT_TYPE"] = head.pop("HTTP_CONTENT_TYPE", "")
        head["CONTENT_LENGTH"] = head.pop("HTTP_CONTENT_LENGTH", "")
        head["HTTP_HOST"] = self.forwarded.host or self.proxy_netloc or head.get("HTTP_HOST", "")
        return {**head, "REQUEST_METHOD": self.command, "PATH_INFO": self.route, "QUERY_STRING": self.query}
