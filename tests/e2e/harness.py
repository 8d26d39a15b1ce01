"""What end-to-end tests do things with: real brokers (`brokers.Broker`), a terminal (pty), two hands for the same deeds.

`OverHttp` and `OverMenus` do what a user does, publish, subscribe and open a stream; one by plain requests, the other by
typing into `newswire publisher` and `newswire subscriber`. One chain of cases runs with either hand.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import shlex
import signal
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import parse_qs, urlsplit

from brokers import UNREACHABLE, Answer, Broker, Failed, Stream, ask, clean_environment, free_ports, get, newswire, until
from newswire.errors import NewswireError, from_problem

TERMINAL_SECONDS: Final = 20.0
_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Pair:
    """Broker 1001 (primary) and 1002 (secondary), each the other's peer, on free ports."""

    def __init__(self, home: Path, *options: str) -> None:
        one, two = free_ports(2)
        self.first = Broker("1001", one, home, peers=[two], primary=True, options=options)
        self.second = Broker("1002", two, home, peers=[one], options=options)
        self.brokers = (self.first, self.second)
        self.addresses = [b.address for b in self.brokers]

    def start(self) -> Pair:
        """Start both at once and wait until both are ready."""
        for broker in self.brokers:
            broker.launch()
        for broker in self.brokers:
            broker.wait_ready()
        return self

    def end(self) -> None:
        """Kill what runs; tests that care how a broker ends it end it themselves."""
        for broker in self.brokers:
            broker.kill9()

    def living(self) -> list[Broker]:
        """Those that have a process, primary first."""
        return [b for b in self.brokers if b.process is not None]


class Traced(Broker):
    """A broker behind strace, which can write its system calls down (`watch`) or break some of them (`inject`)."""

    inject = ""

    def command(self) -> list[str]:
        """Behind strace, which ends with it, and with its exit code."""
        words = ["strace", "-f", "-qq", "-o", str(self.home / f"{self.id}.trace")]
        if self.inject:
            words += ["-e", f"trace={self.inject.partition(':')[0]}", "-e", f"inject={self.inject}"]
        return [*words, *super().command()]

    def signal(self, number: int) -> None:
        """Send a signal to the broker itself."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), number)

    def kill9(self) -> None:
        """The broker first: it would outlive strace."""
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGKILL)
        super().kill9()

    def wait(self, seconds: float = 30.0) -> int:
        """Wait until it has ended by itself; its exit code."""
        assert self.process is not None
        process, self.process = self.process, None
        return process.wait(seconds)

    def calls(self) -> set[str]:
        """The names of the calls that were traced."""
        text = (self.home / f"{self.id}.trace").read_text()
        return set(re.findall(r"^\d+ +([a-z_][a-z0-9_]*)\(", text, re.MULTILINE))


class Wire(threading.Thread):
    """A TCP relay in front of a broker: others reach it through this, so what they hear of it can be cut.

    `cut("refuse")`: connections are closed, as by a machine that is there without a broker. `cut("silence")`: bytes go
    nowhere, as through a cut cable.
    """

    def __init__(self, port: int) -> None:
        super().__init__(name=f"wire to {port}", daemon=True)
        self._to = ("127.0.0.1", port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self._mode = "pass"
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self.start()

    def cut(self, mode: str) -> None:
        """From now on nothing gets through, on open connections too."""
        self._mode = mode
        if mode == "refuse":
            self._close_all()

    def mend(self) -> None:
        """Let all through again. What stood in silence is closed: its bytes are lost."""
        self._mode = "pass"
        self._close_all()

    def close(self) -> None:
        """End it."""
        self._mode = "refuse"
        self._server.close()
        self._close_all()

    def run(self) -> None:
        """Accept."""
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                if self._mode == "refuse":
                    near.close()
                else:
                    threading.Thread(target=self._relay, args=(near,), daemon=True).start()

    def _relay(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(self._to, 5.0)
        except OSError:
            near.close()
            return
        with self._lock:
            self._open += [near, far]
        threading.Thread(target=self._pump, args=(far, near), daemon=True).start()
        self._pump(near, far)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while received := source.recv(65_536):
                if self._mode == "pass":
                    target.sendall(received)
        for sock in (source, target):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _close_all(self) -> None:
        with self._lock:
            sockets, self._open = self._open, []
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class WiredPair(Pair):
    """A pair in which each broker is reached by the other through a wire; clients reach both directly."""

    def __init__(self, home: Path, *options: str) -> None:
        super().__init__(home, *options)
        self.to_first, self.to_second = Wire(self.first.port), Wire(self.second.port)
        self.wires = (self.to_first, self.to_second)
        self.first.peers, self.second.peers = [self.to_second.address], [self.to_first.address]
        for broker, wire in zip(self.brokers, self.wires, strict=True):
            broker.options += ["--advertise", wire.address]

    def end(self) -> None:
        """Kill the brokers, end the wires."""
        super().end()
        for wire in self.wires:
            wire.close()


class Terminal:
    """A program in a terminal of its own: what it shows is read until an expected text comes."""

    def __init__(self, *arguments: str, cwd: Path, **environment: str) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            newswire(*arguments),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=cwd,
            env=clean_environment(TERM="dumb", COLUMNS="200", **environment),
            start_new_session=True,
        )
        os.close(slave)
        self.shown = ""  # all so far
        self._seen = 0  # of it, what was expected already

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def expect(self, text: str, seconds: float = TERMINAL_SECONDS) -> str:
        """Read until `text` comes; what was shown since the last expected text, with it."""
        limit = time.monotonic() + seconds
        while (at := self.shown.find(text, self._seen)) < 0:
            left = limit - time.monotonic()
            if left <= 0 or not self._receive(left):
                raise Failed(f"the terminal did not show {text!r} but:\n{self.shown[self._seen :]}")
        since = self.shown[self._seen : at + len(text)]
        self._seen = at + len(text)
        return since

    def _receive(self, seconds: float) -> bool:
        if select.select([self._master], [], [], seconds)[0]:
            try:
                received = os.read(self._master, 65_536)
            except OSError:  # Linux's end of file of a pty
                return False
            self.shown += _CONTROL.sub("", received.decode(errors="replace")).replace("\r\n", "\n")
            return bool(received)
        return True

    def type(self, line: str) -> None:
        """Type a line and Enter."""
        os.write(self._master, line.encode() + b"\n")

    def answer(self, prompt: str, line: str) -> None:
        """Wait for a prompt, then type."""
        self.expect(prompt)
        self.type(line)

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.write(self._master, b"\x03")

    def wait(self, seconds: float = TERMINAL_SECONDS) -> int:
        """Read to the end of the program; its exit code."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit and self._receive(limit - time.monotonic()):
            pass
        return self.process.wait(max(0.1, limit - time.monotonic()))


