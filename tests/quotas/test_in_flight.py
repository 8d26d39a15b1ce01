"""Whose request may begin: one after the other at once, several at a time with those, and nobody held who is alone."""

from __future__ import annotations

import heapq
from collections import Counter
from typing import Final

import pytest

from newswire.core import limits
from newswire.quotas.in_flight import InFlight

ROUND: Final = limits.LIGHT_ROUND_COUNT


def ask(callers: InFlight, caller: str, count: int = 1, now: float = 100.0) -> None:
    for _ in range(count):
        callers.ask(caller, now)


def begin_all(callers: InFlight, *names: str, now: float = 100.0) -> Counter[str]:
    """Begin what may, of one caller after the other, in one turn; how many of each."""
    counts: Counter[str] = Counter()
    waiting = Counter(callers._waiting)
    callers.look(now)
    while (name := next((name for name in names if waiting[name] and callers.may(name)), None)) is not None:
        callers.begin(name, now)
        waiting[name] -= 1
        counts[name] += 1
    callers.close()
    return counts


def end(callers: InFlight, caller: str, count: int = 1, now: float = 100.0) -> None:
    for _ in range(count):
        callers.end(caller, now)


def is_quick(callers: InFlight, caller: str) -> None:
    """Have it ask twice, one request at once after the other."""
    for _ in range(2):
        ask(callers, caller)
        begin_all(callers, caller)
        end(callers, caller)


def test_who_is_alone_is_not_held() -> None:
    callers = InFlight()
    ask(callers, "crowd", 100)
    assert begin_all(callers, "crowd") == {"crowd": 100}


def test_who_asks_one_thing_after_the_other_begins_at_once_and_others_join_in() -> None:
    callers = InFlight()
    is_quick(callers, "one")
    ask(callers, "crowd", 64)
    ask(callers, "one")
    assert begin_all(callers, "crowd", "one") == {"one": 1, "crowd": ROUND}
    assert begin_all(callers, "crowd", "one") == {}, "the round is closed"
    end(callers, "crowd", ROUND)
    assert begin_all(callers, "crowd", "one") == {}, "one's answer is waited for"
    end(callers, "one")
    assert begin_all(callers, "crowd", "one") == {}, "one's next request is waited for"
    ask(callers, "one")
    assert begin_all(callers, "crowd", "one") == {"one": 1, "crowd": ROUND}


def test_a_next_request_is_waited_for_for_a_moment() -> None:
    callers = InFlight()
    is_quick(callers, "one")
    ask(callers, "crowd", 64)
    ask(callers, "one")
    begin_all(callers, "crowd", "one")
    end(callers, "crowd", ROUND)
    end(callers, "one")
    assert begin_all(callers, "crowd", now=100.0 + limits.LIGHT_NEXT_SECONDS / 2) == {}
    now = 100.0 + limits.LIGHT_NEXT_SECONDS * 1.5
    assert begin_all(callers, "crowd", now=now) == {"crowd": limits.LIGHT_IN_FLIGHT_OF_CALLER}, "one asked within a second"
    end(callers, "crowd", limits.LIGHT_IN_FLIGHT_OF_CALLER, now)
    now += limits.LIGHT_RECENT_SECONDS
    ask(callers, "crowd", 1, now)
    assert begin_all(callers, "crowd", now=now)["crowd"] > limits.LIGHT_IN_FLIGHT_OF_CALLER


def test_who_takes_its_time_is_not_waited_for() -> None:
    callers = InFlight()
    is_quick(callers, "one")
    ask(callers, "crowd", 64)
    later = 100.0 + 2 * limits.LIGHT_NEXT_SECONDS
    ask(callers, "one", now=later)
    assert begin_all(callers, "crowd", "one", now=later) == {"one": 1, "crowd": ROUND}
    end(callers, "crowd", ROUND, now=later)
    assert begin_all(callers, "crowd", now=later) == {}, "its answer is waited for"
    end(callers, "one", now=later)
    assert begin_all(callers, "crowd", now=later) == {"crowd": limits.LIGHT_IN_FLIGHT_OF_CALLER}


def test_what_takes_long_is_not_waited_for_for_long() -> None:
    callers = InFlight()
    ask(callers, "one")
    ask(callers, "crowd", 64)
    begin_all(callers, "crowd", "one")
    end(callers, "crowd", ROUND)
    assert begin_all(callers, "crowd", now=100.0 + limits.LIGHT_ROUND_SECONDS / 2) == {}
    assert begin_all(callers, "crowd", now=100.001 + limits.LIGHT_ROUND_SECONDS) == {"crowd": ROUND}


