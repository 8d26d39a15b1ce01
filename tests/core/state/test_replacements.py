"""A message that takes the place of another one, and what is withdrawn by somebody (docs/rules.md, WITHDRAW)."""

from __future__ import annotations

from itertools import permutations

from newswire.core.model.ops import Began, Lost, Op, Published, Withdrawn
from newswire.core.read.scan import DueWithdrawal, plan
from newswire.core.read.start import open_page
from newswire.core.state.fold import State
from newswire.core.state.salvage import again, blindly, owed
from tests.core.state.test_twins import HERE, Side, apart, meet
from tests.core.state.test_withdrawals import shown


def replace(side: Side, target: str, text: str = "newer", **fields: str) -> str:
    return side.make(Published("", 0, 0, topic="news", data=text, replaces=target, **fields))


def withdraw(side: Side, *ids: str, original: str = "") -> str:
    return side.make(Withdrawn("", 0, 0, ids, topic="news", original=original))


def told(state: State, user: str = "alice") -> list[tuple[str, str]]:
    """What readers of everything are told of withdrawals."""
    opening = open_page(state, user, None, 0)
    assert opening is not None
    items = plan(state, opening.position, opening.wanted, 1_000).items
    return [(item.id, item.original) for item in items if isinstance(item, DueWithdrawal)]


def test_the_newer_one_alone_is_shown_and_counted_whatever_came_first() -> None:
    here, there = apart()
    first = here.publish("a", key="")
    there.hear(here)
    second = replace(there, first)
    third = replace(there, second, original=first)
    meet(here, there)
    for side in (here, there):
        assert shown(side) == [third]
        messages = side.state.messages
        assert messages.original(next(row for row, topic in enumerate(side.state.log.topics) if topic == 1)) == first


def test_one_that_comes_before_what_it_replaces_hides_it_when_it_comes() -> None:
    for order in permutations(range(3)):
        state = State()
        runs: list[list[Op]] = [[Began(f"100{number}-a", 1, 0, f"100{number}")] for number in range(3)]
        runs[0].append(Published("1000-a", 2, 0, topic="news", data="a"))
        runs[1].append(Published("1001-a", 2, 0, topic="news", data="b", replaces="1000-a.2"))
        runs[2].append(Published("1002-a", 2, 0, topic="news", data="c", replaces="1001-a.2", original="1000-a.2"))
        for number in order:
            for op in runs[number]:
                state.apply(op, len(state.log), 1, None)
        assert [state.messages.name(row) for row, topic in enumerate(state.log.topics) if topic] == ["1002-a.2"]


def test_a_message_that_says_that_it_replaces_itself_is_shown() -> None:
    here, _ = apart()
    name = f"{HERE}.{len(here.made) + 1}"
    assert replace(here, name) == name
    assert shown(here) == [name]


def test_two_that_replace_one_at_brokers_apart_are_both_shown() -> None:
    here, there = apart()
    first = here.publish("a", key="")
    there.hear(here)
    ids = [replace(here, first), replace(there, first)]
    meet(here, there)
    assert sorted(shown(here)) == sorted(shown(there)) == ids


def test_a_twin_of_what_was_replaced_stays_hidden() -> None:
    here, there = apart()
    first = here.publish("x")
    newer = replace(here, first)
    there.publish("x")
    meet(here, there)
    assert shown(here) == shown(there) == [newer]


def test_readers_are_told_of_a_withdrawal_in_its_place_and_once() -> None:
    here, there = apart()
    first = here.publish("a", key="")
    second = replace(here, first)
    withdraw(here, second, original=first)
    meet(here, there)
    for side in (here, there):
        assert shown(side) == []
        assert told(side.state) == [(second, first)]
    behind = here.place()
    assert here.read("alice", behind) == []
    here.make(Withdrawn("", 0, 0, (here.publish("b", key=""),)))  # its time is over: nothing is told of that
    assert told(here.state) == [(second, first)]


def test_what_was_given_up_still_replaces() -> None:
    """Whoever holds it stores it again; one that is hidden leaves what it did."""
    here, _ = apart()
    first = here.publish("a", key="")
    second = replace(here, first)
    (draft,) = again(here.state, here.made[-1])
    assert isinstance(draft, Published)
    assert (draft.again, draft.replaces) == (second, first)
    replace(here, second, original=first)
    assert again(here.state, here.made[-2]) == [Withdrawn("", 0, 0, (first,))]


def test_what_a_record_did_that_cannot_be_read_is_kept() -> None:
    here, _ = apart()
    first = here.publish("a", key="")
    replace(here, first)
    other = here.publish("b", key="")
    withdraw(here, other)
    rows = [len(here.state.log) - 1, len(here.state.log) - 3]
    for row in rows:
        here.state.holes.miss(row)
    lost = Lost("", 0, 0, HERE, 1, len(here.made))
    assert set(owed(here.state, lost, {}).blind) == {here.state.log.sequences[row] for row in rows}
    (draft,) = [op for op in blindly(here.state, []) if isinstance(op, Withdrawn)]
    assert set(draft.ids) == {first, other}


def test_readers_of_a_topic_look_at_no_more_withdrawals_than_a_page_has() -> None:
    here, _ = apart()
    names = [here.publish("a", key="") for _ in range(9)]
    for name in names:
        withdraw(here, name)
    messages = here.state.messages
    rows = messages.told_rows([messages.numbers["news"]], 0, 9)
    assert len(rows) == 9
    assert messages.told_rows([messages.numbers["news"]], rows[2], 3) == rows[2:5]
    assert messages.told_rows(range(1, 100), rows[2], 1) == rows[2:3], "where all topics may match"
    assert messages.told_rows([7, 8], 0, 9) == []
