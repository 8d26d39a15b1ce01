"""The menus over a pipe and a pty against a scripted broker: whole transcripts, to the letter."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from brokers import free_ports
from newswire.cli import actions, menus, window
from newswire.cli.children import Children
from newswire.cli.terminal import Lines, Terminal
from newswire.core import limits
from newswire.errors import NotRegistered, Refused, Unknown
from tests.kit.fake_broker import DOWN, PUBLISHED, Fake, message
from tests.kit.waiting import wait_until


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Fake]:
    made = Fake()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEWSWIRE_BROKERS", made.address)
    yield made
    made.close()


# -- menus over a pipe and a pty -------------------------------------------------------------------------------------
def clean(environment: dict[str, str]) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")}
    return kept | environment


def piped(command: str, lines: Sequence[str], **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "newswire", command],
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=30,
        env=clean(environment),
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr == ""
    return done.stdout


def test_the_publisher_menu_reads_to_the_letter(fake: Fake) -> None:
    fake.answers["/publish"] = (200, PUBLISHED)
    both = [fake.row(), {"id": "1002", "ip": "127.0.0.1:5054", "is_primary": False, "state": "up", "lag": 0, "self": False}]
    fake.answers["/list_replicas"] = (200, both)
    assert piped("publisher", ["1", "Google", "Hello Google", "2"]) == (
        "Menu:\n1. Publish Topic\n2. Exit\nEnter your choice: 1\nEnter topic: Google\nEnter data: Hello Google\n"
        f"List of available nodes: ['{fake.address}', '127.0.0.1:5054']\n"
        f"Connecting to the primary broker... {fake.address}\n"
        "{'message': 'Published topic Google data Hello Google'}\n"
        "Menu:\n1. Publish Topic\n2. Exit\nEnter your choice: 2\n"
    )


def test_both_menus_with_the_primary_dead(fake: Fake) -> None:
    down = {"id": "1001", "ip": DOWN, "is_primary": False, "state": "down", "lag": 0, "self": False}
    fake.answers["/list_replicas"] = (200, [down, fake.row(id="1002")])
    fake.answers["/publish"] = (200, {**PUBLISHED, "message": "Published topic Google data Family Event"})
    fake.answers["/subscribe"] = (200, {"message": "Successfully subscribed Carlos to topic Tiktok"})
    brokers = f"{DOWN},{fake.address}"
    moved = (
        f"List of available nodes: ['{fake.address}']\n"
        f"Primary broker is down ,updating the broker the primary broker to {fake.address}\n"
    )
    shown = piped("publisher", ["1", "Google", "Family Event"], NEWSWIRE_BROKERS=brokers)
    assert moved + "{'message': 'Published topic Google data Family Event'}\n" in shown
    shown = piped("subscriber", ["1", "Carlos", "Tiktok"], NEWSWIRE_BROKERS=brokers)
    assert (
        f"{moved}http://{fake.address}/subscribe?username=Carlos&topic=Tiktok\n"
        "{'message': 'Successfully subscribed Carlos to topic Tiktok'}\n"
    ) in shown


def test_the_subscriber_menu_reads_to_the_letter(fake: Fake, tmp_path: Path) -> None:
    fake.answers["/subscribe"] = (200, {"message": "Successfully subscribed Alice to topic Google"})
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >{opened}.new && mv {opened}.new {opened}\n')
    browser.chmod(0o755)
    menu = "Menu:\n1. Subscribe User\n2. Stream Messages\n3. Exit\nEnter your choice: "
    assert piped("subscriber", ["1", "Alice", "Google", "2", "Alice", "3"], BROWSER=str(browser)) == (
        f"{menu}1\nEnter username: Alice\nEnter topic to subscribe: Google\n"
        f"Connecting to the primary broker... {fake.address}\n"
        f"http://{fake.address}/subscribe?username=Alice&topic=Google\n"
        "{'message': 'Successfully subscribed Alice to topic Google'}\n"
        f"{menu}2\nEnter username to stream messages: Alice\n"
        f"Connecting to the primary broker... {fake.address}\n"
        f"http://{fake.address}/stream?username=Alice\n"
        "Opening window for streaming Alice's messages..\n"
        f"{menu}3\n"
    )
    wait_until(opened.exists)
    assert opened.read_text() == f"http://{fake.address}/stream?username=Alice\n"


def test_an_error_is_a_sentence_and_the_menu_goes_on(fake: Fake) -> None:
    fake.answers["/publish"] = (507, {"code": "storage-full", "detail": "the disk is full"})
    shown = piped("publisher", ["1", "Google", "Hi", "7", "2"])
    assert "\nThe disk is full.\n" in shown.replace("the disk", "The disk")
    assert "There is no choice '7': enter a number from 1 to 2.\n" in shown
    assert shown.count("Menu:") == 3


def test_without_a_window_the_stream_is_shown_in_the_terminal(fake: Fake) -> None:
    fake.events = [message(1), message(2, "two\n\x1blines")]
    shown = piped("subscriber", ["2", "Alice", "", "3"])
    assert "streaming in this terminal, press Enter" in shown
    assert (
        "data: Listening to new message for subscribed topics\n\ndata: Hello Google\n\ndata: two\ndata: \\x1blines\n\nMenu:"
        in shown
    )
    assert fake.sent("/ack")[-1]["id"] == "e2"


def test_without_a_window_a_refusal_is_shown(fake: Fake) -> None:
    fake.answers["/stream"] = (403, {"code": "not-registered", "detail": "Gita is not registered for any topic"})
    shown = piped("subscriber", ["2", "Gita", "3"])
    assert "\nGita is not registered for any topic.\nMenu:" in shown


def test_a_sentence_of_a_menu_has_no_flags() -> None:
    gita = NotRegistered("Gita is not registered for any topic: subscribe first, POST /subscribe?username=Gita&topic=...")
    assert actions.sentence(gita) == "Gita is not registered for any topic: choose Subscribe User first."
    for said, meant in (
        ("port 1 at x is taken: stop the other program or choose another port with --port", "choose another port."),
        ("x is no address to listen at: choose another with --host", "choose another."),
        ("Stop that one, or give this one another --id or --ops-dir", "give this one another id."),
        ("is this the address that it gives others (--advertise)?", "is this the address that it gives others?"),
        (
            "a:1 is no broker of this cluster: GET /list_replicas lists them, with their addresses",
            "List Replicas shows them, with their addresses.",
        ),
        ("start the other one with another --id", "with another id."),
        ("raise --subscriptions-per-user", "raise subscriptions per user."),
    ):
        shown = actions.sentence(Refused(said))
        assert "--" not in shown
        assert shown.endswith(meant)
    assert actions.sentence(Unknown("no broker answered in time (a:1: x): perhaps it was done; ...")) == (
        "no broker answered in time (a:1: x): perhaps it was done. Do it again: it will not be done twice."
    )


@pytest.mark.parametrize(
    "menu", [["publisher", "1", "Google", "Hi"], ["subscriber", "1", "Alice", "Google"], ["subscriber", "2", "Alice"]]
)
def test_that_nobody_is_there_is_told_at_once(menu: list[str]) -> None:
    shown = piped(menu[0], menu[1:], NEWSWIRE_BROKERS=f"{DOWN},127.0.0.1:2")
    assert "no broker is there (127.0.0.1:1: no connection (nobody listens there); 127.0.0.1:2: no connection" in shown
    assert f"\nWhat you typed is kept: choose {menu[1]} again" in shown
    assert "--" not in shown


def test_that_nobody_answers_is_told_before_it_is_certain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two that hang: the kernel takes the connections and nobody answers."""
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        brokers = ",".join(f"127.0.0.1:{server.getsockname()[1]}" for server in (one, two))
        shown = piped("publisher", ["1", "Google", "Hi"], NEWSWIRE_BROKERS=brokers)
    waiting = shown.index(f"No broker has answered yet, still asking {brokers.replace(',', ', ')}")
    assert waiting < shown.index("no broker could serve this")
    assert "What you typed is kept" in shown


