"""What every engine must do behind `engine.seam` (docs/architecture.md, Rooms): one suite, each engine, small page limits."""

from __future__ import annotations

import threading

import pytest

from newswire.core import limits
from newswire.core.model.commands import Acknowledge, Publish, Request, Subscribe, Unsubscribe, Withdraw
from newswire.core.model.event_ids import EventId, parse
from newswire.engine.memory import MemoryEngine
from newswire.engine.seam import BrokerStatus, Engine, Entry, Receipt, TopicRow, Wake, WithdrawalEntry
from newswire.errors import FewerCopies, KeyReused, NewswireError, NotEnoughCopies, NotFound, NotStored, TooLarge
from newswire.threads import MustNotWait, never_waits
from tests.contract.conftest import Pair, read, texts
from tests.kit.waiting import PATIENCE_SECONDS, wait_until

NOW = 1_795_514_400_000  # ms since 1970; no broker here has lived later


def unread(engine: Engine, user: str) -> list[int]:
    return [row.unread for row in engine.subscriptions_of(user)]


def counts(engine: Engine) -> list[int]:
    """How many messages each topic has."""
    rows: list[TopicRow] = []
    engine.topics(NOW, rows.extend)
    return [row.messages for row in rows]


def test_a_receipt_names_what_was_stored_and_on_how_many_disks(pair: Pair) -> None:
    receipt = pair.one.submit([Publish("news", "one"), Publish("news", "two")])
    assert receipt.count == 2
    assert receipt.copies == 2
    assert receipt.first != receipt.last
    assert counts(pair.other) == [2]


def test_a_batch_that_takes_several_pushes_has_two_copies_too(pair: Pair) -> None:
    for _ in range(2):
        batch = [Publish("news", str(number)) for number in range(limits.BATCH_MESSAGES)]
        receipt = pair.one.submit(batch, timeout=PATIENCE_SECONDS)
        assert receipt.copies == 2
    assert counts(pair.other) == [2 * limits.BATCH_MESSAGES]
    assert limits.BATCH_MESSAGES > limits.PUSH_OPS


def test_what_is_read_of_a_long_batch_is_what_was_published(pair: Pair) -> None:
    """At either broker, from memory or disk, also what was published beside it and after it."""
    pair.one.submit([Subscribe("Alice", "news")])
    batch = [str(number) for number in range(limits.BATCH_LONG_OPS + 2 * limits.PIECE_OPS)]
    pair.one.submit([Publish("news", "before")])
    pair.one.submit([Publish("news", text) for text in batch], copies=2, timeout=PATIENCE_SECONDS)
    pair.other.submit([Publish("news", "after")], copies=2)
    for engine in (pair.one, pair.other):
        wait_until(lambda engine=engine: counts(engine) == [len(batch) + 2])
        assert texts(read(engine, "Alice", limit=500)) == ["before", *batch, "after"]


def test_read_your_writes(pair: Pair) -> None:
    for number in range(20):
        pair.one.submit([Subscribe(f"user{number}", "news")])
        assert pair.one.patterns_of(f"user{number}") == ("news",)


def test_a_subscriber_gets_what_follows_its_subscription_at_either_broker(pair: Pair) -> None:
    pair.one.submit([Publish("news", "before")])
    pair.one.submit([Subscribe("Alice", "news")])
    for number in range(7):
        (pair.one, pair.other)[number % 2].submit([Publish("news", str(number)), Publish("tech", "-")])
    for engine in (pair.one, pair.other):
        assert sorted(texts(read(engine, "Alice"))) == list("0123456")


def test_a_mid_batch_event_id_goes_on_at_the_other_broker(pair: Pair) -> None:
    pair.one.submit([Subscribe("Alice", "news")])
    pair.one.submit([Publish("news", str(number)) for number in range(9)])
    fourth = read(pair.one, "Alice")[3]
    event_id = parse(str(fourth.event_id))
    assert event_id is not None
    assert str(event_id) == str(fourth.event_id)
    assert texts(read(pair.other, "Alice", event_id)) == list("45678")


