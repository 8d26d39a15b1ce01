"""A link carries one push at a time, and each one comes back as an event, whatever the peer answers."""

from __future__ import annotations

import queue
import ssl
from collections.abc import Callable, Iterator, Mapping

import msgspec
import pytest

from newswire.core import limits
from newswire.core.broker.events import Answered, Event, Failed, Header, HungUp, Send
from newswire.core.broker.values import Identity
from newswire.engine.peers import link, push_codec
from newswire.engine.peers.auth import Passport
from newswire.engine.peers.connection import PeerReply
from newswire.engine.peers.link import Link, status_of
from newswire.errors import LinkRefused
from newswire.tls import NoTrust
from tests.core.model.test_ops import HEADER
from tests.kit.waiting import PATIENCE_SECONDS

PEER = "10.0.0.2:1"
RAWS = [b'{"op":"msg"}']


def header(number: int = 7) -> Header:
    return push_codec.read(msgspec.json.encode({**HEADER, "number": number}))[0]


class ScriptedWire:
    """Answers each push with what the test says, or raises it."""

    def __init__(self, address: str, timeout: float, ca_file: str) -> None:
        self.posted: list[tuple[str, bytes]] = []
        self.is_cut = self.is_hung_up = False
        self.closed = 0
        self.answer: Callable[[], PeerReply] = lambda: PeerReply(200, push_codec.CONTENT_TYPE, b"")

    def post(self, path: str, headers: Mapping[str, str], body: bytes) -> PeerReply:
        self.posted.append((path, body))
        return self.answer()

    def hung_up(self) -> bool:
        if not self.is_hung_up:
            return False
        self.is_hung_up = False
        return True

    def cut(self) -> None:
        self.is_cut = True

    def close(self) -> None:
        self.closed += 1


class Carrier:
    """A link over a scripted wire, and what it told."""

    def __init__(self, fetch: Callable[[Send], list[bytes]]) -> None:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.deaths: list[BaseException] = []
        passport = Passport([], Identity("1001", "10.0.0.1:1", "1001-a"))
        self.link = Link(PEER, fetch, passport, self.events.put, self.deaths.append)
        self.wire: ScriptedWire = self.link._wire  # type: ignore[assignment]

    def carry(self, number: int = 7, places: tuple[tuple[int, int], ...] = ((1, 9),)) -> Event:
        self.link.send(Send(PEER, header(number), places))
        return self.events.get(timeout=PATIENCE_SECONDS)


@pytest.fixture
def carrier(monkeypatch: pytest.MonkeyPatch) -> Iterator[Carrier]:
    monkeypatch.setattr(link, "Wire", ScriptedWire)
    monkeypatch.setattr(limits, "HANG_UP_SECONDS", 0.01)
    monkeypatch.setattr(limits, "PUSH_AGAIN_SECONDS", 0.0)
    made = Carrier(lambda push: RAWS if push.places else [])
    yield made
    made.link.close()
    made.link.join(PATIENCE_SECONDS)
    assert made.deaths == []


def test_an_answer_comes_back_with_its_ops(carrier: Carrier) -> None:
    carrier.wire.answer = lambda: PeerReply(200, push_codec.CONTENT_TYPE, push_codec.write(header(), RAWS))
    assert carrier.carry() == Answered(PEER, header(), RAWS)
    assert carrier.wire.posted == [("/replicate", push_codec.write(header(), RAWS))]
    carrier.carry(8, ())
    assert carrier.wire.posted[1] == ("/heartbeat/receive", push_codec.write(header(8), []))


MANY = [b'{"op":"msg","data":"%d"}' % count for count in range(1_000)]


def test_what_is_pushed_is_packed_while_the_last_answer_said_that_it_is_read(carrier: Carrier) -> None:
    """A broker of another version may come in the place of one, and the other way round (a rolling upgrade)."""
    carrier.link._fetch = lambda push: MANY
    plain, reads = header(), msgspec.structs.replace(header(), packs=True)
    says = {"new": reads, "old": plain}
    bodies = {"new": push_codec.write(header(), MANY, pack=True), "old": push_codec.write(header(), MANY)}
    before = "old"
    for peer in ("new", "new", "old", "old", "new", "fails", "new"):
        if peer == "fails":
            carrier.wire.answer = raising(ConnectionResetError())
            assert isinstance(carrier.carry(), Failed)
        else:
            carrier.wire.answer = lambda: PeerReply(200, push_codec.CONTENT_TYPE, push_codec.write(says[peer], []))  # noqa: B023
            assert isinstance(carrier.carry(), Answered)
        assert carrier.wire.posted[-1] == ("/replicate", bodies[before])
        before = peer if peer in bodies else "old"


