"""Opening and reading: what is due, in log order, with gaps told, whatever the page size (docs/rules.md, OPEN and READ)."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from newswire.core import limits
from newswire.core.model.coverage import Coverage
from newswire.core.model.ops import Acknowledged, Began, Dropped, Published, Subscribed
from newswire.core.read.pieces import finish
from newswire.core.read.scan import Due, DueGap, plan, read_on
from newswire.core.read.start import Recipient, knew, open_page, open_stream, speaks, stream_opening
from newswire.core.state.fold import State


def state_of(*ops: object) -> State:
    state = State()
    state.apply(Began("1001-a", 1, 0, "1001", {}), 0, 0, None)
    for op in ops:
        state.apply(op, 0, 0, None)  # type: ignore[arg-type]  # a list of ops of several types
    return state


def read(state: State, user: str = "Alice", event_id: Coverage | None = None, limit: int = 100, scan: int = 100) -> list[str]:
    """Everything that a stream of `user` gets, page after page: sequences, and gaps as topic:count.

    Where the opening says that there is nothing, a longer look says the same, and ends at the same place.
    """
    opening = open_stream(state, user, event_id)
    assert opening is not None
    if not opening.more:
        with patch("newswire.core.read.start._has_all", lambda state, known: False):
            longer = open_stream(state, user, event_id)
        assert longer is not None
        page = plan(state, longer.position, longer.wanted, limit, scan)
        assert not page.items
        assert page.more or (page.position, page.wanted) == (opening.position, opening.wanted)
    at, wanted, got, more = opening.position, opening.wanted, list[str](), True
    while more:
        page = plan(state, at, wanted, limit, scan)
        for item in page.items:
            got.append(item.coverage.message if isinstance(item, Due) else f"{item.topic}:{item.dropped}")
        at, wanted, more = page.position, page.wanted, page.more
    return got


def message(sequence: int, topic: str = "news") -> Published:
    return Published("1001-a", sequence, sequence, topic=topic, data="x")


def test_a_new_subscription_gets_what_follows_it() -> None:
    state = state_of(message(2), Subscribed("1001-a", 3, 0, "Alice", "news", {"1001-a": 2}), message(4), message(5, "tech"))
    assert read(state) == ["1001-a.4"]


def test_nothing_awake_is_refused() -> None:
    assert open_stream(state_of(), "Gita", None) is None


def test_the_cursor_decides_without_an_event_id_and_the_event_id_beats_it() -> None:
    state = state_of(
        Subscribed("1001-a", 2, 0, "Alice", "news", {"1001-a": 1}),
        message(3),
        message(4),
        message(5),
        Acknowledged("1001-a", 6, 0, ("1001-a.2",), {"1001-a": 4}),
    )
    assert read(state) == ["1001-a.5"]
    assert read(state, event_id=Coverage("1001-a.3", {"1001-a": 3})) == ["1001-a.4", "1001-a.5"]


def test_an_event_id_says_nothing_of_a_subscription_that_its_broker_did_not_know() -> None:
    state = state_of(
        Subscribed("1001-a", 2, 0, "Alice", "news", {"1001-a": 1}),
        message(3),
        Subscribed("1001-a", 4, 0, "Alice", "tech", {"1001-a": 1}),
        message(5, "tech"),
    )
    before = Coverage("1001-a.3", {"1001-a": 3})
    assert read(state, event_id=before) == ["1001-a.5"]
    assert read(state, event_id=Coverage("1001-a.3", {"1001-a": 3}, {"1001-a": 4})) == ["1001-a.5"]


def test_what_retention_dropped_is_told_once_before_what_follows() -> None:
    state = state_of(Subscribed("1001-a", 2, 0, "Alice", "news", {"1001-a": 1}), message(3), message(4), message(5), message(6))
    state.apply(Dropped("1001-a", 7, 0, "news", {"1001-a": 5}), 0, 0, None)
    assert read(state) == ["news:3", "1001-a.6"]
    assert read(state, limit=1, scan=1) == ["news:3", "1001-a.6"], "also when each page sees one record"


def test_a_gap_at_the_end_of_the_log_is_told() -> None:
    state = state_of(Subscribed("1001-a", 2, 0, "Alice", "news", {"1001-a": 1}), message(3))
    state.apply(Dropped("1001-a", 4, 0, "news", {"1001-a": 3}), 0, 0, None)
    assert read(state) == ["news:1"]
    gap = plan(state, *_opened(state), 10).items[0]
    assert isinstance(gap, DueGap)
    assert gap.coverage.after == {"1001-a": 4}


def test_of_several_gaps_before_one_message_only_the_last_has_an_id_and_a_place() -> None:
    """Who confirms the first alone is told of the others when the stream breaks there and begins again."""
    state = state_of(Subscribed("1001-a", 2, 0, "Alice", ">", {"1001-a": 1}), message(3, "a"), message(4, "b"), message(5, "c"))
    for sequence, topic in ((6, "a"), (7, "b")):
        state.apply(Dropped("1001-a", sequence, 0, topic, {"1001-a": 4}), 0, 0, None)
    opened = _opened(state)
    first, second, due = plan(state, *opened, 10).items  # type: ignore[arg-type]
    assert isinstance(first, DueGap)
    assert isinstance(second, DueGap)
    assert (first.topic, second.topic, due.coverage and due.coverage.message) == ("a", "b", "1001-a.5")
    assert first.coverage is None
    assert first.position.dropped == (("b", "", 1),)
    assert plan(state, first.position, opened[1], 10).items[0] == second  # type: ignore[arg-type]
    assert second.coverage == Coverage("", {"1001-a": 4}, {"1001-a": 7})
    assert second.position.dropped == ()


def _opened(state: State) -> tuple[object, object]:  # position and wanted, as plan takes them
    opening = open_stream(state, "Alice", None)
    assert opening is not None
    return opening.position, opening.wanted


def test_two_subscriptions_that_overlap_bring_a_message_once() -> None:
    state = state_of(
        Subscribed("1001-a", 2, 0, "Alice", "news", {"1001-a": 1}),
        Subscribed("1001-a", 3, 0, "Alice", ">", {"1001-a": 1}),
        message(4),
    )
    assert read(state) == ["1001-a.4"]


def test_pages_of_messages_narrow_to_a_topic() -> None:
    state = state_of(Subscribed("1001-a", 2, 0, "Alice", "news.*", {"1001-a": 1}), message(3, "news.a"), message(4, "news.b"))
    opening = open_page(state, "Alice", "news.b", 0)
    assert opening is not None
    assert [i.coverage.message for i in plan(state, opening.position, opening.wanted, 10).dues] == ["1001-a.4"]
    assert open_page(state, "Alice", "tech", 0) is None


@settings(max_examples=150)
@given(st.data())
def test_each_due_message_comes_once_in_order_whatever_the_page(data: st.DataObject) -> None:
    topics = data.draw(st.lists(st.sampled_from(("news", "news.a", "tech")), max_size=30))
    pattern = data.draw(st.sampled_from(("news", "news.*", ">", "tech")))
    at = data.draw(st.integers(0, len(topics)))
    state, sequence, expected = state_of(), 2, list[str]()
    for index in range(len(topics) + 1):
        if index == at:
            state.apply(Subscribed("1001-a", sequence, 0, "Alice", pattern, {"1001-a": sequence - 1}), 0, 0, None)
            sequence += 1
        if index < len(topics):
            state.apply(message(sequence, topics[index]), 0, 0, None)
            wanted = pattern in (">", topics[index]) or (pattern == "news.*" and topics[index] == "news.a")
            if index >= at and wanted:
                expected.append(f"1001-a.{sequence}")
            sequence += 1
    got = read(state, limit=data.draw(st.integers(1, 5)), scan=data.draw(st.integers(1, 7)))
    assert got == expected
    if got:  # and going on from any id, once, brings the rest
        cut = data.draw(st.integers(0, len(got) - 1))
        event_ids = _event_ids(state)
        assert read(state, event_id=event_ids[cut]) == expected[cut + 1 :]


def _event_ids(state: State) -> list[Coverage]:
    opening = open_stream(state, "Alice", None)
    assert opening is not None
    return [due.coverage for due in plan(state, opening.position, opening.wanted, 1_000).dues]


def test_what_is_far_ahead_is_found_by_topic_not_row_by_row() -> None:
    state = state_of(
        Subscribed("1001-a", 2, 0, "Alice", "quiet.*", {"1001-a": 1}),
        Subscribed("1001-a", 3, 0, "Bob", "quiet.one", {"1001-a": 1}),
    )
    for sequence in range(4, 4_004):
        state.apply(message(sequence, "quiet.one" if sequence == 4_000 else f"busy.{sequence % 20}"), 0, 0, None)
    for user in ("Alice", "Bob"):
        opening = open_stream(state, user, None)
        assert opening is not None
        at, wanted, pages, got = opening.position, opening.wanted, 0, list[str]()
        while at.offset < len(state.log):
            page = plan(state, at, wanted, 10, scan=20)
            at, wanted, pages = page.position, page.wanted, pages + 1
            got += [due.coverage.message for due in page.dues]
        assert got == ["1001-a.4000"]
        assert pages < 10, "4,000 rows are 200 scans"


def test_what_comes_while_a_page_is_worked_out_is_for_the_next_one() -> None:
    state = state_of(Subscribed("1001-a", 2, 0, "Alice", ">", {"1001-a": 1}), message(3))
    opening = open_stream(state, "Alice", None)
    assert opening is not None
    plan(state, opening.position, opening.wanted, 10)  # from here on the first piece copies the rows
    pieces = read_on(state, opening.position, opening.wanted, 10)
    beside = None
    for sequence in range(4, 20):
        try:
            beside = pieces.send(beside() if beside is not None else None)
        except StopIteration as end:
            page = end.value
            break
        state.apply(message(sequence), 0, 0, None)
    assert [due.coverage.message for due in page.dues] == ["1001-a.3"]
    assert page.more
    assert [due.coverage.message for due in plan(state, page.position, page.wanted, 1).dues] == ["1001-a.4"]


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.sampled_from(["1001-a", "1002-b"]), st.sampled_from(["news", "tech", "art", "drop"])), max_size=40),
    st.lists(
        st.tuples(st.sampled_from(["news", "tech", "none"]), st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=3
    ),
    st.integers(1, 5),
)
def test_what_is_found_by_topic_is_what_looking_at_each_row_finds(
    taken: list[tuple[str, str]], known: list[tuple[str, int, int]], limit: int
) -> None:
    state = state_of()
    state.apply(Began("1002-b", 1, 0, "1002", {}), 0, 0, None)
    for origin, topic in taken:
        sequence = state.log.held(origin) + 1
        if topic == "drop":
            held = {name: state.log.held(name) for name in ("1001-a", "1002-b")}
            state.apply(Dropped(origin, sequence, 0, "news", held), 0, 0, None)
        else:
            state.apply(Published(origin, sequence, 0, topic=topic, data="x"), 0, 0, None)
    for pattern, one, other in known:
        since = {"1001-a": one, "1002-b": other}
        since = {name: min(upto, state.log.held(name)) for name, upto in since.items() if upto}
        op = Subscribed("1001-a", state.log.held("1001-a") + 1, 0, "Alice", pattern, since)
        state.apply(op, 0, 0, None)
    by_topic = read(state, limit=limit)
    with patch.object(limits, "PIECE_TOPICS", 0):
        assert read(state, limit=limit) == by_topic


def test_a_page_by_topic_ends_when_its_vector_has_come_far() -> None:
    state = state_of(Subscribed("1001-a", 2, 0, "Alice", "rare", {"1001-a": 1}))
    for sequence in range(3, 4_003):
        state.apply(message(sequence, "rare" if sequence % 100 == 0 else "busy"), 0, 0, None)
    opening = open_stream(state, "Alice", None)
    assert opening is not None
    page = plan(state, opening.position, opening.wanted, 256, scan=1_000)
    assert len(page.dues) == 11
    assert page.more
    assert len(read(state, scan=1_000)) == 40


def test_what_a_stream_held_when_it_opened_does_not_speak_for_what_was_subscribed_meanwhile() -> None:
    """QUERIES: K is taken where the user's subscriptions are looked up, not where the query ends."""
    state = state_of(
        Subscribed("1001-a", 2, 0, "Alice", "news", {"1001-a": 1}), Subscribed("1001-a", 3, 0, "Alice", "tech", {"1001-a": 1})
    )
    late = Subscribed("1001-a", 4, 0, "Alice", "art", {"1001-a": 1})
    with patch.object(limits, "PIECE_SUBSCRIPTIONS", 1):
        pieces = stream_opening(state, Recipient("Alice"), None)
        next(pieces)
        state.apply(late, 0, 0, None)
        opening = finish(pieces)
    assert opening is not None
    assert opening.wanted.patterns == ("news", "tech")
    (sub,) = state.subscriptions.with_pattern("Alice", "art")
    assert not speaks(knew(state, Coverage("", {}, dict(opening.position.opened))), sub)
