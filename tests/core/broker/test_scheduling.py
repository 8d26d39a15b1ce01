"""What may wait for its time, and what is refused (docs/rules.md, SCHEDULE)."""

from __future__ import annotations

import pytest

from newswire.core import limits
from newswire.core.access import Principal
from newswire.core.broker.scheduling import Scheduling, draft_scheduled
from newswire.core.model.commands import Publish, Withdraw
from newswire.core.state.fold import State
from newswire.errors import BadRequest, KeyReused, NotFound, Refused
from tests.kit.timed_broker import START, TimedBroker

WEEK = 7 * 24 * 3_600_000


@pytest.fixture
def broker() -> TimedBroker:
    return TimedBroker()


@pytest.mark.parametrize("ahead", [limits.SCHEDULE_AHEAD_SECONDS * 1000 + 1, -limits.SCHEDULE_LATE_SECONDS * 1000 - 1])
def test_a_time_that_is_too_far_off_is_refused(broker: TimedBroker, ahead: int) -> None:
    with pytest.raises(BadRequest, match="within 30 days"):
        broker.take(Publish("news", "at", at=START + ahead))


def test_a_time_that_has_just_passed_is_now(broker: TimedBroker) -> None:
    broker.take(Publish("news", "at", at=START - 1000))
    assert broker.wait(1) == ["at"]


def test_what_takes_the_place_of_another_is_not_scheduled(broker: TimedBroker) -> None:
    name = broker.take(Publish("news", "first"))
    with pytest.raises(BadRequest, match="`at` and `delay`"):
        broker.take(Publish("news", "second", replaces=name, delay=1000))


def test_so_many_wait_for_one_user_and_for_all(broker: TimedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SCHEDULED_PER_USER", 2)
    monkeypatch.setattr(limits, "SCHEDULED_COUNT", 3)
    broker.schedule(60, "1", key="1")
    broker.schedule(60, "2")
    broker.schedule(60, "1", key="1")
    with pytest.raises(Refused, match="2 messages of bob"):
        broker.schedule(60, "3")
    broker.take(Publish("news", "3", publisher="cyd", delay=1000))
    with pytest.raises(Refused, match="as many messages wait"):
        broker.take(Publish("news", "4", publisher="dan", delay=1000))
    broker.wait(2)
    broker.take(Publish("news", "4", publisher="dan", delay=1000))


def test_what_waits_is_not_replaced(broker: TimedBroker) -> None:
    name = broker.schedule(60)
    with pytest.raises(NotFound, match="withdraw it"):
        broker.take(Publish("news", "newer", publisher="bob", replaces=name))
    assert broker.wait(62) == ["later"]
    broker.take(Publish("news", "newer", publisher="bob", replaces=name))
    assert broker.shown() == ["newer"], "once it is published it is, under the id that it was scheduled under"


def test_a_retry_of_what_was_withdrawn_is_not_told_that_it_was_published(broker: TimedBroker) -> None:
    name = broker.schedule(60, key="k")
    broker.take(Withdraw(name, "news"))
    retry = Publish("news", "later", key="k", delay=60_000, publisher="bob")
    receipt = broker.engine.submit([retry])
    assert (receipt.first, receipt.duplicates, receipt.due, receipt.withdrawn) == (name, 1, 0, True)


def test_a_retry_of_what_was_replaced_is_one_of_what_was_published(broker: TimedBroker) -> None:
    one = Publish("news", "one", key="k")
    name = broker.take(one)
    broker.take(Publish("news", "two", replaces=name))
    receipt = broker.engine.submit([one])
    assert (receipt.first, receipt.duplicates, receipt.withdrawn) == (name, 1, False)


def test_of_one_batch_only_one_takes_the_place_of_a_message(broker: TimedBroker) -> None:
    name = broker.take(Publish("news", "first"))
    for key in ("", "k"):
        with pytest.raises(BadRequest, match="replaced twice") as caught:
            broker.take(Publish("news", "2", replaces=name, key=key), Publish("news", "3", replaces=name))
        assert caught.value.extra["index"] == 1
    assert broker.shown() == ["first"]
    again = Publish("news", "2", replaces=name, key="k")
    broker.take(again, again)
    assert broker.shown() == ["2"]


def test_under_one_key_what_comes_now_and_what_comes_later_are_two_things(broker: TimedBroker) -> None:
    broker.schedule(10, key="k")
    with pytest.raises(KeyReused):
        broker.take(Publish("news", "later", key="k", publisher="bob"))
    assert broker.wait(12) == ["later"]


def test_of_a_batch_the_line_is_named_that_is_refused(broker: TimedBroker) -> None:
    with pytest.raises(BadRequest) as caught:
        broker.take(Publish("news", "1", delay=1000), Publish("news", "2", at=START - WEEK))
    assert caught.value.extra["index"] == 1
    assert broker.wait(3) == []


def test_when_it_is_due_is_said_of_what_is_staged_too() -> None:
    scheduling, request = Scheduling(State()), Publish("news", "later", delay=1000)
    op = draft_scheduled(request, START, None)
    assert scheduling.due(request, op.id) == 0
    scheduling.note(op)
    assert scheduling.due(request, op.id) == START + 1000
    assert scheduling.due(Publish("news", "now"), op.id) == 0
    scheduling.unstage({op.id})
    assert scheduling.due(request, op.id) == 0


def test_what_is_staged_takes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SCHEDULED_COUNT", 1)
    scheduling, request = Scheduling(State()), Publish("news", "later", delay=1000)
    scheduling.check([(0, request), (1, Publish("news", "now"))], START)
    scheduling.note(draft_scheduled(request, START, None))
    with pytest.raises(Refused) as refused:
        scheduling.check([(3, request)], START)
    assert refused.value.extra["index"] == 3
    scheduling.clear()
    scheduling.check([(0, request)], START)


def test_it_lives_from_when_it_is_due_and_keeps_who_asked() -> None:
    op = draft_scheduled(Publish("news", "later", at=START + 5000, expires=60), START, Principal("1001-a.2", "1001-a.3"))
    assert (op.due, op.expires) == (START + 5000, START + 65_000)
    assert (op.account, op.token) == ("1001-a.2", "1001-a.3")
