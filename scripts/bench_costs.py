"""Measure what a head and a request cost in µs of CPU: with waitress's parser and Flask's own path, and with the lean ones.

One process, one thread, no sockets and no disk: heads of usual clients go through the listener's request parser, requests
through the application over an engine that stores nothing. Both ways take turns, and each gets the best of its rounds, so
other work on the machine hardly shows.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

from waitress.adjustments import Adjustments

from fuzz_heads import USUAL, CarefulRequest
from newswire.config import Settings
from newswire.core.access import Principal
from newswire.core.model.commands import Publish, Request
from newswire.engine.memory import MemoryEngine
from newswire.engine.seam import Receipt
from newswire.errors import NewswireError
from newswire.listener.bind import adjustments
from newswire.listener.request import HttpRequest
from newswire.listener.tasks import OFFER
from newswire.web import SlimApp, create_app

REPEATS: Final = 200  # in one go, between two looks at the clock
JSON: Final = "application/json"
REQUESTS: Final = {
    "GET /livez": ("GET", "/livez", b"", ""),
    "GET /list_replicas": ("GET", "/list_replicas", b"", ""),
    "POST /subscribe": ("POST", "/subscribe", b'{"username": "ann", "topic": "kitchen"}', JSON),
    "POST /publish": ("POST", "/publish", b'{"topic": "kitchen", "data": "Soup is ready"}', JSON),
    "POST /publish, refused": ("POST", "/publish", b'{"topic": "kitchen"', JSON),
    "GET /nowhere": ("GET", "/nowhere", b"", ""),
}


class QuickEngine(MemoryEngine):
    """Stores one message, and answers whatever comes later with its receipt: what storing costs is not measured."""

    def __init__(self) -> None:
        super().__init__("1001")
        self._receipt = self.submit((Publish("kitchen", "Soup is ready"),))

    def submit_later(
        self,
        requests: Sequence[Request],
        then: Callable[[Receipt | NewswireError], None],
        *,
        copies: int = 1,
        timeout: float = 10.0,
        by: Principal | None = None,
    ) -> None:
        if hasattr(self, "_receipt"):
            then(self._receipt)
        else:
            super().submit_later(requests, then, copies=copies, timeout=timeout, by=by)


def best(rounds: int, runs: Sequence[Callable[[], object]]) -> list[float]:
    """µs of CPU of each of `runs`, in turn; the least of all rounds."""
    least = [float("inf")] * len(runs)
    for _ in range(rounds):
        for number, run in enumerate(runs):
            began = time.process_time()
            for _ in range(REPEATS):
                run()
            least[number] = min(least[number], 1e6 * (time.process_time() - began) / REPEATS)
    return least


def parse(kind: type[HttpRequest], adj: Adjustments, data: bytes) -> None:
    """Take one request as a connection does."""
    request, left = kind(adj), data
    while not request.completed:
        left = left[request.received(left) :]


def serve(app: Callable[..., Iterable[bytes]], method: str, path: str, body: bytes, kind: str) -> None:
    """Serve one request as the listener does."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SCRIPT_NAME": "",
        "SERVER_NAME": "newswire.invalid",
        "SERVER_PORT": "5053",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1:5053",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "CONTENT_TYPE": kind,
        "CONTENT_LENGTH": str(len(body)),
        OFFER: lambda later: later.finish(),  # an engine in memory tells at once
    }
    answer = app(environ, lambda status, headers: None)
    b"".join(answer)
    close = getattr(answer, "close", None)
    if close is not None:
        close()


def main() -> int:
    """Read the command line, measure, print both tables."""
    parser = argparse.ArgumentParser(prog="scripts/bench_costs", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=20, help="how often each is measured, in turn")
    rounds = parser.parse_args().rounds
    print("| a head, µs of CPU | waitress's | lean |\n| --- | --- | --- |")
    adj = adjustments()
    for name, sample in USUAL.items():
        data = sample + (b"abc" if b"Content-Length" in sample else b"")
        careful, lean = best(rounds, [partial(parse, kind, adj, data) for kind in (CarefulRequest, HttpRequest)])
        print(f"| {name} | {careful:.1f} | {lean:.1f} |", flush=True)
    print("\n| a request, µs of CPU | Flask's | slim |\n| --- | --- | --- |")
    apps = [create_app(QuickEngine(), Settings()) for _ in range(2)]
    served: list[Callable[..., Iterable[bytes]]] = [apps[0], SlimApp(apps[1])]
    for name, request in REQUESTS.items():
        own, slim = best(rounds, [partial(serve, app, *request) for app in served])
        print(f"| {name} | {own:.1f} | {slim:.1f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
