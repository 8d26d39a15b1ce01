"""One request as it comes in: what is refused by its head, and how much of it is taken."""

from __future__ import annotations

from waitress import utilities
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.receiver import ChunkedReceiver

from newswire.core import limits
from newswire.errors import NewswireError
from newswire.listener.head import CONTROL, body_limit_bytes, head_problem, route, too_many_headers
from newswire.listener.problems import TOO_MANY_HEADERS, NoRoom, Refusal


class HttpRequest(HTTPRequestParser):
    """A request as it comes in. Loop thread; then its worker's."""

    path = ""  # waitress logs it, also when the head could not be read
    version = "1.1"  # of the answer to such a head
    proxy_netloc = ""  # the name in the target, if it is a whole URL
    body_limit_bytes = limits.FORM_BYTES

    def received(self, data: bytes) -> int:
        """Take bytes; returns how many belong to this request. Refuses a body as soon as it must pass its limit."""
        try:
            taken = super().received(data)
        except OSError as error:
            taken, self.completed = len(data), True
            self.error = NoRoom(f"no room for the body ({error.strerror}): try again later, or at another broker")
        if self.error is None and self._needed_bytes() > self.body_limit_bytes:
            detail = f"the body is larger than {self.body_limit_bytes} bytes: send less, or several requests"
            self.error, self.completed = utilities.RequestEntityTooLarge(detail), True
        if self.error is None and self._line_bytes() > limits.HEAD_BYTES:
            self.error, self.completed = utilities.RequestHeaderFieldsTooLarge(""), True
        if self.completed:
            self.expect_continue = False  # else waitress says "100 Continue" to what is refused, and waits for ever
        return taken

    def _needed_bytes(self) -> int:
        """What the body is known to need: as announced, or, chunked, what came and what the chunk that has begun adds."""
        body = self.body_rcv
        return len(body) + body.chunk_remainder if isinstance(body, ChunkedReceiver) else self.content_length

    def _line_bytes(self) -> int:
        """Bytes of an unfinished chunk line or trailer, which waitress keeps without a bound."""
        body = self.body_rcv
        return len(body.control_line) + len(body.trailer) if isinstance(body, ChunkedReceiver) else 0

    def parse_header(self, header_plus: bytes) -> None:
        """Read the head; raises ParsingError, which waitress answers with 400 and a close."""
        if too_many_headers(header_plus):
            self.error, self.completed = Refusal(NewswireError(TOO_MANY_HEADERS, code="head-too-large")), True
            return
        if problem := head_problem(header_plus):
            raise ParsingError(problem)
        try:
            super().parse_header(header_plus)
        except ValueError as error:  # of urlsplit; uncaught it would close the connection without an answer
            raise ParsingError("its target is not a URL") from error
        if CONTROL.search(self.path.encode("latin-1")):
            raise ParsingError("its path holds a control character")
        self.body_limit_bytes = body_limit_bytes(route(self.path))
