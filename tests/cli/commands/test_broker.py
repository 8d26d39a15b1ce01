"""`newswire broker` over a server that is told how to go on, and the brokers that a menu starts."""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from newswire import errors
from newswire.cli import logs, main, output
from newswire.cli.commands import broker
from newswire.config import Settings
from newswire.core.broker.values import BrokerStatus


# -- the broker command ----------------------------------------------------------------------------------------------
class StartFailed(Exception):
    pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A server in place of the real one; `failure` is raised at its start, `wait` is how it goes on."""
    told = SimpleNamespace(failure=None, wait=lambda: 0, calls=[], settings=None)

    class Server:
        address = "127.0.0.1:5053"
        restored = SimpleNamespace(messages=12_345, subscriptions=6, seconds=0.44)
        engine = SimpleNamespace(
            describe=lambda: SimpleNamespace(rows=(BrokerStatus("1001", "127.0.0.1:5053", True, "up", 0, self=True),))
        )

        def __init__(self, settings: Settings, progress: Callable[[int, int], None] | None = None) -> None:
            told.settings = settings

        def start(self) -> None:
            if told.failure:
                raise told.failure

        def wait(self) -> int:
            return int(told.wait())

        def stop(self) -> None:
            told.calls.append("stop")

    monkeypatch.setitem(sys.modules, "newswire.server", SimpleNamespace(Server=Server, StartFailed=StartFailed))
    monkeypatch.setattr("newswire.server", sys.modules["newswire.server"], raising=False)
    monkeypatch.setattr(broker, "peer_states", lambda configured, rows: [f"{a} up" for a in configured])
    return told


@pytest.fixture(autouse=True)
def _handlers_and_logging_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    handlers, level = list(logging.root.handlers), logging.root.level
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def test_a_broker_says_five_lines(server: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["broker", "--primary", "--peer", "127.0.0.1:5054", "--ops-dir", str(tmp_path)]
    assert main.run(args) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Broker 1001 at http://127.0.0.1:5053",
        "Role: primary",
        "Restored: 12,345 messages, 6 subscriptions in 0.4 s",
        "Peers: 127.0.0.1:5054 up",
        f"Ops file: {tmp_path / '1001'}",
    ]
    assert server.calls == ["stop"]


@pytest.mark.parametrize("failure", [StartFailed("port 5053 is in use"), errors.StorageFull("port 5053 is in use")])
def test_a_broker_that_cannot_start_says_why(
    server: SimpleNamespace, capsys: pytest.CaptureFixture[str], failure: Exception
) -> None:
    server.failure = failure
    assert main.run(["broker"]) == output.FAILED
    assert capsys.readouterr().err == "newswire: Port 5053 is in use.\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_broker_in_order(server: SimpleNamespace, number: signal.Signals) -> None:
    def wait() -> int:
        signal.raise_signal(number)
        return 9

    server.wait = wait
    assert main.run(["broker"]) == 0
    assert server.calls == ["stop"]


def test_a_broker_that_fails_later_says_so(server: SimpleNamespace) -> None:
    server.wait = lambda: 1
    assert main.run(["broker"]) == 1


def test_what_collects_a_log_of_json_gets_nothing_else(server: SimpleNamespace, capfd: pytest.CaptureFixture[str]) -> None:
    """As a service and in a container standard output goes to the same place."""
    server.wait = lambda: logging.getLogger("newswire").warning("one") or 0
    assert main.run(["broker", "--log-format", "json"]) == 0
    told = capfd.readouterr()
    assert [json.loads(line)["message"] for line in (told.out + told.err).splitlines()] == ["one"]


def test_peer_states() -> None:
    rows = [SimpleNamespace(ip="b:2", state="up"), SimpleNamespace(ip="c:3", state="down")]
    assert broker.peer_states(("a:1", "b:2"), rows) == ["a:1 not heard yet", "b:2 up", "c:3 down"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "told"), [([], ("text", "info")), (["--log-format", "json", "--log-level", "warning"], ("json", "warning"))]
)
def test_a_log_is_as_asked_for(
    server: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, options: list[str], told: tuple[str, str]
) -> None:
    seen: list[tuple[str, str]] = []
    monkeypatch.setattr(logs, "start", lambda log, path: seen.append((log.format, log.level)))
    assert main.run(["broker", *options]) == 0
    assert seen == [told]