def test_an_acknowledgement_moves_the_cursor_everywhere_and_never_back(pair: Pair) -> None:
    pair.one.submit([Subscribe("Alice", "news"), Subscribe("Bob", "news")])
    pair.one.submit([Publish("news", str(number)) for number in range(5)])
    entries = read(pair.one, "Alice")
    pair.other.submit([Acknowledge("Alice", entries[3].event_id)])
    pair.one.submit([Acknowledge("Alice", entries[1].event_id)])
    wait_until(lambda: unread(pair.one, "Alice") == unread(pair.other, "Alice") == [1])
    assert unread(pair.one, "Bob") == [5]
    assert texts(read(pair.other, "Alice")) == ["4"]


def test_a_retry_with_its_key_is_stored_once(pair: Pair) -> None:
    first = pair.one.submit([Publish("news", "x", key="k")])
    again = pair.one.submit([Publish("news", "x", key="k")])
    assert (again.first, again.count, again.duplicates, again.copies) == (first.first, 0, 1, first.copies)
    assert pair.other.submit([Publish("news", "x", key="k")]) == again
    assert pair.one.submit([Publish("news", "x", key="k", publisher="Bob")]).first != first.first
    assert counts(pair.one) == [2]


def test_a_batch_with_a_key_twice_stores_it_once(pair: Pair) -> None:
    receipt = pair.one.submit([Publish("news", "x", key="k"), Publish("news", "x", key="k")])
    assert receipt.first == receipt.last
    assert (receipt.count, receipt.duplicates) == (1, 1)


def test_a_key_reused_for_something_else_is_refused_and_names_the_first_message(pair: Pair) -> None:
    first = pair.one.submit([Publish("backup", "all well", key="nightly", tags=("disk",), expires=60)])
    for other in (
        Publish("backup", "FAILED", key="nightly", tags=("disk",), expires=60),
        Publish("backup", "all well", key="nightly", expires=60),
        Publish("backup", "all well", key="nightly", tags=("disk",), expires=61),
        Publish("backup", "all well", key="nightly", tags=("disk",), expires=60, title="T"),
        Publish("backup", "all well", key="nightly", tags=("disk",), expires=60, priority=1),
        Publish("backup", "all well", key="nightly", tags=("disk",), expires=60, click="https://example.org"),
    ):
        for engine in (pair.one, pair.other):
            with pytest.raises(KeyReused) as raised:
                engine.submit([Publish("backup", "new"), other])
            assert raised.value.extra == {"id": first.first, "index": 1}
    assert counts(pair.one) == [1], "nothing of a refused batch is stored"


def test_a_batch_that_gives_one_key_to_two_texts_is_refused_as_a_whole(pair: Pair) -> None:
    with pytest.raises(KeyReused) as raised:
        pair.one.submit([Publish("news", "x", key="k"), Publish("news", "z"), Publish("news", "y", key="k")])
    assert raised.value.extra == {"index": 2}
    assert counts(pair.one) == []


def test_a_batch_of_new_messages_and_known_ones_says_which_are_which(pair: Pair) -> None:
    old = pair.one.submit([Publish("news", "x", key="k")])
    mixed = pair.one.submit([Publish("news", "x", key="k"), Publish("news", "y", key="l"), Publish("news", "y", key="l")])
    assert (mixed.count, mixed.duplicates, mixed.copies) == (1, 2, 2)
    assert mixed.ids == (old.first, mixed.last, mixed.last)
    assert mixed.repeated == (0, 2)
    assert counts(pair.one) == [2]


def test_all_or_nothing(pair: Pair) -> None:
    requests: list[Request] = [Subscribe("Alice", "news"), Unsubscribe("Alice", "tech")]
    with pytest.raises(NotFound) as raised:
        pair.one.submit(requests)
    assert raised.value.code == "no-subscription"
    assert pair.one.patterns_of("Alice") == ()


def test_too_large_a_batch_is_refused_whole(pair: Pair) -> None:
    with pytest.raises(TooLarge):
        pair.one.submit([Publish("news", "x")] * 10_001)
    assert counts(pair.one) == []


def test_subscribe_again_moves_nothing(pair: Pair) -> None:
    pair.one.submit([Subscribe("Alice", "news")])
    pair.one.submit([Publish("news", "one")])
    assert pair.other.submit([Subscribe("Alice", "news", since=None)]).copies == 2
    for engine in (pair.one, pair.other):
        assert texts(read(engine, "Alice")) == ["one"]
        assert engine.patterns_of("Alice") == ("news",)
    pair.one.submit([Unsubscribe("Alice", "news")])
    wait_until(lambda: pair.other.patterns_of("Alice") == ())


