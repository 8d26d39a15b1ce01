"""Brokers as processes on this machine, and what to see them with: for the demo, the benchmarks and the tests.

A `Broker` is one `newswire broker` that can be started, killed and started again on the same port and folder. `Stream`
reads a user's stream in a thread of its own, and goes on at another broker when one dies, as a browser or curl in a
loop would. Nothing here waits by the clock alone: `until` polls a condition and raises with a sentence at its limit.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from newswire import sse

T = TypeVar("T")

READY_SECONDS: Final = 120.0  # from start to /readyz, however busy the machine is: who ends instead is told at once
STOP_SECONDS: Final = 60.0  # from SIGTERM to the end of the process, on such a machine
POLL_SECONDS: Final = 0.05
PORTS: Final = range(20_000, 32_000)  # below what Linux gives to outgoing connections: a dead broker's port stays free
UNREACHABLE: Final = (OSError, http.client.HTTPException)
_CLAIMS: Final[list[int]] = []  # the descriptor of the file whose bytes stand for ports; empty: nobody has asked yet
_CLAIMED: Final[set[int]] = set()  # ports that this process was given


CREDENTIALS: Final[dict[str, str]] = {}
"""What the header Authorization says, by user; "" for a request that names none. Empty where brokers ask nobody."""


class Failed(Exception):
    """Something is not as promised; the text is a sentence for people."""


def until(what: str, condition: Callable[[], T | None], seconds: float = READY_SECONDS) -> T:
    """Poll `condition` until it gives something true, and return that. Raises Failed with `what` after `seconds`."""
    limit = time.monotonic() + seconds
    while True:
        given = condition()
        if given:
            return given
        if time.monotonic() > limit:
            raise Failed(f"{what}: not within {seconds:g} seconds")
        time.sleep(POLL_SECONDS)


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Say whether a broker could bind `port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now, and that nobody else who asks here is told while this process lives."""
    ports: list[int] = []
    for _ in range(10 * len(PORTS)):
        if len(ports) == count:
            return ports
        port = random.choice(PORTS)
        if claim(port) and is_free(port):
            ports.append(port)
    raise Failed("no free ports on this machine")


def claim(port: int) -> bool:
    """Take `port` for this process until it ends; False if it was taken. Between choice and `bind` it is free to see."""
    if port in _CLAIMED:
        return False
    if not _CLAIMS:
        path = Path(tempfile.gettempdir()) / f"newswire-ports-{os.getuid()}"
        _CLAIMS.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    try:
        fcntl.lockf(_CLAIMS[0], fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)  # of a byte, which ends with the process
    except OSError:
        return False
    _CLAIMED.add(port)
    return True


