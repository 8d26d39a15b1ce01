"""Who gets a stream, and who makes room for whom (docs/rules.md, STREAM ROOM)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.config import Settings
from newswire.core import limits
from newswire.stream_order import StreamOrder
from newswire.streams.admission import (
    CALM_SECONDS,
    LOOK_SECONDS,
    LOOK_STREAMS,
    PATIENCE_MOST_SECONDS,
    PATIENCE_SECONDS,
    RETRY_MOST_SECONDS,
    SILENT_SECONDS,
    Admission,
    Eviction,
    NotNow,
)
from newswire.streams.stream import Stream
from tests.kit.page_fakes import encoded, entry
from tests.kit.stream_fakes import Clock, Newsroom
from tests.kit.waiting import wait_until

HOME, AWAY = "192.0.2.1", "192.0.2.2"


class Door:
    """An admission and its streams, whose clients confirm at once what they are sent."""

    def __init__(self, **settings: int) -> None:
        self.confirmations: list[Stream] = []  # that were asked for
        self.admission = Admission(Settings(**settings), self.confirmations.append)  # type: ignore[arg-type]
        self.now = 1000.0
        self.evictions: list[Eviction] = []

    def open(self, user: str = "Ann", caller: str = HOME, ack: str = "auto") -> Stream:
        """Have a stream admitted; who makes room for it leaves. Raises NotNow."""
        stream = Stream(StreamOrder(user, ack=ack, caller=caller), chunked=False, now=self.now)
        self.evictions = self.admission.admit(stream, self.now)
        for eviction in self.evictions:
            self.admission.remove(eviction.stream)
        return stream

    def send(self, stream: Stream) -> None:
        """Bring it an event, which its client never confirms."""
        stream.receive(encoded(entry(1)), self.now)
        stream.note_sent(stream.unsent_bytes, self.now)

    def bring(self, stream: Stream) -> None:
        """Bring it an event, which its client confirms."""
        self.send(stream)
        stream.note_confirmed(stream.written_bytes, self.now)

    @property
    def leavers(self) -> list[Stream]:
        return [eviction.stream for eviction in self.evictions]


# -- a user's streams


def test_the_stream_of_a_user_that_was_idle_longest_makes_room() -> None:
    door = Door(streams_per_user=3)
    first, second, third = door.open(), door.open(), door.open()
    door.now += 20
    door.bring(first)
    door.now += 20
    door.bring(third)
    door.now += PATIENCE_SECONDS
    door.open()
    assert door.leavers == [second]
    assert "brought nothing for 50 s" in door.evictions[0].reason
    assert "3 streams of this user" in door.evictions[0].reason
    assert door.admission.count == 3


def test_no_stream_that_is_in_use_makes_room() -> None:
    door = Door(streams_per_user=2)
    streams = [door.open(), door.open()]
    door.now += 100
    for stream in streams:
        door.bring(stream)
    door.now += PATIENCE_SECONDS - 0.1
    with pytest.raises(NotNow, match="2 streams of this user are open, which is the limit, and none has been idle"):
        door.open()
    assert door.admission.count == 2


def test_until_one_can_have_been_idle_long_enough_nobody_looks_again() -> None:
    door = Door(streams_per_user=1)
    door.open()
    door.now += PATIENCE_SECONDS - 0.5
    with pytest.raises(NotNow):
        door.open()
    order = StreamOrder("Ann", caller=HOME)
    assert "of this user" in door.admission.refusal(order, door.now + 0.4)
    assert door.admission.refusal(order, door.now + 0.5) == ""


def test_a_client_that_has_gone_makes_room_before_one_that_is_only_idle() -> None:
    door = Door(streams_per_user=2)
    idle = door.open()
    door.now += 1000
    gone = door.open()
    door.send(gone)
    door.now += SILENT_SECONDS
    door.open()
    assert door.evictions == [Eviction(gone)]
    assert door.confirmations == [gone], "asked before it was believed"
    door.open()
    assert door.leavers == [idle]


def test_others_are_not_asked_to_make_room() -> None:
    door = Door(streams_per_user=1)
    door.open("Bob")
    mine = door.open("Ann")
    door.now += 1000
    door.open("Ann")
    assert door.leavers == [mine]


def test_who_fills_a_users_streams_from_elsewhere_evicts_only_his_own() -> None:
    door = Door(streams_per_user=4)
    home = door.open()
    door.now += 100
    away = [door.open(caller=AWAY) for _ in range(3)]
    door.now += 100
    for _ in range(5):
        away.append(door.open(caller=AWAY))
        assert door.leavers == [away.pop(0)]
        door.now += PATIENCE_MOST_SECONDS
    for stream in away:
        door.bring(stream)
    with pytest.raises(NotNow):
        door.open(caller=AWAY)
    door.now += PATIENCE_MOST_SECONDS
    door.bring(home)
    door.open(caller=HOME)
    assert door.leavers == [away[0]], "who comes home takes from who has most"


def test_a_device_that_sleeps_does_not_make_room_for_who_fills_a_users_streams_from_elsewhere() -> None:
    door = Door(streams_per_user=4)
    phone = door.open()
    away = [door.open(caller=AWAY) for _ in range(3)]
    door.send(phone)
    door.now += 2 * SILENT_SECONDS
    door.open(caller=AWAY)
    assert door.leavers == [away[0]]
    door.open(caller=HOME)
    assert phone not in door.leavers, "at home, too, who has most gives"


def test_who_is_not_certainly_the_reader_makes_room_first_and_nobody_for_it() -> None:
    door = Door(streams_per_user=4)
    door.open()
    foreign = door.open(ack="none")
    door.now += 100
    door.open(), door.open()
    with pytest.raises(NotNow, match="certainly the reader"):
        door.open(ack="none")
    door.now += 100
    door.open()
    assert door.leavers == [foreign]


def test_clients_that_come_again_by_themselves_evict_each_other_ever_more_rarely() -> None:
    """Two clients, one place, a day: each comes again as soon as it may."""
    door = Door(streams_per_user=1)
    door.open()
    start, times = door.now, []
    retry_at = start
    while door.now < start + 86_400:
        door.now = max(door.now + limits.RETRY_LATER_MILLISECONDS / 1000, retry_at)
        try:
            door.open()
        except NotNow:
            continue
        times.append(door.now - start)
        retry_at = door.now + door.evictions[0].retry_seconds
        assert door.evictions[0].retry_seconds <= RETRY_MOST_SECONDS
    assert 5 < len(times) < 10 + 86_400 / PATIENCE_MOST_SECONDS
    assert times[0] == pytest.approx(PATIENCE_SECONDS, abs=5)
    pauses = [later - sooner for sooner, later in pairwise(times)]
    assert all(later >= sooner - 5 for sooner, later in pairwise(pauses))
    assert pauses[-1] >= PATIENCE_MOST_SECONDS


def test_after_a_calm_time_patience_begins_anew() -> None:
    door = Door(streams_per_user=1)
    door.open()
    door.now += 100
    door.open()
    door.now += PATIENCE_SECONDS
    with pytest.raises(NotNow):
        door.open()
    door.now += CALM_SECONDS
    door.open()
    assert door.evictions[0].retry_seconds == 2 * PATIENCE_SECONDS


def test_one_that_leaves_has_room_again_at_once() -> None:
    door = Door(streams_per_user=1)
    first = door.open()
    with pytest.raises(NotNow):
        door.open()
    door.admission.remove(first)
    door.admission.remove(first)
    assert door.admission.count == 0
    door.open()
    assert door.evictions == []


# -- an address


def test_of_an_address_whose_user_has_most_makes_room() -> None:
    door = Door(streams_per_address=3)
    ann = door.open("Ann")
    door.now += 100
    first, _ = door.open("Bob"), door.open("Bob")
    door.now += 100
    door.open("Cleo")
    assert door.leavers == [first]
    assert "3 streams from this address" in door.evictions[0].reason
    door.open("Ann", AWAY)
    assert door.evictions == []
    assert ann in door.admission._all.streams


def test_a_stream_that_makes_room_for_a_user_makes_it_for_the_address_too() -> None:
    door = Door(streams_per_user=1, streams_per_address=1)
    first = door.open()
    door.now += 100
    door.open()
    assert door.leavers == [first]
    assert door.admission.count == 1


def test_where_one_limit_finds_nobody_the_other_evicts_nobody() -> None:
    door = Door(streams_per_user=1, streams_per_address=2)
    door.open("Ann", AWAY)
    door.now += 100
    busy = [door.open("Bob"), door.open("Cleo")]
    for _ in range(20):
        with pytest.raises(NotNow, match="from this address"):
            door.open("Ann")
    for stream in busy:
        door.admission.remove(stream)
    door.open("Ann")
    assert door.evictions[0].retry_seconds == 2 * PATIENCE_SECONDS, "patience counts evictions, not tries"


def test_of_this_machines_own_address_a_limit_counts_if_it_was_set() -> None:
    door = Door(streams=4)
    for number in range(3):
        door.open(f"user{number}", "127.0.0.1")
    door = Door(streams=4, streams_per_address=2)
    door.open("Ann", "::1"), door.open("Bob", "::1")
    with pytest.raises(NotNow, match="from this address"):
        door.open("Cleo", "::1")


def test_many_streams_are_looked_through_once_a_second() -> None:
    door = Door(streams_per_address=LOOK_STREAMS + 1, streams=10_000)
    for number in range(LOOK_STREAMS + 1):
        door.open(f"user{number}")
    door.now += 1000
    door.open("one")
    with pytest.raises(NotNow):
        door.open("another")
    door.now += LOOK_SECONDS
    door.open("another")


# -- all


def test_no_stream_makes_room_for_a_stranger() -> None:
    door = Door(streams=2)
    door.open("Ann", HOME), door.open("Bob", AWAY)
    door.now += 100_000
    with pytest.raises(NotNow, match="as many streams as it may"):
        door.open("Eve", "192.0.2.3")


def test_strangers_who_find_no_room_do_not_keep_a_user_from_trading_an_idle_stream_for_a_new_one() -> None:
    door = Door(streams=2, streams_per_user=1)
    mine = door.open("Ann", HOME)
    door.open("Bob", AWAY)
    door.now += 100
    with pytest.raises(NotNow, match="as many streams as it may"):
        door.open("Eve", "192.0.2.3")
    assert door.admission.refusal(StreamOrder("Eve", caller="192.0.2.3"), door.now)
    assert door.admission.refusal(StreamOrder("Ann", caller=HOME), door.now) == ""
    door.open("Ann", HOME)
    assert door.leavers == [mine]


def test_clients_that_have_gone_make_room_for_anybody_up_to_an_eighth_at_once() -> None:
    door = Door(streams=32)
    streams = [door.open(f"user{number}", f"192.0.2.{number}") for number in range(32)]
    for stream in reversed(streams[:10]):
        door.now += 1
        door.send(stream)
    door.now += SILENT_SECONDS
    door.open("Eve", AWAY)
    assert door.evictions == [Eviction(stream) for stream in streams[9:5:-1]], "the longest silent, without a word"
    assert door.admission.count == 29


@given(st.data())
def test_limits_hold_and_who_makes_room_shares_one_with_the_newcomer_and_was_idle(data: st.DataObject) -> None:
    door = Door(streams_per_user=3, streams_per_address=4, streams=9)
    streams: list[Stream] = []
    for _ in range(data.draw(st.integers(1, 40))):
        door.now += data.draw(st.sampled_from([0.0, 0.5, 5.0, 30.0, 700.0]))
        for stream in streams:
            if data.draw(st.booleans()):
                door.bring(stream)
        user, caller = data.draw(st.sampled_from(["Ann", "Bob", "Cleo", "Dan"])), data.draw(st.sampled_from([HOME, AWAY]))
        patience = min(group.patience_seconds for group in door.admission._groups(StreamOrder(user, caller=caller)))
        try:
            streams.append(door.open(user, caller))
        except NotNow:
            continue
        for stream in door.leavers:
            assert user == stream.order.user or caller == stream.order.caller
            assert stream.idle_seconds(door.now) >= min(patience, PATIENCE_SECONDS)
            streams.remove(stream)
        assert len(door.leavers) <= 2
        assert set(streams) == set(door.admission._all.streams)
        assert max(Counter(stream.order.user for stream in streams).values()) <= 3
        assert max(Counter(stream.order.caller for stream in streams).values()) <= 4
    for stream in streams:
        door.admission.remove(stream)
    assert (door.admission.count, door.admission._of_user, door.admission._of_caller) == (0, {}, {})


# -- in the hub


@pytest.mark.parametrize("settings", [Settings(streams_per_user=2), Settings(streams=2)])
def test_a_stream_over_a_limit_is_told_to_come_back_later(make: Callable[..., Newsroom], settings: Settings) -> None:
    room = make(settings=settings, clock=Clock())
    room.desk.subscribe("Alice", "news")
    first, _ = room.open(), room.open()
    refused = room.connect()
    assert refused.end() == []
    assert refused.plain.startswith(b"retry: 5000\n: ")
    assert (room.hub.count, room.hub.refusal_count) == (2, 1)
    first.sock.close()
    wait_until(lambda: room.hub.count == 1)
    room.open()


def test_who_makes_room_is_told_why_and_when_to_come_again(make: Callable[..., Newsroom]) -> None:
    clock = Clock()
    room = make(settings=Settings(streams_per_user=1), clock=clock)
    room.desk.subscribe("Alice", "news")
    first = room.open()
    clock.now += 30
    second = room.open()
    assert "another stream takes the place of this one, which has brought nothing for 30 s" in first.last_words()
    assert first.reader.retry == 2 * PATIENCE_SECONDS * 1000
    room.desk.publish("news", "one")
    assert second.data(1) == ["one"]
    assert (room.hub.count, room.hub.eviction_count) == (1, 1)
    assert room.connect().last_words().endswith("close one"), "the second has just had an event"


def test_what_was_sent_to_who_makes_room_is_acknowledged_and_does_not_come_again(make: Callable[..., Newsroom]) -> None:
    clock = Clock()
    room = make(settings=Settings(streams_per_user=1), clock=clock)
    room.desk.subscribe("Alice", "news")
    first = room.open()
    room.desk.publish("news", "one", "two")
    assert first.data(2) == ["one", "two"]
    room.pass_time(clock, 30)
    wait_until(lambda: room.desk.unread("Alice") == 0)
    second = room.open()
    first.last_words()
    room.desk.publish("news", "three")
    assert second.data(1) == ["three"]


def test_who_has_gone_makes_room_for_a_stranger(make: Callable[..., Newsroom]) -> None:
    clock = Clock()
    room = make(settings=Settings(streams=1), clock=clock)
    for user in ("Alice", "Bob"):
        room.desk.subscribe(user, "news")
    gone = room.open("Alice", receive_buffer=4096)
    room.desk.publish("news", *["x" * 10_000] * 100)
    wait_until(lambda: any(stream.unsent_bytes for stream in room.streams), "its socket is full")
    assert "as many streams as it may" in room.connect("Bob").last_words()

    def makes_room() -> bool:
        """When its kernel has taken nothing for so long; until when it takes more is its own matter."""
        room.pass_time(clock, SILENT_SECONDS)
        refusals = room.hub.refusal_count
        room.connect("Bob")
        wait_until(lambda: room.hub.eviction_count or room.hub.refusal_count > refusals, "Bob is let in, or is not")
        return bool(room.hub.eviction_count)

    wait_until(makes_room)
    wait_until(lambda: [stream.order.user for stream in room.streams] == ["Bob"])
    assert room.hub.count == 1
    gone.sock.close()


def test_who_may_be_no_reader_leaves_room_for_the_reader(make: Callable[..., Newsroom]) -> None:
    room = make(settings=Settings(streams_per_user=4))
    room.desk.subscribe("Alice", "news")
    for _ in range(2):
        room.open(ack="none")
    assert "certainly the reader" in room.connect(ack="none").last_words()
    for _ in range(2):
        room.open()
    assert (room.hub.count, room.hub.refusal_count) == (4, 1)


@pytest.mark.parametrize("settings", [Settings(streams_per_address=2), Settings(streams=4)])
def test_one_address_has_not_all_streams(make: Callable[..., Newsroom], settings: Settings) -> None:
    room = make(settings=settings, clock=Clock())
    room.desk.subscribe("Alice", "news")
    first, _ = room.open(caller=HOME), room.open(caller=HOME)
    assert "from this address" in room.connect(caller=HOME).last_words()
    assert "from this address" in room.hub.refusal(StreamOrder("Bob", caller=HOME)), "for a second nobody need ask"
    assert room.hub.refusal(StreamOrder("Bob", caller=AWAY)) == ""
    room.open(caller=AWAY)
    first.sock.close()
    wait_until(lambda: room.hub.count == 2)
    assert room.hub.refusal(StreamOrder("Bob", caller=HOME)) == ""
    room.open(caller=HOME)


def test_this_machines_own_address_may_have_all_streams(make: Callable[..., Newsroom]) -> None:
    room = make(settings=Settings(streams=3))
    room.desk.subscribe("Alice", "news")
    for _ in range(3):
        room.open(caller="127.0.0.1")
    assert "as many streams as it may" in room.connect(caller="127.0.0.1").last_words()