def test_from_the_earliest(pair: Pair) -> None:
    pair.one.submit([Publish("news", "old")])
    pair.other.submit([Subscribe("Alice", "news", since=0)])
    assert texts(read(pair.other, "Alice")) == ["old"]


def test_messages_since_the_earliest_and_since_an_id(pair: Pair) -> None:
    pair.one.submit([Publish("news", "old")])
    pair.one.submit([Subscribe("Alice", "*")])
    pair.one.submit([Publish("news", "new"), Publish("tech", "newer")])

    def page(topic: str | None, since: EventId | int | None) -> list[Entry]:
        start = pair.one.open_page("Alice", topic, since, NOW)
        assert start is not None
        return [e for e in pair.one.next_page(start.position, 10).entries if isinstance(e, Entry)]

    assert texts(page(None, None)) == ["new", "newer"]
    assert texts(page("news", 0)) == ["old", "new"]
    assert texts(page(None, page("news", 0)[1].event_id)) == ["newer"]


def test_two_copies_can_be_asked_for_while_there_are_two(pair: Pair) -> None:
    assert pair.one.submit([Publish("news", "x")], copies=2).copies == 2
    with pytest.raises(NotEnoughCopies):
        pair.one.submit([Publish("news", "x")], copies=3)
    assert counts(pair.one) == [1]


def test_when_the_other_is_lost(peers: Pair) -> None:
    """Honest copies: stored here, then one, and at last nothing where two are asked for."""
    peers.part()
    with pytest.raises(FewerCopies) as stored:
        peers.one.submit([Publish("news", "lost on the way", key="k")], copies=2)
    assert stored.value.extra["copies"] == 1
    known = stored.value.extra["id"]
    assert stored.value.extra["ids"] == (known,)
    with pytest.raises(NotEnoughCopies):
        peers.one.submit([Publish("news", "y")], copies=2)
    assert peers.one.submit([Publish("news", "lost on the way", key="k")]).first == known
    with pytest.raises(FewerCopies, match="stored before with this key, and now on 1 of the 2 brokers") as again:
        peers.one.submit([Publish("news", "lost on the way", key="k")], copies=2)
    assert again.value.extra == {"id": known, "copies": 1, "ids": (known,), "duplicate": True}
    assert peers.one.submit([Publish("news", "z")]).copies == 1
    assert counts(peers.one) == [2]


def test_the_wake_says_what_changed(pair: Pair) -> None:
    woken: list[Wake] = []
    pair.one.on_wake(woken.append)
    pair.one.submit([Subscribe("Alice", "news")])
    pair.one.submit([Publish("tech", "x")])
    assert [(set(w.topics), set(w.users)) for w in woken] == [(set(), {"Alice"}), ({"tech"}, set())]


def test_a_posted_acknowledgement_arrives(pair: Pair) -> None:
    pair.one.submit([Subscribe("Alice", "news")])
    pair.one.submit([Publish("news", "one")])
    assert pair.one.post([Acknowledge("Alice", read(pair.one, "Alice")[0].event_id)])
    wait_until(lambda: unread(pair.other, "Alice") == [0])


def test_acknowledgements_that_are_posted_together_and_show_one_place_are_one_op(pair: Pair) -> None:
    users = [f"user{number}" for number in range(20)]
    pair.one.submit([Subscribe(user, "news") for user in users])
    before = pair.one.submit([Publish("news", "one")]).first
    place = read(pair.one, users[0])[0].event_id
    assert pair.one.post([Acknowledge(user, place) for user in users])
    wait_until(lambda: all(unread(pair.other, user) == [0] for user in users))
    after = pair.one.submit([Publish("news", "two")]).first
    first, last = (int(name.rpartition(".")[2]) for name in (before, after))
    assert last - first == 2, "one op stands between them"


def test_what_people_see_of_subscriptions_is_counted_alike(pair: Pair) -> None:
    pair.one.submit([Subscribe("Alice", ">"), Subscribe("Alice", "news.*"), Subscribe("Alice", "news.a")])
    pair.other.submit([Publish("news.a", "one"), Publish("news.b", "two"), Publish("tech", "three")])
    for engine in (pair.one, pair.other):
        rows = engine.subscriptions_of("Alice")
        assert [(row.topic, row.index, row.unread) for row in rows] == [(">", 0, 3), ("news.*", 0, 2), ("news.a", 0, 1)]


