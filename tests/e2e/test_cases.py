"""The cases I to VII (docs/architecture.md, The problem): one chain, real brokers, `kill -9`, by requests and by the menus."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from brokers import CREDENTIALS, Broker, Stream, ask, get, rows, until, wait_in_sync
from tests.kit.asking import delivered, topics
from tests.kit.gateways import GatewayPair, shared_servers
from tests.kit.hands import Hand, OverHttp, OverMenus
from tests.kit.processes import PASSWORD, Guarded, Pair


@pytest.mark.parametrize("hands", [OverHttp, OverMenus])
def test_cases_one_to_seven(hands: type[Hand], pair: Pair, tmp_path: Path) -> None:
    play(hands, pair, tmp_path)


def test_cases_one_to_seven_over_a_log_that_three_servers_keep(tmp_path: Path) -> None:
    gateways = GatewayPair(tmp_path, shared_servers(3))
    try:
        play(OverHttp, gateways.start(), tmp_path)
    finally:
        gateways.end()


def test_cases_one_to_seven_where_everybody_is_asked(guarded: Guarded, tmp_path: Path) -> None:
    """With a token each; a right that ends at one broker ends at the other; a session goes on at the other."""
    for user in ("Alice", "Bob", "Carlos", "Gita", "Pooja"):
        guarded.add(user, subscribe=">")
    guarded.add("", publish=">", subscribe=">")  # the program that publishes
    play(OverHttp, guarded, tmp_path)
    first, second = guarded.brokers

    # VI again: registered, and without a right any more
    with Stream("Pooja", guarded.addresses) as pooja:
        pooja.wait_open(first.address)
        guarded.revoke("Pooja", "subscribe", ">", at=second)
        until("the stream at the other broker is refused", lambda: pooja.refused is not None, 5.0)
        assert pooja.refused is not None
        assert (pooja.refused.status, pooja.refused.json()["code"]) == (403, "forbidden")
    for broker in guarded.brokers:
        for credential, status in (("none", 401), (CREDENTIALS["Gita"], 403)):
            headers = {"Authorization": credential}
            assert ask(broker.address, "POST", "/publish", {"topic": "t", "data": "x"}, headers=headers).status == status

    # who signed in at one broker is signed in at the other, also after that was killed
    login = ask(first.address, "POST", "/login", {"username": "admin", "password": PASSWORD})
    cookie = {"Cookie": login.headers["Set-Cookie"].partition(";")[0], "Authorization": ""}
    first.kill9()
    assert ask(second.address, "GET", "/me", headers=cookie).json()["username"] == "admin"
    assert ask(second.address, "POST", "/logout", headers=cookie).status == 200
    first.start()
    wait_in_sync(guarded.brokers)
    assert ask(first.address, "GET", "/me", headers=cookie).status == 401
    for broker in guarded.brokers:  # nothing that anybody showed is in a log or in the ops file
        log = broker.log.read_text() + "".join(file.read_text() for file in (broker.ops_dir / broker.id).glob("*.ops"))
        assert PASSWORD not in log
        assert not any(credential.removeprefix("Bearer ") in log for credential in CREDENTIALS.values())


def play(hands: type[Hand], pair: Pair, tmp_path: Path) -> None:
    """The seven cases, one after the other."""
    first, second = pair.first, pair.second
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

        # V: both switched off, then started
        first.kill9()
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
