"""scripts/abuse plays its attacks on a real pair; how well the pair stands them is measured, not asserted, here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import abuse

pytestmark = pytest.mark.timeout(600)


def test_an_attack_is_played_and_the_honest_publisher_measured(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    abuse.main(["--only", "json-depth", "--seconds", "2", "--json", str(figures)])
    (row,) = json.loads(figures.read_text())
    assert row["name"] == "json-depth"
    assert sum(row["told"].values()) > 0  # the attackers reached the broker
    assert row["failures"] == []  # and the publisher had an answer each time


def test_a_row_fails_by_ratio_by_failed_publishes_and_by_what_the_peer_said() -> None:
    row = abuse.Row("n", "w", 0.02, 0.02, 0.09, 0.1, 0, 0.01, "up", {}, 50, ())
    assert row.holds
    assert not row._replace(p99=0.11).holds
    assert not row._replace(failed=1).holds
    assert not row._replace(peer_said="down, up").holds