class Told:
    """Keeps what it is told, and by which thread."""

    def __init__(self) -> None:
        self.results: list[object] = []
        self.threads: set[str] = set()

    def __call__(self, result: object) -> None:
        self.threads.add(threading.current_thread().name)
        self.results.append(result)

    def wait(self, count: int = 1) -> list[object]:
        wait_until(lambda: len(self.results) >= count)
        return self.results


def test_what_is_submitted_is_told_later_once_and_readable_by_then(pair: Pair) -> None:
    seen: list[tuple[str, ...]] = []
    told = Told()

    def then(result: object) -> None:
        told(result)
        seen.append((type(result).__name__,))

    pair.one.submit_later([Subscribe("Alice", "news")], then)
    pair.one.submit_later([Publish("news", "one"), Publish("news", "two")], told, copies=2)
    first, receipt = told.wait(2)
    assert isinstance(first, Receipt)
    assert isinstance(receipt, Receipt)
    assert (receipt.count, receipt.copies) == (2, 2)
    assert pair.one.patterns_of("Alice") == ("news",)
    assert counts(pair.one) == [2]
    assert pair.one.submit([Publish("news", "three")]).count == 1
    assert (len(told.results), seen) == (2, [("Receipt",)])
    assert len(told.threads) == 1, "one thread tells"


def test_who_is_refused_is_told_why_and_nothing_is_stored(pair: Pair) -> None:
    told = Told()
    pair.one.submit_later([Publish("news", "x", key="k")], told)
    pair.one.submit_later([Publish("news", "y", key="k")], told)
    pair.one.submit_later([Unsubscribe("Alice", "news")], told)
    pair.one.submit_later([Publish("news", "z")], told, copies=3)
    pair.one.submit_later([Publish("news", "x")] * (limits.BATCH_MESSAGES + 1), told)
    kinds = sorted(type(result).__name__ for result in told.wait(5))
    assert kinds == ["KeyReused", "NotEnoughCopies", "NotFound", "Receipt", "TooLarge"]
    assert counts(pair.one) == [1]


def test_receipts_come_in_the_order_of_what_was_submitted(pair: Pair) -> None:
    told = Told()
    for number in range(100):
        pair.one.submit_later([Publish("news", str(number))], told)
    with pair.one.together():
        for number in range(100, 200):
            pair.one.submit_later([Publish("news", str(number))], told)
    ids = [result.first for result in told.wait(200) if isinstance(result, Receipt)]
    assert ids == sorted(ids, key=lambda name: int(name.rpartition(".")[2]))
    assert len(ids) == 200


def test_two_copies_are_said_to_all_who_publish_while_there_are_two(pair: Pair) -> None:
    """Of many at once, at both brokers, each receipt is for both disks."""
    told = Told()
    for number in range(100):
        for engine in (pair.one, pair.other):
            engine.submit_later([Publish("news", str(number))], told)
    assert [result.copies for result in told.wait(200) if isinstance(result, Receipt)] == [2] * 200


def test_a_fault_of_who_is_told_is_no_fault_of_the_engine(pair: Pair) -> None:
    def then(result: object) -> None:
        raise LookupError

    pair.one.submit_later([Publish("news", "x")], then)
    assert pair.one.submit([Publish("news", "y")]).count == 1


def test_who_waits_when_the_engine_stops_is_told_once(pair: Pair) -> None:
    told, late = Told(), Told()
    for number in range(50):
        pair.one.submit_later([Publish("news", str(number))], told)
    pair.stop()
    assert len(told.wait(50)) == 50
    assert {type(result).__name__ for result in told.results} <= {"Receipt", "Unknown"}
    with pytest.raises(NotStored):
        pair.one.submit_later([Publish("news", "late")], late)
    assert (len(told.results), late.results) == (50, [])


def test_a_broker_joins_and_leaves_later(peers: Pair) -> None:
    told = Told()
    peers.admin.leave_later("nobody", told)
    peers.admin.leave_later("1002", told)
    missing, row = told.wait(2)
    assert isinstance(missing, NotFound)
    assert isinstance(row, BrokerStatus)
    assert row.id == "1002"
    wait_until(lambda: [row.id for row in peers.one.describe().rows] == ["1001"])
    peers.admin.join_later("127.0.0.1:9", told, timeout=5.0)
    assert isinstance(told.wait(3)[2], NewswireError)
    peers.admin.accept_loss_later(told)
    assert isinstance(told.wait(4)[3], NotFound)


