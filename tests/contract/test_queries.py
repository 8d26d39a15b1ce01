"""The named queries of `engine.seam.Engine`: what each gives, for whom, and that none holds up a commit for long.

"In pieces" is counted, not timed: with pieces of eight a query over five pieces takes at least five turns at the state lock,
and what another stores between two of them is stored before the query ends.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from newswire.core import limits
from newswire.core.model.commands import Acknowledge, Publish, Subscribe
from newswire.core.model.event_ids import EventId, parse
from newswire.engine.seam import ClusterAdmin, Engine, Entry, Page, Position, Start, SubscriptionRow, TopicRow
from tests.contract.conftest import ALONE, WITH_PEERS, Pair, begun, read, texts, wait_until_in_sync

NOW = 1_795_514_400_000  # ms since 1970; no broker here has lived later
PIECE, PIECES = 8, 5
NAMES = [f"news.{number:02}" for number in range(PIECE * PIECES)]


@pytest.fixture(params=(*WITH_PEERS, *ALONE))
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """Every engine: what is asked of one broker needs no peer."""
    yield from begun(request.param, tmp_path)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIECE_TOPICS", "PIECE_SUBSCRIPTIONS", "PIECE_ROWS"):
        monkeypatch.setattr(limits, name, PIECE)


def first_page(engine: Engine, user: str, limit: int = 1_000) -> Page:
    start = engine.open_stream(user, None)
    assert start is not None
    return engine.next_page(start.position, limit)


def whole(engine: Engine) -> Position:
    """Where all that Alice may read begins."""
    start = engine.open_page("Alice", None, 0, NOW)
    assert start is not None
    return start.position


def calls(protocol: type) -> dict[str, inspect.Signature]:
    """What this part of the seam names, with its parameters."""
    return {name: inspect.signature(call) for name, call in vars(protocol).items() if name[0] != "_" and callable(call)}


def test_an_engine_has_each_call_of_the_seam_with_its_parameters(pair: Pair) -> None:
    """The type checker looks at an engine only where a typed room is given one."""
    asked = calls(Engine) | (calls(ClusterAdmin) if hasattr(pair.one, "join_later") else {})
    assert "submit_later" in asked
    for name, signature in asked.items():
        there = inspect.signature(getattr(type(pair.one), name, lambda: None))
        assert there.parameters.keys() == signature.parameters.keys(), name


def test_a_backup_has_a_name_and_holds_what_was_stored(pair: Pair) -> None:
    pair.one.submit([Publish("news", "x")])
    backup = pair.one.backup()
    assert backup.name
    assert any(backup.parts)


def topics(engine: Engine) -> list[TopicRow]:
    rows: list[TopicRow] = []
    engine.topics(NOW, rows.extend)
    return rows


QUERIES: dict[str, Callable[[Engine], object]] = {
    "patterns_of": lambda engine: engine.patterns_of("Alice"),
    "subscriptions_of": lambda engine: engine.subscriptions_of("Alice"),
    "topics": topics,
    "open_stream": lambda engine: engine.open_stream("Alice", None),
    "open_page": lambda engine: engine.open_page("Alice", None, 0, NOW),
    "next_page": lambda engine: first_page(engine, "Alice"),
    "older_page": lambda engine: engine.older_page(whole(engine), None, 1_000),
}
AT_LEAST = {  # turns at the state lock, with as many topics and subscriptions as NAMES
    "subscriptions_of": PIECES,
    "topics": PIECES,
    "open_stream": PIECES,
    "open_page": PIECES,
    "older_page": 1 + 2,
    "next_page": 1 + 2,  # where the stream starts; the rows that are due; the page
}


def fill(engine: Engine) -> None:
    """Alice is subscribed to every name, and each has one message for her and one from before."""
    engine.submit([Publish(name, "before") for name in NAMES])
    engine.submit([Subscribe("Alice", name) for name in NAMES])
    engine.submit([Publish(name, "after") for name in NAMES])


# -- what each gives


def test_patterns_are_what_a_user_is_subscribed_to_by_name(pair: Pair) -> None:
    assert pair.one.patterns_of("Alice") == ()
    pair.one.submit([Subscribe("Alice", "tech"), Subscribe("Alice", "news.*"), Subscribe("Bob", "news")])
    assert pair.one.patterns_of("Alice") == ("news.*", "tech")


def test_subscriptions_have_counts_by_pattern(pair: Pair) -> None:
    assert pair.one.subscriptions_of("Alice") == []
    pair.one.submit([Subscribe("Alice", "tech"), Subscribe("Alice", "news.*"), Publish("news.a", "one")])
    rows = pair.one.subscriptions_of("Alice")
    assert rows == [SubscriptionRow("news.*", rows[0].since, 0, 1), SubscriptionRow("tech", rows[1].since, 0, 0)]
    pair.one.submit([Acknowledge("Alice", read(pair.one, "Alice")[0].event_id)])
    assert [(row.index, row.unread) for row in pair.one.subscriptions_of("Alice")] == [(1, 0), (0, 0)]


def test_topics_are_those_with_messages_by_name(pair: Pair) -> None:
    assert topics(pair.one) == []
    pair.one.submit([Subscribe("Alice", "empty"), Publish("tech", "one"), Publish("news", "two"), Publish("tech", "three")])
    rows = topics(pair.one)
    assert rows == [TopicRow("news", 1, rows[0].last), TopicRow("tech", 2, rows[1].last)]


def test_who_takes_the_topics_may_publish_meanwhile(pair: Pair) -> None:
    pair.one.submit([Publish("news", "one")])
    receipts: list[int] = []
    pair.one.topics(NOW, lambda rows: receipts.append(pair.one.submit([Publish(row.topic, "two") for row in rows]).count))
    assert sum(receipts) == 1
    assert [row.messages for row in topics(pair.one)] == [2]


def test_nothing_starts_for_one_without_a_subscription(pair: Pair) -> None:
    pair.one.submit([Subscribe("Bob", "news"), Publish("news", "one")])
    assert pair.one.open_stream("Alice", None) is None
    assert pair.one.open_page("Alice", None, 0, NOW) is None
    assert pair.one.open_page("Bob", "tech", 0, NOW) is None, "no subscription that matches"


def test_a_start_names_the_patterns_that_it_reads_for(pair: Pair) -> None:
    pair.one.submit([Subscribe("Alice", "news.*"), Subscribe("Alice", "tech")])
    stream, page = pair.one.open_stream("Alice", None), pair.one.open_page("Alice", "news.a", 0, NOW)
    assert stream is not None
    assert page is not None
    assert (set(stream.patterns), set(page.patterns)) == ({"news.*", "tech"}, {"news.a"})


def test_an_event_id_of_another_cluster_brings_everything_that_it_does_not_cover(pair: Pair) -> None:
    pair.one.submit([Subscribe("Alice", "news"), Publish("news", "one")])
    strange = parse("e~9999-strange.7~9999-strange.7~")
    assert strange is not None
    assert texts(read(pair.one, "Alice", strange)) == ["one"]


def test_older_pages_give_the_newest_first_and_end(pair: Pair) -> None:
    pair.one.submit([Subscribe("Alice", "news"), *(Publish("news", str(number)) for number in range(6))])
    page = pair.one.older_page(whole(pair.one), None, 4)
    assert [entry.message.data for entry in page.entries if isinstance(entry, Entry)] == list("5432")
    assert page.more
    page = pair.one.older_page(whole(pair.one), page.event_id, 4)
    assert [entry.message.data for entry in page.entries if isinstance(entry, Entry)] == list("10")
    assert pair.one.older_page(whole(pair.one), page.event_id, 4).entries == ()


# -- positions


def test_a_position_is_opaque_and_may_be_read_from_again(pair: Pair) -> None:
    pair.one.submit([Subscribe("Alice", "news"), *(Publish("news", str(number)) for number in range(6))])
    start, again = pair.one.open_stream("Alice", None), pair.one.open_stream("Alice", None)
    assert start is not None
    assert start == again
    assert len({start.position, again.position if again else None}) == 1, "streams at one place share what is read there"
    assert isinstance(start.position, Position)
    page = pair.one.next_page(start.position, 4)
    assert page == pair.one.next_page(start.position, 4)
    assert [entry.position for entry in page.entries][-1] != start.position
    middle = page.entries[1].position
    assert [e.message.data for e in pair.one.next_page(middle, 9).entries if isinstance(e, Entry)] == list("2345")


def test_a_page_without_more_goes_on_where_it_ended(pair: Pair) -> None:
    pair.one.submit([Subscribe("Alice", "news"), Publish("news", "one")])
    page = first_page(pair.one, "Alice")
    assert not page.more
    assert pair.one.next_page(page.position, 9).entries == ()
    pair.one.submit([Publish("news", "two")])
    assert [e.message.data for e in pair.one.next_page(page.position, 9).entries if isinstance(e, Entry)] == ["two"]


def test_the_text_form_of_a_position_survives_a_restart_and_a_change_of_broker(pair: Pair) -> None:
    pair.one.submit([Subscribe("Alice", "news"), *(Publish("news", str(number)) for number in range(6))])
    page = first_page(pair.one, "Alice", 3)
    shown = str(page.event_id), str(page.entries[1].event_id)
    pair.restart()
    wait_until_in_sync(pair)
    pair.one.submit([Publish("news", "6")])
    for engine in (pair.one, pair.other):
        assert [texts(read(engine, "Alice", parse(text))) for text in shown] == [list("3456"), list("23456")]


# -- plain values


def is_plain(value: Any) -> bool:
    """Say whether a value holds nothing but text, numbers and frozen structs; what is in a position is its engine's."""
    if isinstance(value, str | int | None | Position | EventId):
        return True
    if isinstance(value, tuple | list):
        return all(map(is_plain, value))
    is_frozen = isinstance(value, msgspec.Struct) and value.__struct_config__.frozen
    return is_frozen and all(is_plain(getattr(value, name)) for name in value.__struct_fields__)


