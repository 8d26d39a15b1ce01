"""Gateways over a real server that is killed, paused, and started on an older copy of its disk."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from nats_servers import NatsServers
from newswire.config import NatsSettings, Settings
from newswire.core import limits
from newswire.core.model.commands import Publish, Subscribe
from newswire.engine import commit_thread
from newswire.engine.jetstream.connection import NatsConnection
from newswire.engine.jetstream.engine import JetstreamEngine
from newswire.engine.jetstream.link import NatsLink
from newswire.engine.jetstream.servers import Checkpoint, LogAway, LogMoved, LogRefused
from newswire.engine.seam import Receipt
from newswire.errors import Refused, Unknown
from newswire.threads import NeedsThread, never_waits
from tests.contract.conftest import read, texts
from tests.kit.gateways import drop, gateway, link_to, nats_settings, new_stream, shared_servers, wait_until_read
from tests.kit.waiting import PATIENCE_SECONDS, wait_until


@pytest.fixture
def link(monkeypatch: pytest.MonkeyPatch) -> Iterator[NatsLink]:
    """To a server that runs, and is waited for."""
    monkeypatch.setattr(limits, "LOG_ANSWER_SECONDS", PATIENCE_SECONDS)
    link = link_to(shared_servers(1), new_stream())
    yield link
    link.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServers]:
    server = NatsServers(tmp_path / "nats").start()
    yield server
    server.end()


class Several:
    """Gateways on a server of their own."""

    def __init__(self, server: NatsServers, folder: Path, count: int = 2) -> None:
        self.server, self.folder = server, folder
        self.engines = [self.start(str(1001 + at)) for at in range(count)]

    def start(self, broker: str) -> JetstreamEngine:
        return gateway(self.server, "news", self.folder, broker)

    def restart_server(self) -> None:
        self.server.kill(0)
        self.server.launch(0)

    def end(self) -> None:
        for engine in self.engines:
            engine.close()


@pytest.fixture
def several(server: NatsServers, tmp_path: Path) -> Iterator[Several]:
    several = Several(server, tmp_path)
    yield several
    several.end()


def test_a_log_is_made_once_and_says_whose_it_is(link: NatsLink) -> None:
    cluster = link.open("")
    assert cluster
    assert link.open("another") == cluster
    assert (link.look(0).last, link.look(7).token) == (0, None)


def test_what_is_appended_is_read_by_number_and_has_its_token(link: NatsLink) -> None:
    link.open("")
    incarnation = link.look(0).incarnation
    assert [link.append(incarnation, f"t{number}", b"x%d" % number) for number in (1, 2, 3)] == [
        (1, False), (2, False), (3, False),
    ]  # fmt: skip
    assert link.append(incarnation, "t2", b"x2") == (2, True), "sent again"
    assert [(one.sequence, one.token, one.payload) for one in link.read(2)] == [(2, "t2", b"x2"), (3, "t3", b"x3")]
    assert link.read(4) == []
    assert link.bounds() == (1, 3)
    assert (link.look(2).token, link.look(2).last) == ("t2", 3)


def test_under_another_name_nothing_gets_in(link: NatsLink) -> None:
    link.open("")
    old = link.look(0).incarnation
    link.append(old, "t1", b"x")
    link.rename(old, "new")
    link.rename(old, "newer")  # somebody else noticed, too
    assert link.look(1).incarnation == "new"
    with pytest.raises(LogMoved):
        link.append(old, "t2", b"y")
    assert link.append("new", "t2", b"y") == (2, False)


def test_a_checkpoint_counts_when_it_is_sealed_and_then_the_log_begins_behind_it(link: NatsLink) -> None:
    link.open("")
    incarnation = link.look(0).incarnation
    for number in (1, 2, 3):
        link.append(incarnation, f"t{number}", b"x")
    assert link.checkpoint() is None
    first = link.append_checkpoint(b"a")
    last = link.append_checkpoint(b"b")
    assert link.checkpoint() is None
    sealed = Checkpoint(upto=2, token="t2", first=first, last=last)
    link.seal(sealed)
    assert link.checkpoint() == sealed
    assert [one.payload for one in link.read_checkpoint(first)] == [b"a", b"b"]
    assert (link.look(3).first, link.look(3).token, link.look(2).token) == (3, "t3", None)
    assert [one.sequence for one in link.read(1)] == [3]


def test_a_stream_of_somebody_else_is_left_alone(link: NatsLink) -> None:
    body = {"name": link._name, "subjects": [f"{link._name}.x"], "num_replicas": 1, "storage": "file", "retention": "limits"}
    link.run(lambda client: link.ask(client, f"$JS.API.STREAM.CREATE.{link._name}", body))
    with pytest.raises(LogRefused, match="is not newswire's"):
        link.open("")


def test_a_log_that_is_kept_in_memory_is_none(link: NatsLink, tmp_path: Path) -> None:
    metadata = {"newswire": "c"}
    body = {
        "name": link._name,
        "subjects": [f"{link._name}.a.ops"],
        "num_replicas": 1,
        "storage": "memory",
        "metadata": metadata,
    }
    link.run(lambda client: link.ask(client, f"$JS.API.STREAM.CREATE.{link._name}", body))
    with pytest.raises(LogRefused, match="in memory"):
        link.open("")
    with pytest.raises(Refused, match="in memory"):
        gateway(shared_servers(1), link._name, tmp_path)


def test_copies_are_counted_by_what_the_log_has_and_not_by_what_was_asked_for(tmp_path: Path) -> None:
    servers, stream = shared_servers(1), new_stream()
    one = gateway(servers, stream, tmp_path, "1001")
    settings = replace(nats_settings(servers, stream), replicas=3)
    other = JetstreamEngine(Settings(id="1002", ops_dir=tmp_path, nats=settings), on_fatal=lambda error: None)
    other.start("127.0.0.1:1002")
    assert other.submit([Publish("news", "x")]).copies == 1
    one.close()
    other.close()
    drop(servers, stream)


def test_without_nats_py_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from newswire.engine.jetstream import connection

    monkeypatch.setattr(connection, "nats", None)
    with pytest.raises(Refused, match=r"pip install 'newswire\[jetstream\]'"):
        NatsConnection(None, lambda error: None)  # type: ignore[arg-type]


def test_who_subscribed_at_another_gateway_a_moment_ago_is_known(several: Several, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LOG_ANSWER_SECONDS", PATIENCE_SECONDS)  # a moment, however slow this is
    one, other = several.engines
    for number in range(5):
        user = f"user{number}"
        one.submit([Subscribe(user, "news")])
        assert other.patterns_of(user) == ("news",)
        one.submit([Subscribe(f"{user}b", "news")])
        assert other.open_stream(f"{user}b", None) is not None
    assert other.patterns_of("nobody") == ()


def test_what_another_gateway_appends_is_read_when_it_says_so_and_not_by_the_clock(
    several: Several, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = several.engines
    woken = threading.Event()
    monkeypatch.setattr(commit_thread, "_TICK_SECONDS", 3_600.0)
    monkeypatch.setattr(limits, "LOG_LOOK_SECONDS", 3_600.0)
    one.submit([Publish("news", "settled")])
    wait_until_read(one, other)
    other.on_wake(lambda wake: woken.set() if "late" in wake.topics else None)
    one.submit([Publish("late", "x")])
    assert woken.wait(PATIENCE_SECONDS)


def test_a_thread_that_never_waits_is_told_that_it_would(several: Several) -> None:
    raised: list[BaseException] = []

    def main() -> None:
        never_waits()
        try:
            several.engines[0].patterns_of("nobody")
        except NeedsThread as error:
            raised.append(error)

    thread = threading.Thread(target=main)
    thread.start()
    thread.join()
    assert len(raised) == 1


def test_a_server_that_was_killed_comes_back_and_nothing_is_lost(several: Several) -> None:
    one, other = several.engines
    one.submit([Subscribe("Alice", "news")])
    one.submit([Publish("news", "before")])
    results: list[object] = []
    several.server.kill(0)
    one.submit_later([Publish("news", "meanwhile", key="k")], results.append, timeout=PATIENCE_SECONDS)
    several.server.launch(0)
    wait_until(lambda: results)
    assert isinstance(results[0], Receipt)
    assert other.submit([Publish("news", "meanwhile", key="k")], timeout=PATIENCE_SECONDS).duplicates == 1
    for engine in (one, other):
        assert texts(read(engine, "Alice")) == ["before", "meanwhile"]


def test_a_server_that_is_away_is_why_nobody_is_served_and_reading_goes_on(several: Several) -> None:
    one, _ = several.engines
    one.submit([Subscribe("Alice", "news")])
    one.submit([Publish("news", "x")])
    several.server.pause(0)
    wait_until(lambda: "the log cannot be reached" in one.describe().why_not)
    assert not one.describe().serves
    assert texts(read(one, "Alice")) == ["x"]
    several.server.go_on(0)
    wait_until(lambda: one.describe().serves)
    assert one.submit([Publish("news", "y")], timeout=PATIENCE_SECONDS).count == 1


def test_a_server_on_an_older_disk_gets_back_what_gateways_have(several: Several) -> None:
    one, other = several.engines
    one.submit([Subscribe("Alice", "news")])
    several.server.kill(0)
    several.server.keep_copy("old")
    several.server.launch(0)
    first = one.submit([Publish("news", "x", key="k")], timeout=PATIENCE_SECONDS)
    wait_until_read(one, other)
    several.server.kill(0)
    several.server.restore_copy("old")
    several.server.launch(0)
    with suppress(Unknown):  # it waits while the log is exchanged
        other.submit([Publish("news", "x", key="k")], timeout=PATIENCE_SECONDS / 2)
    retried = other.submit([Publish("news", "x", key="k")], timeout=PATIENCE_SECONDS)
    assert (retried.first, retried.duplicates) == (first.first, 1)
    wait_until_read(one, other)
    for engine in (one, other):
        wait_until(lambda engine=engine: engine.describe().serves)
        assert texts(read(engine, "Alice")) == ["x"]
    assert one.submit([Publish("news", "y")], timeout=PATIENCE_SECONDS).count == 1


def test_who_asks_while_there_is_no_connection_is_told_so() -> None:
    link = NatsLink(NatsSettings(servers=("nats://127.0.0.1:9",)), lambda error: None)
    with pytest.raises(LogAway):
        link.look(0)
    link.close()
