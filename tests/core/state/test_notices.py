"""What asks to be confirmed, and who has: whatever came first, under all ids of a message (docs/rules.md, CONFIRM)."""

from __future__ import annotations

from itertools import permutations

import pytest

from newswire.core.model.ops import Began, Confirmed, Lost, Published, Withdrawn, split_op_id
from newswire.core.read.pieces import finish
from newswire.core.read.reports import delivery_report, shown_row
from newswire.core.state.fold import State
from newswire.core.state.notices import Addressee
from newswire.core.state.op_index import SILENT
from newswire.core.state.salvage import again, blindly
from tests.core.state.test_twins import HERE, Side, apart, meet


def ask(side: Side, text: str = "Leave the house", *, key: str = "", title: str = "") -> str:
    return side.make(Published("", 0, 0, topic="news", data=text, key=key, title=title, confirm=60, escalate="late"))


def confirm(side: Side, name: str, user: str = "alice", time: int = 2_000) -> None:
    side.make(Confirmed("", 0, 0, name, user), time)


def tell(side: Side, name: str, text: str) -> str:
    """Publish who has not confirmed it."""
    return side.make(Published("", 0, 0, topic="late", data=text, about=name))


def confirmed(side: Side, name: str) -> dict[Addressee, int]:
    row = shown_row(side.state, name)
    assert row is not None
    return side.state.messages.notices.confirmed(side.state.messages.ids(row))


def shown(side: Side, topic: str) -> list[str]:
    number = side.state.messages.numbers.get(topic, 0)
    return [side.state.messages.name(row) for row, one in enumerate(side.state.log.topics) if number and one == number]


def test_what_is_confirmed_is_so_at_both_and_the_first_time_counts() -> None:
    here, there = apart()
    name = ask(here)
    meet(here, there)
    confirm(here, name, time=5_000)
    confirm(there, name, time=4_000)
    confirm(there, name, "bob", time=6_000)
    meet(here, there)
    for side in (here, there):
        assert confirmed(side, name) == {Addressee("alice", ""): 4_000, Addressee("bob", ""): 6_000}


def test_a_confirmation_may_come_before_its_message() -> None:
    here, there = apart()
    name = f"{there.name}.{len(there.made) + 1}"
    confirm(here, name)
    assert ask(there) == name
    here.hear(there)
    assert confirmed(here, name) == {Addressee("alice", ""): 2_000}


def test_twins_are_confirmed_under_either_id() -> None:
    here, there = apart()
    names = [ask(here, key="k"), ask(there, key="k")]
    confirm(here, names[0])
    confirm(there, names[1], "bob")
    meet(here, there)
    for side in (here, there):
        for name in names:
            assert {reader.user for reader in confirmed(side, name)} == {"alice", "bob"}


def test_what_two_brokers_say_of_one_message_is_one_message() -> None:
    here, there = apart()
    name = ask(here)
    meet(here, there)
    tell(here, name, "alice and bob")
    tell(there, name, "bob")
    meet(here, there)
    smaller = shown(here, "late")
    assert len(smaller) == 1
    assert shown(there, "late") == smaller
    assert here.state.messages.notices.is_escalated([name])


def test_what_two_brokers_say_of_two_twins_is_one_message() -> None:
    here, there = apart()
    names = [ask(here, key="k"), ask(there, key="k")]
    tell(here, names[0], "alice and bob")
    tell(there, names[1], "bob")
    meet(here, there)
    assert len(shown(here, "late")) == 1
    assert shown(there, "late") == shown(here, "late")


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
def test_in_whatever_order_they_come_what_is_said_of_twins_is_one_message(order: tuple[int, ...]) -> None:
    """What is said of a message may come before it, from a broker that had it from another one."""
    ops = [
        Published("1001-a", 2, 0, topic="news", data="x", key="k", confirm=60, escalate="late"),
        Published("1002-b", 2, 0, topic="news", data="x", key="k", confirm=60, escalate="late"),
        Published("1003-c", 2, 0, topic="late", data="1", about="1001-a.2"),
        Published("1004-d", 2, 0, topic="late", data="2", about="1002-b.2"),
    ]
    state = State()
    for place in order:
        op = ops[place]
        state.apply(Began(op.origin, 1, 0, broker=op.origin), 0, 1, None)
        state.apply(op, 0, 1, None)
    names = [state.messages.name(row) for row, topic in enumerate(state.log.topics) if topic]
    assert sorted(names) == ["1001-a.2", "1003-c.2"]
    assert state.messages.count(state.messages.numbers["late"]) == 1
    state.messages.withdraw(["1004-d.2"])
    assert state.messages.count(state.messages.numbers["late"]) == 0, "it is withdrawn under either id"


