"""`newswire broker` over a server that is told how to go on, and the brokers that a menu starts."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from newswire import errors
from newswire.cli import children, exits, logs, main, menus
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
    assert main.run(["broker"]) == exits.FAILED
    assert capsys.readouterr().err == "newswire: port 5053 is in use.\n"


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


def test_the_bar_waits_a_second_and_for_a_terminal() -> None:
    hidden = broker.Restoring(visible=False)
    hidden(1, 10)
    early = broker.Restoring(visible=True)
    early(1, 10)
    late = broker.Restoring(visible=True)
    late._begun -= 2
    late(5, 10)
    assert (hidden._bar, early._bar) == (None, None)
    assert late._bar is not None
    assert late._bar.tasks[0].completed == 5
    late.close()
    late(6, 10)
    assert late._bar is None


# -- brokers that a menu starts --------------------------------------------------------------------------------------
def program(text: str) -> Callable[[menus.StartBroker, Path], list[str]]:
    return lambda wanted, ops_dir: [sys.executable, "-c", text]


WANTED = menus.StartBroker("1001", 5053, primary=True, peer="")
RUNS = "import time; print('Broker 1001 at http://127.0.0.1:5053'); print('Ops file: here', flush=True); time.sleep(60)"


def test_a_child_is_started_and_stopped(tmp_path: Path) -> None:
    held = children.Children(tmp_path / "ops", program(RUNS))
    said = held.start(WANTED)
    try:
        assert said[:2] == ["Broker 1001 at http://127.0.0.1:5053", "Ops file: here"]
        assert said[2] == f"Log: {tmp_path / 'ops' / '1001.log'}"
        assert list(held.running()) == ["1001"]
        with pytest.raises(errors.Refused, match="running already"):
            held.start(WANTED)
    finally:
        held.stop("1001")
    assert not held.running()
    with pytest.raises(errors.NotFound):
        held.stop("1001")


def test_a_child_that_cannot_start_says_why(tmp_path: Path) -> None:
    held = children.Children(tmp_path, program("import sys; sys.exit('newswire: port 5053 is in use.')"))
    with pytest.raises(errors.Refused, match=r"^port 5053 is in use\.$"):
        held.start(WANTED)
    assert not held.running()


def test_the_command_of_a_child(tmp_path: Path) -> None:
    made = children.command(menus.StartBroker("1002", 5054, primary=False, peer="127.0.0.1:5053"), tmp_path)
    assert made[1:] == [
        *("-m", "newswire", "broker", "--id", "1002", "--port", "5054", "--secondary"),
        *("--peer", "127.0.0.1:5053", "--ops-dir", str(tmp_path)),
    ]