def test_done_again_it_is_the_same_message(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLI_CALL_SECONDS", 1.0)
    unknown = (503, {"code": "unknown-outcome", "detail": "no answer in time", "status": 503, "title": "T"})
    fake.answers["/publish"] = unknown
    here = Terminal(Lines(0), io.StringIO())
    desk = actions.MenuActions(here, [fake.address], Children(Path()))
    action = menus.PublishTopic("Google", "Hi")
    with pytest.raises(Unknown):
        desk.perform(action)
    fake.answers["/publish"] = (200, PUBLISHED)
    desk.perform(action)
    desk.perform(action)  # on purpose: another one
    keys = [sent["key"] for sent in fake.sent("/publish")]
    assert len(set(keys)) == 2
    assert keys[-2] == keys[0] != keys[-1]


def test_brokers_are_managed_from_the_one_menu(fake: Fake) -> None:
    fake.answers["/add_replica"] = (200, {"message": "Added broker 127.0.0.1:5054 (1002)"})
    fake.answers["/remove_replica"] = (404, {"code": "no-broker", "detail": "no member 127.0.0.1:9"})
    fake.answers["/readyz"] = (200, {"ready": True, "degraded": []})
    fake.answers["/topics"] = (200, [])
    shown = piped("menu", ["1", "2", "127.0.0.1:5054", "3", "127.0.0.1:9", "4", "5", "6", "1001", "7", "2", "2", "4"])
    assert "\n{'message': 'Added broker 127.0.0.1:5054 (1002)'}\nBrokers:" in shown
    assert "\nno member 127.0.0.1:9.\nBrokers:" in shown
    assert f"List of available nodes: ['{fake.address}']\n{fake.address}  broker 1001, primary, up\n" in shown
    assert "1 broker would hold a message published now.\n\nNo topics yet.\nBrokers:" in shown
    assert "\nbroker 1001 was not started from this menu: stop it where it runs.\nBrokers:" in shown
    assert fake.sent("/add_replica") == [{"broker_ip": "127.0.0.1:5054"}]


class Pty:
    """A program on a terminal of its own."""

    def __init__(self, command: str) -> None:
        self.master, slave = pty.openpty()
        environment = clean({"TERM": "xterm"})
        self.child = subprocess.Popen(
            [sys.executable, "-m", "newswire", command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            start_new_session=True,
        )
        os.close(slave)
        self.seen = ""

    def expect(self, text: str, after: str = "") -> None:
        """Read until `text` has come (after `after`, if given)."""
        wait_until(lambda: self._has(text, after))

    def _has(self, text: str, after: str) -> bool:
        if select.select([self.master], [], [], 0.05)[0]:
            self.seen += os.read(self.master, 4096).decode().replace("\r\n", "\n")
        return text in self.seen.partition(after)[2] if after else text in self.seen

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def close(self) -> int:
        code = self.child.wait(10)
        os.close(self.master)
        return code


@pytest.fixture
def terminal() -> Iterator[Callable[[str], Pty]]:
    opened: list[Pty] = []

    def make(command: str) -> Pty:
        opened.append(Pty(command))
        return opened[-1]

    yield make
    for one in opened:
        if one.child.poll() is None:
            one.child.kill()
            one.child.wait()


def test_a_menu_on_a_terminal(fake: Fake, terminal: Callable[[str], Pty]) -> None:
    fake.answers["/publish"] = (200, PUBLISHED)
    menu = terminal("publisher")
    menu.expect("Enter your choice: ")
    menu.type("1\n")
    menu.expect("Enter topic: ")
    menu.type("Google\n")
    menu.expect("Enter data: ")
    menu.type("Hello Google\n")
    menu.expect("{'message': 'Published topic Google data Hello Google'}\nMenu:")
    menu.expect("Enter your choice: ", after="'}\n")
    menu.type("\x04")
    assert menu.close() == 0


def test_enter_returns_from_a_stream_on_a_terminal(fake: Fake, terminal: Callable[[str], Pty]) -> None:
    fake.events = [message(1)]
    menu = terminal("subscriber")
    menu.expect("Enter your choice: ")
    menu.type("2\n")
    menu.expect("stream messages: ")
    menu.type("Alice\n")
    menu.expect("data: Hello Google\n")
    menu.type("\n")
    menu.expect("Menu:", after="data: Hello Google")
    menu.type("3\n")
    assert menu.close() == 0
    assert fake.sent("/ack")[-1]["id"] == "e1"


def test_a_line_that_a_terminal_cuts_is_not_taken(fake: Fake, terminal: Callable[[str], Pty]) -> None:
    fake.answers["/publish"] = (200, PUBLISHED)
    menu = terminal("publisher")
    menu.expect("Enter your choice: ")
    menu.type("1\n")
    menu.expect("Enter topic: ")
    menu.type("Google\n")
    menu.expect("Enter data: ")
    menu.type("x" * 5000)
    menu.type("\n")
    menu.expect("That line was too long: a terminal passes on 4,095 bytes of one")
    menu.expect("Enter data: ", after="That line was too long")
    menu.type("Hi\n")
    menu.expect("{'message': 'Published topic Google data Hello Google'}")
    menu.type("\x04")
    assert menu.close() == 0
    assert [sent["data"] for sent in fake.sent("/publish")] == ["Hi"]


def test_ctrl_c_ends_what_takes_too_long_and_not_the_menu(
    fake: Fake, terminal: Callable[[str], Pty], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hung:
        monkeypatch.setenv("NEWSWIRE_BROKERS", f"127.0.0.1:{hung.getsockname()[1]}")
        menu = terminal("publisher")
        menu.expect("Enter your choice: ")
        for line, asked in (("1", "Enter topic: "), ("Google", "Enter data: "), ("Hi", "No broker has answered yet")):
            menu.type(f"{line}\n")
            menu.expect(asked)
        os.kill(menu.child.pid, signal.SIGINT)
        menu.expect("Interrupted: perhaps it was done.")
        menu.expect("Enter your choice: ", after="Interrupted")
        menu.type("2\n")
        assert menu.close() == 0


def test_ctrl_c_returns_from_a_stream_and_leaves_a_menu(fake: Fake, terminal: Callable[[str], Pty]) -> None:
    fake.events = [message(1)]
    menu = terminal("subscriber")
    menu.expect("Enter your choice: ")
    menu.type("2\n")
    menu.expect("stream messages: ")
    menu.type("Alice\n")
    menu.expect("data: Hello Google\n")
    os.kill(menu.child.pid, signal.SIGINT)
    menu.expect("Enter your choice: ", after="data: Hello Google")
    os.kill(menu.child.pid, signal.SIGINT)
    assert menu.close() == 0


# -- lines and windows -----------------------------------------------------------------------------------------------
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


def test_lines_are_read_one_by_one() -> None:
    reader, writer = os.pipe()
    lines = Lines(reader)
    assert not lines.wait(0)
    os.write(writer, "\ufeffeins\r\nzw\u00f6lf\nlast".encode() + b"\xff")
    assert lines.wait(0)
    assert [lines.next(), lines.next()] == ["eins", "zwölf"]
    assert not lines.wait(0)
    os.close(writer)
    assert lines.wait(1)
    assert [lines.next(), lines.next(), lines.next()] == ["last\ufffd", None, None]
    os.close(reader)


def test_a_line_without_an_end_is_cut() -> None:
    reader, writer = os.pipe()
    feeder = threading.Thread(target=lambda: os.write(writer, b"x" * (limits.FORM_BYTES + 9000)))
    feeder.start()
    assert len(Lines(reader).next() or "") > limits.FORM_BYTES
    os.close(reader)
    feeder.join()
    os.close(writer)


def test_a_sentence_keeps_its_words_whole_on_a_terminal() -> None:
    master, slave = pty.openpty()
    sentence = "no broker is there (127.0.0.1:5053: no connection (nobody listens there)): try again."
    with os.fdopen(slave, "w") as out:
        for columns in (40, 0):
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            Terminal(Lines(slave), out).tell(sentence)
            shown = ""
            while not shown.endswith("again.\r\n"):
                shown += os.read(master, 4096).decode()
            lines = shown.split("\r\n")[:-1]
            assert " ".join(lines) == sentence
            assert max(map(len, lines)) <= 40 or not columns
    os.close(master)


def test_a_pipe_is_echoed_safely() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"a\x1b[2J\n")
    out = io.StringIO()
    assert Terminal(Lines(reader), out).ask("Enter: ") == "a\x1b[2J"
    assert out.getvalue() == "Enter: a\\x1b[2J\n"
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize(
    ("browser", "command"),
    [
        ("firefox", ["firefox", "U"]),
        ("/opt/chrome --app=%s", ["/opt/chrome", "--app=U"]),
        ("firefox %s &", ["firefox", "U"]),
        ("lynx:firefox", ["firefox", "U"]),
        ("missing:firefox", ["firefox", "U"]),
        ("w3m", []),
        ("/usr/bin/elinks %s", []),
        ("'", []),
        ("", []),
    ],
)
def test_browser_is_honoured_unless_it_lives_in_the_terminal(browser: str, command: list[str]) -> None:
    assert window.chosen_command({"BROWSER": browser}, "U", lambda name: None if name == "missing" else name) == command


def test_there_are_windows_only_with_a_display() -> None:
    assert not window.has_display({}, "linux")
    assert window.has_display({"DISPLAY": ":0"}, "linux")
    assert window.has_display({"WAYLAND_DISPLAY": "w"}, "linux")
    assert window.has_display({}, "darwin")
