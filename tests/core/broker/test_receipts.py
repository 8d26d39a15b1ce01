"""Who waits for a receipt, and when it is given (docs/rules.md, RECEIPT): the part alone, by what it returns."""

from __future__ import annotations

import pytest

from newswire.core.broker.events import Now, Reply
from newswire.core.broker.receipts import PendingReceipts, check_copies
from newswire.core.broker.values import Staged, TellStatus
from newswire.core.model.results import Receipt
from newswire.core.model.vector import FullVector, Lineage, Vector
from newswire.errors import FewerCopies, NotEnoughCopies, StorageFull, Unknown

ORIGIN = "1001-a"
FIVE = Staged((f"{ORIGIN}.4", f"{ORIGIN}.5"), {ORIGIN: 5}, stored=2)
NOW = Now(10.0, 0)


def proof(sequence: int) -> FullVector:
    """What a broker holds that has synced so much of the origin."""
    lineage = Lineage()
    lineage.began(ORIGIN, {})
    return lineage.expand({ORIGIN: sequence} if sequence else {})


def waiting(**wish: float) -> PendingReceipts:
    """One who waits for `FIVE`, which is on disk here."""
    receipts = PendingReceipts()
    receipts.wait_for_peers("who", FIVE, count=2, copies=int(wish.get("copies", 1)), until=wish.get("until", 0.0))
    return receipts


def test_nobody_is_told_before_it_is_on_disk_here() -> None:
    receipts = PendingReceipts()
    receipts.wait_for_disk("who", FIVE, count=2)
    assert (len(receipts), receipts.settle([], NOW)) == (0, [])
    receipts.store()
    assert len(receipts) == 1
    assert receipts.settle([], NOW) == [Reply("who", Receipt(*FIVE.ids, 2, 1, ids=FIVE.ids))]
    receipts.store()
    assert (len(receipts), receipts.settle([], NOW)) == (0, []), "once"


@pytest.mark.parametrize(("held", "copies"), [((5, 5), 3), ((9,), 2), ((), 1)])
def test_each_broker_in_sync_that_proves_it_is_a_copy(held: tuple[int, ...], copies: int) -> None:
    (reply,) = waiting().settle([proof(sequence) for sequence in held], NOW)
    assert isinstance(reply, Reply)
    assert isinstance(reply.result, Receipt)
    assert reply.result.copies == copies


@pytest.mark.parametrize(("asked", "held", "copies"), [(2, (4, 5, 4, 4), 2), (2, (5, 5, 0, 4), 3), (3, (5, 4, 5, 0), 3)])
def test_so_many_as_were_asked_for_are_enough(asked: int, held: tuple[int, ...], copies: int) -> None:
    (reply,) = waiting(copies=asked).settle([proof(sequence) for sequence in held], NOW)
    assert isinstance(reply, Reply)
    assert isinstance(reply.result, Receipt)
    assert reply.result.copies == copies, "so many hold it now"


@pytest.mark.parametrize(("asked", "held"), [(2, (4, 4, 0, 0)), (3, (5, 4, 4, 4)), (1, (5, 5, 5, 4))])
def test_fewer_are_not_and_who_does_not_ask_waits_for_all(asked: int, held: tuple[int, ...]) -> None:
    assert waiting(copies=asked).settle([proof(sequence) for sequence in held], NOW) == []


@pytest.mark.parametrize("held", [(4,), (5, 4), (0,)])
def test_one_that_has_not_proved_it_is_waited_for(held: tuple[int, ...]) -> None:
    receipts = waiting()
    assert receipts.settle([proof(sequence) for sequence in held], NOW) == []
    assert receipts.required == {ORIGIN: 5}
    assert receipts.settle([proof(5)], NOW) != []
    assert receipts.required == {}


def test_who_waits_is_looked_at_again_only_when_somebody_has_proved_more(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[Vector] = []

    def note(held: FullVector, vector: Vector) -> bool:
        looked_at.append(vector)
        return False

    monkeypatch.setattr(FullVector, "holds", note)
    receipts, before = waiting(), proof(4)
    for _ in range(10):
        assert receipts.settle([before], NOW) == []
    assert looked_at == [FIVE.required]
    receipts.wait_for_peers("another", FIVE, count=2, copies=1, until=0.0)
    assert receipts.settle([before], NOW) == []
    assert len(looked_at) == 2, "the new one"
    assert receipts.settle([proof(4)], NOW) == []
    assert len(looked_at) == 4


def test_not_longer_than_is_asked_for() -> None:
    receipts = waiting(until=10.5)
    assert receipts.settle([proof(0)], NOW) == []
    (reply,) = receipts.settle([proof(0)], Now(10.5, 0))
    assert isinstance(reply, Reply)
    assert isinstance(reply.result, Unknown)


def test_fewer_copies_than_were_asked_for_are_said_with_the_ids() -> None:
    (reply,) = waiting(copies=2).settle([], NOW)
    assert isinstance(reply, Reply)
    assert isinstance(reply.result, FewerCopies)
    assert (reply.result.extra["copies"], reply.result.extra["ids"]) == (1, FIVE.ids)


def test_a_repetition_is_counted_and_named() -> None:
    receipts = PendingReceipts()
    receipts.wait_for_peers("who", Staged((f"{ORIGIN}.2",), {ORIGIN: 2}, 0, (0,)), count=1, copies=1, until=0.0)
    assert receipts.settle([], NOW) == [Reply("who", Receipt(f"{ORIGIN}.2", f"{ORIGIN}.2", 0, 1, 1, (f"{ORIGIN}.2",), (0,)))]


def test_who_waits_for_a_membership_is_told_a_status() -> None:
    receipts = PendingReceipts()
    receipts.wait_for_disk("who", FIVE, broker="1002")
    receipts.store()
    assert receipts.settle([proof(5)], NOW) == [TellStatus("who", "1002")]


def test_a_full_disk_is_told_to_those_only_whose_ops_it_lost() -> None:
    receipts, full = waiting(), StorageFull("full")
    receipts.wait_for_disk("other", FIVE)
    assert receipts.fail(full) == [Reply("other", full)]
    assert len(receipts) == 1
    receipts.store()
    assert len(receipts) == 1, "and it is forgotten"


def test_nobody_waits_under_no_name() -> None:
    receipts = PendingReceipts()
    receipts.wait_for_disk(None, FIVE)
    receipts.wait_for_peers(None, FIVE, count=1, copies=1, until=0.0)
    receipts.store()
    assert (len(receipts), receipts.settle([], NOW)) == (0, [])


def test_more_copies_than_there_are_brokers_are_refused_first() -> None:
    check_copies(2, 2)
    with pytest.raises(NotEnoughCopies) as refused:
        check_copies(3, 2)
    assert refused.value.extra["copies"] == 2
