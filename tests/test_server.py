"""The composition root: what it makes of settings, why it does not start, and in which order it stops."""

from __future__ import annotations

import logging
import resource
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from newswire import server
from newswire.config import Settings
from newswire.server import Server, StartFailed
from tests.kit.waiting import PATIENCE_SECONDS


def test_a_port_that_is_taken_is_said_before_the_ops_file_is_opened(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        broker = Server(Settings(port=port, ops_dir=tmp_path))
        with pytest.raises(StartFailed, match=f"port {port} at 127.0.0.1 is taken: .*--port"):
            broker.start()
    assert list(tmp_path.iterdir()) == []


def test_an_address_of_another_machine_is_said(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match=r"cannot listen at 203\.0\.113\.7:5999"):
        Server(Settings(host="203.0.113.7", port=5999, ops_dir=tmp_path)).start()


def test_limits_are_lowered_to_what_descriptors_allow_and_it_is_said(caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(streams=1_000, connections=1_000)
    assert server._fit(settings, sys.maxsize) == settings
    assert caplog.messages == []
    fitting = server._fit(settings, 500)
    assert fitting.streams + fitting.connections < 500
    assert "LimitNOFILE" in caplog.text


def test_as_many_descriptors_are_taken_as_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = [(100, 4_000)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limit[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: limit.append(pair))
    assert server._raise_descriptor_limit() == 4_000
    limit.append((resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert server._raise_descriptor_limit() == sys.maxsize


def test_parts_stop_last_begun_first_once_and_whatever_one_of_them_does(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stopped: list[str] = []

    def stop(seconds: float) -> None:
        stopped.append("second")
        raise RuntimeError("it cannot")

    broker = Server(Settings(ops_dir=tmp_path))
    broker._parts = [SimpleNamespace(stop=lambda seconds: stopped.append("first")), SimpleNamespace(stop=stop)]  # type: ignore[list-item]
    broker.stop()
    broker.stop()
    assert stopped == ["second", "first"]
    assert "while stopping" in caplog.text


def test_it_starts_says_where_it_is_and_stops(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_raise_descriptor_limit", lambda: 10_000)  # this process keeps its own
    caplog.set_level(logging.INFO, "newswire.server")
    broker = Server(Settings(port=0, ops_dir=tmp_path, streams=10, connections=10))
    before = sys.getswitchinterval()
    try:
        broker.start()
        with socket.create_connection(("127.0.0.1", int(broker.address.rpartition(":")[2])), PATIENCE_SECONDS) as client:
            client.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.0 200")
    finally:
        broker.stop()
        sys.setswitchinterval(before)
    lines = [line.message for line in caplog.records if line.name == "newswire.server"]  # the loop may have found it slow
    assert [line.partition(":")[0] for line in lines] == ["started", "restored messages", "stopped"]


def test_what_dies_is_said_and_ends_the_process(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    codes: list[int] = []
    monkeypatch.setattr(server.os, "_exit", codes.append)
    monkeypatch.setattr(server.logging, "shutdown", lambda: None)
    server._die(OSError("the disk"))
    assert codes == [70], "systemd starts it again"
    assert "this broker ends now: OSError: the disk" in caplog.text
