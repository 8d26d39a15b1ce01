"""Answers that come later: their headers stand when the view returns, their status and body when the engine has told.

So no thread waits for a disk or a peer. Where the server makes an offer in the environ (the listener does, to views that it
can finish later), it is given the answer, is rung when that is settled, and writes it. Without an offer the answer waits where
it is called: Flask's test client and other servers see nothing of all this. Hooks run once, on the headers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from flask import Response

from newswire.core import limits
from newswire.core.model import commands
from newswire.engine.seam import Engine, Principal, Receipt
from newswire.errors import NewswireError, Unknown
from newswire.threads import check_may_wait
from newswire.web import responses
from newswire.web.request_fields import request_now
from newswire.web.responses import KEEP_NO_COPY, ReadyResponse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

T = TypeVar("T")

OFFER: Final = "newswire.defer"  # in the environ: takes an answer that comes later, and is called once
STORE_CODES: Final = ("not-ready", "unavailable", "unknown-outcome", "storage-full", "disk-failed")  # of what is stored
# headers that come with status and body
_OF_THE_BODY: Final = frozenset({"Content-Type", "Content-Length", "Retry-After", "WWW-Authenticate"})


class DeferredResponse(ReadyResponse, Generic[T]):
    """An answer to what the engine is asked, once it has told."""

    def __init__(
        self,
        begin: Callable[[Callable[[T | NewswireError], None]], None],
        answer: Callable[[T], Response],
        *,
        seconds: float,
        late: Callable[[], NewswireError],
        amend: Callable[[NewswireError], NewswireError] = lambda error: error,
        wire: str = "",
        reads: Callable[[T], bool] = lambda result: False,
    ) -> None:
        """Ask with `begin`, now. `answer` makes the answer to what is told, `amend` the error for one; `wire`: in its shape.

        After `seconds` the answer is what `late` makes. They run in any thread, and `answer` raises NewswireError like a view.
        Where what is told `reads`, `answer` asks the engine something, and is not for a loop.
        Raises what `begin` does.
        """
        super().__init__(b"", 200, KEEP_NO_COPY)
        self._answer, self._amend, self._late, self._wire = answer, amend, late, wire
        self._reads = reads
        self._request = request_now()
        self._result: T | NewswireError | None = None
        self._ring: Callable[[], object] | None = None
        self.seconds = seconds
        self.needs_thread = False  # `finish` is not for a loop
        self._tell_status: Callable[[int], object] | None = None
        begin(self.settle)

    def settle(self, outcome: T | NewswireError) -> None:
        """Take what was told; the first word counts. Any thread; returns at once."""
        if self._result is None:
            self._result = outcome
            self.needs_thread = not isinstance(outcome, NewswireError) and self._reads(outcome)
            if self._ring is not None:
                self._ring()

    def when_settled(self, ring: Callable[[], object]) -> None:
        """Have `ring` called when it is settled, perhaps at once, perhaps twice, by any thread. It returns at once."""
        self._ring = ring
        if self._result is not None:
            ring()

    def when_finished(self, tell: Callable[[int], object]) -> None:
        """Have `tell` called with the status that it is finished with, by the thread that does. It returns at once."""
        self._tell_status = tell

    def give_up(self) -> None:
        """Its time is over."""
        self.settle(self._late())

    def finish(self) -> tuple[str, list[tuple[str, str]], bytes]:
        """Status, headers and body, once it is settled."""
        response = self._finished()
        if self._tell_status is not None:
            self._tell_status(response.status_code)
        headers = self.headers.to_wsgi_list()
        headers += [line for line in response.headers if line[0] in _OF_THE_BODY]
        return response.status, headers, b"".join(response.iter_encoded())

    def _finished(self) -> Response:
        outcome = self._result
        try:
            if isinstance(outcome, NewswireError):
                raise self._amend(outcome)
            if outcome is None:
                raise ValueError("nothing was told yet")
            return self._answer(outcome)
        except NewswireError as error:
            return responses.refused(error, self._request.method, self._request.path, self._wire)
        except Exception as error:
            return responses.unforeseen(error, self._request.method, self._request.path, self._wire)

    def wait(self) -> None:
        """Wait until it is settled. Threads that may wait."""
        check_may_wait("what the engine tells")
        event = threading.Event()
        self.when_settled(event.set)
        if not event.wait(self.seconds):
            self.give_up()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Give itself to the server that offered to take it; else wait, and answer."""
        offer: Callable[[Any], object] | None = environ.get(OFFER)
        if offer is not None and self._ring is None:
            offer(self)
            return ()
        if self._result is None:
            self.wait()
        status, headers, body = self.finish()
        start_response(status, headers)
        return [body]


def without_index(error: NewswireError) -> NewswireError:
    """`error`, of a request that is one command: which of several it is about need not be said."""
    error.extra.pop("index", None)
    return error


def stored(
    engine: Engine,
    requests: tuple[commands.Request, ...] | list[commands.Request],
    answer: Callable[[Receipt], Response],
    *,
    copies: int = 1,
    amend: Callable[[NewswireError], NewswireError] = without_index,
    by: Principal | None = None,
    wire: str = "",
    reads: Callable[[Receipt], bool] = lambda receipt: False,
) -> DeferredResponse[Receipt]:
    """Store `requests`; `answer` is what the receipt is answered with, `amend` what is made of an error. `by`: who asks.

    `wire`: whose shape an error has; `reads`: as of a DeferredResponse.
    """
    return DeferredResponse(
        partial(engine.submit_later, requests, copies=copies, timeout=limits.RECEIPT_SECONDS, by=by),
        answer,
        seconds=limits.RECEIPT_SECONDS + limits.RECEIPT_GRACE_SECONDS,
        late=lambda: Unknown("no receipt in time: perhaps stored, retry with the same key"),
        amend=amend,
        wire=wire,
        reads=reads,
    )
