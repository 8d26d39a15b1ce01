"""What one round brings together: losses, batches, and brokers that leave (docs/rules.md, LOST, LEAVE)."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from newswire.core import limits
from newswire.core.broker.events import AcceptLoss, Rewritten, Unreadable, Writable
from newswire.core.model.commands import Publish, Subscribe, Unsubscribe
from newswire.core.model.ops import decode
from newswire.engine.memory import MemoryEngine
from tests.kit.by_rounds import A, B, C, Rounds, covers, peer_of, push_of, records, shown, without


@pytest.mark.parametrize("copies", [1, 2])
def test_who_publishes_while_another_broker_finishes_a_long_batch_is_told_of_all_copies(
    copies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer lists an origin that has not begun here: what it holds is asked for, and waited for."""
    monkeypatch.setattr(limits, "BATCH_LONG_OPS", 4)
    monkeypatch.setattr(limits, "BATCH_PIECE_OPS", 4)
    net = Rounds()
    a, b = net.broker(A, B), net.broker(B, A)
    net.ticks(5, a, b, seconds=0)
    assert a.submit([Publish("news", "first")]).copies == 2
    net.by_hand = True
    told: list[Any] = []
    done: list[Any] = []
    b.submit_later([Publish("news", str(number)) for number in range(9)], done.append)
    for number in range(30):
        if number < 20:
            a.submit_later([Publish("news", f"beside {number}")], told.append, copies=copies)
        net.round(a)
        net.round(b)
    net.settle(a, b)
    assert [one.copies for one in (*told, *done)] == [2] * 21


