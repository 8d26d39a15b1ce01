"""`newswire forward` over a real mail server and a web hook: nothing is lost when a broker dies, or the mail server is away."""

from __future__ import annotations

import email
import email.policy
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from brokers import free_ports
from newswire.cli.commands import forward
from newswire.cli.forwarding import Forwarder, Template
from newswire.client import Publisher, Subscriber
from newswire.config import Settings
from newswire.server import Server
from tests.kit.waiting import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


PATIENT = f"cto={PATIENCE_SECONDS:g}&rto={PATIENCE_SECONDS:g}"  # seconds for which Apprise waits: to connect, to read


class Mailbox:
    """What a mail server took; the first `busy` messages it defers."""

    def __init__(self, busy: int = 0) -> None:
        self.busy = busy
        self.mails: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.busy:
            self.busy -= 1
            return "451 4.3.0 Try again later"
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 OK"


class Hook:
    """A web hook that counts what it is sent."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                hook.gate.wait(PATIENCE_SECONDS)
                hook.texts.append(body["message"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self.server.server_address[1]}/secret-path?{PATIENT}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


class Brokers:
    """Two in this process, of which either may be stopped and started."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._ports = folder, dict(zip(("1001", "1002"), free_ports(2), strict=True))
        self.servers = {broker: self._start(broker) for broker in self._ports}
        wait_until(lambda: all(one.engine.describe().most_copies == 2 for one in self.servers.values()))
        self.addresses = [f"127.0.0.1:{port}" for port in self._ports.values()]

    def _start(self, broker: str) -> Server:
        peers = tuple(f"127.0.0.1:{port}" for other, port in self._ports.items() if other != broker)
        settings = Settings(id=broker, port=self._ports[broker], primary=broker == "1001", peers=peers, ops_dir=self._folder)
        server = Server(settings)
        server.start()
        return server

    def stop(self, broker: str) -> None:
        self.servers.pop(broker).stop()

    def start(self, broker: str) -> None:
        self.servers[broker] = self._start(broker)

    def close(self) -> None:
        for server in self.servers.values():
            server.stop()


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[Brokers]:
    made = Brokers(tmp_path)
    yield made
    made.close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.server.shutdown()
    made.server.server_close()


class Forwarding:
    """A forwarder in a thread, as it runs beside a broker."""

    def __init__(self, addresses: list[str], urls: list[str], *, beside: bool = False, **options: Any) -> None:
        self.stop = threading.Event()
        self.said: list[str] = []
        self.subscriber = Subscriber(addresses, "relay", timeout=5.0, absent=5.0)
        is_ours: Callable[[], bool] = lambda: True  # noqa: E731
        if beside:
            is_ours = forward.Beside(addresses[0], self.subscriber.pool.transport).is_primary
        forwarder = Forwarder(
            forward.targets_of(urls),
            goes_on=lambda seconds: not self.stop.wait(min(seconds, 0.05)) and is_ours(),
            say=self.said.append,
            **options,
        )
        self.thread = threading.Thread(target=forward.hand_on, args=(self.subscriber, forwarder, is_ours, self.stop))
        self.thread.start()

    def close(self) -> None:
        self.stop.set()
        self.thread.join(PATIENCE_SECONDS)
        assert not self.thread.is_alive()
        self.subscriber.close()


def register(brokers: Brokers, pattern: str) -> None:
    with Subscriber(brokers.addresses, "relay") as relay:
        relay.subscribe(pattern)


def unread(brokers: Brokers, broker: str) -> int:
    return sum(row.unread for row in brokers.servers[broker].engine.subscriptions_of("relay"))


