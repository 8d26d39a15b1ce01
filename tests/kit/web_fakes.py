"""What the web's tests stand on: two brokers in memory, in sync, of which one is steered by the test."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence

import msgspec
from flask.testing import FlaskClient
from msgspec.structs import asdict

from newswire.config import Settings
from newswire.core.access import Principal
from newswire.core.broker.events import Now
from newswire.core.model.commands import Publish, Request, Subscribe
from newswire.core.model.coverage import Coverage, write
from newswire.engine.memory import MemoryEngine, MemoryNetwork
from newswire.engine.seam import BrokerStatus, ClusterStatus, Compacted, PushAnswer, Receipt
from newswire.errors import LinkRefused, NewswireError, NotFound, Refused
from newswire.stream_order import StreamOrder
from newswire.web import Authenticator, create_admission, create_app
from newswire.web.routes.streams import Adopter
from newswire.web.routes.trends import Measured

NOW = 1_795_514_400.0  # 2026-11-24T10:00:00Z
OWN, OTHER = "127.0.0.1:5053", "10.0.0.2:5054"


class SteeredEngine(MemoryEngine):
    """An engine in memory whose clock, view and failures are the test's. `submitted` is what it took from clients."""

    def __init__(self, network: MemoryNetwork) -> None:
        self.now = NOW  # seconds
        self.changes: dict[str, object] = {}
        self.fails: Exception | None = None
        self.submitted: list[Request] = []
        super().__init__("1001", address=OWN, peers=(OTHER,), primary=True, network=network, clock=self._clock)

    def submit_later(
        self,
        requests: Sequence[Request],
        then: Callable[[Receipt | NewswireError], None],
        *,
        copies: int = 1,
        timeout: float = 10.0,
        by: Principal | None = None,
    ) -> None:
        if isinstance(self.fails, NewswireError):
            then(self.fails)
            return
        if self.fails is not None:
            raise self.fails

        def tell(result: Receipt | NewswireError) -> None:
            self.submitted += requests if isinstance(result, Receipt) else ()
            then(result)

        super().submit_later(requests, tell, copies=copies, timeout=timeout, by=by)

    def describe(self) -> ClusterStatus:
        return msgspec.structs.replace(super().describe(), **self.changes)

    def change_view(self, **changes: object) -> None:
        self.changes = changes

    def published(self) -> list[Publish]:
        return [Publish(**asdict(request)) for request in self.submitted if isinstance(request, Publish)]

    def place(self, *, of_page: bool = False) -> str:
        """The event id of everything up to now."""
        event_id = self.shell.read(lambda state: write(Coverage("", dict(state.vector))))
        return str(event_id.for_page() if of_page else event_id)

    def notice(self) -> str:
        """The id of a message of ann's that asks to be confirmed, and that is due to her."""
        account = self.account("ann")
        mine = account.account if account is not None else ""
        before, fails, self.fails = self.submitted[:], self.fails, None
        self.submit([Subscribe("ann", "news.x", account=mine)])
        name = self.submit([Publish("news.x", "x", confirm=60, publisher="ann")]).first
        self.submitted, self.fails = before, fails
        return name

    def _clock(self) -> Now:
        return Now(self.now - NOW, int(self.now * 1000))


