"""What the web's tests stand on: the seam over the real fold, in memory and at once, whose view a test may change."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec
from flask.testing import FlaskClient

from newswire.config import Settings
from newswire.core import follow
from newswire.core.members import Row
from newswire.core.opening import to_acknowledge
from newswire.core.ops import Acknowledged, Began, Message, Op, Subscribed, Unsubscribed, op_id
from newswire.core.reading import Page, Position, Wanted
from newswire.core.requests import Acknowledge, Publish, Request, Subscribe, Unsubscribe
from newswire.core.state import State
from newswire.core.stream import StreamOrder
from newswire.engine.seam import Receipt, View, Wake
from newswire.errors import LinkRefused, NewswireError, NotEnoughCopies, NotFound, Refused
from newswire.web import create_app
from newswire.web.streams import Adopter

T = TypeVar("T")

ORIGIN = "1001-test"
NOW = 1_795_514_400.0  # 2026-11-24T10:00:00Z
OWN = Row("1001", "127.0.0.1:5053", True, "up", 0, self=True)
OTHER = Row("1002", "10.0.0.2:5054", False, "up", 0, seconds=0.5)


class FakeEngine:
    """An engine that holds its ops in a list. `view`, `now` (s) and `fails` are the test's; `submitted` is what was asked of it."""

    def __init__(self) -> None:
        self.state = State()
        self.ops: list[Op] = []
        self.view = View((OWN, OTHER), serves=True, most_copies=2)
        self.now = NOW
        self.fails: Exception | None = None
        self.submitted: list[Request] = []
        self._take(lambda o, s, t: Began(o, s, t, "1001"))

    def submit(self, requests: Sequence[Request], *, copies: int = 1, timeout: float = 10.0) -> Receipt:
        if self.fails is not None:
            raise self.fails
        if copies > self.view.most_copies:
            raise NotEnoughCopies("fewer brokers are in sync than asked for", copies=self.view.most_copies)
        before = len(self.ops)
        for request in requests:
            self._submit(request)
        self.submitted += requests
        return Receipt(op_id(ORIGIN, before + 1), op_id(ORIGIN, len(self.ops)), len(requests), self.view.most_copies)

    def post(self, requests: Sequence[Request]) -> bool:
        raise NotImplementedError

    def read(self, query: Callable[[State], T]) -> T:
        return query(self.state)

    def follow(self, at: Position, wanted: Wanted, limit: int) -> Page:
        plan = follow.plan(self.state, at, wanted, limit, scan=7)
        texts = [self.ops[due.place] for due in plan.dues]
        return plan.page([text for text in texts if isinstance(text, Message)])

    def on_wake(self, wake: Wake) -> None:
        raise NotImplementedError

    def describe(self) -> View:
        return self.view

    def close(self, timeout: float = 5.0) -> None:
        pass

    def change_view(self, **changes: object) -> None:
        self.view = msgspec.structs.replace(self.view, **changes)

    def published(self) -> list[Publish]:
        return [request for request in self.submitted if isinstance(request, Publish)]

    def _submit(self, request: Request) -> None:
        match request:
            case Publish():
                fields = {name: getattr(request, name) for name in Publish.__struct_fields__}
                self._take(lambda o, s, t: Message(o, s, t, **fields))
            case Subscribe(user, pattern, since):
                after = self.state.vector if since is None else self.state.log.before(since) if since else {}
                if pattern not in self.state.patterns_of(user):
                    self._take(lambda o, s, t: Subscribed(o, s, t, user, pattern, dict(after)))
            case Unsubscribe(user, pattern):
                ids = tuple(sub.id for sub in self.state.subscriptions.alive_of(user) if sub.pattern == pattern)
                if not ids:
                    raise NotFound(f"{user} has no subscription to {pattern}", code="no-subscription")
                self._take(lambda o, s, t: Unsubscribed(o, s, t, ids))
            case Acknowledge(user, event_id, pattern):
                ids = tuple(sub.id for sub in to_acknowledge(self.state, user, event_id, pattern))
                self._take(lambda o, s, t: Acknowledged(o, s, t, ids, dict(event_id.after)))

    def _take(self, make: Callable[[str, int, int], Op]) -> None:
        op = make(ORIGIN, len(self.ops) + 1, int(self.now * 1000))
        self.state.apply(op, len(self.ops), 1, None)
        self.ops.append(op)


class FakeCluster:
    """Joins 127.0.0.1:5055 only; remembers what peers sent."""

    def __init__(self) -> None:
        self.left: list[str] = []
        self.received: list[tuple[str, str | None, bytes]] = []

    def join(self, address: str, timeout: float = 10.0) -> Row:
        if address == "127.0.0.1:6000":
            raise LinkRefused("that broker belongs to another cluster: start it with an empty ops directory")
        if address != "127.0.0.1:5055":
            raise Refused(f"{address} does not answer: is the broker running there?", code="unreachable")
        return Row("1003", address, False, "up", 0)

    def leave(self, broker: str, timeout: float = 10.0) -> Row:
        if broker not in ("1002", "10.0.0.2:5054"):
            raise NotFound(f"no broker {broker} here: GET /list_replicas says which there are", code="no-broker")
        self.left.append(broker)
        return OTHER

    def receive(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        self.received.append((path, headers.get("x-newswire-sender"), body))
        return 200, b"vector"


class Web:
    """A client of an application over fakes."""

    def __init__(self, settings: Settings | None = None, *, cluster: bool = True, adopts: bool = True) -> None:
        self.engine = FakeEngine()
        self.cluster = FakeCluster()
        self.orders: list[StreamOrder] = []
        app = create_app(
            self.engine,
            settings or Settings(),
            cluster=self.cluster if cluster else None,
            hand_over=self._hand_over if adopts else None,
            clock=lambda: self.engine.now,
        )
        self.app = app
        self.client: FlaskClient = app.test_client()

    def _hand_over(self, order: StreamOrder) -> Adopter:
        self.orders.append(order)

        def adopt(sock: socket.socket, chunked: bool) -> None:
            raise AssertionError("the test client has no socket")

        return adopt

    def ask(self, method: str, path: str, code: str = "", **options: object) -> object:
        """Send a request; return its JSON, or the `detail` if it is expected to be refused with `code`.

        Whatever is refused must say what to do and change nothing.
        """
        before = len(self.engine.ops)
        response = self.client.open(path, method=method, **options)
        body = response.get_data()
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        if not code:
            assert response.status_code == 200, body
            assert response.headers["Content-Type"] == "application/json"
            return msgspec.json.decode(body)
        problem = msgspec.json.decode(body)
        assert (response.headers["Content-Type"], problem["code"]) == ("application/problem+json", code), problem
        assert problem["status"] == response.status_code == NewswireError("", code=code).status
        assert problem["title"]
        assert len(problem["detail"].split()) > 3, "a sentence is wanted"
        assert b"Traceback" not in body
        assert len(self.engine.ops) == before, "something changed"
        return problem["detail"]

    def post(self, path: str, code: str = "", **options: object) -> object:
        return self.ask("POST", path, code, **options)

    def get(self, path: str, code: str = "", **options: object) -> object:
        return self.ask("GET", path, code, **options)
