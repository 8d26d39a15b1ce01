"""Clocks that are years ahead, on real processes: nothing is dropped, stamps follow the clock back, and operators are told."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from brokers import get, post, until, wait_in_sync
from tests.kit.ledger import SYNC_SECONDS, messages_at
from tests.kit.processes import AUDITOR, Cluster, Node

TEN_YEARS = 10 * 365 * 86_400

# read at every look at the clock: a process whose clock is set while it runs
SHIFTED = """
import time

def shifted(real, unit):
    def now():
        with open({file!r}) as file:
            return real() + int(file.read() or 0) * unit
    return now

time.time, time.time_ns = shifted(time.time, 1), shifted(time.time_ns, 10**9)
"""


class Clock:
    """The wall clock of one broker's process."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.file = folder / f"{node.id}.shift"
        self.set(0)
        site = folder / f"site{node.id}"
        site.mkdir()
        (site / "sitecustomize.py").write_text(SHIFTED.format(file=str(self.file)))
        node.before = ["env", f"PYTHONPATH={site}"]

    def set(self, seconds: int) -> None:
        """Have it be so far ahead of the true one."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(str(seconds))
        fresh.replace(self.file)


@pytest.fixture
def clocks(cluster: Cluster, tmp_path: Path) -> list[Clock]:
    return [Clock(node, tmp_path) for node in cluster.nodes]


def restart(cluster: Cluster) -> None:
    for node in cluster.nodes:
        node.kill9()
    for node in cluster.nodes:
        node.launch()
    for node in cluster.nodes:
        node.wait_ready()
    wait_in_sync(cluster.nodes, SYNC_SECONDS)


def years(node: Node) -> list[int]:
    """The year of each message's stamp."""
    page = get(node.address, "/messages", username=AUDITOR, since="earliest")
    return [datetime.fromisoformat(message["time"]).year for message in page["messages"]]


def test_a_cluster_that_starts_ten_years_ahead_drops_nothing_and_comes_back(cluster: Cluster, clocks: list[Clock]) -> None:
    first, second = cluster.start().nodes
    for number in range(3):
        post(first.address, "/publish", topic="news", data=f"before {number}")
    now = years(first)[0]
    for clock in clocks:
        clock.set(TEN_YEARS)
    for start in range(2):  # at the second one the newest stamps are ten years ahead, too
        restart(cluster)
        first.wait_degraded("--trust-clock")
        post(second.address, "/publish", topic="news", data=f"ahead {start}")
        for node in (first, second):
            until("it is shown", lambda node=node, count=4 + start: len(messages_at(node)) == count)  # type: ignore[misc]
    for clock in clocks:
        clock.set(0)
    first.wait_degraded("the clock of this broker was set", "years back")
    post(first.address, "/publish", topic="news", data="after")
    ahead = [year > now + 8 for year in years(first)]
    assert ahead == [False] * 3 + [True] * 2 + [False]
    until("all is at the other", lambda: len(messages_at(second)) == 6)
    page = get(first.address, "/messages", username=AUDITOR, since="10m")
    assert page["messages"][-1]["data"] == "after"


def test_a_clock_that_disagrees_is_named_by_both(cluster: Cluster, clocks: list[Clock]) -> None:
    first, second = cluster.start().nodes
    clocks[1].set(120)
    first.wait_degraded("the clock of 1002 is", "ahead of this broker's")
    second.wait_degraded("the clock of 1001 is", "behind this broker's")
    clocks[1].set(0)
    until("they agree again", lambda: "the clock of 100" not in first.degraded() + second.degraded())
