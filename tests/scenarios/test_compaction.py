"""Brokers that were away while another one compacted what they lack: they are handed what stays, and have it all at once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import ask, get, post, until, wait_in_sync
from newswire.engine.embedded.scan import read_layout
from tests.kit.asking import pages
from tests.kit.processes import Cluster, Node, lend

KEEP = 200
BATCH = 1_000


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[Cluster]:
    """A pair that keeps few messages."""
    with lend(Cluster(tmp_path, "--retention-messages", str(KEEP))) as cluster:
        yield cluster.start()


@pytest.mark.parametrize("is_wiped", [False, True])
def test_who_was_away_past_a_compaction_is_handed_what_stays(forgetful: Cluster, is_wiped: bool) -> None:
    first, second = forgetful.nodes
    post(first.address, "/subscribe", username="ann", topic="news")
    publish(first, 0)
    wait_in_sync(forgetful.nodes)
    second.kill9()
    publish(first, BATCH)
    publish(first, 2 * BATCH)
    first.kill9()
    first.start()  # retention looks at once
    until("retention has dropped the rest", lambda: count(first) == KEEP)
    done = json.loads(ask(first.address, "POST", "/compact", {"even_if_away": "1"}).body)
    assert done["operations_after"] < KEEP + 50 < 3 * BATCH < done["operations_before"]
    if is_wiped:
        shutil.rmtree(second.folder)
    second.start()
    wait_in_sync(forgetful.nodes)
    until("it has what stays", lambda: count(second) == KEEP)
    publish(second, 3 * BATCH, 10)
    wait_in_sync(forgetful.nodes)
    assert read_layout(second.folder) is not None, "it has taken over what was compacted"
    for node in forgetful.nodes:
        assert texts(node)[-KEEP:] == [str(number) for number in range(3 * BATCH + 10 - KEEP, 3 * BATCH + 10)]
        node.kill9()
    for node in forgetful.nodes:
        node.launch()
    for node in forgetful.nodes:
        node.wait_ready()
    wait_in_sync(forgetful.nodes)
    assert texts(first)[-10:] == texts(second)[-10:] == [str(number) for number in range(3 * BATCH, 3 * BATCH + 10)]


def publish(node: Node, first: int, size: int = BATCH) -> None:
    lines = "\n".join(json.dumps({"topic": "news", "data": str(number)}) for number in range(first, first + size))
    answer = ask(node.address, "POST", "/publish", body=lines.encode(), headers={"Content-Type": "application/x-ndjson"})
    assert answer.status == 200, answer.body


def count(node: Node) -> int:
    return sum(row["messages"] for row in get(node.address, "/topics") if row["topic"] == "news")


def texts(node: Node) -> list[str]:
    """What ann has not read, at this broker."""
    return [message["data"] for message in pages(node.address, "ann")]
