"""The hub: what streams bring, who waits for whom, and how it ends."""

from __future__ import annotations

import json
import logging
import resource
import threading
from collections import Counter
from collections.abc import Callable

import pytest

from newswire import sse
from newswire.config import Settings
from newswire.core import limits
from newswire.core.broker.values import BrokerStatus
from newswire.core.model.event_ids import parse
from newswire.core.model.results import Position
from newswire.engine.seam import Wake
from tests.kit.stream_fakes import Clock, Newsroom, patterns_at
from tests.kit.waiting import PATIENCE_SECONDS, wait_until


def test_the_greeting_comes_first_with_a_retry_in_the_same_block(make: Callable[..., Newsroom]) -> None:
    room = make(clock=Clock())
    room.desk.subscribe("Alice", "news")
    client = room.open()
    assert client.plain == b"retry: 1000\ndata: Listening to new message for subscribed topics\n\n"


def test_the_greeting_of_a_json_stream_is_an_open_event(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    (event,) = room.connect(as_json=True).take(1)
    assert event.name == "open"
    assert json.loads(event.data) == {"message": sse.GREETING, "broker": "1001"}


def test_who_is_not_registered_is_told_to_come_back_later_and_closed(room: Newsroom) -> None:
    client = room.connect("Nobody")
    assert client.end() == []
    assert client.reader.retry == limits.RETRY_LATER_MILLISECONDS
    assert room.hub.count == 0


def test_a_stream_starts_at_the_cursor(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    room.desk.publish("news", "one", "two")
    assert room.open().data(2) == ["one", "two"]


def test_a_returning_client_goes_on_behind_its_id_and_acknowledges_with_it(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    room.desk.publish("news", "one", "two", "three")
    first = room.open(ack="client").take(2)
    again = room.open(ack="client", event_id=parse(first[1].id))
    assert again.data(1) == ["three"]
    wait_until(lambda: room.desk.unread("Alice") == 1)


def test_a_client_whose_id_lies_behind_the_cursor_is_sent_again_what_it_never_saw(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    room.desk.publish("news", "one", "two", "three")
    first = room.open().take(3)
    wait_until(lambda: room.desk.unread("Alice") == 0)
    assert room.open(event_id=parse(first[0].id)).data(2) == ["two", "three"]


def test_live_messages_come_in_order_to_those_who_wait_for_them(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news", "finance.*")
    room.desk.subscribe("Bob", "sport")
    alice, bob = room.open(), room.open("Bob")
    room.desk.publish("news", "a\nb")
    room.desk.publish("sport", "goal")
    room.desk.publish("finance.closing", "up")
    assert alice.data(2) == ["a\nb", "up"]
    assert bob.data(1) == ["goal"]
    room.settle()
    assert (alice.events, bob.events) == ([], [])
    assert room.hub.message_count == 3


@pytest.mark.parametrize("chunked", [True, False])
def test_compressed_streams_bring_and_acknowledge_the_same(make: Callable[..., Newsroom], chunked: bool) -> None:
    """Events come as soon as they are sent, beside streams that are not compressed."""
    clock = Clock()  # it stands still until all is read: what one has acknowledged, the next of the same user is not sent
    room = make(clock=clock)
    room.desk.subscribe("Alice", "news")
    room.desk.subscribe("Bob", "news")
    room.desk.publish("news", *(f"early {number}" for number in range(600)))
    alice, other, bob = (room.open(user, gzip=user == "Alice", chunked=chunked) for user in ("Alice", "Alice", "Bob"))
    for client in (alice, other, bob):
        assert client.data(600) == [f"early {number}" for number in range(600)]
    room.desk.publish("news", "late")
    assert [client.data(1) for client in (alice, other, bob)] == [["late"]] * 3

    def are_acknowledged() -> bool:
        room.pass_time(clock, limits.ACK_EVERY_SECONDS)
        return room.desk.unread("Alice") == room.desk.unread("Bob") == 0

    wait_until(are_acknowledged)
    assert room.hub.message_count == 3 * 601
    room.hub.stop(PATIENCE_SECONDS)
    assert [client.end() for client in (alice, other, bob)] == [[], [], []]


def test_who_is_turned_away_from_a_compressed_stream_can_read_why(room: Newsroom) -> None:
    assert "subscribe first" in room.connect("Nobody", gzip=True).last_words()


def test_an_unframed_stream(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    client = room.open(chunked=False)
    room.desk.publish("news", "one")
    assert client.data(1) == ["one"]
    room.hub.stop(PATIENCE_SECONDS)
    assert client.end() == []


def test_messages_as_json(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    client = room.connect(as_json=True)
    room.desk.publish("news", "one")
    event = client.take(2)[1]
    shown = json.loads(event.data)
    assert (shown["data"], shown["topic"], shown["event_id"]) == ("one", "news", event.id)


def test_messages_of_the_largest_size_are_not_read_again_and_again(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    for number in range(100):
        room.desk.publish("news", chr(65 + number % 26) * limits.MESSAGE_BYTES)
    before = room.hub.pages.read_count
    client = room.open()
    assert [len(text) for text in client.data(100)] == [limits.MESSAGE_BYTES] * 100
    assert room.hub.pages.read_count - before <= 100


def test_a_gap_is_told_and_then_acknowledged(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    room.desk.publish("news", "one", "two")
    room.desk.drop("news")
    room.desk.publish("news", "three")
    gap, event = room.open().take(2)
    assert (gap.name, json.loads(gap.data)) == ("gap", {"topic": "news", "dropped": 2})
    assert event.data == "three"
    wait_until(lambda: room.desk.unread("Alice") == 0)


def test_who_comes_back_and_has_all_is_read_nothing(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    room.desk.publish("news", "one")
    event = room.open(ack="client").take(1)[0]
    read = room.hub.pages.read_count
    again = room.open(ack="client", event_id=parse(event.id))
    assert room.hub.pages.read_count == read
    room.desk.publish("news", "two")
    assert again.data(1) == ["two"]


def test_five_hundred_streams_share_what_is_encoded(make: Callable[..., Newsroom]) -> None:
    room = make(settings=Settings(streams_per_user=1000))
    room.desk.subscribe("Alice", "news")
    clients = [room.connect() for _ in range(500)]
    for client in clients:
        client.take(1)
    room.settle()
    read, encoded = room.hub.pages.read_count, room.hub.pages.encoding_count
    room.desk.publish("news", "one")
    assert all(client.data(1) == ["one"] for client in clients)
    assert (room.hub.pages.read_count - read, room.hub.pages.encoding_count - encoded) == (1, 1)
    assert room.hub.message_count == 500


def test_a_message_is_one_send_for_each_stream_that_waits_for_it_and_nothing_else(
    make: Callable[..., Newsroom], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The selector is told nothing, no time is set for a stream but that to acknowledge, nobody else is looked at.

    The first of a round reads and is sent what is due as any stream; the others have the same bytes passed on.
    """
    room = make(settings=Settings(streams_per_user=100), clock=Clock())
    room.desk.subscribe("Alice", "news")
    room.desk.subscribe("Bob", "other")
    clients, bob = [room.open() for _ in range(50)], room.open("Bob")
    room.settle()
    calls: Counter[str] = Counter()

    def count(name: str, of: object, method: str) -> None:
        real = getattr(of, method)
        monkeypatch.setattr(of, method, lambda *arguments: (calls.update([name]), real(*arguments))[1])

    for method in ("register", "modify", "unregister"):
        count("selector", room.hub._connections._selector, method)
    count("deadline", room.hub._schedule, "put")
    count("acknowledgement", room.hub._confirmations._schedule, "put")
    count("question", room.hub._confirmations, "check_one")
    count("send", room.hub._connections, "send")
    count("send page", room.hub._connections, "send_page")
    for stream in room.streams:
        count(f"{stream.order.user} receives", stream, "receive")
        count(f"{stream.order.user} is passed on", stream, "pass_on")
    encoded = room.hub.pages.encoding_count
    for text in ("one", "two", "three"):
        room.desk.publish("news", text)
        assert all(client.data(1) == [text] for client in clients)
    wait_until(lambda: calls["Alice is passed on"] == 147)  # the last one has its page before that is noted
    assert calls == {
        "send": 3,
        "Alice receives": 3,
        "send page": 147,
        "Alice is passed on": 147,
        "acknowledgement": 50,
    }
    assert room.hub.pages.encoding_count - encoded == 3
    assert not bob.events


def test_who_does_not_take_a_page_at_once_gets_the_rest_of_it(make: Callable[..., Newsroom]) -> None:
    """One reads and one does not, beside each other: both get all, in order, and nothing twice."""
    room = make(settings=Settings(streams_per_user=100))
    room.desk.subscribe("Alice", "news")
    clients = [room.open(), room.open(receive_buffer=4096), room.open()]
    texts = [f"{number} " + "x" * 60_000 for number in range(12)]
    for text in texts:
        room.desk.publish("news", text)
        assert clients[0].data(1) == clients[2].data(1) == [text]
    assert clients[1].data(len(texts)) == texts


def test_a_quiet_stream_is_not_asked_for_with_each_keepalive(
    make: Callable[..., Newsroom], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    room = make(clock=clock)
    room.desk.subscribe("Alice", "news")
    client, calls = room.open(), list[float]()
    real = room.hub._confirmations.check_one
    monkeypatch.setattr(room.hub._confirmations, "check_one", lambda conn, now: (calls.append(now), real(conn, now))[1])
    for _ in range(24):
        room.pass_time(clock, limits.KEEPALIVE_SECONDS)
    assert 3 <= len(calls) <= 5, "in two minutes"
    room.desk.publish("news", "it lives")
    assert client.data(1) == ["it lives"]


def test_two_thousand_streams_and_no_thread_more(make: Callable[..., Newsroom]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 4_200
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"{needed} open files are needed, {hard} are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    try:
        room = make(settings=Settings(streams_per_user=2000))
        room.desk.subscribe("Alice", "news")
        threads = threading.active_count()
        clients = [room.connect() for _ in range(2000)]
        wait_until(lambda: room.hub.count == 2000)
        room.desk.publish("news", "one")
        assert all(client.data(2) == [sse.GREETING, "one"] for client in clients)
        assert threading.active_count() <= threads
        room.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_stream_that_only_catches_up_is_served_without_rests(room: Newsroom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STREAM_PAGE_MESSAGES", 10)  # all pages fit the socket, however slowly they are read
    room.desk.subscribe("Alice", "news")
    pages = 60
    room.desk.publish("news", *map(str, range(pages * limits.STREAM_PAGE_MESSAGES)))
    read, rests = room.hub.pages.read_count, room.hub.rest_count
    assert room.open().data(pages * limits.STREAM_PAGE_MESSAGES)[-1] == str(pages * limits.STREAM_PAGE_MESSAGES - 1)
    assert room.hub.pages.read_count - read >= pages
    assert room.hub.rest_count - rests <= pages // 10, "at the start, and where bytes were confirmed"


def test_while_messages_come_the_hub_rests_also_beside_one_that_catches_up(make: Callable[..., Newsroom]) -> None:
    """Each page that the one behind is given finds a message that has come."""
    room = make(clock=Clock(step=0.000_05))  # a turn has taken time, but no message is too old for a rest
    room.desk.subscribe("Alice", "news")
    room.desk.subscribe("Bob", "other")
    room.desk.publish("news", *map(str, range(20 * limits.STREAM_PAGE_MESSAGES)))
    bob = room.open("Bob")
    room.settle()
    pages: list[Position] = []

    def publish(at: Position) -> None:
        if "news" in patterns_at(at) and len(pages) < 20:
            pages.append(at)
            room.desk.publish("other", "x")

    room.desk.before_page = publish
    rests = room.hub.rest_count
    room.open().data(20 * limits.STREAM_PAGE_MESSAGES)
    assert bob.data(20) == ["x"] * 20
    assert room.hub.rest_count - rests >= 10


def test_one_failing_stream_ends_alone_with_a_line_in_the_log(
    make: Callable[..., Newsroom], caplog: pytest.LogCaptureFixture
) -> None:
    room = make(clock=Clock())
    room.desk.subscribe("Alice", "bad")
    room.desk.subscribe("Bob", "good")
    alice, bob = room.open(), room.open("Bob")
    room.settle()

    def fail(at: Position) -> None:
        if "bad" in patterns_at(at):
            raise OSError("the disk is on fire")

    room.desk.before_page = fail
    with caplog.at_level(logging.ERROR):
        room.desk.publish("bad", "one")
        wait_until(lambda: room.hub.count == 1)
    room.desk.publish("good", "two")
    assert bob.data(1) == ["two"]
    assert "Alice" in caplog.text
    assert alice.sock.recv(100) == b""


def row(broker: str, *, primary: bool = False, state: str = "up", self_: bool = False) -> BrokerStatus:
    return BrokerStatus(broker, f"127.0.0.1:{broker}", primary, state, 0, self_, streams_limit=20_000)


def test_streams_leave_a_broker_whose_disk_hangs_although_nobody_tells_the_hub(
    room: Newsroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SERVES_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(limits, "KEEPALIVE_SECONDS", 0.05)
    room.desk.subscribe("Alice", "news")
    room.desk.rows = (row("1001", self_=True), row("1003", primary=True))
    client = room.open()
    room.desk.serves = False
    (event,) = client.end()
    assert (event.name, json.loads(event.data)) == ("moved", {"to": "127.0.0.1:1003"})
    assert room.hub.count == 0


def test_a_hub_without_streams_asks_nobody(room: Newsroom) -> None:
    room.hub.wake(Wake(frozenset({"news"}), frozenset()))
    room.desk.subscribe("Alice", "news")
    assert room.desk.described == 0


def test_a_broker_that_leaves_sends_its_streams_to_the_primary(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    room.desk.rows = (row("1001", self_=True), row("1002"), row("1003", primary=True))
    client = room.open()
    room.hub.wake(Wake(frozenset(), frozenset(), serves=False))
    (event,) = client.end()
    assert (event.name, json.loads(event.data)) == ("moved", {"to": "127.0.0.1:1003"})
    late = room.connect()
    assert [event.name for event in late.end()] == ["moved"]
    assert room.hub.count == 0
    room.hub.wake(Wake(frozenset(), frozenset(), serves=True))
    room.open()


def test_streams_that_are_too_many_are_sent_where_there_is_room_and_go_on(
    make: Callable[..., Newsroom], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those whose clients follow: one that does not go stays, and gets its news."""
    monkeypatch.setattr(limits, "SPREAD_STREAMS", 4)
    monkeypatch.setattr(limits, "LOAD_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(limits, "MOVE_SECONDS", 1.0)
    clock = Clock()
    room = make(clock=clock)
    room.desk.rows = (row("1001", self_=True), row("1002"))
    room.desk.subscribe("Alice", "news")
    staying = [room.open() for _ in range(2)]
    following = [room.open(follows=True) for _ in range(2)]
    room.settle()
    wait_until(lambda: room.desk.loads[-1:] == [(4, 20_000)], "others are told")
    room.pass_time(clock, 1.0)
    wait_until(lambda: room.hub.move_count == 2, "two of four")
    for client in following:
        (event,) = client.take(1)
        assert (event.name, json.loads(event.data)) == ("moved", {"to": "127.0.0.1:1002", "reason": "load"})
    room.desk.publish("news", "one")
    assert [client.data(1) for client in (*staying, *following)] == [["one"]] * 4
    following[0].sock.close()
    wait_until(lambda: room.desk.loads[-1] == (3, 20_000), "others are told")


def test_stop_ends_streams_in_order_and_hands_over_the_last_cursors(room: Newsroom, monkeypatch: pytest.MonkeyPatch) -> None:
    room.desk.subscribe("Alice", "news")
    client = room.open()
    room.settle()
    monkeypatch.setattr(limits, "ACK_EVERY_SECONDS", 1000.0)
    room.desk.publish("news", "one")
    assert client.data(1) == ["one"]
    room.hub.stop(PATIENCE_SECONDS)
    assert client.end() == []
    assert room.desk.unread("Alice") == 0
    assert room.hub.count == 0
    assert not room.hub._thread.is_alive()


def test_stop_does_not_wait_for_who_does_not_read(make: Callable[..., Newsroom]) -> None:
    room = make(clock=Clock())  # it stands still: nobody has lingered for too long
    room.desk.subscribe("Alice", "news")
    room.connect(receive_buffer=4096)
    room.desk.publish("news", *["x" * 10_000] * 100)
    wait_until(lambda: any(stream.unsent_bytes and not stream.wants_page for stream in room.streams), "the queue is full")
    room.hub.stop(0.0)
    room.hub._thread.join(PATIENCE_SECONDS)
    assert not room.hub._thread.is_alive()
    assert room.streams == []


def test_who_comes_after_the_stop_is_closed(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    room.hub.stop(PATIENCE_SECONDS)
    room.desk.publish("news", "one")
    assert room.connect().sock.recv(100) == b""


def test_a_hub_that_was_never_started_can_be_stopped() -> None:
    room = Newsroom()
    client = room.connect()
    room.hub.stop(1.0)
    assert client.sock.recv(100) == b""
    room.close()


def test_a_stream_ends_when_what_it_was_opened_with_expires(make: Callable[..., Newsroom]) -> None:
    clock = Clock()
    room = make(clock=clock)
    room.desk.subscribe("Alice", "news")
    client, other = room.open(until=clock.now + 60), room.open()
    for _ in range(11):
        room.pass_time(clock, limits.KEEPALIVE_SECONDS)
    room.desk.publish("news", "while it is good")
    assert client.data(1) == other.data(1) == ["while it is good"]
    room.pass_time(clock, limits.KEEPALIVE_SECONDS)
    room.pass_time(clock, limits.KEEPALIVE_SECONDS)
    assert "expired" in client.last_words()
    room.desk.publish("news", "later")
    assert other.data(1) == ["later"]
