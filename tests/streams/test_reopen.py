"""Subscriptions that change while streams are open (docs/rules.md, REOPEN)."""

from __future__ import annotations

import threading

import pytest

from newswire.core import limits
from newswire.core.model.commands import Publish, Subscribe
from newswire.core.model.results import Position
from newswire.engine.memory import MemoryEngine
from newswire.engine.seam import Wake
from tests.kit.stream_fakes import Newsroom
from tests.kit.waiting import PATIENCE_SECONDS, wait_until


def test_a_new_subscription_joins_the_open_stream_with_its_history(room: Newsroom) -> None:
    room.desk.publish("sport", "old goal")
    room.desk.subscribe("Alice", "news")
    client = room.open()
    room.desk.publish("news", "one")
    assert client.data(1) == ["one"]
    room.desk.subscribe("Alice", "sport", earliest=True)
    assert client.data(1) == ["old goal"]
    room.desk.publish("news", "two")
    room.desk.publish("sport", "goal")
    assert client.data(2) == ["two", "goal"]


def test_the_streams_of_a_user_at_one_place_are_reopened_by_one_query(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    clients = [room.open() for _ in range(10)]
    room.desk.publish("news", "one")
    assert [client.data(1) for client in clients] == [["one"]] * 10
    room.settle()
    before = room.desk.queries
    room.desk.subscribe("Alice", "sport", earliest=True)
    room.desk.publish("sport", "goal")
    assert [client.data(1) for client in clients] == [["goal"]] * 10
    assert room.desk.queries - before == 1


def test_many_who_subscribe_do_not_hold_up_the_streams_of_others(room: Newsroom, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no time for looking up, a turn reopens one user's streams, and then reads on for everybody else."""
    monkeypatch.setattr(limits, "ROUND_SECONDS", 0.0)
    users = [f"user{number}" for number in range(6)]
    for user in users:
        room.desk.subscribe(user, "news")
    clients = [room.open(user) for user in users]
    room.settle()
    waiting: list[int] = []
    room.desk.before_page = lambda at: waiting.append(len(room.hub._changed_users))
    with room.desk.lock:  # the hub sees all of them in one turn
        for user in users[1:]:
            room.desk.subscribe(user, "sport", earliest=True)
        room.desk.publish("news", "one")
        room.desk.publish("sport", "goal")
    assert clients[0].data(1) == ["one"]
    assert [client.data(2) for client in clients[1:]] == [["one", "goal"]] * 5
    assert max(waiting) > 0, "somebody was read for while others waited to be reopened"


def test_streams_of_a_user_are_looked_for_once_and_nothing_is_left_of_those_that_ended(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news.*")
    clients = [room.open() for _ in range(3)]
    assert len(room.hub._audience.users()) == 1
    clients.pop().sock.close()
    wait_until(lambda: room.hub.count == 2, "one has left")
    room.desk.publish("news.a", "one")
    assert [client.data(1) for client in clients] == [["one"]] * 2
    for client in clients:
        client.sock.close()
    wait_until(lambda: room.hub.count == 0, "all have left")
    assert len(room.hub._audience.users()) == 0


def test_an_ended_subscription_leaves_the_open_stream(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news", "sport")
    client = room.open()
    room.desk.unsubscribe("Alice", "sport")
    room.desk.publish("sport", "goal")
    room.desk.publish("news", "one")
    assert client.data(1) == ["one"]


def test_the_stream_ends_with_the_last_subscription(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    client = room.open()
    room.desk.unsubscribe("Alice", "news")
    assert client.end() == []
    assert client.reader.retry == limits.RETRY_LATER_MILLISECONDS
    assert room.hub.count == 0


def test_a_change_repeats_nothing_and_loses_nothing_of_what_waits_to_be_sent(room: Newsroom) -> None:
    room.desk.subscribe("Alice", "news")
    client = room.open(receive_buffer=4096)
    texts = [f"{number} " + "x" * 1000 for number in range(2000)]
    for number in range(0, 2000, 100):
        room.desk.publish("news", *texts[number : number + 100])
        room.desk.subscribe("Alice", f"other.{number}")
    assert client.data(2000) == texts
    room.settle()
    assert client.events == []


def test_a_page_read_beyond_a_change_is_not_sent_before_the_stream_was_opened_again(room: Newsroom) -> None:
    """Else the id of "one" would speak for the subscription to sport, whose history was not read."""
    room.desk.publish("sport", "old goal")
    room.desk.subscribe("Alice", "news")
    client = room.open()
    room.settle()
    once = iter([True])

    def change(at: Position) -> None:
        if next(once, False):
            room.desk.subscribe("Alice", "sport", earliest=True)
            room.desk.publish("news", "two")

    room.desk.before_page = change
    room.desk.publish("news", "one")
    assert sorted(client.data(3)) == ["old goal", "one", "two"]
    room.settle()
    assert client.events == []


def test_an_engine_wakes_before_what_it_tells_of_can_be_read() -> None:
    """What the test before this one takes for granted."""
    engine = MemoryEngine()
    early: list[bool] = []

    def wake(woken: Wake) -> None:
        done = threading.Event()
        readers.append(threading.Thread(target=look, args=(done,)))
        readers[-1].start()
        early.append(done.wait(0.02))

    def look(done: threading.Event) -> None:
        engine.topics(0, len)
        done.set()

    readers: list[threading.Thread] = []
    engine.on_wake(wake)
    engine.submit([Subscribe("Alice", "news")])
    engine.submit([Publish("news", "one")])
    for reader in readers:
        reader.join()
    assert early == [False, False]


def test_the_hub_over_the_memory_engine() -> None:
    engine = MemoryEngine()
    room = Newsroom(engine=engine)
    room.hub.start()
    engine.submit([Publish("sport", "old goal"), Subscribe("Alice", "news")])
    client = room.open()
    engine.submit([Publish("news", "one")])
    assert client.data(1) == ["one"]
    engine.submit([Subscribe("Alice", "sport", since=0), Publish("sport", "goal"), Publish("news", "two")])
    assert client.data(3) == ["old goal", "goal", "two"]
    room.hub.stop(PATIENCE_SECONDS)
    assert client.end() == []
    assert [row.unread for row in engine.subscriptions_of("Alice")] == [0, 0]
    room.close()


def test_a_stream_whose_place_was_compacted_is_opened_again_and_says_how_many_are_gone(room: Newsroom) -> None:
    """docs/rules.md, COMPACT: its place is in the part that was written anew."""
    desk = room.desk
    desk.subscribe("Alice", "news")
    client = room.open()
    desk.publish("news", "one")
    assert client.data(1) == ["one"]
    room.settle()
    with desk.lock:
        desk.state.generation += 1
        desk.state.moved = ((limits.NEVER_ROWS, 0),)
        before = desk.queries
        desk.publish("news", "two")
    assert client.data(1) == ["two"]
    assert desk.queries > before, "it was opened again"
