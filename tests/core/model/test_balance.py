"""Streams are shared: new ones, and those that are too many; also a thousand of them, told of with heartbeats."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from random import Random

import pytest

from newswire.core import limits
from newswire.core.model import balance
from newswire.core.model.balance import Balance, Load, are_few, are_many, choose_seat

LIMIT = 20_000
HEARTBEAT = 5.0


def loads(**counts: int) -> dict[str, Load]:
    return {name: Load(count, LIMIT) for name, count in counts.items()}


def chances(seed: int = 1) -> Iterator[float]:
    rng = Random(seed)
    return iter(rng.random, 2.0)


def spread(seen: dict[str, Load], count: int = 1_000) -> dict[str, int]:
    """How many of so many new streams each gets."""
    chance = [choose_seat(seen, (number + 0.5) / count) for number in range(count)]
    return {name: chance.count(name) for name in seen}


def test_few_streams_stay_together_and_many_are_spread() -> None:
    most = limits.SPREAD_STREAMS
    few, some, many = (list(loads(a=count, b=0).values()) for count in (most // 2 - 1, most - 1, most))
    assert [are_few(few), are_few(some), are_few(many)] == [True, False, False]
    assert [are_many(few), are_many(some), are_many(many)] == [False, False, True]
    assert not are_many([Load(most, LIMIT)]), "there is nobody to spread them to"


def test_a_new_stream_goes_where_there_is_room() -> None:
    assert spread(loads(a=0, b=0)) == {"a": 500, "b": 500}
    assert spread(loads(a=1_000, b=1_000, c=1_000)) == {"a": 333, "b": 334, "c": 333}
    got = spread(loads(a=1_500, b=1_500, c=0))
    assert got["c"] > 700
    assert min(got.values()) > 100, "what is known is seconds old: nobody gets all"
    assert spread({"a": Load(100, 1_000), "b": Load(100, 3_000)})["b"] > 800, "who may have more has more room"


def test_a_full_broker_gets_none_and_who_does_not_say_gets_none() -> None:
    assert spread({"a": Load(10, 10), "b": Load(9, 10)}) == {"a": 0, "b": 1_000}
    assert spread({"a": Load(0, 0), "b": Load(9, 10)}) == {"a": 0, "b": 1_000}
    assert choose_seat({"a": Load(10, 10)}, 0.5) == ""
    assert choose_seat({}, 0.5) == ""


def given(balance: Balance, seen: dict[str, Load], seconds: int, most: int = 1_000) -> list[str]:
    """What broker `a` gives away in so many seconds, if nobody hears of it."""
    chance = chances()
    return list(itertools.chain(*(balance.choose("a", seen, most, chance, float(at)) for at in range(seconds + 1))))


def test_who_has_too_many_gives_some_away_and_no_more_each_second_than_others_can_take() -> None:
    balance = Balance()
    got = [list(balance.choose("a", loads(a=6_000, b=0), 1_000, chances(), at / 2)) for at in range(20)]
    assert got[0] == [], "time must pass"
    assert {len(names) for names in got[1:]} == {int(limits.MOVE_STREAMS_PER_SECOND / 2)}
    assert {name for names in got for name in names} == {"b"}
    assert len(balance.choose("a", loads(a=6_000, b=0), 7, chances(), 10.0)) == 7, "no more than can go"


@pytest.mark.parametrize(
    "seen",
    [
        loads(a=6_000),
        loads(a=limits.SPREAD_STREAMS - 1, b=0),
        loads(a=1_100, b=1_000),  # not far from even
        loads(a=0, b=6_000),
        {"a": Load(3_000, 30_000), "b": Load(1_000, 10_000)},  # even: each as many as it may
        {"a": Load(3_000, LIMIT), "b": Load(0, 0)},  # one that does not say is not known to take any
        {"b": Load(3_000, LIMIT), "c": Load(0, LIMIT)},
    ],
)
def test_nothing_is_given_away(seen: dict[str, Load]) -> None:
    assert given(Balance(), seen, 10) == []


def test_who_joins_many_brokers_gets_its_share_though_none_of_them_has_far_too_many() -> None:
    seen = loads(**dict.fromkeys("abcdefghij", 1000), k=0)
    assert set(given(Balance(), seen, 10)) == {"k"}


def test_the_older_what_is_known_the_fewer_are_given_away() -> None:
    def fewer(age: float) -> int:
        return len(given(Balance(), {"a": Load(1_000, LIMIT), "b": Load(0, LIMIT, age)}, 10))

    assert fewer(0.0) == fewer(limits.MOVE_SECONDS / 3) > 300
    assert fewer(60.0) < 30


def test_it_begins_when_one_is_far_from_its_share_and_goes_on_until_all_are_near() -> None:
    balance = Balance()
    assert given(balance, loads(a=1_100, b=1_000), 3) == []
    assert balance.choose("a", loads(a=1_500, b=1_000), 9, chances(), 10.0)
    assert balance.choose("a", loads(a=1_100, b=1_000), 9, chances(), 12.0), "it goes on"
    assert not balance.choose("a", loads(a=1_050, b=1_000), 9, chances(), 14.0)
    assert not balance.choose("a", loads(a=1_100, b=1_000), 9, chances(), 16.0), "and does not begin anew"


class Town:
    """Brokers that tell each other how many streams they have every five seconds, and clients that follow at once, or never."""

    def __init__(self, seed: int, **counts: int) -> None:
        self.rng = Random(seed)
        self.counts = dict(counts)
        self.stay = 0  # of the streams of `a`, those that follow nobody
        self.told: dict[str, dict[str, tuple[float, int]]] = {name: {} for name in counts}  # by whom, of whom
        self.balances = {name: Balance() for name in counts}
        self.beats = {name: self.rng.random() * HEARTBEAT for name in counts}
        self.now = 0.0
        self.moves: list[float] = []  # when a stream moved

    def join(self, name: str) -> None:
        self.counts[name], self.told[name], self.balances[name] = 0, {}, Balance()
        self.beats[name] = self.now

    def leave(self, name: str) -> None:
        for _ in range(self.counts.pop(name)):
            self.open(self.rng.choice(sorted(self.counts)), but=name)
        for told in self.told.values():
            told.pop(name, None)

    def seen(self, by: str) -> dict[str, Load]:
        told = {name: Load(count, LIMIT, self.now - at) for name, (at, count) in self.told[by].items()}
        return {**told, by: Load(self.counts[by], LIMIT)}

    def open(self, asked: str, but: str = "") -> None:
        """A client asks one broker where to go."""
        seen = {name: load for name, load in self.seen(asked).items() if name != but}
        self.counts[choose_seat(seen, self.rng.random())] += 1

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += limits.LOAD_EVERY_SECONDS
            for name in self.counts:
                if self.now >= self.beats[name]:
                    self.beats[name] += HEARTBEAT
                    for other in self.counts:
                        self.told[other][name] = (self.now, self.counts[name])
            for name in self.counts:
                most = self.counts[name] - (self.stay if name == "a" else 0)
                for target in self.balances[name].choose(name, self.seen(name), most, iter(self.rng.random, 2.0), self.now):
                    self.counts[name] -= 1
                    self.counts[target] += 1
                    self.moves.append(self.now)

    @property
    def far(self) -> float:
        """By which part of an even share the farthest broker is from it."""
        even = sum(self.counts.values()) / len(self.counts)
        return max(abs(count - even) / even for count in self.counts.values())

    def most_in_a_second(self) -> int:
        return max(sum(at <= other < at + 1 for other in self.moves) for at in self.moves)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("names", ["ab", "abc", "abcde"])
def test_a_thousand_streams_that_come_are_spread_and_hardly_one_moves(names: str, seed: int) -> None:
    town = Town(seed, **dict.fromkeys(names, 0))
    town.counts["a"] = limits.SPREAD_STREAMS  # the first ones stay with the primary
    town.run(HEARTBEAT)
    for _ in range(10):
        for _ in range(100):
            town.open(town.rng.choice(names))
        town.run(1)
    town.run(60)
    assert town.far < 0.2, town.counts
    before = len(town.moves)
    town.run(120)
    assert len(town.moves) - before < 30, "at rest"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("names", "each"), [("a", 3_000), ("ab", 1_500), ("abc", 1_000), ("abcdefghi", 1_000)])
def test_who_joins_has_its_share_within_a_minute_and_there_is_no_storm(names: str, each: int, seed: int) -> None:
    town = Town(seed, **dict.fromkeys(names, each))
    town.run(HEARTBEAT)
    town.join("z")
    town.run(60)
    even = sum(town.counts.values()) / len(town.counts)
    assert town.counts["z"] > 0.8 * even, town.counts
    assert town.far < 0.2
    assert town.most_in_a_second() <= len(names) * 2 * limits.MOVE_STREAMS_PER_SECOND
    assert len(town.moves) < 1.2 * even, "each moved once"


@pytest.mark.parametrize("seed", range(3))
def test_who_leaves_is_shared_by_the_others(seed: int) -> None:
    town = Town(seed, a=1_000, b=1_000, c=1_000)
    town.run(HEARTBEAT)
    town.leave("c")
    town.run(60)
    assert sum(town.counts.values()) == 3_000
    assert town.far < 0.2


def test_streams_that_follow_nobody_stay_and_nothing_swings_about() -> None:
    town = Town(1, a=1_000, b=200, c=200)
    town.stay = 900
    town.run(120)
    assert (town.counts["a"], len(town.moves)) == (900, 100)


# -- planted faults: what the town is there to find


def test_the_town_finds_that_all_new_streams_go_to_the_emptiest_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    def emptiest(seen: dict[str, Load], chance: float) -> str:
        return min(seen, key=lambda name: (seen[name].streams, name))

    def come(town: Town) -> float:
        town.counts["a"] = limits.SPREAD_STREAMS
        town.run(HEARTBEAT)
        for _ in range(1_000):  # within one heartbeat
            town.open("c")
        return town.far

    assert come(Town(1, a=0, b=0, c=0)) < 0.6
    monkeypatch.setitem(globals(), "choose_seat", emptiest)
    assert come(Town(1, a=0, b=0, c=0)) > 1.4


def test_the_town_finds_that_words_of_any_age_are_taken_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "HEARTBEAT", 60.0)

    def moves() -> int:
        town = Town(1, a=3_000)
        town.run(HEARTBEAT)
        town.join("z")
        town.run(300)
        return len(town.moves)

    assert moves() < 1.1 * 1_500
    monkeypatch.setattr(balance, "_PATIENCE", 0.0)
    assert moves() > 1.5 * 1_500


def test_the_town_finds_that_brokers_look_at_their_own_share_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten that have a tenth too many give nothing to the eleventh."""

    def own(balance: Balance, seen: dict[str, Load], counts: dict[str, int], evens: dict[str, float]) -> bool:
        return counts["a"] > 1.15 * evens["a"]

    seen = loads(**dict.fromkeys("abcdefghij", 1_000), k=0)
    assert given(Balance(), seen, 10)
    monkeypatch.setattr(Balance, "_is_due", own)
    assert not given(Balance(), seen, 10)