class Answer:
    """What a broker answered: status, headers, body."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def shown(username: str) -> dict[str, str]:
    """The headers that say who asks, in a request about `username`."""
    credential = CREDENTIALS.get(username) or CREDENTIALS.get("")
    return {"Authorization": credential} if credential else {}


def ask(
    address: str,
    method: str,
    path: str,
    fields: Mapping[str, str] | None = None,
    *,
    body: bytes | str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 60.0,
) -> Answer:
    """One HTTP request on a connection of its own; `fields` travel as a form. Raises what UNREACHABLE names."""
    query = dict(parse_qsl(urlsplit(path).query))
    sent = {**shown((fields or query).get("username", "")), **(headers or {})}
    if fields is not None:
        body = urlencode(fields)
        sent["Content-Type"] = "application/x-www-form-urlencoded"
    connection = http.client.HTTPConnection(address, timeout=timeout)
    try:
        connection.request(method, path, body=body, headers=sent)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def get(address: str, path: str, **query: str) -> Any:
    """The JSON that GET answers. Raises Failed for any status but 200."""
    full = f"{path}?{urlencode(query)}" if query else path
    answer = ask(address, "GET", full)
    if answer.status != 200:
        raise Failed(f"GET {full} at {address} answered {answer.status}: {answer.body.decode(errors='replace')[:300]}")
    return answer.json()


def post(address: str, path: str, **fields: str) -> Any:
    """The JSON that POST answers. Raises Failed for any status but 200."""
    answer = ask(address, "POST", path, fields)
    if answer.status != 200:
        raise Failed(f"POST {path} at {address} answered {answer.status}: {answer.body.decode(errors='replace')[:300]}")
    return answer.json()


def rows(address: str) -> dict[str, Any]:
    """GET /list_replicas by broker id; {} while the broker does not answer."""
    try:
        return {row["id"]: row for row in get(address, "/list_replicas")}
    except (*UNREACHABLE, Failed):
        return {}


def newswire(*arguments: str) -> list[str]:
    """The command line of `newswire` in this Python."""
    return [sys.executable, "-m", "newswire", *arguments]


def clean_environment(**more: str) -> dict[str, str]:
    """This environment without NEWSWIRE_* settings, which would change what is started."""
    return {k: v for k, v in os.environ.items() if not k.startswith("NEWSWIRE_")} | more


class Broker:
    """One broker: the same id, port and folder through kills and starts. `process` is None while it is down."""

    def __init__(
        self,
        id: str,
        port: int,
        home: Path,
        *,
        peers: Sequence[int | str] = (),
        primary: bool = False,
        options: Sequence[str] = (),
    ) -> None:
        self.id = id
        self.port = port
        self.address = f"127.0.0.1:{port}"
        self.home = home
        self.ops_dir = home / "ops_logs"
        self.log = home / f"{id}.log"
        self.peers = [p if isinstance(p, str) else f"127.0.0.1:{p}" for p in peers]
        self.primary = primary
        self.options = list(options)
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """What starts it."""
        role = "--primary" if self.primary else "--secondary"
        peers = [word for peer in self.peers for word in ("--peer", peer)]
        where = ["--host", "127.0.0.1", "--port", str(self.port), "--ops-dir", str(self.ops_dir)]
        return newswire("broker", "--id", self.id, *where, role, *peers, *self.options)

    def launch(self, *, own_session: bool = False) -> None:
        """Start the process. `own_session`: Ctrl-C in this terminal does not reach it."""
        self.home.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log:
            self.process = self.spawn(self.command(), log, self.home, own_session)

    @staticmethod
    def spawn(command: Sequence[str], log: IO[bytes], home: Path, own_session: bool) -> subprocess.Popen[bytes]:
        """Start a command in the folder `home`. Tests have one that takes less of the processor (tests/kit/forks.py)."""
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home,
            env=clean_environment(),
            start_new_session=own_session,
        )

    def start(self, *, own_session: bool = False) -> Broker:
        """Start and wait until it is ready."""
        self.launch(own_session=own_session)
        self.wait_ready()
        return self

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait until /readyz says 200. Raises Failed with the end of its log when it ends instead."""
        until(f"broker {self.id} is ready", self._is_ready_or_dead, seconds)

    def _is_ready_or_dead(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            code = self.process.returncode
            raise Failed(f"broker {self.id} ended with status {code}, its last words: {self.last_words()}")
        return self.is_ready()

    def is_ready(self) -> bool:
        """Ask /readyz once."""
        try:
            return ask(self.address, "GET", "/readyz", timeout=5.0).status == 200
        except UNREACHABLE:
            return False

    def last_words(self, lines: int = 20) -> str:
        """The end of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def kill9(self) -> None:
        """Switch it off as a power cut would switch off its process, and wait until it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self, seconds: float = STOP_SECONDS) -> int:
        """End it in order (SIGTERM); its exit code. Raises Failed, after killing it, when it does not end."""
        if self.process is None:
            return 0
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Failed(f"broker {self.id} did not end within {seconds:g} seconds of SIGTERM") from None


