"""A listener over an application that the test writes, on a clock that the test moves."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from newswire.listener import Bounds, Deadlines, Listener
from tests.kit.listener_fakes import BIG_BYTES, App, Client, Clock, Serve, threads_of

BOUNDS = ("connections", "connections_per_caller", "requests_per_caller", "counts_own_connections", "counts_own_requests")


@pytest.fixture
def app() -> App:
    app = App()
    app.routes["/block"] = app.block
    app.routes["/big"] = lambda _: bytes(BIG_BYTES)
    app.routes["/big-in-pieces"] = lambda _: ("200 OK", (bytes(65536) for _ in range(BIG_BYTES // 65536)))
    return app


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def serve(app: App, clock: Clock) -> Iterator[Serve]:
    """A listener whose time stands still unless the test moves it; it looks at its deadlines all the time."""
    running: list[Listener] = []

    def start(application: Any = app, **options: Any) -> Listener:
        threads = threads_of(options.pop("threads", 2), options.pop("control_threads", 1))
        bounds = Bounds(**{name: options.pop(name) for name in BOUNDS if name in options})
        options = {"threads": threads, "bounds": bounds, "deadlines": Deadlines(check=0.01), "clock": clock, **options}
        listener = Listener(application, host="127.0.0.1", port=0, **options)
        listener.start()
        running.append(listener)
        return listener

    yield start
    app.go.set()
    for listener in running:
        listener.stop(0.0)


@pytest.fixture
def crowd() -> Iterator[Callable[[int, int], list[Client]]]:
    """Many clients at once; skips where the machine allows too few descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    clients: list[Client] = []

    def come(port: int, count: int, receive_bytes: int | None = None) -> list[Client]:
        needed = 2 * count + 500  # both ends are in this process
        if soft < needed:
            if hard < needed:
                pytest.skip(f"{needed} descriptors are needed, {hard} are allowed here")
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
        clients.extend(Client(port, receive_bytes) for _ in range(count))
        return clients[-count:]

    yield come
    for client in clients:
        client.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
