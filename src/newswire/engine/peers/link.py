"""One link a peer: a thread that carries one push at a time and brings back what came of it (docs/rules.md, PUSH).

A link decides nothing: the core says what to send and when, and what an answer or a failure means. A peer that hangs
holds up its own link only.
"""

from __future__ import annotations

import logging
import queue
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from http.client import HTTPException

import msgspec

from newswire import errors, tls
from newswire.core import limits
from newswire.core.broker.events import Answered, Event, Failed, HungUp, Send
from newswire.core.model.bad_json import BAD_JSON
from newswire.engine.peers import push_codec
from newswire.engine.peers.auth import Passport
from newswire.engine.peers.connection import PeerReply, Wire
from newswire.errors import LinkRefused
from newswire.threads import OnFatal, supervise

log = logging.getLogger("newswire.links")

Fetch = Callable[[Send], Sequence[bytes]]  # the records that a push carries


class Link:
    """The thread of one peer. `send`, `close`, `cut`: the commit thread; it never waits for the link."""

    def __init__(
        self,
        address: str,
        fetch: Fetch,
        passport: Passport,
        tell: Callable[[Event], object],
        on_fatal: OnFatal,
        ca_file: str = "",
    ) -> None:
        """`tell` brings events to the core. `on_fatal` must end the process: the thread died. `ca_file`: as of `Wire`."""
        self.address = address
        self._fetch, self._passport, self._tell = fetch, passport, tell
        self._sends: queue.SimpleQueue[Send | None] = queue.SimpleQueue()
        self._number = 0  # of the push that is carried, or was last
        self._packs = False  # the peer said with its last answer that it reads what is compressed
        self._closing = False
        self._wire = Wire(address, limits.PUSH_TIMEOUT_SECONDS, ca_file)
        self.restarts = 0  # after a fault that nobody foresaw
        self._thread = supervise(self._main, f"link-{address}", on_fatal, may_end=lambda: self._closing)
        self._thread.start()

    def send(self, push: Send) -> None:
        """Carry this push; the core has no other in flight here."""
        self._sends.put(push)

    def close(self) -> None:
        """End after the push in flight."""
        self._closing = True
        self._sends.put(None)

    def cut(self) -> None:
        """End now: nobody waits for the push in flight."""
        self.close()
        self._wire.cut()

    def join(self, timeout: float) -> None:
        """Wait for the thread, after `close`."""
        self._thread.join(timeout)

    def _main(self) -> None:
        """Serve; after a fault, which a peer may have brought about, again: it must not end the broker, nor the link unseen."""
        while True:
            try:
                with closing(self._wire) as wire:
                    while (push := self._next(wire)) is not None:
                        self._number = push.header.number
                        event = self._carry(wire, push)
                        if not wire.is_cut:  # else it would be taken for a word of the next link to this address
                            self._tell(event)
                return
            except Exception:
                self.restarts += 1
                log.exception("the link to %s failed and begins again (%d times so far)", self.address, self.restarts)
                self._tell(Failed(self.address, self._number, detail="the link failed here, the log says how"))
                time.sleep(limits.PUSH_AGAIN_SECONDS)

    def _next(self, wire: Wire) -> Send | None:
        """The next push, None at the end; while there is none, tell when the peer hangs up."""
        while True:
            try:
                return self._sends.get(timeout=limits.HANG_UP_SECONDS)
            except queue.Empty:
                if wire.hung_up():
                    wire.close()
                    self._tell(HungUp(self.address))

    def _carry(self, wire: Wire, push: Send) -> Event:
        event = self._exchange(wire, push)
        self._packs = isinstance(event, Answered) and event.header.packs  # an older broker may have come in its place
        return event

    def _exchange(self, wire: Wire, push: Send) -> Event:
        number = push.header.number
        try:
            raws = self._fetch(push)
            body = push_codec.write(push.header, raws, pack=self._packs)
            path = push_codec.path_of(raws)
            nonce, signature = self._passport.sign(path, body, self.address, push.header.cluster)
            reply = wire.post(path, {"Content-Type": push_codec.CONTENT_TYPE, **signature}, body)
            return self._understand(number, nonce, reply)
        except LinkRefused as error:
            return Failed(address=self.address, number=number, state="peer-auth-failed", detail=error.detail)
        except (OSError, HTTPException, ValueError) as error:  # ValueError: a host name that is none
            return Failed(self.address, number, detail=_reason(error))
        except Exception as error:  # whatever it is, the core must hear that this push is over
            log.exception("push to %s", self.address)
            return Failed(self.address, number, detail=f"the push failed here: {type(error).__name__}")

    def _understand(self, number: int, nonce: str, reply: PeerReply) -> Event:
        """What the answer to push `number` says. Raises LinkRefused: it is not signed as it should be."""
        if reply.content_type.startswith(push_codec.CONTENT_TYPE):
            try:
                header, raws = self._passport.open_answer(nonce, reply.status, reply.body)
                return Answered(self.address, header, raws)
            except msgspec.DecodeError:
                return Failed(self.address, number, detail="its answer cannot be read: is that a newswire broker?")
        if reply.status == 401:
            return Failed(address=self.address, number=number, state="peer-auth-failed", detail=_detail(reply))
        if tls.is_tls_port(reply.body):
            return Failed(self.address, number, detail=tls.SPEAKS_TLS)
        return Failed(self.address, number, detail=f"it answered with status {reply.status}: {_detail(reply)}")


def _reason(error: OSError | HTTPException | ValueError) -> str:
    """Why a push failed, for people."""
    if isinstance(error, TimeoutError):
        return f"no answer within {limits.PUSH_TIMEOUT_SECONDS:g} s"
    log.debug("%r", error)
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "the connection broke"
    if isinstance(error, ssl.SSLError):
        return tls.reason(error)
    if isinstance(error, tls.NoTrust):
        return str(error)
    if isinstance(error, (OSError, UnicodeError)):
        return "cannot be reached"
    return f"the request failed: {type(error).__name__}"


def _detail(reply: PeerReply) -> str:
    """The sentence of a problem+json answer."""
    try:
        return push_codec.words(str(msgspec.json.decode(reply.body)["detail"]))
    except (*BAD_JSON, KeyError, TypeError):
        return "is that a newswire broker?"


def status_of(code: str) -> int:
    """The HTTP status of an answer that refuses with `code`, 200 for none."""
    return errors.TABLE.get(code, (400, ""))[0] if code else 200