def wait_in_sync(brokers: Iterable[Broker], seconds: float = READY_SECONDS) -> None:
    """Wait until each of `brokers` sees all of them up and lacking nothing."""
    together = list(brokers)
    ids = {b.id for b in together}
    for broker in together:

        def all_up(at: str = broker.address) -> bool:
            seen = rows(at)
            return ids <= seen.keys() and all(seen[i]["state"] == "up" and seen[i]["lag"] == 0 for i in ids)

        try:
            until("", all_up, seconds)
        except Failed:
            told = [f"{row['id']} {row['state']}, lag {row['lag']}" for row in rows(broker.address).values()]
            raise Failed(f"brokers {sorted(ids)} are not in sync within {seconds:g} seconds: {broker.id} says {told}") from None


class Stream(threading.Thread):
    """A user's stream, read as it comes; when it breaks it goes on at the next address with the last event id.

    `texts` and `ids` grow together, without the greeting; a message that comes twice is listed twice.
    """

    def __init__(self, user: str, addresses: Sequence[str], *, last_event_id: str = "", query: str = "") -> None:
        super().__init__(name=f"stream of {user}", daemon=True)
        self.user = user
        self.addresses = list(addresses)
        self.texts: list[str] = []
        self.ids: list[str] = []
        self.events: list[sse.Event] = []
        self.last_event_id = last_event_id
        self.at = ""  # the broker that it reads from, "" while it reads from none
        self.refused: Answer | None = None  # a final answer, other than 200
        self._query = query
        self._ending = threading.Event()
        self._socket: socket.socket | None = None

    def __enter__(self) -> Stream:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self) -> None:
        """Read from one address after the other until closed or refused."""
        turn = 0
        while not self._ending.is_set() and self.refused is None:
            with contextlib.suppress(*UNREACHABLE):
                self._read(self.addresses[turn % len(self.addresses)])
            self.at = ""
            turn += 1
            self._ending.wait(POLL_SECONDS)

    def _read(self, address: str) -> None:
        connection = http.client.HTTPConnection(address, timeout=15.0)
        try:
            headers = shown(self.user) | ({"Last-Event-ID": self.last_event_id} if self.last_event_id else {})
            connection.request("GET", f"/stream?{urlencode({'username': self.user})}{self._query}", headers=headers)
            self._socket = connection.sock
            response = connection.getresponse()
            if response.status in (400, 401, 403):
                self.refused = Answer(response)
                return
            self._take(address, response)
        finally:
            self._socket = None
            connection.close()

    def _take(self, address: str, response: http.client.HTTPResponse) -> None:
        reader = sse.EventReader(self.last_event_id)
        while not self._ending.is_set():
            received = response.read1(65_536)
            if not received:
                return
            for event in reader.feed(received):
                self._show(address, event)

    def _show(self, address: str, event: sse.Event) -> None:
        self.events.append(event)
        if event.name == "open" or (event.name == "message" and event.data == sse.GREETING and not self.at):
            self.at = address
        elif event.name == "message":
            self.last_event_id = event.id
            self.ids.append(event.id)
            self.texts.append(event.data)

    def wait_open(self, address: str | None = None, seconds: float = READY_SECONDS) -> None:
        """Wait until it has been greeted (by `address`)."""
        until(f"{self.user}'s stream is open", lambda: self.at == address if address else self.at, seconds)

    def wait_texts(self, *texts: str, seconds: float = READY_SECONDS) -> None:
        """Wait until all of `texts` have come. Raises Failed with what has come instead."""
        try:
            until("", lambda: set(texts) <= set(self.texts), seconds)
        except Failed:
            raise Failed(f"{self.user} waited {seconds:g} seconds for {list(texts)} and got {self.texts}") from None

    def close(self) -> None:
        """Close it as a client that goes away does."""
        self._ending.set()
        held = self._socket
        if held is not None:
            with contextlib.suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)
        if self.is_alive():
            self.join(READY_SECONDS)
