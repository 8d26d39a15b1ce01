"""What a broker refuses to start with: one sentence that says what to do, status 1 or 2, no traceback, nothing harmed."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from brokers import Broker, clean_environment, free_ports, newswire, post
from tests.kit.asking import topics
from tests.kit.waiting import PATIENCE_SECONDS


def refusal(*arguments: str, cwd: Path) -> tuple[int, str]:
    """Status and last line of a broker that does not start."""
    done = subprocess.run(
        newswire("broker", *arguments),
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=clean_environment(),
        timeout=PATIENCE_SECONDS,
    )
    assert "Traceback" not in done.stderr + done.stdout
    assert done.stderr.strip(), "a refusal says why"
    return done.returncode, done.stderr.strip().splitlines()[-1]


def test_a_second_process_on_the_same_folder(tmp_path: Path) -> None:
    one, two = free_ports(2)
    broker = Broker("1001", one, tmp_path)
    try:
        broker.start()
        post(broker.address, "/publish", topic="news", data="before")
        status, line = refusal("--id", "1001", "--port", str(two), "--ops-dir", str(broker.ops_dir), cwd=tmp_path)
        assert status == 1
        assert str(broker.ops_dir) in line
        post(broker.address, "/publish", topic="news", data="after")
        assert topics(broker) == {"news": 2}
    finally:
        broker.kill9()


def test_a_folder_is_free_at_once_after_a_kill(tmp_path: Path) -> None:
    broker = Broker("1001", free_ports(1)[0], tmp_path)
    try:
        broker.start()
        broker.kill9()
        broker.start()
    finally:
        broker.kill9()


def test_the_port_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, line = refusal("--port", port, "--ops-dir", str(tmp_path / "ops"), cwd=tmp_path)
    assert status == 1
    assert port in line


def test_a_public_address_without_access_control(tmp_path: Path) -> None:
    status, line = refusal("--host", "0.0.0.0", "--port", "0", "--ops-dir", str(tmp_path / "ops"), cwd=tmp_path)
    assert status in (1, 2)
    assert "NEWSWIRE_CLUSTER_SECRET_FILE" in line


@pytest.mark.parametrize(
    "arguments",
    [
        ["--id", "10-01"],
        ["--id", ""],
        ["--port", "70000"],
        ["--port", "many"],
        ["--peer", "nowhere"],
        ["--peer", "127.0.0.1:5054:1"],
        ["--advertise", "no port"],
        ["--heartbeat", "-1"],
        ["--threads", "0"],
        ["--no-such-option"],
    ],
    ids=" ".join,
)
def test_bad_options(arguments: list[str], tmp_path: Path) -> None:
    status, line = refusal("--port", "0", "--ops-dir", str(tmp_path / "ops"), *arguments, cwd=tmp_path)
    assert status == 2, line


def test_the_folder_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "ops").write_text("not a folder")
    status, _ = refusal("--port", "0", "--ops-dir", str(tmp_path / "ops"), cwd=tmp_path)
    assert status in (1, 2)


def test_two_living_brokers_with_one_id(tmp_path: Path) -> None:
    """The later one to say hello is refused (docs/hazards.md, H3): it does not become a second 1001 of the cluster."""
    one, two = free_ports(2)
    first = Broker("1001", one, tmp_path / "a")
    second = Broker("1001", two, tmp_path / "b", peers=[one])
    try:
        first.start()
        second.launch()
        from brokers import rows, until

        def refused() -> bool:
            if second.process is not None and second.process.poll() is not None:
                return True
            return any(row["state"] in ("id-in-use", "other-cluster") for row in rows(second.address).values())

        until("the second 1001 is refused", refused)
        assert list(rows(first.address)) == ["1001"]
        assert rows(first.address)["1001"]["ip"] == first.address
    finally:
        first.kill9()
        second.kill9()
