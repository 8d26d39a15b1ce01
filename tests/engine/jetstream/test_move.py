"""The history of two brokers that replicated, moved to a real server: nothing is missing, and nothing is twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from newswire.cli.main import newswire
from newswire.core.model.commands import Publish, Subscribe
from newswire.engine.jetstream.move import move
from newswire.errors import Refused
from tests.contract.conftest import EmbeddedPair, nobody_is_late, read, texts, wait_until_in_sync
from tests.kit.gateways import drop, gateway, nats_settings, new_stream, shared_servers
from tests.kit.waiting import PATIENCE_SECONDS


def test_the_history_of_a_pair_goes_on_behind_gateways(tmp_path: Path) -> None:
    servers, stream = shared_servers(1), new_stream()
    with nobody_is_late():
        pair = EmbeddedPair(tmp_path)
        wait_until_in_sync(pair)
        pair.one.submit([Subscribe("Alice", "news")])
        first = pair.one.submit([Publish("news", "x", key="k")])
        pair.other.submit([Publish("news", str(number)) for number in range(1500)], timeout=PATIENCE_SECONDS)  # a long batch
        place = read(pair.one, "Alice")[0].event_id
        pair.close()

    settings = nats_settings(servers, stream)
    moved = move(settings, tmp_path / "1001")
    assert (moved.messages, moved.subscriptions, moved.damaged) == (1501, 1, 0)
    assert move(settings, tmp_path / "1002").operations == 0, "it held nothing else"
    words = ["move", "--to", servers.urls[0], "--nats-stream", stream, "--ops-dir", str(tmp_path), "--id", "1001"]
    assert "Appended 0 operations" in CliRunner().invoke(newswire, words).output

    engine = gateway(servers, stream, tmp_path / "copies", "1001")
    try:
        assert engine.submit([Publish("news", "x", key="k")]).first == first.first
        assert texts(read(engine, "Alice", limit=500)) == ["x", *map(str, range(1500))]
        assert len(read(engine, "Alice", place, limit=500)) == 1500
        assert [row.id for row in engine.describe().rows] == ["1001"]
        assert engine.describe().serves
    finally:
        engine.close()
        drop(servers, stream)


def test_a_directory_that_is_not_there_or_in_use_is_refused(tmp_path: Path) -> None:
    settings = nats_settings(shared_servers(1), new_stream())
    with pytest.raises(Refused, match="is not there"):
        move(settings, tmp_path / "1001")
