"""A disk is full: publishing is refused there and nowhere else, streams and acknowledgements go on, and room is noticed."""

from __future__ import annotations

import gzip
import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from brokers import Stream, ask, get, post, until
from tests.kit.ledger import Ledger
from tests.kit.machine import lacks, system
from tests.kit.processes import Cluster, Node, lend

WHY_NOT = lacks("mount", "umount", root=True)
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

DISK_BYTES = 192 * 1024 * 1024  # more than what a broker calls little
RESERVE_BYTES = 15 * 1024 * 1024  # less than what a broker wants to have free


class SmallDisk:
    """A tmpfs under a broker's folder, and a file in it that takes the room."""

    def __init__(self, node: Node) -> None:
        self.at = node.folder
        self.ballast = node.folder / "ballast"
        self.at.mkdir(parents=True)
        system("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", self.at)

    def leave(self, free: int) -> None:
        """Leave so many bytes free. A broker under load takes some meanwhile: what takes long comes first, then look again."""
        self.empty()
        size = 0
        with self.ballast.open("wb") as file:
            for spare in (2**20, *[0] * 1_000):
                stat = os.statvfs(self.at)
                more = stat.f_bavail * stat.f_frsize - free - spare
                if more <= 0 and not spare:
                    return
                with suppress(OSError):
                    os.posix_fallocate(file.fileno(), size, more)
                    size += more
        raise RuntimeError("the disk is written to faster than it can be filled")

    def empty(self) -> None:
        """Give all room back."""
        self.ballast.unlink(missing_ok=True)

    def unmount(self) -> None:
        """Take it away."""
        system("umount", "-l", self.at)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[tuple[Cluster, SmallDisk]]:
    """A pair of which the first broker writes to a small disk."""
    cluster = Cluster(tmp_path)
    disk = SmallDisk(cluster.nodes[0])
    try:
        with lend(cluster) as lent:
            yield lent.start(), disk
    finally:
        disk.unmount()


@pytest.mark.parametrize("free", [RESERVE_BYTES, 0])
def test_a_full_disk(small: tuple[Cluster, SmallDisk], ledger: Ledger, free: int) -> None:
    """With the reserve left acknowledgements are stored; with nothing left nothing is, and all goes on by itself later."""
    cluster, disk = small
    first, second = cluster.nodes
    post(first.address, "/subscribe", username="Alice", topic=">")
    with Stream("Alice", [first.address], query="&ack=client") as alice:
        alice.wait_open()
        ledger.many(10, first, copies=2)
        disk.leave(free)
        until("publishing is refused", lambda: publish(first)[0] == 507)
        assert publish(first)[1] == "storage-full"
        until("readiness says so", lambda: first.readiness()[0] in (503, 507))
        assert "disk" in first.readiness()[1]["detail"]
        assert "disk is full" in first.degraded()

        ledger.many(10, second)  # the other one goes on, and soon doesn't count on this one
        ledger.many(1, second, copies=1)
        alice.wait_texts(*(entry.text for entry in ledger.entries[:10]))  # what is here is streamed
        copied = gzip.decompress(ask(first.address, "GET", "/backup").body)  # and copied: that needs no room
        assert all(entry.text.encode() in copied for entry in ledger.entries[:10])
        if free:
            post(first.address, "/ack", username="Alice", id=alice.last_event_id)
            assert ask(first.address, "GET", "/subscriptions?username=Alice").status == 503, "it does not say that all is read"
            until("it is told", lambda: get(second.address, "/subscriptions", username="Alice")[0]["index"] >= 10)

        disk.empty()
        first.wait_whole()
        ledger.check(first, second)
        until("two copies again", lambda: ledger.publish(first).copies == 2)
        alice.wait_texts(*ledger.texts())
        ledger.check(first, second)


def test_readers_move_to_the_broker_that_has_room(small: tuple[Cluster, SmallDisk], ledger: Ledger) -> None:
    """What the other one takes finds no room here, so a stream here would stay open and be silent."""
    cluster, disk = small
    first, second = cluster.nodes
    post(first.address, "/subscribe", username="Alice", topic=">")
    with Stream("Alice", [first.address, second.address], query="&ack=client") as alice:
        alice.wait_open(first.address)
        disk.leave(RESERVE_BYTES)
        until("publishing is refused", lambda: publish(first)[0] == 507)
        ledger.many(10, second)
        alice.wait_texts(*ledger.texts())
        assert alice.at == second.address
        assert [event for event in alice.events if event.name == "moved"]
        assert ask(first.address, "GET", "/messages?username=Alice").status == 503, "it does not say that there is nothing"
        assert "disk" in second.degraded()
        post(first.address, "/ack", username="Alice", id=alice.ids[0])
        disk.empty()
        first.wait_whole()
    with Stream("Alice", [first.address]) as back:
        back.wait_texts(*(ledger.texts() - {alice.texts[0]}))
    ledger.check(first, second)


def test_a_full_disk_when_nothing_is_left_under_load(small: tuple[Cluster, SmallDisk], ledger: Ledger) -> None:
    """The disk runs full in the middle of batches, twice; what was answered is there, also after a kill."""
    cluster, disk = small
    first, second = cluster.nodes
    with ledger.load(first, second):
        for free in (0, 20_000):
            ledger.wait_more(20)
            disk.leave(free)
            until("publishing is refused", lambda: publish(first)[0] == 507)
            ledger.wait_more(20)
            ledger.check_copies(first, second)
            disk.empty()
            first.wait_whole()
            ledger.wait_more(20)
        first.kill9()
        first.start()
    ledger.check(first, second)


def test_a_broker_that_finds_no_room_at_the_start_says_so(small: tuple[Cluster, SmallDisk], ledger: Ledger) -> None:
    cluster, disk = small
    first, second = cluster.nodes
    ledger.many(10, first, copies=2)
    first.kill9()
    disk.leave(0)
    first.launch()
    assert first.end_code() == 1
    assert "room" in first.last_words(3)
    ledger.many(5, second, copies=1)
    disk.empty()
    first.start()
    ledger.check(first, second)


def publish(node: Node) -> tuple[int, str]:
    """Try to publish something that does not count; status and code."""
    answer = ask(node.address, "POST", "/publish", {"topic": "probe", "data": f"probe {uuid.uuid4()}"})
    return answer.status, answer.json().get("code", "")
