"""Who belongs, and to whom links are wanted (docs/rules.md, LEAVE and REMOVE): the part alone, by what it returns."""

from __future__ import annotations

import pytest

from newswire.core import limits
from newswire.core.broker.events import Join, Leave, Now, Reply
from newswire.core.broker.membership import Fact, Membership
from newswire.core.broker.values import Greet, Identity, Stamp, TellStatus, Unlink
from newswire.core.model.ops import Joined, Left
from newswire.core.state.members import Members
from newswire.errors import BadRequest, NewswireError, NotFound, Refused

ONE, TWO, THREE = "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"
ME = Identity("1001", ONE, "1001-a", peers=(TWO,))


def members(**addresses: str) -> Members:
    """Those who joined, by id (`b1001="10.0.0.1:1"`)."""
    held = Members()
    for number, (name, address) in enumerate(addresses.items(), 1):
        held.joined(Joined("1001-a", number, 0, name[1:], address))
    return held


def both() -> Members:
    return members(b1001=ONE, b1002=TWO)


def error_of(fact: Fact) -> NewswireError:
    assert isinstance(fact, Reply)
    assert isinstance(fact.result, NewswireError)
    return fact.result


def test_who_is_to_join_is_greeted_first_and_added_when_it_has_answered() -> None:
    held = both()
    part = Membership(ME, held)
    assert part.join(Join("who", THREE, 5.0), [TWO], ()) == [Greet(THREE)]
    assert part.meet(TWO, "1002") == [], "nobody asked for that one"
    assert part.meet(THREE, "1003") == [Stamp([Joined("", 0, 0, "1003", THREE)], "who", 5.0, "1003")]
    assert part.meet(THREE, "1003") == [], "once"


def test_who_adds_the_first_other_joins_itself() -> None:
    part = Membership(ME, Members())
    part.join(Join("who", THREE, 5.0), [], ())
    own, other = part.meet(THREE, "1003")
    assert own == Stamp([Joined("", 0, 0, "1001", ONE)])
    assert isinstance(other, Stamp)
    assert (other.reply_to, other.broker) == ("who", "1003")


def test_adding_a_member_again_tells_its_status_and_stores_nothing() -> None:
    part = Membership(ME, both())
    part.join(Join("who", TWO), [TWO], ())
    assert part.meet(TWO, "1002") == [TellStatus("who", "1002")]


def test_a_member_that_answers_elsewhere_moves() -> None:
    held = both()
    part = Membership(ME, held)
    part.join(Join("who", THREE), [TWO], ())
    assert part.meet(THREE, "1002") == [Stamp([Joined("", 0, 0, "1002", THREE, held.ids("1002"))], "who", 0.0, "1002")]


def test_this_very_broker_is_added_only_where_it_was_removed() -> None:
    held = both()
    part = Membership(ME, held)
    (refusal,) = part.join(Join("who", ONE), [TWO], ())
    assert isinstance(error_of(refusal), BadRequest)
    held.left(Left("1002-a", 1, 0, "1001", held.ids("1001")))
    assert part.join(Join("who", ONE), [TWO], ()) == [Stamp([Joined("", 0, 0, "1001", ONE)], "who", 0.0, "1001")]


def test_links_have_a_bound_but_who_is_linked_may_join() -> None:
    many = {f"b{2000 + number}": f"10.1.0.{number}:1" for number in range(limits.PEERS_COUNT)}
    part = Membership(ME, members(b1001=ONE, **many))
    (refusal,) = part.join(Join("who", THREE), [], ())
    assert error_of(refusal).code == "too-many"
    assert part.join(Join("who", "10.1.0.0:1"), ["10.1.0.0:1"], ()) == [Greet("10.1.0.0:1")]


def test_who_cannot_be_met_in_time_is_refused_and_its_link_closed() -> None:
    part = Membership(ME, both())
    part.join(Join("who", THREE, 5.0), [TWO], ())
    assert part.only_asks(THREE, ())
    assert part.give_up((), Now(4.9, 0)) == []
    refusal, unlink = part.give_up((), Now(5.0, 0))
    assert (error_of(refusal).code, unlink) == ("unreachable", Unlink(THREE))
    assert not part.only_asks(THREE, ())


def test_a_refusal_keeps_the_link_of_a_configured_peer() -> None:
    part = Membership(ME, Members())
    part.join(Join("who", TWO), [TWO], ())
    (refusal,) = part.fail(TWO, "other-cluster", "of another cluster", ())
    assert error_of(refusal).code == "other-cluster"
    assert not part.only_asks(TWO, ())


