"""Brokers that a menu starts: programs that are told how to go on, in place of brokers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from brokers import free_ports
from newswire import errors
from newswire.cli import children, menus
from newswire.cli.children import Children


def program(text: str) -> Callable[[menus.StartBroker, Path], list[str]]:
    return lambda wanted, ops_dir: [sys.executable, "-c", text]


@pytest.fixture
def broker() -> menus.StartBroker:
    """One at a port that is free: on the usual one the demo may run."""
    return menus.StartBroker("1001", free_ports(1)[0], primary=True, peer="")


RUNS = "import time; print('Broker 1001 at http://127.0.0.1:5053'); print('Ops file: here', flush=True); time.sleep(60)"


def test_a_child_is_started_and_stopped(tmp_path: Path, broker: menus.StartBroker) -> None:
    held = children.Children(tmp_path / "ops", program(RUNS))
    said = held.start(broker)
    try:
        assert said[:2] == ["Broker 1001 at http://127.0.0.1:5053", "Ops file: here"]
        assert said[2] == f"Log: {tmp_path / 'ops' / '1001.log'}"
        assert list(held.running()) == ["1001"]
        with pytest.raises(errors.Refused, match="running already"):
            held.start(broker)
    finally:
        held.stop("1001")
    assert not held.running()
    with pytest.raises(errors.NotFound):
        held.stop("1001")


def test_a_child_that_cannot_start_says_why(tmp_path: Path, broker: menus.StartBroker) -> None:
    held = children.Children(tmp_path, program("import sys; sys.exit('newswire: Port 5053 is in use.')"))
    with pytest.raises(errors.Refused, match=r"^Port 5053 is in use\.$"):
        held.start(broker)
    assert not held.running()


def test_the_command_of_a_child(tmp_path: Path) -> None:
    made = children.command(menus.StartBroker("1002", 5054, primary=False, peer="127.0.0.1:5053"), tmp_path)
    assert made[1:] == [
        *("-m", "newswire", "broker", "--id", "1002", "--port", "5054", "--secondary"),
        *("--peer", "127.0.0.1:5053", "--ops-dir", str(tmp_path)),
    ]


@pytest.mark.parametrize("log", ["/dev/full", "a folder"])
def test_a_broker_that_a_menu_starts_needs_no_log(tmp_path: Path, log: str) -> None:
    (port,) = free_ports(1)
    (tmp_path / "1001.log").mkdir() if log == "a folder" else (tmp_path / "1001.log").symlink_to(log)
    children = Children(tmp_path)
    said = children.start(menus.StartBroker("1001", port, primary=True, peer=""))
    try:
        assert said[:2] == [f"Broker 1001 at http://127.0.0.1:{port}", "It serves, but its log cannot be written."]
    finally:
        children.stop("1001")
    assert children.running() == {}
