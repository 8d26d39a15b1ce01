"""scripts/bench: each kind of row, for a moment, against brokers that all of them share. What it gives then says nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from benchmark import report
from benchmark.machine import CORES
from benchmark.report import Figures, Line
from benchmark.rows import QUICK, ROWS
from benchmark.services import ROOT, Newswire, NewswireService

SIZES = replace(QUICK, seconds=0.15, warm=0.05, steady_seconds=0.25, idle_seconds=0.05, many_streams=30)
# where a disk took longer than that for one sync, or a broker had no turn meanwhile
LONGER = replace(SIZES, seconds=5.0, steady_seconds=5.0, idle_seconds=5.0)
KINDS = (  # of rows that differ by a number, one
    "fanout-4 steady idle opening catchup catchup-subscriber publish publish-two library batches crowd-publish crowd-subscribe "
    "publish-beside start-1m failover topics-10000 subscribers-1000 patterns-100 size-1000"
).split()


class Shared(Newswire):
    """One broker, and two, for all rows."""

    def __init__(self, folder: Path, services: dict[int, NewswireService]) -> None:
        super().__init__("newswire", ROOT, folder)
        self._services = services

    @contextmanager
    def brokers(self, placement: Sequence[Sequence[int]], options: Sequence[str] = ()) -> Iterator[NewswireService]:
        yield self._services[len(placement)]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    folder = tmp_path_factory.mktemp("bench")
    newswire = Newswire("newswire", ROOT, folder)
    with newswire.brokers([CORES]) as one, newswire.brokers([CORES, CORES]) as two:
        yield Shared(folder, {1: one, 2: two})


@pytest.mark.parametrize("name", KINDS)
def test_a_row_gives_figures(system: Shared, name: str) -> None:
    # of a crowd, whoever is not answered within these seconds has failed
    figures = ROWS[name].measure(system, LONGER if name.startswith("crowd") else SIZES)
    if not figures.value:
        figures = ROWS[name].measure(system, LONGER)
    assert figures.failed == 0
    assert figures.value > 0
    assert figures.cpu is None or figures.cpu > 0


def test_gateways_and_their_servers_are_told_apart(tmp_path: Path) -> None:
    row = ROWS["r1-history-1000"]
    figures = row.measure(Newswire("newswire", ROOT, tmp_path), SIZES)
    if not figures.value:
        figures = row.measure(Newswire("newswire", ROOT, tmp_path), LONGER)
    assert figures.failed == 0
    by_kind = figures.beside["µs of newswire"] + figures.beside["µs of nats-server"]
    assert figures.cpu == pytest.approx(by_kind)
    assert figures.beside["s to start"] > 0
    assert figures.beside["s without its copy"] > 0


def test_the_table_has_medians_and_their_spread() -> None:
    rounds = [Figures(3.0, cpu=10.0, p50=1.0, p99=2.0, beside={"MiB": value}) for value in (1.0, 2.0, 9.0)]
    rounds[0] = replace(rounds[0], value=1_234.5, failed=2)
    line = report.table([Line("publish", "durable publish", "newswire", "msg/s", rounds)]).splitlines()[-1]
    assert line == "| durable publish | newswire | 3.00 msg/s | 3.00 to 1,234 | 10.0 | 1.00 / 2.00 | 2.00 MiB |  | 2 |"
