"""Tickets: once, within 30 seconds."""

from __future__ import annotations

import pytest

from newswire.core import limits
from newswire.web.tickets import Tickets


def test_a_ticket_is_good_once() -> None:
    tickets = Tickets[str]()
    ticket = tickets.give("Alice")
    assert len(ticket) >= 22  # 128 bits and more
    assert tickets.give("Bob") != ticket
    assert tickets.take(ticket) == "Alice"
    assert tickets.take(ticket) is None
    assert tickets.take("never given") is None


def test_a_ticket_is_good_for_a_short_time() -> None:
    now = 0.0
    tickets = Tickets[str](lambda: now)
    first, second = tickets.give("Alice"), tickets.give("Alice")
    now = limits.TICKET_SECONDS - 0.1
    assert tickets.take(first) == "Alice"
    now = limits.TICKET_SECONDS
    assert tickets.take(second) is None


def test_what_nobody_uses_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TICKETS_COUNT", 3)
    now = 0.0
    tickets = Tickets[int](lambda: now)
    five = [tickets.give(number) for number in range(5)]
    assert len(tickets._open) == 3
    assert [tickets.take(ticket) for ticket in five] == [None, None, 2, 3, 4]
    tickets.give(5)
    now = 100.0
    tickets.give(6)
    assert len(tickets._open) == 1
