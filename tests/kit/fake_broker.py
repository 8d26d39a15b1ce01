"""A broker that says what it is told to, for tests of its clients."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.kit.waiting import PATIENCE_SECONDS

DOWN = "127.0.0.1:1"  # nobody listens there
PUBLISHED = {"message": "Published topic Google data Hello Google", "id": "a-1", "copies": 2}


class Fake:
    """Answers from `answers[path]`: (status, JSON), or a list of them used up in turn. `asked`: (path, fields) so far.

    `answers["DELETE /path"]` answers that method alone. `shown`: what `Authorization` said, for each of `asked`. `let_in` says
    by the path and that who is let in; the others get 401.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.events: list[bytes] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.shown: list[str] = []
        self.let_in: Callable[[str, str], bool] = lambda path, shown: True
        self.done = threading.Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                fake.answer(self)

            def do_POST(self) -> None:
                fake.answer(self)

            def do_DELETE(self) -> None:
                fake.answer(self)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        self.answers["/list_replicas"] = (200, [self.row()])
        self.answers["/ack"] = (200, {"message": "ok"})
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def row(self, **more: Any) -> dict[str, Any]:
        return {"id": "1001", "ip": self.address, "is_primary": True, "state": "up", "lag": 0, "self": True} | more

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        url = urlsplit(request.path)
        self.asked.append((url.path, _fields(url.query, request.headers.get("Content-Type", ""), body)))
        self.shown.append(request.headers.get("Authorization", ""))
        if not self.let_in(url.path, self.shown[-1]):
            self._say(request, 401, {"code": "unauthenticated", "detail": "say who you are"})
            return
        if (url.path == "/stream" or url.path.endswith("/sse")) and url.path not in self.answers:
            self._stream(request)
            return
        nothing = (404, {"code": "not-found", "detail": "nothing here"})
        told = self.answers.get(f"{request.command} {url.path}") or self.answers.get(url.path, nothing)
        self._say(request, *(told.pop(0) if isinstance(told, list) else told))

    def _say(self, request: BaseHTTPRequestHandler, code: int, content: Any) -> None:
        encoded = json.dumps(content).encode()
        request.send_response(code)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(encoded)))
        request.end_headers()
        request.wfile.write(encoded)

    def _stream(self, request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "text/event-stream")
        request.send_header("Connection", "close")
        request.end_headers()
        request.wfile.write(b"event: open\ndata: {}\n\n" + b"".join(self.events))
        self.done.wait(PATIENCE_SECONDS)
        request.close_connection = True

    def sent(self, path: str) -> list[dict[str, Any]]:
        return [fields for asked, fields in list(self.asked) if asked == path]

    def close(self) -> None:
        self.done.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def _fields(query: str, kind: str, body: bytes) -> dict[str, Any]:
    given: dict[str, Any] = {name: values[0] for name, values in parse_qs(query).items()}
    if kind == "application/json":
        posted: dict[str, Any] = json.loads(body)
        return given | posted
    if kind == "application/x-ndjson":
        return given | {"lines": [json.loads(line) for line in body.splitlines()]}
    return given | {name: values[0] for name, values in parse_qs(body.decode()).items()}


def message(number: int, data: str = "Hello Google", **more: Any) -> bytes:
    told = {"id": f"a-{number}", "event_id": f"e{number}", "topic": "Google", "data": data, "time": "2026-11-24T21:54:12.345Z"}
    return f"id: e{number}\ndata: {json.dumps(told | more)}\n\n".encode()