def raising(error: Exception) -> Callable[[], PeerReply]:
    def answer() -> PeerReply:
        raise error

    return answer


@pytest.mark.parametrize(
    ("answer", "state", "detail"),
    [
        (raising(TimeoutError()), "down", "no answer within"),
        (raising(ConnectionRefusedError()), "down", "cannot be reached"),
        (raising(UnicodeError()), "down", "cannot be reached"),
        (raising(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]")), "down", "it speaks plain HTTP"),
        (raising(ssl.SSLEOFError()), "down", "the connection broke"),
        (raising(NoTrust("cannot use ca.pem (--ca-file)")), "down", "cannot use ca.pem"),
        (lambda: PeerReply(400, "text/html", b"request was sent to HTTPS port"), "down", "write https:// before the address"),
        (raising(ValueError()), "down", "the request failed"),
        (raising(LinkRefused("another secret")), "peer-auth-failed", "another secret"),
        (raising(LookupError()), "down", "the push failed here: LookupError"),
        (lambda: PeerReply(200, push_codec.CONTENT_TYPE, b"{"), "down", "cannot be read"),
        (lambda: PeerReply(200, "text/html", b"<html>"), "down", "status 200: is that a newswire broker?"),
        (lambda: PeerReply(401, "application/problem+json", b'{"detail": "sign\\n it"}'), "peer-auth-failed", "sign"),
        (lambda: PeerReply(413, "application/problem+json", b'{"detail": "too much"}'), "down", "status 413: too much"),
        (lambda: PeerReply(503, "application/json", b"[" * 100_000), "down", "status 503: is that a newswire broker?"),
    ],
)
def test_each_failure_is_told_and_the_link_goes_on(
    carrier: Carrier, answer: Callable[[], PeerReply], state: str, detail: str
) -> None:
    carrier.wire.answer = answer
    event = carrier.carry()
    assert isinstance(event, Failed)
    assert (event.address, event.number, event.state) == (PEER, 7, state)
    assert detail in event.detail
    assert "\n" not in event.detail
    carrier.wire.answer = lambda: PeerReply(200, push_codec.CONTENT_TYPE, push_codec.write(header(8), []))
    assert carrier.carry(8) == Answered(PEER, header(8), [])
    assert carrier.link.restarts == 0


def test_a_peer_that_hangs_up_while_nothing_is_sent_is_told_of_once(carrier: Carrier) -> None:
    carrier.wire.is_hung_up = True
    assert carrier.events.get(timeout=PATIENCE_SECONDS) == HungUp(PEER)
    assert carrier.wire.closed == 1
    assert isinstance(carrier.carry(), Failed)


def test_a_fault_that_nobody_foresaw_begins_it_again(carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    hung_up = [ZeroDivisionError()]

    def fail() -> bool:
        if hung_up:
            raise hung_up.pop()
        return False

    monkeypatch.setattr(carrier.wire, "hung_up", fail)
    event = carrier.events.get(timeout=PATIENCE_SECONDS)
    assert isinstance(event, Failed)
    assert "the log says how" in event.detail
    assert carrier.link.restarts == 1
    assert isinstance(carrier.carry(), Failed), "it still carries"


def test_what_a_cut_link_learns_is_not_told(carrier: Carrier) -> None:
    """It would be taken for a word of the next link to this address."""

    def cut_meanwhile() -> PeerReply:
        carrier.link.cut()
        return PeerReply(200, push_codec.CONTENT_TYPE, push_codec.write(header(), []))

    carrier.wire.answer = cut_meanwhile
    carrier.link.send(Send(PEER, header(), ()))
    carrier.link.join(PATIENCE_SECONDS)
    assert carrier.wire.posted
    assert carrier.events.empty()


@pytest.mark.parametrize(("code", "status"), [("", 200), ("other-cluster", 409), ("unauthenticated", 401), ("of-later", 400)])
def test_the_status_of_an_answer_follows_from_its_code(code: str, status: int) -> None:
    assert status_of(code) == status
