"""scripts/demo: what it plays, that it runs once, that it ends what it started and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import claim, free_ports, get, is_free, post, until
from tests.kit.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parent.parent.parent


class Demo:
    """The demo in a checkout of its own, on ports of its own. `script`: that of the copy."""

    def __init__(self, root: Path) -> None:
        self.root = root / "a path with a space"
        self.ports = free_ports(2)
        scripts = self.root / "scripts"
        scripts.mkdir(parents=True)
        shutil.copy(ROOT / "scripts" / "brokers.py", scripts)
        text = (ROOT / "scripts" / "demo.py").read_text()
        assert "PORTS: Final = (5053, 5054)" in text
        self.script = scripts / "demo.py"
        self.script.write_text(text.replace("(5053, 5054)", f"({self.ports[0]}, {self.ports[1]})"))

    def stay_at_the_first_publish(self) -> None:
        """Have it play no further: it must not come to its end before it is interrupted."""
        gate = "    while True:\n        time.sleep(0.01)\n"
        text, count = re.subn(r' {4}row\("POST /publish", .*\n', lambda line: line[0] + gate, self.script.read_text())
        assert count == 1
        self.script.write_text(text)

    def command(self, *arguments: str) -> list[str]:
        """What starts it."""
        return [sys.executable, str(self.script), *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)

    def pid(self, broker: str) -> int:
        """The process number of a broker."""
        return int((self.root / ".demo" / "brokers" / f"{broker}.pid").read_text())

    def nothing_runs(self) -> bool:
        """Whether no broker of this checkout is left."""
        listed = subprocess.run(["ps", "-A", "-ww", "-o", "args="], capture_output=True, text=True, check=True).stdout
        return not [line for line in listed.splitlines() if str(self.root) in line and "broker" in line]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    made = Demo(tmp_path)
    try:
        yield made
    finally:
        made.run("--stop")


def test_once(demo: Demo) -> None:
    done = demo.run("--once")
    assert (done.returncode, done.stderr) == (0, "")
    for text in ("Hello Google", "kill -9", "Family Event, Employee", "it has what it missed", "Hi Online"):
        assert text in done.stdout
    assert not (demo.root / ".demo").exists()


def test_stays_runs_once_restarts_what_is_missing_and_stops(demo: Demo) -> None:
    first = demo.run()
    assert (first.returncode, first.stderr) == (0, "")
    assert f"http://127.0.0.1:{demo.ports[0]}/stream?username=Alice" in first.stdout
    pids = [demo.pid("1001"), demo.pid("1002")]

    again = demo.run()
    assert again.returncode == 0
    assert "Both brokers run since an earlier" in again.stdout
    assert [demo.pid("1001"), demo.pid("1002")] == pids

    os.kill(demo.pid("1001"), signal.SIGKILL)
    until("the primary is gone", lambda: is_free(demo.ports[0]))
    restarted = demo.run()
    assert "Broker 1001 was not running: started again" in restarted.stdout
    assert {t["topic"] for t in get(f"127.0.0.1:{demo.ports[0]}", "/topics")} == {"Google", "Meta", "Tiktok"}

    stopped = demo.run("--stop")
    assert (stopped.returncode, stopped.stdout) == (0, "Ended: broker 1001 and broker 1002.\n")
    assert demo.nothing_runs()
    assert demo.run("--stop").stdout == "No broker of this demo is running.\n"


def test_nothing_is_deleted_unless_asked(demo: Demo) -> None:
    assert demo.run().returncode == 0
    post(f"127.0.0.1:{demo.ports[0]}", "/publish", topic="mine", data="to be kept")
    demo.run("--stop")
    kept = demo.run()
    assert (kept.returncode, kept.stderr) == (0, "")
    assert "They hold what an earlier run left: 8 messages. `scripts/demo --fresh` deletes that" in kept.stdout
    assert "Hello Google" not in kept.stdout
    assert topics(demo.ports[1])["mine"] == 1

    fresh = demo.run("--fresh")  # while they run
    assert (fresh.returncode, fresh.stderr) == (0, "")
    assert "Hello Google" in fresh.stdout
    assert "mine" not in topics(demo.ports[0])


def test_other_ports(demo: Demo) -> None:
    port = next(n for n in free_ports(20) if is_free(n + 1) and claim(n + 1))
    first = demo.run("--port", str(port))
    assert (first.returncode, first.stderr) == (0, "")
    assert f"http://127.0.0.1:{port}/stream?username=Alice" in first.stdout
    again = demo.run()  # it knows where they are
    assert "Both brokers run since an earlier" in again.stdout
    assert f"http://127.0.0.1:{port}/publish" in again.stdout
    moved = demo.run("--port", str(demo.ports[0]))
    assert moved.returncode == 1
    assert moved.stderr == f"The brokers run at 127.0.0.1:{port} and 127.0.0.1:{port + 1}: `scripts/demo --stop` first.\n"
    assert demo.run("--stop").stdout == "Ended: broker 1001 and broker 1002.\n"
    assert set(topics_after(demo, "--port", str(port))) == {"Google", "Meta", "Tiktok"}


@pytest.mark.parametrize("port", ["0", "65535", "many", "-1", "5053.5", "127.0.0.1:5053"])
def test_what_is_no_port(demo: Demo, port: str) -> None:
    done = demo.run("--port", port)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert not (demo.root / ".demo").exists()


def test_a_demo_that_nobody_reads_does_all_the_same(demo: Demo) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            demo.command(), stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=PATIENCE_SECONDS
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert set(topics(demo.ports[0])) == {"Google", "Meta", "Tiktok"}


def test_before_anything_is_made_it_says_that_a_port_is_taken(tmp_path: Path) -> None:
    """Without an environment, which takes a minute to make."""
    (tmp_path / "scripts").mkdir()
    for name in ("demo", "ports.py"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts")
    port = next(n for n in free_ports(20) if claim(n - 1) and is_free(n - 1))
    with socket.create_server(("127.0.0.1", port)):
        for words in (["--port", str(port)], [f"--port={port}"], ["--port", str(port - 1)], ["--once", "--port", str(port)]):
            command = ["sh", str(tmp_path / "scripts" / "demo"), *words]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)
            assert done.returncode == 1
            assert done.stderr.startswith(f"Port {port} is taken by another program: ")


def topics(port: int) -> dict[str, int]:
    """How many messages each topic has."""
    return {t["topic"]: t["messages"] for t in get(f"127.0.0.1:{port}", "/topics")}


def topics_after(demo: Demo, *arguments: str) -> dict[str, int]:
    """Run it again; how many messages each topic has."""
    assert demo.run(*arguments).returncode == 0
    return topics(int(arguments[-1]))


def test_a_port_is_taken(demo: Demo) -> None:
    with socket.create_server(("127.0.0.1", demo.ports[1])):
        done = demo.run()
    assert done.returncode == 1
    assert re.fullmatch(rf"Port {demo.ports[1]} is taken by another program: .*--once.*\n", done.stderr)
    assert demo.nothing_runs()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_ends_what_it_started(demo: Demo, number: signal.Signals) -> None:
    demo.stay_at_the_first_publish()
    process = subprocess.Popen(demo.command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if "POST /publish" in line:
            break
    process.send_signal(number)
    _, error = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    assert "Interrupted; what this run had started is ended." in error
    assert "Traceback" not in error
    assert demo.nothing_runs()


def test_a_process_number_that_was_given_out_again_is_left_alone(demo: Demo) -> None:
    home = demo.root / ".demo" / "brokers"
    home.mkdir(parents=True)
    other = subprocess.Popen(["sleep", "3600"])
    try:
        (home / "1001.pid").write_text(f"{other.pid}\n")
        assert demo.run("--stop").stdout == "No broker of this demo is running.\n"
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
