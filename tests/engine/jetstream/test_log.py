"""A log over servers in memory: what is appended, read, packed, found on disk again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from newswire.core import limits
from newswire.core.broker.log_place import LogLook
from newswire.core.model.commands import Publish
from newswire.core.state.fold import State
from newswire.engine.jetstream.log import Log, OtherLog, Stopped, pack, unpack
from newswire.errors import DiskFailed, Refused, StorageFull
from tests.kit.fake_gateways import FakeGateway
from tests.kit.fake_log import FakeJetStream, FakeServers


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOG_AGAIN_SECONDS", "LOG_LOOK_SECONDS", "LOG_SEE_SECONDS"):
        monkeypatch.setattr(limits, name, 0.0)


@pytest.fixture
def stream() -> FakeJetStream:
    return FakeJetStream()


@pytest.fixture
def gateway(stream: FakeJetStream, tmp_path: Path) -> Iterator[FakeGateway]:
    gateway = FakeGateway(stream, tmp_path / "1001", "1001")
    yield gateway
    gateway.end()


def test_what_a_round_stores_is_one_record(stream: FakeJetStream, gateway: FakeGateway) -> None:
    before = stream.last
    gateway.submit(*(Publish("news", str(number)) for number in range(50)))
    assert stream.last == before + 1
    assert len(unpack(stream.records[stream.last].payload)) == 50


def test_a_record_is_no_longer_than_servers_take() -> None:
    raws = [b"{" * 100_000] * 25
    payloads = list(pack(raws))
    assert [len(unpack(payload)) for payload in payloads] == [9, 9, 7]
    assert all(len(payload) <= limits.LOG_PAYLOAD_BYTES for payload in payloads)
    assert list(pack([])) == []


def test_one_operation_that_is_longer_is_packed() -> None:
    raw = b'{"x":"' + b"\\u0001" * 300_000 + b'"}'
    (payload,) = pack([raw])
    assert len(payload) < 100_000
    assert unpack(payload) == [raw]


def test_what_nobody_here_wrote_is_nothing() -> None:
    assert unpack(b"\x78broken") == []
    assert unpack(b"") == []


def test_an_answer_that_is_lost_is_asked_for_again_and_the_record_stands_once(
    stream: FakeJetStream, gateway: FakeGateway
) -> None:
    before = stream.last
    gateway.servers.loses_acks = 2
    gateway.submit(Publish("news", "x"))
    assert stream.last == before + 1
    assert gateway.shown() == {"news": 1}


def test_servers_without_room_store_nothing_and_say_so(stream: FakeJetStream, gateway: FakeGateway) -> None:
    stream.full = True
    (refused,) = gateway.submit(Publish("news", "x"))
    assert isinstance(refused, StorageFull)
    stream.full = False
    assert len(gateway.submit(Publish("news", "x"))) == 1
    assert gateway.shown() == {"news": 1}


def test_of_several_records_the_rest_waits_for_room_once_the_first_stands_there(
    stream: FakeJetStream, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their numbers are taken: to say that nothing was stored would give them to others."""
    write, tries = stream.write, [0]

    def fill(token: str, payload: bytes) -> int:
        stream.full = True
        return write(token, payload)

    def look(sequence: int) -> LogLook:
        tries[0] += 1
        stream.full = tries[0] < 3  # then there is room again
        return FakeServers.look(gateway.servers, sequence)

    monkeypatch.setattr(stream, "write", fill)
    monkeypatch.setattr(gateway.servers, "look", look)
    before = stream.last
    gateway.log.append([b"{" * 600_000] * 2)
    assert (stream.last, tries[0]) == (before + 2, 3)