def test_a_code_that_only_a_later_version_knows_is_no_error_of_ours() -> None:
    part = Membership(ME, Members())
    part.join(Join("who", THREE), [], ())
    refusal, _ = part.fail(THREE, "not-invented-yet", "so it says", ())
    assert error_of(refusal).code == "unreachable"
    assert part.fail(TWO, "not-invented-yet", "nobody waits", ()) == []


def test_a_configured_peer_that_is_this_broker_gets_no_link_any_more() -> None:
    part = Membership(ME, Members())
    assert part.choose_links(()) == [TWO]
    assert part.meet_myself(TWO, ()) == [Unlink(TWO)]
    assert (part.choose_links(()), part.name_others({})) == ([], {})


@pytest.mark.parametrize("name", ["1002", TWO])
def test_another_is_removed_by_id_or_address(name: str) -> None:
    held = both()
    part = Membership(ME, held)
    fact = part.leave(Leave("who", name), (), ["1003-c"])
    assert fact == Stamp([Left("", 0, 0, "1002", held.ids("1002"))], "who", broker="1002")
    assert not part.leaving


@pytest.mark.parametrize(("in_sync", "waiting"), [((), ()), (("1002",), ("1003-c",))])
def test_this_broker_does_not_leave_with_what_may_be_nowhere_else(in_sync: tuple[str, ...], waiting: tuple[str, ...]) -> None:
    part = Membership(ME, both())
    assert error_of(part.leave(Leave("who", "1001"), in_sync, waiting)).code == "last-broker"
    assert part.belongs


def test_this_broker_leaves_when_that_is_stored_and_stays_where_it_is_not() -> None:
    held = both()
    part = Membership(ME, held)
    fact = part.leave(Leave("who", ONE), ["1002"], ())
    assert isinstance(fact, Stamp)
    assert (part.leaving, part.has_left) == (True, False)
    assert "leaving" in part.why_not()
    part.settle()
    assert (part.leaving, part.why_not()) == (False, ""), "there was no room for it"
    part.leave(Leave("who", ONE), ["1002"], ())
    held.left(Left("1001-a", 9, 0, "1001", held.ids("1001")))
    part.settle()
    assert part.has_left
    assert not part.belongs


def test_nobody_of_that_name_leaves() -> None:
    assert isinstance(error_of(Membership(ME, both()).leave(Leave("who", "1009"), ["1002"], ())), NotFound)


def test_a_broker_that_others_removed_serves_nobody() -> None:
    held = both()
    part = Membership(ME, held)
    assert part.belongs
    held.left(Left("1002-a", 1, 0, "1001", held.ids("1001")))
    assert not part.belongs
    assert "removed" in part.why_not()
    assert not part.is_stranger


def test_a_broker_introduces_itself_once_and_where_it_moved() -> None:
    held = Members()
    part = Membership(ME, held)
    assert part.introduce(met=False) == []
    assert part.introduce(met=True) == [Stamp([Joined("", 0, 0, "1001", ONE)])]
    held.joined(Joined("1001-a", 1, 0, "1001", ONE))
    assert part.introduce(met=True) == []
    moved = Membership(Identity("1001", THREE, "1001-b"), held)
    assert moved.introduce(met=False) == [Stamp([Joined("", 0, 0, "1001", THREE, ("1001-a.1",))])]


def test_links_follow_who_joins_and_who_is_gone() -> None:
    held = members(b1001=ONE, b1003=THREE)
    part = Membership(ME, held)
    assert part.arrange_links([TWO, "10.0.0.9:1"], ()) == [Unlink("10.0.0.9:1"), Greet(THREE)]
    assert part.arrange_links([TWO, THREE], ()) == []
    held.left(Left("1001-a", 9, 0, "1003", held.ids("1003")))
    assert part.choose_links(()) == [TWO, THREE], "who was removed may come back with ops that nobody else has"
    assert part.choose_links(["10.0.0.9:1"]) == [TWO, "10.0.0.9:1", THREE], "after who is needed"


def test_others_are_named_by_what_is_known_of_them() -> None:
    part = Membership(ME, members(b1003=THREE))
    assert part.name_others({}) == {TWO: TWO, THREE: "1003"}
    assert part.name_others({TWO: "1002", THREE: ""}) == {TWO: "1002", THREE: "1003"}


def test_a_join_that_is_refused_tells_all_who_wait() -> None:
    part = Membership(ME, Members())
    for name in ("one", "other"):
        part.join(Join(name, THREE), [THREE], ())
    facts = part.refuse(THREE, Refused("no", code="unreachable"), ())
    assert [fact.reply_to for fact in facts if isinstance(fact, Reply)] == ["one", "other"]