def test_a_thread_that_never_waits_does_not_wait_for_a_receipt(pair: Pair) -> None:
    raised: list[BaseException] = []
    engine = pair.one  # some pairs wait for it

    def main() -> None:
        never_waits()
        told = Told()
        engine.submit_later([Publish("news", "x")], told)
        for call in (lambda: engine.submit([Publish("news", "y")]), lambda: engine.subscriptions_of("Alice")):
            try:
                call()
            except MustNotWait as error:
                raised.append(error)

    thread = threading.Thread(target=main)
    thread.start()
    thread.join()
    assert [type(error) for error in raised] == [MustNotWait, MustNotWait]


def test_a_backup_is_bytes_with_a_name_and_holds_what_was_acknowledged(pair: Pair) -> None:
    pair.one.submit([Publish("news", "kept")])
    small = sum(map(len, pair.one.backup().parts))
    pair.one.submit([Publish("news", f"text {number}") for number in range(200)])
    backup = pair.one.backup()
    pair.one.submit([Publish("news", f"later {number}") for number in range(200)])
    size = sum(map(len, backup.parts))
    assert backup.name
    assert size > small > 0
    assert sum(map(len, pair.one.backup().parts)) > size, "what is later is not in it"


def test_the_streams_of_a_broker_are_known_to_all(pair: Pair) -> None:
    pair.one.note_load(7, 100)
    pair.one.submit([Publish("news", "x")])  # what goes to other brokers says so, too

    def loads(engine: Engine) -> list[tuple[int, int]]:
        return [(row.streams, row.streams_limit) for row in engine.describe().rows if row.id == "1001"]

    wait_until(lambda: loads(pair.one) == loads(pair.other) == [(7, 100)], "both know")


def test_what_is_scheduled_is_published_once_at_each_broker_and_not_when_it_was_withdrawn(pair: Pair) -> None:
    pair.one.submit([Subscribe("Alice", "news")])
    before = pair.one.own_message(pair.one.submit([Publish("other", "x")]).first)
    assert before is not None
    later = Publish("news", "later", key="k", at=before.time - 1000)  # time stands still in memory: it is due at once
    first = pair.one.submit([later], copies=2)
    gone = pair.other.submit([Publish("news", "never", delay=86_400_000)], copies=2)
    assert first.due
    assert [op.data for op in pair.other.scheduled(None, 10) if op.data == "never"] == ["never"]
    message = pair.other.own_message(gone.first)
    assert message is not None
    assert message.data == "never"
    pair.one.submit([Withdraw(gone.first, "news")])

    def is_published(engine: Engine) -> bool:
        for one in (pair.one, pair.other):
            if isinstance(one, MemoryEngine):
                one.tick()
        return texts(read(engine, "Alice")) == ["later"] and engine.scheduled(None, 10) == []

    for engine in (pair.one, pair.other):
        wait_until(lambda engine=engine: is_published(engine))
        assert engine.submit([later]).first == first.first, "a retry"


def test_what_is_replaced_and_withdrawn_is_read_nowhere_and_told_in_its_place(pair: Pair) -> None:
    pair.one.submit([Subscribe("Alice", "news")])
    first = pair.one.submit([Publish("news", "soon")], copies=2).first
    second = pair.other.submit([Publish("news", "now", replaces=first)], copies=2).first
    third = pair.one.submit([Publish("news", "other")], copies=2).first
    pair.one.submit([Withdraw(third, "news")])
    assert pair.one.submit([Withdraw(third, "news")]).first == ""  # again: nothing is stored
    pair.one.submit([Publish("news", "end")], copies=2)
    for engine in (pair.one, pair.other):
        wait_until(lambda engine=engine: counts(engine) == [2])
        assert texts(read(engine, "Alice")) == ["now", "end"]
        message = engine.own_message(second)
        assert message is not None
        assert (message.replaces, message.original) == (first, first)
        start = engine.open_page("Alice", None, 0, NOW)
        assert start is not None
        entries = engine.next_page(start.position, 10).entries
        assert [one.id for one in entries if isinstance(one, WithdrawalEntry)] == [third]
