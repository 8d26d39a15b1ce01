"""What other threads leave for the hub."""

from __future__ import annotations

import select
import socket

from newswire.engine.seam import Wake
from newswire.stream_order import StreamOrder
from newswire.streams.inbox import Arrival, Inbox


def is_awake(inbox: Inbox) -> bool:
    return bool(select.select([inbox.reader], [], [], 0)[0])


def arrival() -> Arrival:
    return Arrival(StreamOrder("Alice"), socket.socket(), head=b"", chunked=True)


def test_what_commits_changed_is_merged_and_wakes_once() -> None:
    inbox = Inbox(lambda: 0.0)
    inbox.put_wake(Wake(frozenset({"a"}), frozenset({"Alice"})))
    inbox.put_wake(Wake(frozenset({"b"}), frozenset({"Bob"}), serves=False))
    assert is_awake(inbox)
    assert inbox.has_change_of(("Alice",))
    assert inbox.take() == ([], Wake(frozenset("ab"), frozenset({"Alice", "Bob"}), serves=False))
    assert not is_awake(inbox)
    assert not inbox.has_change_of(("Alice",))
    assert inbox.take() == ([], Wake(frozenset(), frozenset(), serves=False))
    inbox.close()


def test_sockets_come_in_order() -> None:
    inbox = Inbox(lambda: 0.0)
    arrivals = [arrival(), arrival()]
    assert all(inbox.put_arrival(one) for one in arrivals)
    assert inbox.arrivals_count == 2
    assert inbox.take()[0] == arrivals
    assert inbox.arrivals_count == 0
    inbox.close()
    for one in arrivals:
        one.sock.close()


def test_the_age_is_that_of_the_oldest_message() -> None:
    now = 10.0
    inbox = Inbox(lambda: now)
    inbox.put_wake(Wake(frozenset(), frozenset({"Alice"})))
    now = 11.0
    assert inbox.age() == 0.0
    inbox.put_wake(Wake(frozenset("a"), frozenset()))
    now = 12.0
    inbox.put_wake(Wake(frozenset("b"), frozenset()))
    now = 13.0
    assert inbox.age() == 2.0
    inbox.take()
    assert inbox.age() == 0.0
    inbox.close()


def test_a_closed_inbox_takes_nothing_and_gives_back_what_nobody_took() -> None:
    inbox = Inbox(lambda: 0.0)
    early, late = arrival(), arrival()
    inbox.put_arrival(early)
    assert inbox.close() == [early]
    assert not inbox.put_arrival(late)
    inbox.put_wake(Wake(frozenset("a"), frozenset()))
    inbox.wake()
    for one in (early, late):
        one.sock.close()


def test_topics_wake_nobody_while_the_hub_waits_without_a_stream() -> None:
    inbox = Inbox(lambda: 0.0)
    inbox.is_for_nobody = True
    inbox.put_wake(Wake(frozenset("a"), frozenset()))
    assert not is_awake(inbox)
    for wake in (Wake(frozenset("a"), frozenset({"Alice"})), Wake(frozenset(), frozenset(), serves=False)):
        inbox.put_wake(wake)
        assert inbox.take() == ([], wake), "what is no news wakes it all the same"
        inbox.put_wake(Wake(frozenset("a"), frozenset(), serves=wake.serves))
        assert not is_awake(inbox)
    one = arrival()
    inbox.put_arrival(one)
    inbox.put_wake(Wake(frozenset("b"), frozenset(), serves=False))
    assert inbox.take() == ([one], Wake(frozenset("b"), frozenset(), serves=False)), "a stream that is to be opened is told"
    inbox.close()
    one.sock.close()
