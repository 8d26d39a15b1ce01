"""Cut wires, full and failing disks, kills at each sync: what was answered is kept, and the service heals by itself."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brokers import UNREACHABLE, Answer, Broker, Failed, Stream, ask, free_ports, get, post, rows, until, wait_in_sync
from newswire.core import limits
from tests.kit.asking import texts_at
from tests.kit.processes import Traced, WiredPair

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


def publish(broker: Broker, text: str) -> int:
    """Publish with the text as its key; on how many disks it is."""
    copies: int = post(broker.address, "/publish", topic="news", data=text, key=text)["copies"]
    return copies


def try_publish(broker: Broker, text: str) -> Answer | None:
    """Publish once; None without an answer."""
    try:
        return ask(broker.address, "POST", "/publish", {"topic": "news", "data": text, "key": text})
    except UNREACHABLE:
        return None


# -- wires --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["refuse", "silence"])
def test_a_cut_wire(wired: WiredPair, how: str) -> None:
    """Both sides serve, `copies` says 1; healed, each has what the other took, and every subscriber gets it."""
    first, second = wired.brokers
    wait_in_sync(wired.brokers)
    post(first.address, "/subscribe", username="Auditor", topic=">")
    assert publish(first, "before") == 2
    with Stream("Auditor", [first.address]) as here, Stream("Auditor", [second.address]) as there:
        here.wait_open()
        there.wait_open()
        for wire in wired.wires:
            wire.cut(how)
        assert publish(first, "at the first") == 1
        assert publish(second, "at the second") == 1
        post(second.address, "/subscribe", username="Carlos", topic="news")
        publish(first, "after Carlos")  # at the other side, which knows nothing of him
        here.wait_texts("at the first", "after Carlos")
        there.wait_texts("at the second")

        for wire in wired.wires:
            wire.mend()
        wait_in_sync(wired.brokers)
        here.wait_texts("at the second")
        there.wait_texts("at the first", "after Carlos")
    for broker in wired.brokers:
        assert sorted(texts_at(broker, "Auditor")) == ["after Carlos", "at the first", "at the second", "before"]
    with Stream("Carlos", [first.address]) as carlos:
        carlos.wait_texts("after Carlos")
    assert publish(first, "after") == publish(second, "after all") == 2


@pytest.mark.parametrize("deaf", ["1001", "1002"])
def test_a_wire_that_is_cut_one_way(wired: WiredPair, deaf: str) -> None:
    """One broker can't be reached by the other but reaches it: nothing that was taken at either is kept from the other."""
    wait_in_sync(wired.brokers)
    post(wired.first.address, "/subscribe", username="Auditor", topic=">")
    wire = wired.to_first if deaf == "1001" else wired.to_second
    wire.cut("refuse")
    for n in range(5):
        for broker in wired.brokers:
            assert publish(broker, f"{broker.id}-{n}") in (1, 2)
    expected = {f"{broker.id}-{n}" for broker in wired.brokers for n in range(5)}
    for broker in wired.brokers:
        until(f"{broker.id} has all", lambda b=broker: set(texts_at(b, "Auditor")) == expected)  # type: ignore[misc]
    wire.mend()
    wait_in_sync(wired.brokers)
    assert publish(wired.first, "after") == 2


def test_two_copies_asked_for_and_one_to_be_had(wired: WiredPair) -> None:
    wait_in_sync(wired.brokers)
    post(wired.first.address, "/subscribe", username="Auditor", topic=">")
    wired.second.kill9()
    until("the primary knows it", lambda: rows(wired.first.address)["1002"]["state"] == "down")
    answer = ask(wired.first.address, "POST", "/publish?copies=2", {"topic": "news", "data": "both or none"})
    assert (answer.status, answer.json()["code"]) == (503, "not-enough-copies")
    assert texts_at(wired.first, "Auditor") == []
    wired.second.start()
    wait_in_sync(wired.brokers)
    answer = ask(wired.first.address, "POST", "/publish?copies=2", {"topic": "news", "data": "both"})
    assert (answer.status, answer.json()["copies"]) == (200, 2)


# -- disks --------------------------------------------------------------------------------------------------------


@pytest.fixture
def one_port() -> int:
    return free_ports(1)[0]


@needs_strace
def test_killed_at_each_sync(tmp_path: Path, one_port: int) -> None:
    """SIGKILL in place of the Nth fdatasync, from those of the start on: what had been answered is there afterwards."""
    broker = Traced("1001", one_port, tmp_path)
    answered: list[str] = []
    try:
        broker.start()
        post(broker.address, "/subscribe", username="Auditor", topic=">")
        broker.kill9()
        for n in (1, 2, 3, 8, 13, 21):
            broker.inject = f"fdatasync:signal=SIGKILL:when={n}"
            broker.launch()
            answered += publish_until_it_dies(broker, f"round {n}")
            broker.wait()
            broker.inject = ""
            broker.start()
            texts = texts_at(broker, "Auditor")
            assert set(answered) <= set(texts)
            assert len(texts) == len(set(texts))
            broker.kill9()
        assert answered
    finally:
        broker.kill9()