class Hand(ABC):
    """What a user does, by one means or another."""

    def __init__(self, pair: Pair, home: Path) -> None:
        self.pair = pair

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None  # nothing is held

    @abstractmethod
    def publish(self, topic: str, data: str) -> str:
        """Publish; the address that took it."""

    @abstractmethod
    def subscribe(self, user: str, topic: str) -> str:
        """Subscribe; the address that took it."""

    @abstractmethod
    def stream(self, user: str) -> Stream:
        """A stream of `user`, to be entered."""

    @abstractmethod
    def refused(self, user: str) -> None:
        """Open a stream, which is refused for good."""


class OverHttp(Hand):
    """Does deeds with plain requests: to the first broker that answers, as any client would."""

    def publish(self, topic: str, data: str) -> str:
        """Publish; the address that took it."""
        address, answer = self._post("/publish", topic=topic, data=data)
        assert answer.json()["message"] == f"Published topic {topic} data {data}"
        assert answer.json()["copies"] == len(self.pair.living())
        assert answer.json()["id"]
        return address

    def subscribe(self, user: str, topic: str) -> str:
        """Subscribe; the address that took it."""
        address, answer = self._post("/subscribe", username=user, topic=topic)
        assert answer.json()["message"] == f"Successfully subscribed {user} to topic {topic}"
        return address

    def stream(self, user: str) -> Stream:
        """A stream of `user`, to be entered."""
        return Stream(user, self.pair.addresses)

    def refused(self, user: str) -> None:
        """Open a stream that is refused for good."""
        for broker in self.pair.living():
            answer = ask(broker.address, "GET", f"/stream?username={user}")
            assert answer.status == 403
            assert answer.headers.get_content_type() == "application/problem+json"
            assert answer.json()["code"] == "not-registered"
            assert answer.json()["detail"]

    def _post(self, path: str, **fields: str) -> tuple[str, Answer]:
        for address in self.pair.addresses:
            with contextlib.suppress(*UNREACHABLE):
                answer = ask(address, "POST", path, fields)
                assert answer.status == 200, answer.body
                return address, answer
        raise Failed("no broker answers")


