"""What is measured: services that are started, spoken to and ended; newswire, of this checkout or of another one.

A `System` starts a `Service` for a purpose, or says by `NotOffered` that it has nothing like it. Rows know nothing else.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from benchmark.talk import Http, Talk, ask_all, http_post, text
from brokers import Broker, Failed, free_ports, post, wait_in_sync
from nats_servers import NatsServers

ROOT: Final = Path(__file__).resolve().parent.parent.parent
TOPICS: Final = 20
TEXTS: Final = 64  # different messages, so that no cache of one text counts
BATCH: Final = 1_000
SUBSCRIBING_CONNECTIONS: Final = 64
READY_SECONDS: Final = 600.0  # of a start with millions of records


class NotOffered(Exception):
    """This system does not do that, or not with this promise."""


class Tool(NamedTuple):
    """A program that makes the load where one in Python would be slower than what is measured.

    `read`: of what it prints, requests a second and their p50 and p99 in ms.
    """

    command: list[str]
    requests: int
    read: Callable[[str], tuple[float, float, float]]


class Service(Protocol):
    """Some processes that serve together."""

    @property
    def pids(self) -> list[int]:
        """Their processes."""

    def publishing(self) -> Talk:
        """How one publishes one message a request; it is stored as the service was started to."""

    def live_publishing(self) -> Talk:
        """The same to all streams, each with the time at which it was sent."""

    def batches(self, size: int) -> Talk:
        """How one publishes many messages a request, as durably as one. Raises NotOffered."""

    def tool(self, connections: int, seconds: float) -> Tool | None:
        """A program that publishes as `publishing` does, for about so long; None: Python is fast enough."""

    def streaming(self) -> Talk:
        """How one opens a stream of all that is published."""

    def register(self, streams: int) -> None:
        """Do what has to be done once before so many streams open, each of another user."""


class System(Protocol):
    """What can be compared."""

    name: str

    def live(self, cores: Sequence[int]) -> AbstractContextManager[Service]:
        """A Service for streams, with what promise it has for what is published live."""

    def durable(self, placement: Sequence[Sequence[int]]) -> AbstractContextManager[Service]:
        """A Service that stores each message on the disks of all its servers, one for each item of `placement`,
        before it answers. Each item: the cores of that server.
        """


# -- newswire ---------------------------------------------------------------------------------------------------------


class CheckoutBroker(Broker):
    """A broker of a checkout, on some cores. It runs in this Python, with the sources of its own."""

    def __init__(self, root: Path, cores: Sequence[int], *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._prefix = ["taskset", "-c", ",".join(map(str, cores)), "env", f"PYTHONPATH={root / 'src'}"]

    def command(self) -> list[str]:
        return [*self._prefix, *super().command()]


class Publishing(Http):
    """Messages of 150 bytes without keys, each a request, with a line of the head that says who asks, if one is given.

    With `live`, each message says when it was sent, and all have one topic.
    """

    def __init__(self, port: int, copies: int, *, live: bool = False, credential: str = "") -> None:
        super().__init__(port)
        self._copies, self._live, self._credential = b'"copies":%d' % copies, live, credential
        self._texts = [self._message(number) for number in range(TEXTS)]

    def _message(self, number: int) -> bytes:
        topic = b"news.live" if self._live else b"news.t%d" % (number % TOPICS)
        body = b'{"topic": "%b", "data": "%b"}' % (topic, text(number))
        return http_post("/publish", "application/json", body, self._credential)

    def request(self, number: int) -> bytes:
        return self._message(number) if self._live else self._texts[number % TEXTS]

    def is_good(self, answer: bytes) -> bool:
        return answer.startswith(b"HTTP/1.1 200 ") and self._copies in answer


class Batches(Http):
    """Batches of 1,000 messages of 150 bytes, each with a key of its own, as the client library gives them."""

    def __init__(self, port: int, copies: int, size: int = BATCH) -> None:
        super().__init__(port)
        self._copies = b'"copies":%d' % copies
        line, run = b'{"topic": "news.t%d", "data": "%b", "key": "%b@@@@@@@@@@@@%010x"}', os.urandom(5).hex().encode()
        body = b"\n".join(line % (number % TOPICS, text(number), run, number) for number in range(size))
        self._template = http_post("/publish", "application/x-ndjson", body)

    def request(self, number: int) -> bytes:
        return self._template.replace(b"@@@@@@@@@@@@", b"%012x" % number)

    def is_good(self, answer: bytes) -> bool:
        return answer.startswith(b"HTTP/1.1 200 ") and self._copies in answer and b"duplicates" not in answer


class Subscribing(Http):
    """Subscriptions to the live topic, each of another user."""

    def request(self, number: int) -> bytes:
        form = b"username=user%d&topic=news.live" % number
        return http_post("/subscribe", "application/x-www-form-urlencoded", form)


class Livez(Http):
    """Whether a broker lives."""

    def request(self, number: int) -> bytes:
        return b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class Streaming(Http):
    """Streams, each of another user."""

    def hello(self, number: int) -> bytes:
        return b"GET /stream?username=user%d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % number

    def is_welcome(self, received: bytes) -> bool:
        return b"Listening" in received


class NewswireService:
    """Brokers that are in sync."""

    def __init__(self, brokers: list[CheckoutBroker], copies: int) -> None:
        self.brokers, self.copies = brokers, copies
        self.port = brokers[0].port

    @property
    def pids(self) -> list[int]:
        return [pid_of(broker) for broker in self.brokers]

    @property
    def addresses(self) -> str:
        """All of them, for the client library."""
        return ",".join(broker.address for broker in self.brokers)

    def publishing(self, at: int = 0) -> Talk:
        return Publishing(self.brokers[at].port, self.copies)

    def subscribing(self) -> Talk:
        """A subscription a request, each of another user."""
        return Subscribing(self.port)

    def subscribe(self, user: str, topic: str, since: str) -> None:
        """Subscribe a user from some time on."""
        post(self.brokers[0].address, "/subscribe", **{"username": user, "topic": topic, "from": since})

    def live_publishing(self) -> Talk:
        return Publishing(self.port, self.copies, live=True)

    def tool(self, connections: int, seconds: float) -> Tool | None:
        return None

    def batches(self, size: int) -> Talk:
        return Batches(self.port, self.copies, size)

    def streaming(self) -> Talk:
        return Streaming(self.port)

    def register(self, streams: int) -> None:
        talk = self.subscribing()
        ask_all(talk, [talk.request(number) for number in range(streams)], SUBSCRIBING_CONNECTIONS)


def pid_of(broker: Broker) -> int:
    """The process of a broker; `taskset` and `env` have become it."""
    if broker.process is None or broker.process.poll() is not None:
        raise Failed(f"broker {broker.id} is gone")
    return broker.process.pid


class Newswire:
    """newswire of a checkout."""

    def __init__(self, name: str, root: Path, folder: Path | None) -> None:
        self.name, self.root, self.folder = name, root, folder

    @contextmanager
    def live(self, cores: Sequence[int]) -> Iterator[NewswireService]:
        """One broker."""
        with self.brokers([cores]) as service:
            yield service

    @contextmanager
    def durable(self, placement: Sequence[Sequence[int]]) -> Iterator[NewswireService]:
        """As many brokers as there are items."""
        with self.brokers(placement) as service:
            yield service

    @contextmanager
    def brokers(self, placement: Sequence[Sequence[int]], options: Sequence[str] = ()) -> Iterator[NewswireService]:
        """Brokers in sync, each on its cores, in a new folder."""
        with self.placed(placement, options) as service:
            for broker in service.brokers:
                broker.launch()
            for broker in service.brokers:
                broker.wait_ready()
            if len(service.brokers) > 1:
                wait_in_sync(service.brokers)
            yield service

    @contextmanager
    def placed(self, placement: Sequence[Sequence[int]], options: Sequence[str] = ()) -> Iterator[NewswireService]:
        """The same, not started."""
        with tempfile.TemporaryDirectory(prefix="newswire-bench-", dir=self.folder) as home:
            brokers = self._brokers_in(Path(home), placement, options, are_peers=True)
            try:
                yield NewswireService(brokers, len(brokers))
            finally:
                for broker in brokers:
                    broker.kill9()

    def _brokers_in(
        self, home: Path, placement: Sequence[Sequence[int]], options: Sequence[str], *, are_peers: bool
    ) -> list[CheckoutBroker]:
        ports = free_ports(len(placement))
        return [
            CheckoutBroker(
                self.root,
                cores,
                f"100{i + 1}",
                ports[i],
                home,
                peers=[port for port in ports if port != ports[i] and are_peers],
                primary=i == 0,
                options=options,
            )
            for i, cores in enumerate(placement)
        ]


class GatewayService(NewswireService):
    """Gateways, and the NATS servers that keep their log."""

    def __init__(self, brokers: list[CheckoutBroker], copies: int, servers: NatsServers) -> None:
        super().__init__(brokers, copies)
        self.servers = servers

    @property
    def pids(self) -> list[int]:
        return [*super().pids, *self.servers.pids]


class Gateways(Newswire):
    """The same newswire over so many NATS servers, each of which keeps all and syncs always; they run on any core."""

    def __init__(self, newswire: Newswire, servers: int) -> None:
        super().__init__(newswire.name, newswire.root, newswire.folder)
        self._servers = servers

    @contextmanager
    def placed(self, placement: Sequence[Sequence[int]], options: Sequence[str] = ()) -> Iterator[GatewayService]:
        with tempfile.TemporaryDirectory(prefix="newswire-bench-", dir=self.folder) as home:
            servers = NatsServers(Path(home) / "nats", self._servers)
            log = ["--engine", "jetstream", "--nats", ",".join(servers.urls), "--nats-monitor", ",".join(servers.monitors)]
            brokers = self._brokers_in(Path(home), placement, [*options, *log], are_peers=False)
            try:
                servers.start()
                yield GatewayService(brokers, self._servers // 2 + 1, servers)
            finally:
                for broker in brokers:
                    broker.kill9()
                servers.end()
