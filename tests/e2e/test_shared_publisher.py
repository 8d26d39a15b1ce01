"""Many threads share one Publisher, against real brokers: each call is told of its own message, and none is lost."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from brokers import post, wait_in_sync
from newswire.client import MessageReceipt, Publisher, Subscriber
from newswire.errors import BadRequest, KeyReused, NewswireError, Unknown
from tests.kit.patience import be_patient
from tests.kit.processes import Pair
from tests.kit.waiting import PATIENCE_SECONDS

THREADS = 32
EACH = 40


def stored(pair: Pair, user: str) -> dict[str, str]:
    """The texts of all messages by their ids."""
    with Subscriber([pair.second.address], user) as reader:
        messages, more, since = {}, True, "earliest"
        while more:
            page = reader.messages(since=since, limit=1000)
            messages |= {message.id: message.data for message in page.messages}
            more, since = page.more, page.messages[-1].event_id
    return messages


def test_each_thread_gets_its_own_receipts_while_a_broker_dies(pair: Pair) -> None:
    wait_in_sync(pair.brokers)
    post(pair.first.address, "/subscribe", username="Alice", topic="t")
    publisher = Publisher(pair.addresses, timeout=PATIENCE_SECONDS)
    some = threading.Semaphore(0)

    def publish(who: int) -> list[tuple[str, MessageReceipt]]:
        told = []
        for number in range(EACH):
            told.append((f"{who} {number}", publisher.publish("t", f"{who} {number}")))
            some.release()
        return told

    with ThreadPoolExecutor(THREADS) as pool:
        calls = [pool.submit(publish, who) for who in range(THREADS)]
        for _ in range(THREADS * EACH // 4):
            assert some.acquire(timeout=PATIENCE_SECONDS)
        later = [publisher.publish_later("t", f"later {number}") for number in range(EACH * EACH)]
        pair.first.kill9()
        last = publisher.publish("t", "last")
        told = [pair for call in calls for pair in call.result(PATIENCE_SECONDS)]
    assert [text for text, _ in told] == [f"{who} {number}" for who in range(THREADS) for number in range(EACH)]
    publisher.close()
    told += [("last", last), *((f"later {number}", future.result(0)) for number, future in enumerate(later))]
    held = stored(pair, "Alice")
    assert len(held) == len(told), "each message is stored once"
    assert all(held[receipt.id] == text for text, receipt in told)
    assert not any(receipt.duplicate for _, receipt in told)
    assert {receipt.broker for _, receipt in told} == set(pair.addresses)


def test_a_refused_call_harms_no_other(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Good ones, bad fields, keys that are used for something else, and messages that are there already, all at once."""
    be_patient(monkeypatch)  # what is tried again is no duplicate
    wait_in_sync(pair.brokers)
    post(pair.first.address, "/subscribe", username="Alice", topic="t")
    publisher = Publisher(pair.addresses)
    first = publisher.publish("t", "old", key="k")

    def publish(number: int) -> MessageReceipt | NewswireError:
        kind = number % 4
        try:
            if kind == 0:
                return publisher.publish("t", "other words", key="k")
            if kind == 1:
                return publisher.publish("t", "x", title="two\nlines")
            if kind == 2:
                return publisher.publish("t", "old", key="k")
            return publisher.publish("t", f"good {number}")
        except NewswireError as error:
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        told = list(pool.map(publish, range(400)))
    for number, outcome in enumerate(told):
        if number % 4 == 0:
            assert isinstance(outcome, KeyReused)
            assert (outcome.extra, "line" in outcome.detail) == ({"id": first.id}, False)
        elif number % 4 == 1:
            assert isinstance(outcome, BadRequest)
            assert outcome.detail.startswith("`title` must be one line")
        else:
            assert isinstance(outcome, MessageReceipt)
            assert (outcome.copies, outcome.duplicate) == (2, number % 4 == 2)
            assert (outcome.id == first.id) == (number % 4 == 2)
    assert sorted(stored(pair, "Alice").values()) == sorted(["old", *(f"good {number}" for number in range(3, 400, 4))])


def test_nobody_is_told_that_nothing_is_stored_where_it_is(pair: Pair) -> None:
    """Both brokers die under 32 callers: whoever is told anything but `Unknown` or a receipt has stored nothing."""
    wait_in_sync(pair.brokers)
    post(pair.first.address, "/subscribe", username="Alice", topic="t")
    publisher = Publisher(pair.addresses, timeout=10)  # in which the first calls are answered, and the last end
    some = threading.Semaphore(0)

    def publish(who: int) -> dict[str, bool]:
        fates: dict[str, bool] = {}  # whether it may be stored
        for number in range(1000):
            try:
                publisher.publish("t", f"{who} {number}")
                fates[f"{who} {number}"] = True
                some.release()
            except NewswireError as error:
                fates[f"{who} {number}"] = isinstance(error, Unknown)
                return fates
        raise AssertionError("they outlived the brokers")

    with ThreadPoolExecutor(THREADS) as pool:
        calls = [pool.submit(publish, who) for who in range(THREADS)]
        for _ in range(200):
            assert some.acquire(timeout=PATIENCE_SECONDS)
        pair.end()
        fates = {text: fate for call in calls for text, fate in call.result(PATIENCE_SECONDS).items()}
    pair.start()
    wait_in_sync(pair.brokers)
    held = stored(pair, "Alice")
    assert len(set(held.values())) == len(held)
    assert {text for text in held.values() if not fates[text]} == set()
