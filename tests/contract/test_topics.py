"""What every engine gives who reads topics without a subscription (docs/rules.md, TOPICS)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from newswire.core import limits
from newswire.core.access import Principal
from newswire.core.model.commands import AddGrant, AddUser, Publish, RevokeGrant
from newswire.core.model.event_ids import EventId
from newswire.engine.seam import LATEST, Engine, Entry, Page, Start
from tests.contract.conftest import ALONE, WITH_PEERS, Pair, begun
from tests.kit.waiting import PATIENCE_SECONDS, wait_until


@pytest.fixture(params=(*WITH_PEERS, *ALONE), scope="module")
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """One of each engine for all tests here: each has topics of its own."""
    yield from begun(request.param, tmp_path_factory.mktemp("ops"))


def page(engine: Engine, start: Start | None) -> Page:
    assert start is not None
    return engine.next_page(start.position, 100)


def read(engine: Engine, topics: tuple[str, ...], since: EventId | str | int | None, by: Principal | None = None) -> list[str]:
    entries = page(engine, engine.open_topics(topics, since, by)).entries
    return [entry.message.data for entry in entries if isinstance(entry, Entry)]


def publish(engine: Engine, topic: str, *texts: str) -> list[str]:
    return [engine.submit([Publish(topic=topic, data=text)], copies=1).first for text in texts]


def test_all_of_some_topics_is_read_and_nothing_else(pair: Pair) -> None:
    publish(pair.one, "all.a", "1")
    publish(pair.one, "all.b", "2")
    publish(pair.one, "all.c", "3")
    assert read(pair.one, ("all.a", "all.c"), 0) == ["1", "3"]
    assert read(pair.one, ("all.none",), 0) == []


def test_who_begins_now_gets_what_comes_and_can_go_on_where_that_was(pair: Pair) -> None:
    publish(pair.one, "now", "before")
    start = pair.one.open_topics(("now",))
    assert start is not None
    assert start.patterns == ("now",)
    publish(pair.one, "now", "after")
    texts = [entry.message.data for entry in page(pair.one, start).entries if isinstance(entry, Entry)]
    assert texts == ["after"]
    assert start.event_id is not None
    assert read(pair.one, ("now",), start.event_id) == ["after"]


def test_what_follows_a_message_or_a_place_is_read(pair: Pair) -> None:
    ids = publish(pair.one, "ids", "1", "2", "3")
    assert read(pair.one, ("ids",), ids[0]) == ["2", "3"]
    assert read(pair.one, ("ids",), ids[2]) == []
    first = page(pair.one, pair.one.open_topics(("ids",), 0)).entries[0]
    assert first.event_id is not None
    assert read(pair.one, ("ids",), first.event_id) == ["2", "3"]


def test_behind_a_message_that_nobody_knows_is_everything(pair: Pair) -> None:
    publish(pair.one, "unknown", "1", "2")
    for since in ("1009-nobody.7", "1001-x.999999", "x", ""):
        assert read(pair.one, ("unknown",), since) == ["1", "2"]


def test_the_last_of_each_topic_is_read(pair: Pair) -> None:
    publish(pair.one, "last.a", "1", "2")
    publish(pair.one, "last.b", "3", "4")
    assert read(pair.one, ("last.a", "last.b", "last.none"), LATEST) == ["2", "4"]


def test_a_time_is_read_from(pair: Pair) -> None:
    publish(pair.one, "times", "1")
    start = pair.one.open_topics(("times",), 0)
    at = next(entry.message.time for entry in page(pair.one, start).entries if isinstance(entry, Entry))
    assert read(pair.one, ("times",), at) == ["1"]
    assert read(pair.one, ("times",), at + 1) == []


def test_what_another_broker_took_a_moment_before_is_read_again(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker that sent the message may have got that one after it, and not have sent it."""
    if pair.copies == 1:
        return
    assert limits.OTHER_BROKERS_SECONDS > 1
    monkeypatch.setattr(limits, "OTHER_BROKERS_SECONDS", PATIENCE_SECONDS)  # a moment, however slow this is
    publish(pair.other, "lag", "of the other")
    wait_until(lambda: read(pair.one, ("lag",), 0) == ["of the other"])
    (message,) = publish(pair.one, "lag", "here")
    assert read(pair.one, ("lag",), message) == ["of the other"]


def test_nothing_is_read_of_what_may_not_be_read_as_a_whole(pair: Pair) -> None:
    pair.one.submit([AddUser("reader")])
    pair.one.submit([AddGrant("reader", "subscribe", "may.>")])
    publish(pair.one, "may.be", "1")
    account = pair.one.account("reader")
    assert account is not None
    by = Principal(account.account)
    assert read(pair.one, ("may.be",), 0, by) == ["1"]
    assert pair.one.open_topics(("may.be", "may"), 0, by) is None
    assert pair.one.open_topics(("may.be",), 0, Principal("1001-x.9")) is None
    assert pair.one.open_topics(("may.be",), 0, Principal(account.account, feed=account.account)) is None, "a ticket's"
    pair.one.submit([RevokeGrant("reader", "subscribe", "may.>")])
    assert pair.one.open_topics(("may.be",), 0, by) is None
