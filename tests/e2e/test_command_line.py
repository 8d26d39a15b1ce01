"""The commands of `newswire` against real brokers: what they print, their exit codes, and a stream across a failure."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from brokers import clean_environment, free_ports, newswire, post, wait_in_sync
from tests.e2e.harness import Pair, delivered


def run(pair_or_addresses: Pair | list[str], *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    addresses = pair_or_addresses.addresses if isinstance(pair_or_addresses, Pair) else pair_or_addresses
    environment = clean_environment(NEWSWIRE_BROKERS=",".join(addresses))
    return subprocess.run(
        newswire(*arguments), input=given, capture_output=True, text=True, check=False, timeout=60, env=environment
    )


def test_publish_subscribe_stream_and_status(pair: Pair, tmp_path: Path) -> None:
    wait_in_sync(pair.brokers)
    assert run(pair, "subscribe", "Alice", "Google").stdout == "Successfully subscribed Alice to topic Google\n"
    assert run(pair, "publish", "Google", "Hello Google").stdout.startswith("Published topic Google data Hello Google")
    assert run(pair, "publish", "Google", given="from a pipe\n").returncode == 0
    batch = tmp_path / "batch.ndjson"
    batch.write_text("".join(json.dumps({"topic": "Google", "data": f"number {n}"}) + "\n" for n in range(3)))
    assert "Published 3 messages" in run(pair, "publish", "--ndjson", str(batch)).stdout

    streamed = run(pair, "stream", "Alice", "--count", "5")
    assert (streamed.returncode, streamed.stdout.splitlines()) == (
        0,
        ["Hello Google", "from a pipe", "number 0", "number 1", "number 2"],
    )
    delivered("Alice", pair.first)
    assert json.loads(run(pair, "subscriptions", "Alice", "--json").stdout)[0]["topic"] == "Google"
    status = json.loads(run(pair, "status", "--json").stdout)
    assert [b["state"] for b in status["brokers"]] == ["up", "up"]
    assert run(pair, "unsubscribe", "Alice", "Google").returncode == 0


def test_exit_codes(pair: Pair) -> None:
    wait_in_sync(pair.brokers)
    assert run(pair, "publish", "no such topic", "x").returncode in (1, 2)
    assert run(pair, "unsubscribe", "Nobody", "Google").returncode == 1
    assert run(pair, "stream", "Gita").returncode == 1
    assert run(pair, "publish", "--no-such-option").returncode == 2
    gone = run([f"127.0.0.1:{port}" for port in free_ports(2)], "publish", "Google", "x")
    assert (gone.returncode, gone.stdout, gone.stderr.count("\n")) == (4, "", 1)


def test_a_stream_goes_on_at_the_other_broker(pair: Pair) -> None:
    wait_in_sync(pair.brokers)
    post(pair.first.address, "/subscribe", username="Alice", topic="Google")
    post(pair.first.address, "/publish", topic="Google", data="before")
    process = subprocess.Popen(
        newswire("stream", "Alice", "--count", "2"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(NEWSWIRE_BROKERS=",".join(pair.addresses), PYTHONUNBUFFERED="1"),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "before\n"
    delivered("Alice", pair.second)  # acknowledged, and known at both
    pair.first.kill9()
    post(pair.second.address, "/publish", topic="Google", data="after")
    rest, _ = process.communicate(timeout=60)
    assert (process.returncode, rest) == (0, "after\n")
