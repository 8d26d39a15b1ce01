"""The selector is told as seldom as may be, and never wakes the loop for what is not read."""

from __future__ import annotations

import selectors
import socket

from newswire.listener.interest import Interest

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


def test_it_is_told_when_something_comes_that_is_not_read() -> None:
    one, other = socket.socketpair()
    interest = Interest()
    interest.want(one.fileno(), READ, "one")
    assert interest.select(0.0) == []
    interest.want(one.fileno(), 0, "one")  # a request is served
    interest.want(one.fileno(), READ, "one")  # and answered
    interest.want(one.fileno(), 0, "one")
    other.send(b"early")
    ((key, events),) = interest.select(0.0)
    assert (key.data, events) == ("one", READ)
    interest.note_early(one.fileno())
    interest.want(one.fileno(), 0, "one")
    assert interest.select(0.0) == []
    interest.want(one.fileno(), READ | WRITE, "one")
    assert [events for _, events in interest.select(0.0)] == [READ | WRITE]
    interest.forget(one.fileno())
    assert (len(interest), interest.select(0.0)) == (0, [])
    interest.forget(None)
    interest.close()
    one.close()
    other.close()
