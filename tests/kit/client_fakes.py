"""A broker by script for the client's tests: real sockets, answers that the test writes, no state of its own."""

from __future__ import annotations

import json
import os
import queue
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from brokers import free_ports
from newswire.client import Publisher, Subscriber
from tests.kit.waiting import PATIENCE_SECONDS

LIMIT_SECONDS = PATIENCE_SECONDS


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return {k: v[0] for k, v in parse_qs(self.body.decode()).items()}

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """An answer."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def problem(status: int, code: str, detail: str = "because", headers: dict[str, str] | None = None, **extra: Any) -> Reply:
    return Reply({"title": code, "status": status, "code": code, "detail": detail, **extra}, status, headers or {})


class Wire:
    """An open stream as the script sees it."""

    def __init__(self, asked: Asked, handler: BaseHTTPRequestHandler) -> None:
        self.asked = asked
        self.last_event_id = asked.headers.get("last-event-id")
        self._handler = handler

    def open(self, *, retry: int = 1000, chunked: bool = True) -> None:
        self.start(chunked=chunked)
        self.send(f"event: open\nretry: {retry}\ndata: Listening to new message for subscribed topics\n\n")

    def start(self, *, chunked: bool = True) -> None:
        self._chunked = chunked
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n"
        self._write((head + ("Transfer-Encoding: chunked\r\n" if chunked else "") + "\r\n").encode())

    def send(self, text: str) -> None:
        body = text.encode()
        self._write(b"%x\r\n%b\r\n" % (len(body), body) if self._chunked else body)

    def message(self, id: str, data: str = "", *, event_id: str = "", topic: str = "Google", **more: Any) -> None:
        shown = {"id": id, "event_id": event_id or f"e-{id}", "topic": topic, "data": data or id, **more}
        self.send(f"id: {shown['event_id']}\ndata: {json.dumps(shown)}\n\n")

    def gap(self, topic: str, dropped: int, event_id: str) -> None:
        self.send(f"event: gap\nid: {event_id}\ndata: {json.dumps({'topic': topic, 'dropped': dropped})}\n\n")

    def keepalive(self) -> None:
        self.send(": keepalive\n\n")

    def end(self) -> None:
        self._write(b"0\r\n\r\n")

    def reset(self) -> None:
        """Break the connection as a dying process does."""
        sock = self._handler.connection
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(sock.detach())  # close() would wait for the files made of the socket

    def stay(self) -> None:
        """Keep the connection open, saying nothing, until the client or the test ends it."""
        self._handler.connection.settimeout(LIMIT_SECONDS)
        try:
            self._handler.connection.recv(1)
        except OSError:
            pass

    def _write(self, data: bytes) -> None:
        self._handler.wfile.write(data)
        self._handler.wfile.flush()


Answering = Callable[[Asked], Reply | None]  # None: close without an answer


class FakeBroker:
    """Answers by `on`; streams run the scripts that `stream` queued, in order."""

    def __init__(self, id: str = "1001", port: int = 0) -> None:
        self.id = id
        self.asked: list[Asked] = []
        self.rows: list[dict[str, Any]] = []
        self._answers: dict[tuple[str, str], Answering] = {}
        self._scripts: queue.Queue[Callable[[Wire], None]] = queue.Queue()
        self._came = threading.Condition()
        self._sockets: set[socket.socket] = set()
        self.port = port or free_ports(1)[0]  # which stays free while it is down
        self.up()
        self.on("GET", "/list_replicas", lambda asked: Reply(self.rows or [row(self, is_primary=True, self=True)]))
        self.on("POST", "/ack", lambda asked: Reply({"message": "Acknowledged"}))

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def on(self, method: str, path: str, answering: Answering) -> None:
        self._answers[method, path] = answering

    def stream(self, *scripts: Callable[[Wire], None]) -> None:
        for script in scripts:
            self._scripts.put(script)

    def up(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def down(self) -> None:
        """Die: no more connections, those that are open are reset."""
        self._server.shutdown()
        self._server.socket.close()
        for sock in list(self._sockets):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def came(self, method: str, path: str) -> list[Asked]:
        return [a for a in self.asked if (a.method, a.path) == (method, path)]

    def wait_for(self, method: str, path: str, count: int = 1) -> list[Asked]:
        with self._came:
            assert self._came.wait_for(lambda: len(self.came(method, path)) >= count, LIMIT_SECONDS), (method, path, self.asked)
        return self.came(method, path)

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        url = urlsplit(handler.path)
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = {k.lower(): v for k, v in handler.headers.items()}
        asked = Asked(handler.command, url.path, {k: v[0] for k, v in parse_qs(url.query).items()}, headers, body)
        with self._came:
            self.asked.append(asked)
            self._came.notify_all()
        answering = self._answers.get((asked.method, asked.path))
        if answering is None and (asked.path == "/stream" or asked.path.endswith("/sse")):
            handler.close_connection = True
            try:
                self._scripts.get(timeout=LIMIT_SECONDS)(Wire(asked, handler))
            except OSError:  # the client left
                pass
            return
        self._reply(handler, answering(asked) if answering else problem(404, "not-found"))

    def _reply(self, handler: BaseHTTPRequestHandler, reply: Reply | None) -> None:
        if reply is None:
            handler.close_connection = True
            return
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        handler.send_response(reply.status)
        for name, value in {"Content-Length": str(len(body)), **reply.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        broker = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                broker._sockets.add(self.connection)

            def finish(self) -> None:
                broker._sockets.discard(self.connection)
                try:
                    super().finish()
                except OSError:
                    pass

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:
                    pass

            def do_GET(self) -> None:
                broker._serve(self)

            do_POST = do_DELETE = do_GET

            def log_message(self, *args: Any) -> None:
                pass

        return Handler


def row(broker: FakeBroker, **fields: Any) -> dict[str, Any]:
    return {"id": broker.id, "ip": broker.address, "is_primary": False, "state": "up", "lag": 0, **fields}


def hooks(time: FakeTime, chance: Callable[[], float] = lambda: 0.0) -> Any:
    """What a pool is given in place of the clock, of waiting and of chance."""
    return {"clock": time.clock, "sleep": time.sleep, "chance": chance}


def publisher(time: FakeTime, *brokers: FakeBroker, new_key: Callable[[], str] | None = None, **more: Any) -> Publisher:
    made = Publisher([x.address for x in brokers], **{**hooks(time), **more})
    if new_key is not None:
        made._new_key = new_key
    return made


def subscriber(time: FakeTime, *brokers: FakeBroker, **more: Any) -> Subscriber:
    return Subscriber([x.address for x in brokers], "Alice", **{**hooks(time), **more})


def stored(id: str = "1001-a.1", copies: int = 2) -> Reply:
    return Reply({"message": "Published topic Google data Hello Google", "id": id, "copies": copies})


def taking_batches(asked: Asked) -> Reply:
    count = len(asked.body.splitlines())
    return Reply({"message": f"Published {count} messages", "count": count, "first": "x.1", "last": f"x.{count}", "copies": 2})


def answering(data: bytes) -> tuple[str, Callable[[], None]]:
    """The address of something that answers one request with these bytes, and what waits for its end."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listening, listening.accept()[0] as sock:
            sock.settimeout(LIMIT_SECONDS)
            sock.recv(65536)
            sock.sendall(data)

    thread = threading.Thread(target=serve)
    thread.start()
    return f"127.0.0.1:{listening.getsockname()[1]}", lambda: thread.join(LIMIT_SECONDS)
