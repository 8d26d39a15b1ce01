"""The load of `newswire bench`: publishes and streams at a running cluster, bounded, and taken away again.

Each message expires soon, so that nothing has to be deleted. Threads of this process make the load, so that a latency is the
difference of two looks at one clock; what they cost is measured beside it.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from newswire.cli.bench_report import BrokerNumbers, Measurement, SharedMachine, numbers_of, percentile, use_of
from newswire.errors import NewswireError, NoBroker

if TYPE_CHECKING:
    from newswire.cli.credentials import Signature
    from newswire.client import Publisher, Row
    from newswire.client.transport import Incoming, Transport

BATCH_MESSAGES: Final = 1_000
EXPIRES_SECONDS: Final = 60  # of a message: retention takes it away soon
STREAMS_OF_A_USER: Final = 20  # as brokers let one have
_SINGLES_MOST: Final = 10_000  # of one measurement
_BATCHES_MOST: Final = 20
_PACED_SECONDS: Final = 0.01  # between two messages whose delivery is timed: a load that nobody notices
_WAIT_SECONDS: Final = 30.0  # for streams to open, and for all that was published to arrive
_LOOK_SECONDS: Final = 0.1
_ASK_SECONDS: Final = 5.0


@dataclass(frozen=True)
class BenchLoad:
    """How much: seconds of each measurement, publishers at once, streams, bytes of a text."""

    seconds: float
    clients: int
    streams: int
    size: int

    def most_messages(self) -> int:
        """How many messages are published at most."""
        paced = int(self.seconds / _PACED_SECONDS)
        return 2 * _SINGLES_MOST + (_BATCHES_MOST + 1) * BATCH_MESSAGES + paced


class Bench:
    """Measures one cluster. `rows`: its living brokers, primary first. `names`: of the users of the streams. One thread."""

    def __init__(
        self, brokers: Sequence[str], who: Signature, rows: Sequence[Row], load: BenchLoad, username: str | None
    ) -> None:
        from newswire.cli.credentials import to_credential
        from newswire.client.failover import split
        from newswire.client.transport import Transport
        from newswire.core.model.addresses import is_tls

        self._brokers, self._who, self._rows, self._load = tuple(brokers), who, tuple(rows), load
        named = split(brokers)
        self._tls_only = all(map(is_tls, named))
        self._new_transport: Callable[[], Transport] = lambda: Transport(credential=to_credential(who), tls_only=self._tls_only)
        self._transport = self._new_transport()
        self.run = uuid.uuid4().hex[:8]
        self.topic = f"bench.{self.run}"
        self._username = username

    def measure(self) -> Iterator[Measurement]:
        """Make the measurements, one after the other. Raises NewswireError."""
        clients = self._load.clients
        yield self._publish("publish, one at a time", 1)
        yield self._publish(f"publish, {clients} at once", clients)
        yield self._publish_batches()
        if self._load.streams:
            yield from self._deliver()

    # -- publishing

    def _text(self) -> str:
        """A text that says when it was made: seconds of this process's clock."""
        return f"{self.run} {time.perf_counter():.6f} ".ljust(self._load.size, ".")

    def _publisher(self) -> Publisher:
        from newswire.client import Publisher

        return Publisher(self._brokers, **self._who, in_flight=1)

    def _publish(self, name: str, clients: int) -> Measurement:
        most = max(1, _SINGLES_MOST // clients)
        latencies: list[float] = []
        errors: list[NewswireError] = []

        def publish_one_after_the_other(until: float) -> None:
            with self._publisher() as publisher:
                for _ in range(most):
                    begin = time.perf_counter()
                    try:
                        publisher.publish(self.topic, self._text(), expires=EXPIRES_SECONDS)
                    except NewswireError as error:
                        errors.append(error)
                    end = time.perf_counter()
                    latencies.append(end - begin)
                    if end >= until or errors:
                        return

        with self._timed() as timing:
            until = timing.begin + self._load.seconds
            threads = [threading.Thread(target=publish_one_after_the_other, args=(until,), daemon=True) for _ in range(clients)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        if errors:
            raise errors[0]
        return timing.measurement(name, "messages", len(latencies), latencies)

    def _publish_batches(self) -> Measurement:
        latencies: list[float] = []
        with self._timed() as timing, self._publisher() as publisher:
            for _ in range(_BATCHES_MOST):
                begin = time.perf_counter()
                publisher.publish_batch(self._batch())
                end = time.perf_counter()
                latencies.append(end - begin)
                if end >= timing.begin + self._load.seconds:
                    break
        name = f"publish, batches of {BATCH_MESSAGES:,}"
        return timing.measurement(name, "messages", BATCH_MESSAGES * len(latencies), latencies)

    def _batch(self) -> Iterator[dict[str, object]]:
        for _ in range(BATCH_MESSAGES):
            yield {"topic": self.topic, "data": self._text(), "expires": EXPIRES_SECONDS}

    # -- streams

    def _deliver(self) -> Iterator[Measurement]:
        """Latencies under a load that nobody notices, then how many messages a second reach all streams."""
        from newswire.client import Subscriber

        count = self._load.streams
        names = [self._username] if self._username else [f"bench-{self.run}-{at}" for at in range(count)]
        with ExitStack() as ending:
            for name in names:
                subscriber = ending.enter_context(Subscriber(self._brokers, name, **self._who))
                ending.callback(_try_to, lambda one=subscriber: one.unsubscribe(self.topic))  # type: ignore[misc]
                subscriber.subscribe(self.topic)
            readers = [ending.enter_context(self._reader(at, names[at % len(names)])) for at in range(count)]
            _wait_for(lambda: all(one.is_open for one in readers), "no broker has opened all streams in time")
            publisher = ending.enter_context(self._publisher())
            with self._timed() as timing:
                sent = self._publish_paced(publisher)
                _wait_for(lambda: all(len(one.latencies) >= sent for one in readers), "not all messages arrived in time")
            latencies = [latency for one in readers for latency in one.latencies]
            yield timing.measurement(f"deliver to {count} streams", "deliveries", len(latencies), latencies)
            before = sent
            with self._timed() as timing:
                publisher.publish_batch(self._batch())
                total = before + BATCH_MESSAGES
                _wait_for(lambda: all(len(one.latencies) >= total for one in readers), "not all messages arrived in time")
            name = f"{BATCH_MESSAGES:,} messages to {count} streams"
            yield timing.measurement(name, "deliveries", count * BATCH_MESSAGES, [])

    def _publish_paced(self, publisher: Publisher) -> int:
        until, sent = time.perf_counter() + self._load.seconds, 0
        while True:
            publisher.publish(self.topic, self._text(), expires=EXPIRES_SECONDS)
            sent += 1
            if time.perf_counter() >= until:
                return sent
            time.sleep(_PACED_SECONDS)

    @contextmanager
    def _reader(self, at: int, username: str) -> Iterator[StreamReader]:
        """A stream at one of the brokers, in turn."""
        from newswire.client.transport import Call, Incoming

        address = self._rows[at % len(self._rows)].ip
        params = {"username": username, "ack": "client"}
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        incoming = self._new_transport().open(address, Call("GET", "/stream", params, headers=headers), _WAIT_SECONDS)
        if not isinstance(incoming, Incoming):
            raise incoming.error()
        reader = StreamReader(incoming, self.run)
        reader.start()
        try:
            yield reader
        finally:
            incoming.interrupt()
            reader.join()
            incoming.close()

    # -- what it took

    @contextmanager
    def _timed(self) -> Iterator[Timing]:
        before = self._numbers()
        timing = Timing(begin=time.perf_counter(), cpu=time.process_time(), before=before)
        yield timing
        timing.seconds = time.perf_counter() - timing.begin
        timing.client_cpu = (time.process_time() - timing.cpu) / timing.seconds
        timing.after = self._numbers()

    def _numbers(self) -> dict[str, BrokerNumbers]:
        """What the metrics of each broker say, by its id; of one that does not answer nothing."""
        from prometheus_client.parser import text_string_to_metric_families

        from newswire.client.transport import Call
        from newswire.client.unreached import Unreached

        numbers: dict[str, BrokerNumbers] = {}
        for row in self._rows:
            with suppress(Unreached, ValueError):
                answer = self._transport.send(row.ip, Call("GET", "/metrics"), _ASK_SECONDS)
                if answer.status == 200:
                    numbers[row.id] = numbers_of(text_string_to_metric_families(answer.body.decode()))
        return numbers


@dataclass
class Timing:
    """A measurement that is under way."""

    begin: float
    cpu: float
    before: dict[str, BrokerNumbers]
    after: dict[str, BrokerNumbers] = field(default_factory=dict)
    seconds: float = 0.0
    client_cpu: float = 0.0

    def measurement(self, name: str, unit: str, count: int, latencies: Sequence[float]) -> Measurement:
        """What came of it; latencies in seconds."""
        p50, p99 = percentile(latencies, 0.5), percentile(latencies, 0.99)
        uses = [use_of(id, self.before[id], after, self.seconds) for id, after in self.after.items() if id in self.before]
        return Measurement(
            name=name,
            unit=unit,
            count=count,
            seconds=self.seconds,
            p50=None if p50 is None else 1_000 * p50,
            p99=None if p99 is None else 1_000 * p99,
            client_cpu=self.client_cpu,
            brokers=tuple(uses),
        )


class StreamReader(threading.Thread):
    """Reads a stream and takes note of how old each message of this run is. `latencies`: seconds; any thread may look."""

    def __init__(self, incoming: Incoming, run: str) -> None:
        super().__init__(name="bench-stream", daemon=True)
        self.latencies: list[float] = []
        self.is_open = False
        self._incoming, self._run = incoming, run

    def run(self) -> None:
        """Read until the stream ends."""
        from newswire.client.unreached import Unreached

        with suppress(Unreached):
            while (events := self._incoming.read()) is not None:
                now = time.perf_counter()
                self.is_open |= bool(events)
                for event in events:
                    word, _, rest = event.data.partition(" ")
                    if word == self._run:
                        self.latencies.append(now - float(rest.split(" ", 1)[0]))


def _try_to(act: Callable[[], object]) -> None:
    with suppress(NewswireError):
        act()


def _wait_for(condition: Callable[[], bool], otherwise: str) -> None:
    """Wait until `condition` holds. Raises NoBroker."""
    until = time.monotonic() + _WAIT_SECONDS
    while not condition():
        if time.monotonic() >= until:
            raise NoBroker(otherwise)
        time.sleep(_LOOK_SECONDS / 10)


def shared_machine(rows: Sequence[Row]) -> SharedMachine | None:
    """This machine, if a broker is reached by its loopback address; else None."""
    if not any(row.ip.startswith(("127.", "localhost", "[::1]")) for row in rows):
        return None
    return SharedMachine(os.cpu_count() or 1, os.getloadavg()[0])
