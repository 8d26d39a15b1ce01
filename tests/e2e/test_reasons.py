"""What a command says when it does not get through: the broker's own reason, or what is wrong with the address."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import Broker, clean_environment, free_ports, get, newswire, post, until
from tests.kit.waiting import PATIENCE_SECONDS

SECONDS = PATIENCE_SECONDS


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    (port,) = free_ports(1)
    made = Broker("1001", port, tmp_path, primary=True, options=["--streams-per-user", "1"])
    made.start()
    yield made
    made.kill9()


def run(brokers: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = clean_environment(NEWSWIRE_BROKERS=brokers, **environment)
    command = newswire(*arguments)
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS, env=given, input="")


class Streaming:
    """`newswire stream`, and what it has said on standard error so far."""

    def __init__(self, brokers: str, user: str) -> None:
        environment = clean_environment(NEWSWIRE_BROKERS=brokers)
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(newswire("stream", user), stdout=pipe, stderr=pipe, text=True, env=environment)
        self.said = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line

    def expect(self, text: str) -> None:
        until(f"it says {text!r}", lambda: text in self.said)

    def end(self) -> int:
        self.process.terminate()
        self.process.communicate(timeout=SECONDS)
        self._reader.join()
        return self.process.returncode


@contextlib.contextmanager
def streaming(brokers: str, user: str) -> Iterator[Streaming]:
    made = Streaming(brokers, user)
    try:
        yield made
    finally:
        made.end()


def test_over_the_limit_of_streams(broker: Broker) -> None:
    post(broker.address, "/subscribe", username="ann", topic="t")
    with streaming(broker.address, "ann") as first:
        until("the first is open", lambda: get(broker.address, "/readyz").get("streams") == 1)
        with streaming(broker.address, "ann") as second:
            limit = f"newswire: 1001 ({broker.address}): 1 stream of this user is open, which is the limit"

            def is_refused() -> bool:
                post(broker.address, "/publish", topic="t", data="x")  # who has been idle for ten seconds makes room
                return limit in second.said

            until("the second is told why", is_refused)
            second.expect("newswire: Trying again.\n")
            first.end()  # makes room
            second.expect(f"newswire: Live at 1001 ({broker.address}).\n")
    assert "no broker" not in second.said
    assert first.said == ""


def test_after_the_last_unsubscribe(broker: Broker) -> None:
    post(broker.address, "/subscribe", username="ann", topic="t")
    with streaming(broker.address, "ann") as stream:
        until("it is open", lambda: get(broker.address, "/readyz").get("streams") == 1)
        post(broker.address, "/unsubscribe", username="ann", topic="t")
        stream.expect("not registered for any topic")
        until("it has ended", lambda: stream.process.poll() is not None)
    assert stream.process.returncode == 1
    assert "newswire: User ann is not registered for any topic" in stream.said
    assert "no broker" not in stream.said


def test_https_at_a_broker_that_speaks_http(broker: Broker) -> None:
    for command in ("publish t x", "subscribe ann t", "status", "stream ann", "subscriptions ann"):
        done = run(f"https://{broker.address}", *command.split())
        assert done.returncode == 4
        assert "it speaks plain HTTP: write its address without https://" in done.stderr
    assert get(broker.address, "/topics") == []


def test_a_name_that_nobody_knows_and_a_port_where_nobody_listens() -> None:
    done = run("no-such-host.invalid:5053,127.0.0.1:1", "publish", "t", "x")
    assert done.returncode == 4
    assert "no-such-host.invalid:5053: this name is not known here: check its spelling" in done.stderr
    assert "127.0.0.1:1: no connection (nobody listens there)" in done.stderr


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP"),
        (b"-ERR unknown command\r\n", "does not speak HTTP"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "it speaks TLS: write https:// before the address"),
        (b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n", "it speaks TLS"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", "no newswire broker"),
        (b"HTTP/1.0 404 Not Found\r\n\r\nnothing", "no newswire broker (it says HTTP 404)"),
        (b"HTTP/1.0 403 Forbidden\r\n\r\nno", "no newswire broker (it says HTTP 403)"),
        (
            b"HTTP/1.1 308 P\r\nLocation: https://x.example/\r\nContent-Length: 0\r\n\r\n",
            "redirects (HTTP 308) to https://x.example/",
        ),
    ],
)
def test_what_is_no_broker(broker: Broker, answer: bytes, told: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(65_536)
                        connection.sendall(answer)
                        connection.shutdown(socket.SHUT_WR)
                        while connection.recv(65_536):  # a close with unread input would reset, and eat the answer
                            pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        strange = f"127.0.0.1:{server.getsockname()[1]}"
        done = run(strange, "publish", "t", "x")
        assert done.returncode == (1 if b"308" in answer else 4)
        assert told in done.stderr
        if b"308" not in answer:
            assert run(f"{strange},{broker.address}", "publish", "t", "x").returncode == 0
        server.shutdown(socket.SHUT_RDWR)
    thread.join(PATIENCE_SECONDS)


def test_proxies_of_the_environment_are_not_used(broker: Broker) -> None:
    names = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    assert run(broker.address, "publish", "t", "x", **dict.fromkeys(names, "http://127.0.0.1:1")).returncode == 0


def test_what_kubernetes_sets_is_ignored_with_a_line_in_the_log(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    environment = clean_environment(
        NEWSWIRE_PORT="tcp://10.0.0.1:5053",
        NEWSWIRE_PORT_5053_TCP="tcp://10.0.0.1:5053",
        NEWSWIRE_PORT_5053_TCP_ADDR="10.0.0.1",
        NEWSWIRE_PORT_5053_TCP_PORT="5053",
        NEWSWIRE_PORT_5053_TCP_PROTO="tcp",
        NEWSWIRE_SERVICE_HOST="10.0.0.1",
        NEWSWIRE_SERVICE_PORT="5053",
        NEWSWIRE_SERVICE_PORT_HTTP="5053",
    )
    (tmp_path / "newswire.toml").write_text(f"port = {port}\n")
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(newswire("broker"), cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        until("it serves", lambda: b"Ops file:" in (tmp_path / "log").read_bytes())
    finally:
        process.terminate()
        process.wait(SECONDS)
    text = (tmp_path / "log").read_text()
    assert f"Broker 1001 at http://127.0.0.1:{port}\n" in text
    assert " WARNING newswire NEWSWIRE_PORT=tcp://10.0.0.1:5053 is no port: it is what Kubernetes sets" in text


@pytest.mark.parametrize("of_file", [False, True])
def test_a_secret_that_is_none_is_named_as_its_variable(tmp_path: Path, of_file: bool) -> None:
    (tmp_path / "secret").write_text("short\n")
    (tmp_path / "secret").chmod(0o600)
    given = {"NEWSWIRE_CLUSTER_SECRET_FILE": str(tmp_path / "secret")} if of_file else {"NEWSWIRE_CLUSTER_SECRET": "short"}
    done = run("127.0.0.1:1", "broker", "--ops-dir", str(tmp_path), **given)
    assert done.returncode == 2
    assert f"The cluster-secret ({next(iter(given))}) is shorter than 32 bytes" in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "command"),
    [
        ("NEWSWIRE_PORT", "many", "broker"),
        ("NEWSWIRE_PORT", "tcp:10.0.0.1", "broker"),
        ("NEWSWIRE_HEARTBEAT", "0", "broker"),
        ("NEWSWIRE_PRIMARY", "perhaps", "broker"),
        ("NEWSWIRE_SECONDARY", "perhaps", "broker"),
        ("NEWSWIRE_PEER", "nowhere", "broker"),
        ("NEWSWIRE_AUTH", "some", "broker"),
        ("NEWSWIRE_HOST", "0.0.0.0", "broker"),
        ("NEWSWIRE_ALLOW_HOST", "http://x/", "broker"),
        ("NEWSWIRE_TRUSTED_PROXY", "everybody", "broker"),
        ("NEWSWIRE_RETENTION_DAYS", "-1", "broker"),
        ("NEWSWIRE_BROKERS", "nowhere", "publish t x"),
        ("NEWSWIRE_BROKERS", "tcp://10.0.0.1:5053", "status"),
        ("NEWSWIRE_PRIORITY", "9", "publish t x"),
        ("NEWSWIRE_JSON", "perhaps", "status"),
        ("NEWSWIRE_TIMEOUT", "soon", "publish t x"),
        ("NEWSWIRE_COUNT", "0", "stream ann"),
        ("NEWSWIRE_CONFIG", "nowhere.toml", "status"),
    ],
)
def test_a_bad_value_in_the_environment_is_named_as_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = clean_environment() | {name: value}
    done = subprocess.run(
        newswire(*command.split()), capture_output=True, text=True, check=False, timeout=SECONDS, env=environment, input=""
    )
    assert done.returncode == 2
    assert name in done.stderr
    assert value in done.stderr
    assert f"--{name.removeprefix('NEWSWIRE_').lower()}" not in done.stderr
    assert done.stderr.count("\n") == 1