@needs_strace
def test_a_disk_that_fails_ends_the_broker(tmp_path: Path, one_port: int) -> None:
    """A failed sync is never tried again: the broker ends (70), and what it answered before is there."""
    broker = Traced("1001", one_port, tmp_path)
    try:
        broker.start()
        post(broker.address, "/subscribe", username="Auditor", topic=">")
        broker.kill9()
        broker.inject = "fdatasync:error=EIO:when=10+"
        broker.launch()
        answered = publish_until_it_dies(broker, "text")
        assert broker.wait() == 70
        assert answered
        broker.inject = ""
        broker.start()
        assert set(answered) <= set(texts_at(broker, "Auditor"))
    finally:
        broker.kill9()


def publish_until_it_dies(broker: Traced, text: str) -> list[str]:
    """Publish one after the other; those that were answered with 200."""
    answered: list[str] = []

    def dead() -> bool:
        answer = try_publish(broker, f"{text} {len(answered)}")
        if answer is not None and answer.status == 200:
            answered.append(f"{text} {len(answered)}")
        return broker.process is None or broker.process.poll() is not None

    until("the broker has died", dead)
    return answered


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with a little more room than the broker's reserve."""
    folder = tmp_path / "disk"
    folder.mkdir()
    megabytes = limits.DISK_RESERVE_BYTES // 1024**2 + 24
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk(small_disk: Path, one_port: int) -> None:
    """Publishing is refused (507), streams go on, and with room again it goes on by itself."""
    broker = Broker("1001", one_port, small_disk)
    try:
        broker.start()
        post(broker.address, "/subscribe", username="Auditor", topic=">")
        publish(broker, "before")
        ballast = small_disk / "ballast"
        free = shutil.disk_usage(small_disk).free
        ballast.write_bytes(bytes(free - limits.DISK_RESERVE_BYTES // 2))

        numbers = itertools.count()
        refused: Any = until("publishing is refused", lambda: full(try_publish(broker, f"while full {next(numbers)}")))
        assert refused.json()["code"] == "storage-full"
        with Stream("Auditor", [broker.address]) as stream:
            stream.wait_texts("before")
            ballast.unlink()
            until("it goes on by itself", lambda: succeeded(try_publish(broker, "after")))  # 507: it was not stored
            stream.wait_texts("after")
        until("it says so", lambda: ask(broker.address, "GET", "/readyz").status == 200)  # what it says is a moment old
    finally:
        broker.kill9()


def full(answer: Answer | None) -> Answer | None:
    """The answer, if it says that the disk is full; before the broker looks it may still take some."""
    return answer if answer is not None and answer.status == 507 else None


def succeeded(answer: Answer | None) -> bool:
    """Whether it was published."""
    return answer is not None and answer.status == 200


def test_damage_in_what_was_synced_is_never_served_as_whole(tmp_path: Path) -> None:
    """A flipped bit in an old segment of one broker: it does not lose the message silently, and the other has it."""
    one, two = free_ports(2)
    first = Broker("1001", one, tmp_path, peers=[two], primary=True)
    second = Broker("1002", two, tmp_path, peers=[one])
    try:
        first.start()
        second.start()
        wait_in_sync((first, second))
        post(first.address, "/subscribe", username="Auditor", topic=">")
        for n in range(20):
            publish(first, f"message {n}")
        first.stop()
        flip_a_bit(first, b"message 7")
        first.launch()
        until("it is ready, or has refused to start", lambda: first.is_ready() or ended(first))
        if not ended(first):
            until("the hole is filled, or said", lambda: "message 7" in texts_at(first, "Auditor") or degraded(first))
        assert "message 7" in texts_at(second, "Auditor")
    finally:
        first.kill9()
        second.kill9()


def ended(broker: Broker) -> bool:
    """Whether its process has ended by itself."""
    return broker.process is not None and broker.process.poll() is not None


def degraded(broker: Broker) -> bool:
    """Whether it says that something is wrong."""
    try:
        return bool(get(broker.address, "/readyz")["degraded"])
    except (*UNREACHABLE, Failed):
        return False


def flip_a_bit(broker: Broker, text: bytes) -> None:
    """Damage the record that holds `text`, in place."""
    for segment in sorted((broker.ops_dir / broker.id).glob("*.ops")):
        held_bytes = segment.read_bytes()
        at = held_bytes.find(text)
        if at >= 0:
            with open(segment, "r+b") as file:
                file.seek(at)
                file.write(bytes([held_bytes[at] ^ 1]))
            return
    pytest.fail(f"{text!r} is in no segment of {broker.id}")
