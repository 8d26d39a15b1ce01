"""What streams share within a round, and who is woken by a topic."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from newswire.core import limits
from newswire.core.model.event_ids import EventId
from newswire.core.model.names import matches
from newswire.core.model.ops import Message
from newswire.core.model.results import Entry, Page, Position
from newswire.stream_order import StreamOrder
from newswire.streams.pages import Fanout, Index
from newswire.streams.stream import Stream


class Place(Position, frozen=True):
    """A position that the test can read. `reader`: whose wishes it stands for."""

    number: int
    reader: str = ""


class Shelf:
    """An engine's `next_page` that counts: one message of `size` at every place."""

    def __init__(self, size: int = 1) -> None:
        self.asked: list[tuple[Place, int]] = []
        self.size = size

    def next_page(self, at: Position, limit: int) -> Page:
        assert isinstance(at, Place)
        self.asked.append((at, limit))
        message = Message("a", at.number + 1, 0, topic="t", data="x" * self.size)
        after, event_id = Place(at.number + 1, at.reader), EventId(message.id, {"a": at.number + 1})
        return Page((Entry(message, event_id, after),), after, event_id, more=False)


def stream(number: int = 0, reader: str = "", as_json: bool = False, chunked: bool = True) -> Stream:
    made = Stream(StreamOrder("Alice", format="json" if as_json else "text"), chunked, 0.0)
    made.open(Place(number, reader))
    return made


def test_streams_at_one_place_share_a_page_and_the_very_bytes() -> None:
    shelf = Shelf()
    fanout = Fanout(shelf.next_page)
    bodies = {id(fanout.frames(stream(7)).body) for _ in range(500)}
    assert (len(bodies), len(shelf.asked), fanout.pages_read, fanout.pages_encoded) == (1, 1, 1, 1)


def test_formats_and_framings_share_the_page_but_not_the_bytes() -> None:
    shelf = Shelf()
    fanout = Fanout(shelf.next_page)
    bodies = {fanout.frames(stream(as_json=j, chunked=c)).body for j in (True, False) for c in (True, False) for _ in range(9)}
    assert (len(bodies), len(shelf.asked), fanout.pages_encoded) == (4, 1, 4)


def test_other_places_and_other_wishes_are_read_apart() -> None:
    shelf = Shelf()
    fanout = Fanout(shelf.next_page)
    for made in (stream(1), stream(2), stream(1, "of another")):
        fanout.frames(made)
    assert len(shelf.asked) == 3


def test_a_new_round_reads_again() -> None:
    shelf = Shelf()
    fanout = Fanout(shelf.next_page)
    fanout.frames(stream())
    fanout.start_round()
    fanout.frames(stream())
    assert len(shelf.asked) == 2


def test_what_a_round_keeps_is_bounded() -> None:
    shelf = Shelf(size=limits.ROUND_CACHE_BYTES // 2)
    fanout = Fanout(shelf.next_page)
    for offset in (0, 1, 2, 3, 0):
        fanout.frames(stream(offset))
    assert len(shelf.asked) == 5  # the first place was forgotten, and read again


def test_a_topic_wakes_those_who_named_it_and_those_whose_pattern_matches() -> None:
    index: Index[str] = Index()
    index.put("exact", ("finance.closing",))
    index.put("star", ("finance.*", "other"))
    index.put("rest", (">",))
    index.put("none", ("finance",))
    assert index.matching(["finance.closing"]) == {"exact", "star", "rest"}
    assert index.matching(["other", "finance"]) == {"star", "rest", "none"}
    assert index.matching([]) == set()


def test_who_left_or_changed_is_not_woken_any_more() -> None:
    index: Index[str] = Index()
    index.put("a", ("x.*",))
    index.put("b", ("x.*",))
    assert index.matching(["x.y"]) == {"a", "b"}
    index.put("a", ("y",))
    index.remove("b")
    index.remove("b")
    assert index.matching(["x.y"]) == set()
    assert index.matching(["y"]) == {"a"}
    assert len(index) == 1


LEVEL = st.sampled_from(["a", "b", "*"])
LEVELS = st.lists(LEVEL, min_size=1, max_size=3).map(".".join)
PATTERN = st.one_of(st.just(">"), LEVELS, LEVELS.map(lambda levels: levels + ".>"))
TOPIC = st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=4).map(".".join)


@given(st.lists(st.tuples(st.integers(0, 4), st.none() | st.lists(PATTERN, max_size=4), TOPIC), max_size=25))
def test_the_index_says_what_looking_at_every_member_says(steps: list[tuple[int, list[str] | None, str]]) -> None:
    index: Index[int] = Index()
    wanted: dict[int, list[str]] = {}
    for member, patterns, topic in steps:
        if patterns is None:
            index.remove(member)
            wanted.pop(member, None)
        else:
            index.put(member, tuple(patterns))
            wanted[member] = patterns
        expected = {who for who, mine in wanted.items() if any(matches(pattern, topic) for pattern in mine)}
        assert index.matching([topic]) == expected
