"""The cases I to VII (docs/architecture.md, The problem), played with one hand or another, at two brokers or more."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from brokers import Broker, get, rows, until, wait_in_sync
from tests.kit.asking import delivered, topics
from tests.kit.hands import Hand, Switched


def play(hands: type[Hand], pair: Switched, tmp_path: Path) -> None:
    """The seven cases, one after the other."""
    first, second = pair.brokers[:2]
    wait_in_sync(pair.brokers)
    with ExitStack() as opened:
        hand = opened.enter_context(hands(pair, tmp_path))

        # I: both brokers alive
        assert hand.subscribe("Alice", "Google") == first.address
        assert hand.subscribe("Bob", "Google") == first.address
        assert hand.subscribe("Bob", "Meta") == first.address
        alice = opened.enter_context(hand.stream("Alice"))
        bob = opened.enter_context(hand.stream("Bob"))
        alice.wait_open(first.address)
        bob.wait_open(first.address)
        assert hand.publish("Google", "Hello Google") == first.address
        assert hand.publish("Meta", "Hiring Meta") == first.address
        assert hand.publish("Meta", "Social Event") == first.address
        alice.wait_texts("Hello Google")
        bob.wait_texts("Hello Google", "Hiring Meta", "Social Event")
        for user in ("Alice", "Bob"):
            delivered(user, first)
            delivered(user, second)

        # II: the primary switched off
        first.kill9()
        assert hand.publish("Google", "Family Event") == second.address
        assert hand.publish("Google", "Employee") == second.address
        assert hand.subscribe("Carlos", "Tiktok") == second.address
        assert hand.publish("Tiktok", "Hi Tiktok") == second.address
        alice.wait_texts("Family Event", "Employee")
        bob.wait_texts("Family Event", "Employee")
        with hand.stream("Carlos") as carlos:
            carlos.wait_texts("Hi Tiktok")
            delivered("Carlos", second)
        assert carlos.texts == ["Hi Tiktok"]

        # III: the primary started again
        first.launch()
        first.wait_ready()
        until("the primary is primary again", lambda: is_primary_and_up(first, second))
        assert topics(first) == {"Google": 3, "Meta": 2, "Tiktok": 1}  # at once: it is sent nobody before it has them
        assert [s["topic"] for s in get(first.address, "/subscriptions", username="Carlos")] == ["Tiktok"]
        wait_in_sync(pair.brokers)
        assert hand.publish("Tiktok", "Hi Online") == first.address
        with hand.stream("Carlos") as carlos:
            carlos.wait_open(first.address)
            carlos.wait_texts("Hi Online")
            delivered("Carlos", first)
        assert carlos.texts == ["Hi Online"]
        delivered("Carlos", second)

        # IV: the secondary switched off
        second.kill9()
        until("the primary knows that the secondary is down", lambda: rows(first.address)["1002"]["state"] == "down")
        with hand.stream("Carlos") as carlos:
            carlos.wait_open(first.address)
            assert hand.publish("Tiktok", "Hi Event") == first.address
            carlos.wait_texts("Hi Event")
            delivered("Carlos", first)
        assert carlos.texts == ["Hi Event"]

        # V: all switched off, then started
        for broker in pair.living():
            broker.kill9()
        pair.start()
        wait_in_sync(pair.brokers)
        for broker in pair.brokers:
            assert topics(broker) == {"Google": 3, "Meta": 2, "Tiktok": 3}
            assert [s["topic"] for s in get(broker.address, "/subscriptions", username="Carlos")] == ["Tiktok"]
        assert hand.publish("Tiktok", "Hi You!") == first.address
        with hand.stream("Carlos") as carlos:
            carlos.wait_open(first.address)
            carlos.wait_texts("Hi You!")
        assert carlos.texts == ["Hi You!"]

        # VI: Gita, registered for no topic
        hand.refused("Gita")

        # VII: Pooja, offline while it is published
        hand.subscribe("Pooja", "Twitter")
        hand.publish("Twitter", "Hello tweets")
        with hand.stream("Pooja") as pooja:
            pooja.wait_texts("Hello tweets")
            delivered("Pooja", first)
        with hand.stream("Pooja") as again:
            again.wait_open()
            hand.publish("Twitter", "More tweets")
            again.wait_texts("More tweets")
        assert pooja.texts + again.texts == ["Hello tweets", "More tweets"]

        # through all of it: nothing twice, nothing lost, in order
        assert alice.texts == ["Hello Google", "Family Event", "Employee"]
        assert [t for t in bob.texts if t in ("Hiring Meta", "Social Event")] == ["Hiring Meta", "Social Event"]
        assert [t for t in bob.texts if t not in ("Hiring Meta", "Social Event")] == alice.texts


def is_primary_and_up(first: Broker, second: Broker) -> bool:
    """Say whether both brokers send clients to the primary."""
    seen = [rows(broker.address).get(first.id) for broker in (first, second)]
    return all(row is not None and row["is_primary"] and row["state"] == "up" for row in seen)