@pytest.mark.parametrize("query", QUERIES)
def test_a_result_is_plain_and_stays_what_it_was(pair: Pair, query: str) -> None:
    fill(pair.one)
    result = QUERIES[query](pair.one)
    assert result
    assert is_plain(result)
    before = repr(result)
    pair.one.submit([Publish(name, "more") for name in NAMES])
    pair.one.submit([Subscribe("Alice", "other"), Acknowledge("Alice", read(pair.one, "Alice", limit=1_000)[-1].event_id)])
    assert repr(result) == before


# -- pieces


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("query", AT_LEAST)
def test_a_query_holds_the_state_for_a_piece_at_a_time_and_others_store_between_two(pair: Pair, query: str) -> None:
    fill(pair.one)
    lock = pair.counted()
    QUERIES[query](pair.one)
    assert lock.turns >= AT_LEAST[query]
    ids: list[str] = []
    lock.between = lambda: ids.append(pair.one.submit([Publish("other", "meanwhile")]).first)
    assert isinstance(QUERIES[query](pair.one), list | Start | Page)
    assert len(ids) == 1


def test_the_patterns_of_a_user_are_one_piece(pair: Pair) -> None:
    fill(pair.one)
    lock = pair.counted()
    pair.one.patterns_of("Alice")
    assert lock.turns == 1


def test_what_came_is_counted_from_a_place_on_and_by_the_hour(pair: Pair) -> None:
    pair.one.submit([Publish(topic="news", data="x")])
    place = pair.one.arrivals(None, 0).place
    pair.one.submit([Publish(topic="news", data="y"), Publish(topic="sport", data="z")])
    then = pair.one.arrivals(place, 0)
    assert dict(then.counts) == {"news": 1, "sport": 1}
    assert dict(pair.one.arrivals(then.place, 0).counts) == {}
    assert dict(pair.one.arrivals(place, NOW * 2).counts) == {}, "stamped before"
    newest = pair.one.past(NOW * 2)
    assert newest.hours == (), "eight weeks before that there was nothing"