def test_a_copy_without_room_ends_the_gateway(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in the log and not here would be a hole that nobody fills."""

    def refuse(raws: object) -> None:
        raise StorageFull("no room")

    monkeypatch.setattr(gateway.log.copy, "append", refuse)
    with pytest.raises(DiskFailed):
        gateway.submit(Publish("news", "x"))


def test_another_name_of_the_same_log_is_taken(stream: FakeJetStream, gateway: FakeGateway) -> None:
    stream.incarnation = "i2"
    gateway.submit(Publish("news", "x"))
    assert gateway.log.follower.place.incarnation == "i2"
    assert gateway.shown() == {"news": 1}


def test_servers_that_lag_are_asked_until_all_that_the_leader_has_is_read(
    stream: FakeJetStream, gateway: FakeGateway, tmp_path: Path
) -> None:
    other = FakeGateway(stream, tmp_path / "1002", "1002")
    for number in range(5):
        other.submit(Publish("news", str(number)))
    gateway.servers.lags = 3
    (known,) = gateway.submit(Publish("news", "0", key="k"))
    assert known
    assert gateway.shown() == {"news": 6}
    other.end()


def test_a_start_reads_what_came_since_and_no_more(stream: FakeJetStream, gateway: FakeGateway, tmp_path: Path) -> None:
    for number in range(10):
        gateway.submit(Publish("news", str(number)))
    gateway.log.note_place(gateway.state, now=True)
    place = gateway.log.follower.place
    gateway.end()
    log, state = Log(FakeServers(stream), tmp_path / "1001"), State()
    assert log.recover(state, "c", "1001-again", None)
    assert log.follower.place == place
    assert list(log.read_on(to_end=True)) == []
    log.copy.close()
    gateway.start()


def test_a_copy_without_a_place_is_folded_again_from_the_log(stream: FakeJetStream, gateway: FakeGateway) -> None:
    gateway.submit(Publish("news", "x"))
    (gateway.folder / "place.json").unlink()
    gateway.end()
    gateway.start()
    assert gateway.shown() == {"news": 1}
    assert stream.renamed == 0


def test_a_copy_that_lacks_what_its_place_says_is_folded_again(gateway: FakeGateway) -> None:
    """As after a power failure: the place is newer than what the disk kept of the copy."""
    gateway.submit(Publish("news", "one"), Publish("news", "two"))
    gateway.log.note_place(gateway.state, now=True)
    gateway.end()
    newest = max(gateway.folder.glob("0*.ops"))
    newest.write_bytes(b"\n".join(newest.read_bytes().split(b"\n")[:1]) + b"\n")
    gateway.start()
    assert gateway.shown() == {"news": 2}


def test_a_copy_of_another_log_is_refused(gateway: FakeGateway, tmp_path: Path) -> None:
    gateway.log.note_place(gateway.state, now=True)
    gateway.end()
    log = Log(FakeServers(FakeJetStream()), tmp_path / "1001")
    with pytest.raises(Refused, match="a copy of another log"):
        log.recover(State(), "another", "1001-again", None)
    log.copy.close()
    gateway.start()


def test_a_log_that_was_purged_without_a_checkpoint_is_not_guessed_at(stream: FakeJetStream, tmp_path: Path) -> None:
    stream.first, stream.last = 5, 7
    log = Log(FakeServers(stream), tmp_path / "1001")
    assert not log.recover(State(), "c", "1001-a", None)
    with pytest.raises(Refused, match="no checkpoint"):
        log.fold_again(State())
    log.copy.close()


def test_who_waits_for_servers_is_let_go_at_the_end(stream: FakeJetStream, gateway: FakeGateway) -> None:
    gateway.servers.is_away = True
    gateway.log.stop()
    with pytest.raises(Stopped):
        gateway.log.append([b"{}"])
    assert gateway.submit(Publish("news", "x")) == []


def test_a_log_that_lost_its_end_is_another_one(stream: FakeJetStream, gateway: FakeGateway) -> None:
    old = stream.keep()
    gateway.submit(Publish("news", "x"))
    stream.restore(old)
    with pytest.raises(OtherLog):
        gateway.log.look()
    gateway.follow()
    assert gateway.shown() == {"news": 1}
    assert stream.renamed == 1