class FakeCluster:
    """Joins 127.0.0.1:5055 only; remembers what peers sent."""

    def __init__(self) -> None:
        self.left: list[str] = []
        self.given_up: list[tuple[str, int, int, bool]] = []
        self.received: list[tuple[str, str | None, bytes]] = []

    def join_later(self, address: str, then: Callable[[BrokerStatus | NewswireError], None], timeout: float = 10.0) -> None:
        if address == "127.0.0.1:6000":
            then(LinkRefused("that broker belongs to another cluster: start it with an empty ops directory"))
        elif address != "127.0.0.1:5055":
            then(Refused(f"{address} does not answer: is the broker running there?", code="unreachable"))
        else:
            then(BrokerStatus("1003", address, False, "up", 0))

    def leave_later(self, broker: str, then: Callable[[BrokerStatus | NewswireError], None]) -> None:
        if broker not in ("1002", OTHER):
            then(NotFound(f"no broker {broker} here: GET /list_replicas says which there are", code="no-broker"))
            return
        self.left.append(broker)
        then(BrokerStatus("1002", OTHER, False, "up", 0))

    def accept_loss_later(
        self,
        then: Callable[[Receipt | NewswireError], None],
        origin: str = "",
        first: int = 0,
        last: int = 0,
        *,
        even_if_away: bool = False,
        timeout: float = 10.0,
    ) -> None:
        if origin == "1001-nothing":
            then(NotFound("nothing is missing there", code="no-hole"))
            return
        self.given_up.append((origin, first, last, even_if_away))
        then(Receipt("1001-a.9", "1001-a.9", 3, 2))

    def compact_later(self, then: Callable[[Compacted | NewswireError], None], *, even_if_away: bool = False) -> None:
        if not even_if_away:
            then(Refused("broker 1002 is away", code="not-compacted"))
            return
        then(Compacted(bytes_before=31_000_000, bytes_after=3_000_000, rows_before=105_000, rows_after=10_500))

    def check_head(self, path: str, headers: Mapping[str, str]) -> None:
        if headers.get("newswire-signature") == "forged":
            raise LinkRefused("the push is refused", code="unauthenticated")

    def receive_later(
        self, path: str, headers: Mapping[str, str], body: bytes, then: Callable[[PushAnswer | NewswireError], None]
    ) -> None:
        self.received.append((path, headers.get("x-newswire-sender"), body))
        then(PushAnswer(200, False, lambda: b"vector"))


class Web:
    """A client of an application over fakes."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        cluster: bool = True,
        adopts: bool = True,
        measured: Measured | None = None,
    ) -> None:
        network = MemoryNetwork()
        self.engine = SteeredEngine(network)
        self.other = MemoryEngine("1002", address=OTHER, peers=(OWN,), network=network, clock=self.engine._clock)
        self.engine.tick()
        self.cluster = FakeCluster()
        self.orders: list[StreamOrder] = []  # without their callers
        self.callers: list[str] = []
        self.no_room = ""
        self.gave_way = 0
        self.is_downloading = False
        self.auth = None
        if settings is not None and settings.auth == "required":
            self.auth = Authenticator(self.engine, [b"k" * 32], clock=lambda: self.engine.now)
            self.engine.on_wake(lambda wake: self.auth.wake(wake.users) if wake.users else None)
        app = create_app(
            self.engine,
            settings or Settings(),
            auth=self.auth,
            cluster=self.cluster if cluster else None,
            hand_over=self._hand_over if adopts else None,
            no_room=lambda order: self.no_room,
            give_way=self._give_way,
            clock=lambda: self.engine.now,
            version="0.1",
            is_downloading=lambda: self.is_downloading,
            measured=measured,
        )
        self.app = app
        self.admission = create_admission(
            app, self.engine, settings or Settings(), self.cluster if cluster else None, self.auth
        )
        self.client: FlaskClient = app.test_client()

    def _give_way(self) -> None:
        self.gave_way += 1

    def _hand_over(self, order: StreamOrder) -> Adopter:
        self.callers.append(order.caller)
        self.orders.append(msgspec.structs.replace(order, caller=""))

        def adopt(sock: socket.socket, head: bytes, chunked: bool) -> None:
            raise AssertionError("the test client has no socket")

        return adopt

    def _count_changes(self) -> int:
        """How many ops there are, beside those that say that somebody could not sign in."""
        return sum(b'"sign-in-failed"' not in raw for raw in self.engine.log.raws)

    def ask(self, method: str, path: str, code: str = "", **options: object) -> object:
        """Send a request; return its JSON, or the `detail` if it is expected to be refused with `code`.

        Whatever is refused must say what to do and change nothing.
        """
        before = self._count_changes()
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
        assert self._count_changes() == before, "something changed"
        return problem["detail"]

    def post(self, path: str, code: str = "", **options: object) -> object:
        return self.ask("POST", path, code, **options)

    def get(self, path: str, code: str = "", **options: object) -> object:
        return self.ask("GET", path, code, **options)
