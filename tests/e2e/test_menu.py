"""`newswire menu`: one menu-driven program sets up two brokers, publishes, subscribes, and takes all down again."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import Stream, free_ports, rows, until
from tests.kit.terminal import Terminal


@pytest.fixture
def addresses() -> list[str]:
    """Where two brokers may run."""
    return [f"127.0.0.1:{port}" for port in free_ports(2)]


@pytest.fixture
def menu(tmp_path: Path, addresses: list[str]) -> Iterator[Terminal]:
    """The menu, in which each broker that it says to have started is killed at the end, if it still runs."""
    with Terminal("menu", "--brokers", ",".join(addresses), cwd=tmp_path) as made:
        try:
            yield made
        finally:
            for pid in re.findall(r"^Process: (\d+)$", made.shown, re.MULTILINE):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)


def start_broker(menu: Terminal, id: str, address: str, primary: str, peer: str) -> None:
    """Start a broker from the menu of brokers."""
    port = address.rpartition(":")[2]
    menu.answer("Enter your choice: ", "1")
    menu.answer("Enter broker id, for example 1001: ", id)
    menu.answer("Enter port, for example 5053: ", port)
    menu.answer("Is it the primary? (y/n): ", primary)
    menu.answer("Enter address of another broker (HOST:PORT, empty for none): ", peer)
    menu.expect(f"Broker {id} at http://{address}")
    menu.expect("Process: ")


def test_set_up_use_and_take_down(menu: Terminal, addresses: list[str]) -> None:
    first, second = addresses

    menu.expect("1. Manage Brokers\n2. Publisher\n3. Subscriber\n4. Exit\n")
    menu.answer("Enter your choice: ", "1")
    start_broker(menu, "1001", first, "y", "")
    start_broker(menu, "1002", second, "n", first)
    until("both are in sync", lambda: rows(first).get("1002", {}).get("state") == "up")
    menu.answer("Enter your choice: ", "4")  # List Replicas
    menu.expect(f"List of available nodes: ['{first}', '{second}']\n")
    menu.expect(f"{first}  broker 1001, primary, up")
    menu.expect(f"{second}  broker 1002, secondary, up")
    menu.answer("Enter your choice: ", "7")  # Back

    menu.answer("Enter your choice: ", "3")  # Subscriber
    menu.answer("Enter your choice: ", "1")
    menu.answer("Enter username: ", "Alice")
    menu.answer("Enter topic to subscribe: ", "Google")
    menu.expect("{'message': 'Successfully subscribed Alice to topic Google'}\n")
    menu.answer("Enter your choice: ", "3")  # Exit

    menu.answer("Enter your choice: ", "2")  # Publisher
    menu.answer("Enter your choice: ", "1")
    menu.answer("Enter topic: ", "Google")
    menu.answer("Enter data: ", "Hello Google")
    menu.expect("{'message': 'Published topic Google data Hello Google'}\n")
    menu.answer("Enter your choice: ", "2")
    with Stream("Alice", [second]) as alice:
        alice.wait_texts("Hello Google")

    menu.answer("Enter your choice: ", "1")
    menu.answer("Enter your choice: ", "3")  # Remove Replica
    menu.answer("Enter address of the broker to remove (HOST:PORT): ", second)
    menu.expect("{'message': 'Removed broker ")
    until("the primary knows it no more", lambda: rows(first).get("1002", {}).get("state") != "up")
    menu.answer("Enter your choice: ", "2")  # Add Replica
    menu.answer("Enter address of the broker to add (HOST:PORT): ", second)
    menu.expect("{'message': 'Added broker ")
    until("both are in sync again", lambda: rows(first).get("1002", {}).get("state") == "up")
    for broker in ("1001", "1002"):
        menu.answer("Enter your choice: ", "6")  # Stop Broker
        menu.answer("Enter id of the broker to stop: ", broker)
        menu.expect(f"Broker {broker} has stopped.\n")
    menu.answer("Enter your choice: ", "7")
    menu.answer("Enter your choice: ", "4")
    assert menu.wait() == 0
    assert rows(first) == rows(second) == {}


def test_an_error_is_a_sentence_and_the_menu_goes_on(menu: Terminal) -> None:
    menu.answer("Enter your choice: ", "2")
    menu.answer("Enter your choice: ", "1")
    menu.answer("Enter topic: ", "not a topic")
    menu.expect("A topic is 1 to 128 characters")
    menu.answer("Enter topic: ", "news")
    menu.answer("Enter data: ", "to nobody")
    menu.expect("roker")  # no broker can be reached, in whatever words
    menu.answer("Enter your choice: ", "2")
    menu.answer("Enter your choice: ", "4")
    assert menu.wait() == 0
    assert "Traceback" not in menu.shown