class OverMenus(Hand):
    """Does deeds by typing into the two menus, which run all the time, and checks what they show."""

    def __init__(self, pair: Pair, home: Path) -> None:
        super().__init__(pair, home)
        self.window = home / "window"  # where the "browser" writes the address that it was opened with
        browser = home / "browser"
        browser.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$1\" >> {shlex.quote(str(self.window))}\n")
        browser.chmod(0o755)
        brokers = ",".join(pair.addresses)
        self.publisher = Terminal("publisher", "--brokers", brokers, cwd=home)
        self.subscriber = Terminal("subscriber", "--brokers", brokers, cwd=home, BROWSER=str(browser))

    def __enter__(self) -> Self:
        self.publisher.expect("Menu:\n1. Publish Topic\n2. Exit\nEnter your choice: ")
        self.subscriber.expect("Menu:\n1. Subscribe User\n2. Stream Messages\n3. Exit\nEnter your choice: ")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self.publisher, self.subscriber:
            if error is None:
                self.publisher.type("2")
                self.subscriber.type("3")
                assert self.publisher.wait() == 0
                assert self.subscriber.wait() == 0

    def publish(self, topic: str, data: str) -> str:
        """Publish; the address that took it."""
        menu = self.publisher
        menu.type("1")
        menu.answer("Enter topic: ", topic)
        menu.answer("Enter data: ", data)
        shown = menu.expect(f"{{'message': 'Published topic {topic} data {data}'}}\n")
        assert self._nodes_line() in shown
        menu.expect("Enter your choice: ")
        return self._connected(shown)

    def subscribe(self, user: str, topic: str) -> str:
        """Subscribe; the address that took it."""
        menu = self.subscriber
        menu.type("1")
        menu.answer("Enter username: ", user)
        menu.answer("Enter topic to subscribe: ", topic)
        shown = menu.expect(f"{{'message': 'Successfully subscribed {user} to topic {topic}'}}\n")
        address = self._connected(shown)
        assert f"http://{address}/subscribe?username={user}&topic={topic}\n" in shown
        menu.expect("Enter your choice: ")
        return address

    def stream(self, user: str) -> Stream:
        """Open the window; a stream read from the address that it opened, to be entered."""
        before = self._windows()
        address = self._ask_for_stream(user)
        url = f"http://{address}/stream?username={user}"
        self.subscriber.expect(f"Opening window for streaming {user}'s messages..\n")
        self.subscriber.expect("Enter your choice: ")
        opened = until(f"a window is opened at {url}", lambda: self._windows()[len(before) :])
        parts = urlsplit(opened[0])
        assert (parts.netloc, parts.path, parse_qs(parts.query)["username"]) == (address, "/stream", [user])
        others = [a for a in self.pair.addresses if a != address]
        return Stream(user, [address, *others])

    def refused(self, user: str) -> None:
        """Open a window, in which the stream is refused."""
        with self.stream(user) as stream:
            answer = until("the stream is refused", lambda: stream.refused)
        assert answer.status == 403
        assert stream.texts == []

    def _ask_for_stream(self, user: str) -> str:
        menu = self.subscriber
        menu.type("2")
        menu.answer("Enter username to stream messages: ", user)
        shown = menu.expect(f"/stream?username={user}\n")
        return self._connected(shown)

    def _nodes_line(self) -> str:
        return f"List of available nodes: {[b.address for b in self.pair.living()]}\n"

    def _connected(self, shown: str) -> str:
        """The address that a menu says it talks to; with the primary dead, that it says so and lists the living."""
        if self.pair.first.process is not None:
            assert f"Connecting to the primary broker... {self.pair.first.address}\n" in shown
            return self.pair.first.address
        assert self._nodes_line() in shown
        second = self.pair.second.address
        assert f"Primary broker is down ,updating the broker the primary broker to {second}\n" in shown
        return second

    def _windows(self) -> list[str]:
        return self.window.read_text().splitlines() if self.window.exists() else []


def delivered(user: str, broker: Broker) -> None:
    """Wait until `broker` counts nothing of `user` as undelivered."""

    def nothing_unread() -> bool:
        listed = get(broker.address, "/subscriptions", username=user)
        return bool(listed) and all(s["unread"] == 0 for s in listed)

    until(f"all is delivered to {user}, as broker {broker.id} sees it", nothing_unread)


def topics(broker: Broker) -> dict[str, int]:
    """How many messages a broker holds, by topic."""
    return {t["topic"]: t["messages"] for t in get(broker.address, "/topics")}


def held(broker: Broker, user: str) -> list[str]:
    """All that `user`, subscribed to everything from the earliest on, finds at a broker, page by page."""
    found: list[str] = []
    since = "earliest"
    while True:
        page = get(broker.address, "/messages", username=user, since=since, limit="1000")
        found += [m["data"] for m in page["messages"]]
        if not page["more"]:
            return found
        since = page["messages"][-1]["event_id"]


def problem(answer: Answer) -> NewswireError:
    """The error that an answer stands for."""
    return from_problem(answer.json(), answer.status)


def pause(broker: Broker) -> None:
    """Hang a broker (SIGSTOP): it answers nobody, and its connections stay."""
    assert broker.process is not None
    broker.process.send_signal(signal.SIGSTOP)


def resume(broker: Broker) -> None:
    """Let a hung broker go on."""
    assert broker.process is not None
    broker.process.send_signal(signal.SIGCONT)
