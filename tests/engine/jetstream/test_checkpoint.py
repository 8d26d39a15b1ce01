"""Checkpoints of a log in memory: who writes one, what is purged, who begins there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from newswire.core import limits
from newswire.core.model.commands import Publish
from newswire.engine.jetstream.checkpoint import Checkpointer, take_snapshot, write_checkpoint
from newswire.engine.jetstream.servers import Checkpoint
from tests.kit.fake_gateways import FakeGateway
from tests.kit.fake_log import FakeJetStream
from tests.kit.waiting import wait_until


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOG_AGAIN_SECONDS", "LOG_LOOK_SECONDS", "LOG_SEE_SECONDS"):
        monkeypatch.setattr(limits, name, 0.0)


@pytest.fixture
def stream() -> FakeJetStream:
    return FakeJetStream()


@pytest.fixture
def gateways(stream: FakeJetStream, tmp_path: Path) -> Iterator[list[FakeGateway]]:
    gateways = [FakeGateway(stream, tmp_path / name, name) for name in ("1001", "1002")]
    for number in range(9):
        gateways[number % 2].submit(Publish("news", str(number)))
    for gateway in gateways:
        gateway.follow()
    yield gateways
    for gateway in gateways:
        gateway.end()


def test_who_compacted_its_copy_and_is_primary_has_the_log_begin_behind_a_checkpoint(
    stream: FakeJetStream, gateways: list[FakeGateway], tmp_path: Path
) -> None:
    one, _ = gateways
    one.shell.wants_checkpoint = True
    one.follow()
    assert stream.sealed is not None
    assert (stream.first, stream.sealed.upto, stream.records) == (stream.last + 1, stream.last, {})
    third = FakeGateway(stream, tmp_path / "1003", "1003")
    assert third.shown() == {"news": 9}
    assert third.submit(Publish("news", "10"))
    one.follow()
    assert one.shown() == third.shown() == {"news": 10}
    third.end()


def test_who_was_away_beyond_a_purge_begins_at_the_checkpoint(stream: FakeJetStream, gateways: list[FakeGateway]) -> None:
    one, other = gateways
    one.submit(Publish("news", "while away"))
    one.shell.wants_checkpoint = True
    one.follow()
    other.follow()
    assert other.shown() == one.shown() == {"news": 10}
    assert stream.renamed == 0


def test_one_that_is_not_primary_writes_none(stream: FakeJetStream, gateways: list[FakeGateway]) -> None:
    one, other = gateways
    one.clock += 10
    one.follow()  # its beat
    other.shell.wants_checkpoint = True
    other.follow()
    assert stream.sealed is None


def test_a_log_that_was_exchanged_meanwhile_gets_none(stream: FakeJetStream, gateways: list[FakeGateway]) -> None:
    one, _ = gateways
    snapshot = take_snapshot(one.state, one.log.copy, one.log.follower.place)
    stream.incarnation = "i2"
    assert not write_checkpoint(one.servers, one.log.copy, snapshot)
    assert stream.sealed is None


def test_of_two_at_once_the_one_whose_beginning_was_purged_does_not_count(
    stream: FakeJetStream, gateways: list[FakeGateway]
) -> None:
    one, other = gateways
    first = one.servers.append_checkpoint(b"")
    snapshot = take_snapshot(other.state, other.log.copy, other.log.follower.place)
    assert write_checkpoint(other.servers, other.log.copy, snapshot)
    sealed = stream.sealed
    with pytest.raises(Exception, match="another checkpoint"):
        one.servers.seal(Checkpoint(upto=1, token="", first=first, last=first))
    assert stream.sealed == sealed


def test_it_is_written_by_a_thread_of_its_own(stream: FakeJetStream, gateways: list[FakeGateway]) -> None:
    one, _ = gateways
    checkpointer = Checkpointer(one.servers, one.log.copy, lambda error: None)
    checkpointer.put(take_snapshot(one.state, one.log.copy, one.log.follower.place))
    wait_until(lambda: stream.sealed is not None and stream.first > 1)
    checkpointer.close()
