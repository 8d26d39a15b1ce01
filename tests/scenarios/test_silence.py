"""A broker hangs (SIGSTOP): its connections stay, and it answers nobody. The other one serves, and both agree later."""

from __future__ import annotations

from functools import partial

from brokers import UNREACHABLE, Answer, ask, until, wait_in_sync
from newswire.client import Publisher
from tests.kit.ledger import Ledger, Reader, messages_at
from tests.kit.processes import Cluster, Node, pause, resume
from tests.kit.waiting import PATIENCE_SECONDS


def test_a_hung_broker_costs_the_other_one_time_out(pair: Cluster, ledger: Ledger) -> None:
    first, second = pair.nodes
    ledger.many(10, first, second, copies=2)
    pause(second)
    ledger.many(1, first, copies=1)  # within the time that one try has
    ledger.check_copies(first, second)
    until("it is shown as down", lambda: first.row("1002")["state"] == "down")
    ledger.many(50, first, copies=1)
    first.wait_ready()
    resume(second)
    ledger.check(first, second)
    ledger.many(10, first, second, copies=2)


def test_clients_move_from_a_hung_broker(pair: Cluster, ledger: Ledger) -> None:
    """The library's publisher and subscriber were at the broker that hangs; nothing is lost or shown twice."""
    first, second = pair.nodes
    addresses = [node.address for node in pair.nodes]
    with Reader("Alice", pair.nodes) as alice:
        ledger.many(10, first, copies=2)
        alice.check(ledger)
        pause(first)
        receipt = Publisher(addresses, timeout=PATIENCE_SECONDS).publish("news", "from the library")
        assert (receipt.broker, receipt.copies) == (second.address, 1)
        ledger.many(10, second, copies=1)
        alice.check(ledger)
        until("what the library published has come", lambda: "from the library" in alice.texts)
        resume(first)
        ledger.check(first, second)
        ledger.many(10, first, second, copies=2)
        alice.check(ledger)


def test_a_broker_that_hung_in_the_middle_of_a_push_kept_what_it_answered(pair: Cluster, ledger: Ledger) -> None:
    first, second = pair.nodes
    with ledger.load(first, second):
        for node, other in ((second, first), (first, second)):
            ledger.wait_more(10)
            pause(node)
            ledger.wait_more(10)
            assert not answers(node)
            other.kill9()  # the only one that answered; the one that hangs wakes up alone
            resume(node)
            ledger.wait_more(10)
            other.start()
    ledger.check_copies(first, second)
    ledger.check(first, second)


def test_two_copies_or_an_error_that_says_how_many_there_are(pair: Cluster) -> None:
    first, second = pair.nodes
    sent = {"topic": "news", "data": "important", "key": "important-1"}

    def publish() -> Answer | None:
        """Before the first one knows that the second hangs; else nothing is stored, and it is tried once more."""
        pause(second)
        answer = ask(first.address, "POST", "/publish?copies=2", sent)
        if answer.json()["code"] == "not-enough-copies":
            resume(second)
            wait_in_sync(pair.nodes)
            return None
        return answer

    lost = until("it is lost on the way", publish)
    assert (lost.status, lost.json()["code"], lost.json()["copies"]) == (503, "fewer-copies-than-asked", 1)
    refused = ask(first.address, "POST", "/publish?copies=2", {"topic": "news", "data": "not stored"})
    assert (refused.status, refused.json()["code"]) == (503, "not-enough-copies")
    resume(second)
    wait_in_sync(pair.nodes)
    for node in reversed(pair.nodes):
        again = until("both hold it", partial(held_by_both, node, sent))
        assert (again.status, again.json()["id"], again.json()["copies"]) == (200, lost.json()["id"], 2)
    assert list(messages_at(first).values()) == list(messages_at(second).values()) == ["important"]


def held_by_both(node: Node, sent: dict[str, str]) -> Answer | None:
    """What a retry is answered, once two copies are counted."""
    answer = ask(node.address, "POST", "/publish?copies=2", sent)
    return answer if answer.status == 200 else None


def answers(node: Node) -> bool:
    """Whether it answers at all."""
    try:
        return ask(node.address, "GET", "/livez", timeout=0.5).status == 200
    except UNREACHABLE:
        return False