@pytest.mark.parametrize("is_full", [False, True], ids=["behind", "full"])
def test_who_leaves_has_taken_what_another_broker_gave_up(is_full: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its disk has the only copy: it goes when that is stored again, and elsewhere too."""
    monkeypatch.setattr(limits, "PUSH_OPS", 4)  # what was stored meanwhile takes more than one push
    net = Rounds()
    a, b = net.broker(A, B), net.broker(B, A)
    net.ticks(5, a, b, seconds=0)
    for data in ("one", "two", "three", "four"):
        a.submit([Publish("news", data)])
    a.close()
    b.close()
    b = net.broker(B, A, log=without(b.log, "two"))
    net.ticks(3, b, seconds=3)
    for number in range(40):
        b.submit([Publish("news", f"before {number}")])
    assert b.accept_loss(even_if_away=True).count == 1
    for number in range(3):
        b.submit([Publish("news", f"after {number}")])
    net.by_hand = True
    a = net.broker(A, B, log=a.log)
    if is_full:
        a.shell.run([Writable(False)])
    asked = False
    for _ in range(60):
        if not asked and peer_of(a, B).in_sync:
            a.leave_later("1001", lambda result: None)
            asked = True
        net.round(a)
        net.round(b)
        net.ticks(1, a, b, seconds=0.3)
    assert asked
    assert a.exited != is_full
    assert ("two" in shown(b)) != is_full


def test_who_leaves_does_not_wait_for_what_is_left_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker that stored it has ended in the middle, and forgot it at its start; the others keep their part."""
    monkeypatch.setattr(limits, "BATCH_LONG_OPS", 4)
    monkeypatch.setattr(limits, "BATCH_PIECE_OPS", 4)
    net = Rounds()
    a, b = net.broker(A, B), net.broker(B, A)
    net.ticks(5, a, b, seconds=0)
    net.by_hand = True
    a.submit_later([Publish("news", f"m{number}") for number in range(15)], lambda result: None)
    while max(b.shell.broker.state.open_batches.extents.values(), default=0) < 8:
        net.round(a)
        net.round(b)
    a.close()
    net.waiting.clear()
    net.by_hand = False
    a = net.broker(A, B, log=a.log)
    net.ticks(8, a, b)
    assert a.submit([Publish("news", "after")]).copies == 2
    b.leave("1002")
    net.ticks(8, a, b)
    assert b.exited


# -- what is given up while it comes ------------------------------------------------------------------------------
def given_up_by_another() -> tuple[Rounds, MemoryEngine, MemoryEngine, MemoryEngine]:
    """Broker 1001 lacks a message, which 1002, that lacked it too, has given up; 1003 holds it, and is parted from both."""
    net = Rounds()
    a, b, c = (net.broker(one, others, compacts=True) for one, others in ((A, (B, C)), (B, (A, C)), (C, (A, B))))
    net.ticks(6, a, b, c, seconds=0)
    for data in ("one", "two", "three", "four"):
        assert a.submit([Publish("news", data, key=data)]).copies == 3
    for pair in ((A, C), (B, C), (A, B)):
        net.cut(*pair)
    a.close()
    b.close()
    a = net.broker(A, (B, C), log=without(a.log, "two"), compacts=True)
    b = net.broker(B, (A, C), log=without(b.log, "two"), compacts=True)
    net.ticks(4, a, b, c)
    for number in range(3):
        b.submit([Subscribe("Ann", f"x{number}")])
        b.submit([Unsubscribe("Ann", f"x{number}")])
    assert b.accept_loss(even_if_away=True).count == 1
    return net, a, b, c


def test_what_comes_in_one_round_with_what_gives_it_up_is_stored_again() -> None:
    net, a, b, c = given_up_by_another()
    net.by_hand = True
    answers: list[Any] = []
    two = push_of(c, A, records(c.log, "two"), answers)
    origin = b.shell.broker.identity.origin
    lost = push_of(b, A, [raw for raw in b.log.raws if decode(raw).origin == origin], answers)
    a.shell.run([two, lost])
    for _ in range(5):
        net.round(a)
        net.ticks(1, a)
    assert "two" in shown(a)


def test_what_is_coming_is_not_given_up_in_the_same_round() -> None:
    net, a, _, c = given_up_by_another()
    net.by_hand = True
    answers: list[Any] = []
    two = push_of(c, A, records(c.log, "two"), answers)
    a.shell.run([two, AcceptLoss(answers.append, even_if_away=True, until=net.seconds + 9)])
    for _ in range(3):
        net.round(a)
        net.ticks(1, a)
    assert "two" in shown(a)
    assert [one.code for one in answers if hasattr(one, "code")] == ["not-lost"]


def test_what_a_log_that_is_being_adopted_gives_up_is_not_taken_meanwhile() -> None:
    """It would be shown, answered for, and void a moment later."""
    net, a, b, c = given_up_by_another()
    b.compact_later(lambda result: None, even_if_away=True)
    net.mend(A, B)
    net.by_hand = True
    for _ in range(40):
        net.ticks(1, a, b, seconds=0.3)
        net.round(b)
        if any(isinstance(event, Rewritten) for event in net.waiting.get(A, ())):
            break
        net.round(a)
    waiting, net.waiting[A] = net.waiting[A], deque()
    assert any(isinstance(event, Rewritten) and event.job.adopts for event in waiting)
    answers: list[Any] = []
    two = records(c.log, "two")
    a.shell.run([push_of(c, A, two, answers)])  # while the log is written anew
    assert "two" not in shown(a)
    assert not covers(a, answers[0], decode(two[0]).id)
    net.waiting[A].extendleft(reversed(waiting))
    for _ in range(5):
        net.round(a)
        net.ticks(1, a, seconds=0.3)
    net.settle(a, b)
    assert shown(a) == ["one", "three", "four"]


def test_nothing_is_handed_over_while_something_of_it_cannot_be_read() -> None:
    """Each push of a part would fail, at once and for ever. What can be read is pushed."""
    net = Rounds()
    a, b = net.broker(A, B, compacts=True), net.broker(B, A, compacts=True)
    net.ticks(6, a, b, seconds=0)
    net.cut(A, B)
    net.ticks(4, a, b, seconds=3)
    for number in range(3):
        a.submit([Subscribe("Ann", f"x{number}")])
        a.submit([Unsubscribe("Ann", f"x{number}")])
    for data in ("two", "three", "four"):
        a.submit([Publish("news", data)])
    a.compact_later(lambda result: None, even_if_away=True)
    bad = {place for place, raw in a.log._at.items() if b'"three"' in raw}
    net.put(a, Unreadable(tuple(bad)))
    fetched: list[int] = []
    fetch = a.log.fetch
    a.log.fetch = lambda places: (fetched.extend(place for place, _ in places), fetch(places))[1]  # type: ignore[method-assign]
    net.mend(A, B)
    net.ticks(10, a, b)
    assert peer_of(a, B).vector is not None
    assert bad.isdisjoint(fetched)
