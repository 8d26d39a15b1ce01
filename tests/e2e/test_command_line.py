"""The commands of `newswire` against real brokers: what they print, their exit codes, and a stream across a failure."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import Broker, clean_environment, free_ports, newswire, post, until, wait_in_sync
from tests.kit.asking import delivered, topics
from tests.kit.processes import Pair, lend, pause, resume
from tests.kit.waiting import PATIENCE_SECONDS

ESTABLISHED = "01"  # as proc_pid_net(5) has it


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two brokers for all tests here: each has topics and users of its own, and the last one kills."""
    with lend(Pair(tmp_path_factory.mktemp("both"))) as pair:
        yield pair.start()


@pytest.fixture
def pair(both: Pair) -> Pair:
    """These brokers, in sync."""
    wait_in_sync(both.brokers)
    return both


def run(pair_or_addresses: Pair | list[str], *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    addresses = pair_or_addresses.addresses if isinstance(pair_or_addresses, Pair) else pair_or_addresses
    environment = clean_environment(NEWSWIRE_BROKERS=",".join(addresses))
    return subprocess.run(
        newswire(*arguments),
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
        env=environment,
    )


def test_publish_subscribe_stream_and_status(pair: Pair, tmp_path: Path) -> None:
    assert run(pair, "subscribe", "Alice", "Google").stdout == "Successfully subscribed Alice to topic Google\n"
    assert run(pair, "publish", "Google", "Hello Google").stdout.startswith("Published topic Google data Hello Google")
    assert run(pair, "publish", "Google", given="from a pipe\n").returncode == 0
    batch = tmp_path / "batch.ndjson"
    batch.write_text("".join(json.dumps({"topic": "Google", "data": f"number {n}"}) + "\n" for n in range(3)))
    assert "Published 3 messages" in run(pair, "publish", "--ndjson", str(batch)).stdout

    streamed = run(pair, "stream", "Alice", "--count", "5")
    assert (streamed.returncode, streamed.stdout.splitlines()) == (
        0,
        ["Google\tHello Google", "Google\tfrom a pipe", *(f"Google\tnumber {number}" for number in range(3))],
    )
    delivered("Alice", pair.first)
    assert json.loads(run(pair, "subscriptions", "Alice", "--json").stdout)[0]["topic"] == "Google"
    status = json.loads(run(pair, "status", "--json").stdout)
    assert [b["state"] for b in status["brokers"]] == ["up", "up"]
    assert run(pair, "unsubscribe", "Alice", "Google").returncode == 0
    measures_what_they_can_do(pair)


def measures_what_they_can_do(pair: Pair) -> None:
    """A moment of `newswire bench`: all that it does, and nothing that stays."""
    measured = run(pair, "bench", "--yes", "--seconds", "0.1", "--clients", "2", "--readers", "2", "--json")
    assert measured.returncode == 0, measured.stderr
    result = json.loads(measured.stdout)
    assert result["copies"] == 2
    rows = result["measurements"]
    assert [{one["id"] for one in row["brokers"]} for row in rows] == [{"1001", "1002"}] * 5
    assert all(row["count"] > 0 and row["limit"] for row in rows)
    assert rows[-1]["count"] == 2_000
    run_name = result["topic"].removeprefix("bench.")
    for at in range(2):
        assert json.loads(run(pair, "subscriptions", f"bench-{run_name}-{at}", "--json").stdout) == []


def test_exit_codes(pair: Pair) -> None:
    assert run(pair, "publish", "no such topic", "x").returncode in (1, 2)
    assert run(pair, "unsubscribe", "Nobody", "Google").returncode == 1
    assert run(pair, "stream", "Gita").returncode == 1
    assert run(pair, "publish", "--no-such-option").returncode == 2
    gone = run([f"127.0.0.1:{port}" for port in free_ports(2)], "publish", "Google", "x")
    assert (gone.returncode, gone.stdout, gone.stderr.count("\n")) == (4, "", 1)


@contextlib.contextmanager
def hung(*brokers: Broker) -> Iterator[None]:
    """Stop processes as they are: the kernel still takes connections for them."""
    for broker in brokers:
        pause(broker)
    try:
        yield
    finally:
        for broker in brokers:
            resume(broker)


def test_a_hung_primary_is_outlasted(pair: Pair) -> None:
    with hung(pair.first):
        for number in range(3):
            done = run(pair, "publish", "Meta", f"number {number}", "--json")
            assert (done.returncode, done.stderr) == (0, "")
            assert json.loads(done.stdout)["copies"] == 1
        assert run(pair, "subscribe", "Bob", "Meta", "--from", "earliest").returncode == 0
        batch = run(pair, "publish", "--ndjson", "-", given='{"topic": "Meta", "data": "number 3"}\n')
        assert (batch.returncode, batch.stderr) == (0, "")
    wait_in_sync(pair.brokers)
    streamed = run(pair, "stream", "Bob", "--count", "4")
    assert streamed.stdout.splitlines() == [f"Meta\tnumber {number}" for number in range(4)]


def test_with_both_hung_the_key_is_printed_and_makes_one_message(pair: Pair) -> None:
    with hung(*pair.brokers):
        one = run(pair, "publish", "once", "once", "--timeout", "6")
        batch = run(pair, "publish", "unsent", "--ndjson", "-", "--timeout", "2", given='{"data": "one"}\n{"data": "two"}\n')
    wait_in_sync(pair.brokers)
    assert one.returncode == 6
    assert batch.returncode in (4, 6)  # 4: who is there was asked first, and nobody answered
    key = re.search(r"--key (\S+) to the command", one.stderr)
    assert key, one.stderr
    for _ in range(2):
        assert run(pair, "publish", "once", "once", "--key", key[1]).returncode == 0
    assert topics(pair.first)["once"] == 1
    for _ in range(2):  # a batch repeated with its key is the same messages
        again = run(pair, "publish", "twice", "--ndjson", "-", "--key", "twice", given='{"data": "1"}\n{"data": "2"}\n')
        assert (again.returncode, again.stderr) == (0, "")
    assert (topics(pair.first)["once"], topics(pair.first)["twice"]) == (1, 2)


def test_an_interrupted_publish_names_its_key(pair: Pair) -> None:
    with hung(*pair.brokers):
        environment = clean_environment(NEWSWIRE_BROKERS=",".join(pair.addresses))
        process = subprocess.Popen(newswire("publish", "interrupted", "x"), stderr=subprocess.PIPE, text=True, env=environment)
        until("it has connected", lambda: is_connected(process.pid, pair.first.port))
        until("its handler is there", lambda: is_caught(process.pid, signal.SIGTERM))
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    assert re.match(r"newswire: interrupted, perhaps it is stored; to repeat it is safe if you add --key \S+ to", said)


def test_a_key_that_was_used(pair: Pair) -> None:
    first = json.loads(run(pair, "publish", "t", "x", "--key", "k", "--json").stdout)
    again = json.loads(run(pair, "publish", "t", "x", "--key", "k", "--json").stdout)
    assert again == first | {"duplicate": True}
    said = run(pair, "publish", "t", "x", "--key", "k").stdout
    assert said == f"Published topic t data x (id {first['id']}, copies 2, published before with this key)\n"
    other = run(pair, "publish", "t", "FAILED", "--key", "k")
    assert (other.returncode, other.stdout) == (1, "")
    assert first["id"] in other.stderr
    lines = '{"data": "1"}\n{"data": "2"}\n'
    more = lines + '{"data": "3"}\n'
    for added, told in ((lines, "Published 2 messages"), (more, "Published 1 message, 2 were published before")):
        batch = run(pair, "publish", "t", "--ndjson", "-", "--key", "b", given=added)
        assert batch.stdout.startswith(told)
    assert json.loads(run(pair, "publish", "t", "--ndjson", "-", "--key", "b", "--json", given=lines).stdout)["duplicates"] == 2


def is_connected(pid: int, port: int) -> bool:
    """Whether a process has a connection to a port of this machine, as /proc/PID/net/tcp lists those of all processes."""
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    there = {f"socket:[{row[9]}]" for row in rows if row[2].endswith(f":{port:04X}") and row[3] == ESTABLISHED}
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # it is closed meanwhile
            if os.readlink(path) in there:
                return True
    return False


def is_caught(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    text = Path(f"/proc/{pid}/status").read_text()
    return bool(int(text.partition("SigCgt:")[2].split()[0], 16) >> (number - 1) & 1)


def test_a_stream_goes_on_at_the_other_broker(pair: Pair) -> None:
    post(pair.first.address, "/subscribe", username="Cleo", topic="moving")
    post(pair.first.address, "/publish", topic="moving", data="before")
    process = subprocess.Popen(
        newswire("stream", "Cleo", "--count", "2"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(NEWSWIRE_BROKERS=",".join(pair.addresses), PYTHONUNBUFFERED="1"),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "moving\tbefore\n"
    delivered("Cleo", pair.second)  # acknowledged, and known at both
    pair.first.kill9()
    post(pair.second.address, "/publish", topic="moving", data="after")
    rest, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, rest) == (0, "moving\tafter\n")
