"""Brokers on disks of 32 and 64 MiB, through which much more goes: retention and compaction make room for what comes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

import pytest

from brokers import Stream, ask, post, until
from tests.kit.machine import lacks, system
from tests.kit.processes import Cluster, Node, lend

WHY_NOT = lacks("mount", "umount", root=True)
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

MIB = 1024 * 1024
DISK_BYTES = 32 * MIB
TEXT_BYTES = 1_000
KEEP = 2_000  # messages, of five topics: 2 MB
BATCH = 500
TOPICS = 5
LOW_BYTES = 12 * MIB  # of ops files: somewhat more than from which on little room is left
TRAFFIC = 40_000  # messages: 44 MB where 16 may be written


@contextmanager
def small_disks(home: Path, size: int, keep: int, *options: str) -> Iterator[Cluster]:
    """A pair of which each broker writes to a disk of its own."""
    cluster = Cluster(home, "--retention-messages", str(keep // TOPICS), *options)
    mounted: list[Path] = []
    try:
        for node in cluster.nodes:
            node.folder.mkdir(parents=True)
            system("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", node.folder)
            mounted.append(node.folder)
        with lend(cluster) as lent:
            yield lent.start()
    finally:
        for path in mounted:
            system("umount", "-l", path)


def test_a_day_of_traffic_goes_through_a_small_disk(tmp_path: Path) -> None:
    with small_disks(tmp_path, DISK_BYTES, KEEP) as small:
        first, second = small.nodes
        refused = sum(store(first, start) for start in range(0, TRAFFIC, BATCH))
        for node in small.nodes:
            until(f"{node.id} has room again", lambda node=node: compactions(node) and used(node) < LOW_BYTES)
            node.wait_whole()
        assert compactions(first) >= 3
        for node in small.nodes:
            node.kill9()
            node.start()
        check_newest(first, second, TRAFFIC, KEEP)
        print(f"{refused} batches were refused for a while; {compactions(first)} compactions since the start")


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_disk_that_is_filled_by_a_third_with_what_is_kept(tmp_path: Path) -> None:
    """A compaction has to begin while there is room for what stays: it writes that beside. Two batches a second."""
    keep, traffic = 19_000, 80_000  # messages: 22 MB, 90 MB
    with small_disks(tmp_path, 64 * MIB, keep, "--disk-reserve", str(2 * MIB)) as small:
        first, second = small.nodes
        refused, since = 0, monotonic()
        for start in range(0, traffic, BATCH):
            until("it is time", lambda start=start: monotonic() - since >= start / BATCH / 2)
            refused += store(first, start)
        assert compactions(first) >= 3
        check_newest(first, second, traffic, keep)
        print(f"{refused} batches were refused for a while; {compactions(first)} compactions since the start")


def check_newest(first: Node, second: Node, traffic: int, keep: int) -> None:
    """Somebody who comes late gets what is kept."""
    post(first.address, "/subscribe", username="late", topic=">", **{"from": "earliest"})
    until("the other knows of it", lambda: ask(second.address, "GET", "/subscriptions?username=late").body.strip() != b"[]")
    with Stream("late", [second.address]) as late:
        late.wait_texts(*(text(number) for number in range(traffic - keep // 2, traffic)))


def text(number: int) -> str:
    return f"{number} ".ljust(TEXT_BYTES, "x")


def store(node: Node, start: int) -> int:
    """Publish a batch, again for as long as the disk is full; how often it was."""
    lines = "\n".join(
        json.dumps({"topic": f"news.t{number % TOPICS}", "data": text(number)}) for number in range(start, start + BATCH)
    )
    refusals = 0

    def is_stored() -> bool:
        nonlocal refusals
        answer = ask(node.address, "POST", "/publish", body=lines.encode(), headers={"Content-Type": "application/x-ndjson"})
        refusals += answer.status != 200
        assert answer.status in (200, 503, 507), answer.body
        return answer.status == 200

    until("a batch is stored", is_stored)
    return refusals


def compactions(node: Node) -> int:
    lines = ask(node.address, "GET", "/metrics").body.decode().splitlines()
    return int(float(next(line for line in lines if line.startswith("newswire_compactions_total ")).split()[1]))


def used(node: Node) -> int:
    """The bytes of the broker's files."""
    size = 0
    for path in node.folder.iterdir():
        with suppress(FileNotFoundError):  # it was compacted meanwhile
            size += path.stat().st_size
    return size