def test_those_who_ask_for_several_share_the_room_of_a_round_and_wait_for_nobody_where_all_do() -> None:
    callers = InFlight()
    ask(callers, "a", 64)
    ask(callers, "b", 64)
    assert begin_all(callers, "a", "b") == {"a": ROUND, "b": ROUND}
    end(callers, "a", ROUND)
    assert begin_all(callers, "a", "b") == {}, "b's are in flight"
    end(callers, "b", ROUND)
    ask(callers, "one")
    counts = begin_all(callers, "one", "a", "b")
    assert (counts["one"], counts["a"] + counts["b"]) == (1, ROUND)


def test_who_is_answered_and_has_gone_leaves_nothing_behind() -> None:
    callers = InFlight()
    for number in range(100):
        ask(callers, f"c{number}")
        begin_all(callers, f"c{number}")
        end(callers, f"c{number}")
    now = 100.0 + 2 * limits.LIGHT_RECENT_SECONDS
    ask(callers, "last", now=now)
    begin_all(callers, "last", now=now)
    assert not callers._waiting
    assert not callers._answered
    assert (dict(callers._begun), list(callers._asked), callers._single) == ({"last": 1}, ["last"], set())


def rates(clients: dict[str, int], *, seconds: float = 0.5, pause: float = 3e-4, is_held: bool = True) -> Counter[str]:
    """Answers of so many clients of each caller, each of which asks again 0.3 ms after an answer, "one" after a `pause`.

    A model of a broker: one commit at a time of all that has begun, which takes 2 ms and 0.25 ms for each. A request that
    begins while one is under way waits for it.
    """
    callers, counts = InFlight(), Counter[str]()
    waiting: dict[str, int] = dict.fromkeys(clients, 0)
    events = [(n * 1e-5, name, "ask") for name, count in clients.items() for n in range(count)]
    heapq.heapify(events)
    begun: list[str] = []
    busy = 0.0
    now = 0.0
    while now < seconds:
        now, name, what = heapq.heappop(events)
        if what == "ask":
            waiting[name] += 1
            callers.ask(name, now)
        elif what == "answer":
            callers.end(name, now)
            counts[name] += 1
            heapq.heappush(events, (now + (pause if name == "one" else 3e-4), name, "ask"))
        if events and events[0][0] - now < 5e-5:
            continue  # all of one turn of the loop
        callers.look(now)
        order = sorted(waiting, key=lambda name: counts[name])
        while (name := next((n for n in order if waiting[n] and (not is_held or callers.may(n))), "")) != "":
            callers.begin(name, now)
            waiting[name] -= 1
            begun.append(name)
        callers.close()
        if begun and busy <= now:
            busy = now + 2e-3 + 2.5e-4 * len(begun)
            for name in begun:
                heapq.heappush(events, (busy, name, "answer"))
            begun = []
        heapq.heappush(events, (busy if begun else now + 1e-3, "", "look"))
    return counts


@pytest.mark.parametrize("crowd", [2, 8, 64])
def test_one_connection_keeps_half_of_its_rate_beside_another_s_many(crowd: int) -> None:
    alone = rates({"one": 1})["one"]
    beside = rates({"one": 1, "crowd": crowd})
    assert beside["one"] >= 0.5 * alone
    assert beside["crowd"] >= min(crowd - 1, ROUND) * 0.9 * beside["one"], "and they share its rounds"


def test_without_that_it_keeps_less() -> None:
    assert rates({"one": 1, "crowd": 64}, is_held=False)["one"] < 0.25 * rates({"one": 1})["one"]


def test_one_that_asks_now_and_then_costs_the_crowd_little() -> None:
    clients = {"one": 1, "crowd": 64}
    beside = rates(clients, pause=0.02)
    assert beside["crowd"] >= 0.6 * rates({"crowd": 64})["crowd"]
    assert beside["one"] >= 0.75 * rates({"one": 1}, pause=0.02)["one"]


def test_many_connections_lose_nothing_where_nobody_else_asks() -> None:
    assert rates({"crowd": 64}) == rates({"crowd": 64}, is_held=False)


def test_many_callers_of_one_connection_are_not_held() -> None:
    clients = {f"c{number}": 1 for number in range(30)}
    assert rates(clients) == rates(clients, is_held=False)