def test_mail_that_is_deferred_is_sent_later_and_acknowledged(brokers: Brokers) -> None:
    mailbox = Mailbox(busy=2)
    server = Controller(mailbox, hostname="127.0.0.1", port=free_ports(1)[0], ready_timeout=PATIENCE_SECONDS)
    server.start()
    url = f"mailto://127.0.0.1:{server.port}?from=news@example.org&to=ops@example.org&mode=insecure&format=html&{PATIENT}"
    register(brokers, "ops.>")
    forwarding = Forwarding(brokers.addresses, [url], template=Template("{data} <b>\\n-- {topic}"))
    try:
        with Publisher(brokers.addresses) as publisher:
            publisher.publish("ops.disk", "Disk & more\nis full", title="Alert: Köln", priority=5)
            publisher.publish("ops.load", "Load")
        wait_until(lambda: len(mailbox.mails) == 2)
        wait_until(lambda: unread(brokers, "1001") == 0)
    finally:
        forwarding.close()
        server.stop()
    first = mailbox.mails[0]
    assert first["Subject"] == "Alert: Köln"
    assert first["To"] == "ops@example.org"
    html = first.get_body(("html",)).get_content()
    assert "&lt;b&gt;" in html, "the text is escaped as the target needs"
    assert "<b>" not in html
    assert first.get_body(("plain",)).get_content().splitlines() == ["Disk & more", "is full <b>", "-- ops.disk"]
    assert len([line for line in forwarding.said if "was not taken" in line]) == 2
    assert not any("example.org" in line for line in forwarding.said)


def test_what_nobody_takes_is_a_dead_letter_once(brokers: Brokers) -> None:
    with Publisher(brokers.addresses) as publisher, Subscriber(brokers.addresses, "reader") as reader:
        reader.subscribe("dead")
        port = free_ports(1)[0]  # where nobody listens
        options: dict[str, Any] = {"tries": 2, "dead_letters": "dead"}
        stop = threading.Event()
        options["bury"] = forward._burial(publisher, "dead", stop)
        register(brokers, "ops")
        forwarding = Forwarding(brokers.addresses, [f"json://127.0.0.1:{port}/x-secret-x"], **options)
        try:
            publisher.publish("ops", "nobody takes this", title="T")
            wait_until(lambda: unread(brokers, "1001") == 0 and bool(reader.messages().messages))
        finally:
            forwarding.close()
        (letter,) = reader.messages().messages
        assert (letter.topic, letter.data, letter.title) == ("dead", "nobody takes this", "Not handed on (ops): T")
        assert not any("x-secret-x" in line for line in forwarding.said)


def test_the_one_beside_the_primary_hands_on_and_a_failover_loses_nothing(brokers: Brokers, hook: Hook) -> None:
    """Two forwarders; the primary dies with a message in flight, and comes back."""
    one, two = brokers.addresses
    register(brokers, "news")
    forwardings = [Forwarding(list(order), [hook.url], beside=True) for order in ((one, two), (two, one))]
    texts = [str(number) for number in range(24)]
    try:
        with Publisher(brokers.addresses) as publisher:
            for text in texts[:8]:
                publisher.publish("news", text)
            wait_until(lambda: unread(brokers, "1002") == 0)
            assert hook.texts == texts[:8], "one of the two hands on"
            hook.gate.clear()
            for text in texts[8:12]:
                publisher.publish("news", text)
            brokers.stop("1001")
            for text in texts[12:16]:
                publisher.publish("news", text)
            hook.gate.set()
            wait_until(lambda: unread(brokers, "1002") == 0)
            brokers.start("1001")
            wait_until(lambda: all(server.engine.describe().most_copies == 2 for server in brokers.servers.values()))
            for text in texts[16:]:
                publisher.publish("news", text)
            wait_until(lambda: unread(brokers, "1002") == 0)
    finally:
        for forwarding in forwardings:
            forwarding.close()
    counts = Counter(hook.texts)
    assert counts.keys() == set(texts), "nothing is lost"
    assert max(counts.values()) <= 3, "what was in flight once more, a change: the primary went, and came back"
    assert all(counts[text] == 1 for text in texts[:8]), "what was acknowledged is not handed on again"