def test_what_is_said_of_one_that_was_stored_again_is_said_once() -> None:
    here, there = apart()
    name = ask(here)
    meet(here, there)
    tell(here, name, "alice and bob")
    (draft,) = again(there.state, here.made[-2])
    copy = there.make(draft)
    there.make(Lost("", 0, 0, HERE, here.made[-2].sequence, here.made[-2].sequence))
    tell(there, copy, "bob")
    meet(here, there)
    assert len(shown(here, "late")) == 1
    assert shown(there, "late") == shown(here, "late")


def test_what_it_is_called() -> None:
    here, _ = apart()
    for name, words in (
        (ask(here, title="Fire"), "Fire"),
        (ask(here, "\n  Leave\nnow"), "  Leave"),
        (ask(here, "x" * 100), "x" * 79 + "…"),
    ):
        notice = here.state.messages.notices.of[here.state.log.row(HERE, int(name.rpartition(".")[2])) or 0]
        assert (notice.id, notice.words, notice.until) == (name, words, 61_000)


def test_one_that_was_given_up_and_stored_again_keeps_who_confirmed_it() -> None:
    here, there = apart()
    name = ask(here)
    meet(here, there)
    confirm(here, name)
    meet(here, there)
    op = here.made[-2]
    assert isinstance(op, Published)
    (draft,) = again(there.state, op)
    copy = there.make(draft)
    there.make(Lost("", 0, 0, HERE, op.sequence, op.sequence))
    meet(here, there)
    for side in (here, there):
        assert {reader.user for reader in confirmed(side, copy)} == {"alice"}


def test_a_confirmation_is_stored_again_by_who_has_it() -> None:
    here, there = apart()
    name = ask(here)
    meet(here, there)
    confirm(here, name)
    there.hear(here)
    said = Confirmed("", 0, 0, name, "alice", made=2_000)
    assert again(there.state, here.made[-1]) == [said]
    assert said in blindly(there.state, [here.made[-1].id])
    once_more = there.make(said, 9_000)
    assert again(there.state, there.made[-1]) == [said], "stored again twice it is as old"
    assert once_more


def test_when_it_was_confirmed_is_the_same_where_the_first_record_was_given_up() -> None:
    """A broker that has compacted does not hold it any more, another one does."""
    here, there = apart()
    name = ask(here)
    meet(here, there)
    confirm(here, name)
    (draft,) = again(here.state, here.made[-1])
    given_up = here.made[-1]
    here.make(draft, 12_000)
    here.make(Lost("", 0, 0, HERE, given_up.sequence, given_up.sequence), 12_000)
    there.hear(here)
    assert confirmed(here, name) == confirmed(there, name) == {Addressee("alice", ""): 2_000}


def test_what_is_withdrawn_is_reported_no_more() -> None:
    here, _ = apart()
    name = ask(here)
    assert finish(delivery_report(here.state, name, 0)) is not None
    here.make(Withdrawn("", 0, 0, (name,)))
    assert finish(delivery_report(here.state, name, 0)) is None
    assert finish(delivery_report(here.state, "1009-x.7", 0)) is None


def test_a_run_with_such_messages_is_folded_one_by_one() -> None:
    here, there = apart()
    for number in range(20):
        there.publish(str(number), key="")
    name = ask(there)
    here.state.replay([(op, 0, 1) for op in there.made[-21:]])
    assert shown_row(here.state, name) in here.state.messages.notices.of


def test_a_log_written_anew_keeps_who_confirmed_what_was_given_up_while_a_copy_of_it_is_there() -> None:
    here, there = apart()
    name = ask(here)
    meet(here, there)
    confirm(there, name)
    op = next(op for op in here.made if isinstance(op, Published))
    (draft,) = again(here.state, op)
    copy = here.make(draft)
    here.make(Lost("", 0, 0, HERE, op.sequence, op.sequence))
    meet(here, there)
    notices, row = there.state.messages.notices, there.state.log.row(*split_op_id(name))
    assert row is not None
    there.state.log.topics[row] = SILENT  # as where it was left out
    there.state.log.void_reach[HERE] = op.sequence
    assert there.state.log.is_void(HERE, op.sequence)
    notices.forget_void(there.state.messages.copies().keys())
    assert {reader.user for reader in notices.confirmed([name, copy])} == {"alice"}
    notices.forget_void(())
    assert not notices.confirmed([name, copy])
