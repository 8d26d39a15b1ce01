"""Subscriptions of a user: which are alive, which are awake, and where their cursors stand."""

from __future__ import annotations

from itertools import permutations

from newswire.core.model.ops import Acknowledged, Subscribed, Unsubscribed
from newswire.core.model.vector import Lineage
from newswire.core.state.subscriptions import Subscriptions

ORIGIN = "1001-a"


def subscribed(sequence: int, pattern: str = "news", **more: tuple[str, ...]) -> Subscribed:
    return Subscribed(
        ORIGIN, sequence, 0, user="ann", pattern=pattern, since={ORIGIN: sequence - 1} if sequence > 1 else {}, **more
    )


def state() -> Subscriptions:
    lineage = Lineage()
    lineage.began(ORIGIN, {})
    return Subscriptions(lineage)


def test_patterns_are_those_of_awake_ones_in_order() -> None:
    subscriptions = state()
    for sequence, pattern in enumerate(("tech", "news.*", "tech"), 1):
        assert subscriptions.subscribed(subscribed(sequence, pattern)) == {"ann"}
    assert subscriptions.patterns_of("ann") == ("news.*", "tech")
    assert subscriptions.count_patterns("ann") == 2
    assert subscriptions.patterns_of("ben") == ()


def test_one_that_follows_sleeps_until_what_it_follows_is_gone() -> None:
    subscriptions = state()
    first, second = subscribed(1), subscribed(2, follows=(f"{ORIGIN}.1",))
    subscriptions.subscribed(first)
    subscriptions.subscribed(second)
    assert [sub.id for sub in subscriptions.awake_of("ann")] == [first.id]
    assert subscriptions.unsubscribed(Unsubscribed(ORIGIN, 3, 0, ids=(first.id,))) == {"ann"}
    assert [sub.id for sub in subscriptions.awake_of("ann")] == [second.id]
    subscriptions.unsubscribed(Unsubscribed(ORIGIN, 4, 0, ids=(second.id,)))
    assert subscriptions.alive_of("ann") == ()
    assert subscriptions.count_patterns("ann") == 0


def test_any_order_of_ops_leaves_the_same() -> None:
    made = subscribed(2)
    ops = (
        made,
        Acknowledged(ORIGIN, 3, 0, ids=(made.id,), vector={ORIGIN: 9}),
        Acknowledged(ORIGIN, 4, 0, ids=(made.id,), vector={ORIGIN: 5}),
    )
    for order in permutations(ops):
        subscriptions = state()
        for op in order:
            if isinstance(op, Subscribed):
                subscriptions.subscribed(op)
            else:
                subscriptions.acknowledged(op)
        (sub,) = subscriptions.alive_of("ann")
        assert subscriptions.cursor(sub) == {ORIGIN: 9}


def test_what_was_removed_before_it_came_does_not_come() -> None:
    subscriptions = state()
    made = subscribed(1)
    subscriptions.unsubscribed(Unsubscribed(ORIGIN, 2, 0, ids=(made.id,)))
    assert subscriptions.subscribed(made) == set()
    assert subscriptions.alive_of("ann") == ()


def test_cursors_that_were_moved_together_are_one_object() -> None:
    subscriptions = state()
    subs = [subscribed(sequence, f"news.{sequence}") for sequence in (1, 2, 3)]
    for sub in subs:
        subscriptions.subscribed(sub)
    subscriptions.acknowledged(Acknowledged(ORIGIN, 4, 0, ids=tuple(sub.id for sub in subs), vector={ORIGIN: 3}))
    assert len({id(subscriptions.cursor(sub)) for sub in subscriptions.alive_of("ann")}) == 1
