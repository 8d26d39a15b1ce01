"""What brokers say to each other (docs/rules.md, PUSH, HAVE, MEET): the part alone, by what it returns."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from newswire.core import limits
from newswire.core.broker.events import WIRE, WIRE_LEAST, Answer, Connect, Disconnect, Header, Now, Reply, Send
from newswire.core.broker.receipts import PendingReceipts
from newswire.core.broker.replication import Replication
from newswire.core.broker.values import Announcement, Identity, Staged
from newswire.core.model.balance import Load
from newswire.core.model.ops import Began, Joined, Published
from newswire.core.model.results import Receipt
from newswire.core.state.fold import State
from newswire.core.state.holes import Hole
from newswire.errors import Refused, StorageFull

ONE, TWO, THREE = "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"
ME = Identity("1001", ONE, "1001-a", peers=(TWO,), heartbeat=5.0)
SAID = Announcement(cluster="c", settled=True, turn=0, told=(), serves=True, writable=True, wall=1_000)
ALL = {"1001-a": 2}


def at(seconds: float) -> Now:
    return Now(seconds, int(seconds * 1000))


def state() -> State:
    """A run with one message."""
    held = State()
    held.apply(Began("1001-a", 1, 0, "1001"), 0, 10, None)
    held.apply(Published("1001-a", 2, 0, topic="news", data="x"), 1, 10, None)
    return held


def header(number: int = 1, **said: Any) -> Header:
    """What the broker at `TWO` says."""
    usual = Header(
        broker="1002", address=TWO, origin="1002-b", cluster="c", settled=True, primary=False, serves=True, number=number,
        vector={},
    )  # fmt: skip
    return msgspec.structs.replace(usual, **said)


def linked(held: State | None = None) -> tuple[Replication, State]:
    """One with a link to `TWO`, which has not answered."""
    held = held or state()
    part = Replication(ME, held)
    assert part.greet(TWO, at(0)) == [Connect(TWO)]
    return part, held


def push(part: Replication, now: Now, **said: Any) -> Send:
    (send,) = part.push(msgspec.structs.replace(SAID, **said), now, "")
    return send


def answer(part: Replication, now: Now, **said: Any) -> Send:
    """Push, and have it answered at once with this."""
    send = push(part, now)
    part.take_answer(TWO, header(send.header.number, **said), now, progress=False)
    return send


def in_sync() -> tuple[Replication, State]:
    """One whose peer has proved all."""
    part, held = linked()
    answer(part, at(0), vector={})
    answer(part, at(0), vector=ALL)
    assert part.in_sync() == ["1002"]
    return part, held


def test_the_first_push_is_empty_and_the_next_brings_what_is_lacking() -> None:
    part, held = linked()
    first = answer(part, at(0), vector={})
    assert (first.address, list(first.places), first.header.number) == (TWO, [], 1)
    second = push(part, at(0))
    assert (second.places, second.header.number) == (held.log.where([0, 1]), 2)
    assert second.header.vector == ALL


def test_one_push_is_in_flight_a_link() -> None:
    part, _ = linked()
    push(part, at(0))
    assert part.push(SAID, at(100), "") == []
    assert not part.is_due(at(100), "")
    assert part.awaits(TWO, 1)
    assert not part.awaits(TWO, 2)
    assert not part.awaits(THREE, 1)


def test_there_is_nothing_to_say_between_heartbeats() -> None:
    part, _ = in_sync()
    answer(part, at(0), vector=ALL)  # its copies count from now on: that is said once
    assert not part.is_due(at(4.9), "")
    assert part.is_due(at(5.0), "")


def test_in_sync_is_who_proved_what_was_held_when_the_push_went_out() -> None:
    part, held = in_sync()
    assert [proof.holds(ALL) for proof in part.proofs()] == [True]
    answer(part, at(0), vector=ALL)
    held.apply(Published("1001-a", 3, 0, topic="news", data="y"), 2, 10, None)
    answer(part, at(1), vector=ALL)
    assert part.in_sync() == [], "it answered, and has not taken what came with the push"


def test_what_a_peer_says_in_its_own_pushes_is_no_proof() -> None:
    part, _ = linked()
    answer(part, at(0), vector={})
    part.hear("push", header(vector=ALL), at(0))
    assert (part.in_sync(), part.proofs()) == ([], [])
    assert not part.is_due(at(1), ""), "but it is not pushed again"


def test_what_was_pushed_and_answered_for_is_no_proof() -> None:
    part, _ = linked()
    for seconds in (0, 0, 5, 10):
        answer(part, at(seconds), vector={})
        assert part.in_sync() == []


def test_brokers_tell_each_other_how_many_streams_they_serve() -> None:
    part, _ = linked()
    send = push(part, at(0), load=Load(5, 100))
    assert (send.header.streams, send.header.streams_limit) == (5, 100)
    part.hear("push", header(streams=7, streams_limit=90), at(0))
    assert [facts.load for facts in part.facts(at(1))] == [Load(7, 90)]


def test_copies_of_members_count_and_of_all_while_nobody_is_one() -> None:
    part, held = in_sync()
    assert part.count_writable() == 1
    held.apply(Joined("1001-a", 3, 0, "1003", THREE), 2, 10, None)
    assert (part.in_sync(), part.count_writable()) == ([], 0)
    held.apply(Joined("1001-a", 4, 0, "1002", TWO), 3, 10, None)
    assert part.in_sync() == ["1002"]


def test_a_full_disk_is_a_copy_of_what_it_holds_and_of_nothing_new() -> None:
    part, _ = linked()
    answer(part, at(0), vector=ALL, writable=False)
    assert (part.in_sync(), part.count_writable()) == (["1002"], 0)


def test_a_push_that_is_late_or_failed_counts_no_more() -> None:
    part, _ = in_sync()
    push(part, at(0))
    part.look_around(at(limits.PUSH_TIMEOUT_SECONDS))
    assert part.in_sync() == ["1002"]
    part.look_around(at(limits.PUSH_TIMEOUT_SECONDS + 0.1))
    assert part.in_sync() == []
    other, _ = in_sync()
    push(other, at(0))
    other.fail(TWO, "down", "refused", at(0))
    assert other.in_sync() == []
    assert [(facts.state, facts.detail, facts.current) for facts in other.facts(at(0))] == [("down", "refused", False)]


def test_who_hangs_up_is_greeted_at_once_unless_a_push_says_what_became_of_it() -> None:
    part, _ = in_sync()
    answer(part, at(0), vector=ALL)
    part.hang_up(TWO, at(1))
    part.hang_up(THREE, at(1))
    assert part.is_due(at(1), "")


def test_a_push_is_answered_after_the_sync_and_once() -> None:
    part, held = linked()
    assert not part.owes_answers
    part.hear("push", header(7, vector={}, want=10), at(0))
    assert part.owes_answers
    held.apply(Published("1001-a", 3, 0, topic="news", data="y"), 2, 10, None)
    (reply,) = part.answer(SAID)
    assert isinstance(reply, Answer)
    assert (reply.reply_to, reply.header.number, reply.header.vector) == ("push", 7, {"1001-a": 3})
    assert reply.places == held.log.where([0, 1, 2]), "what the pusher lacks and asked for"
    assert (part.answer(SAID), part.owes_answers) == ([], False)


def test_a_push_that_found_no_room_is_refused_with_the_reason() -> None:
    part, _ = linked()
    part.hear("push", header(7), at(0))
    (reply,) = part.fail_answers(StorageFull("full"), SAID)
    assert (reply.reply_to, reply.header.code, reply.header.detail, reply.places) == ("push", "storage-full", "full", ())
    assert part.answer(SAID) == []


def test_sources_are_fetched_from_until_they_handed_over_and_count_us() -> None:
    held = state()
    part = Replication(ME, held)
    assert part.start([TWO], at(0)) == [Connect(TWO)]
    assert list(part.sources) == [TWO]
    assert "catching up" in part.why_not()
    answer(part, at(0), vector={"1003-c": 1})
    part.look_around(at(0))
    assert list(part.sources) == [TWO], "it holds what is not held here"
    held.apply(Began("1003-c", 1, 0, "1003"), 2, 10, None)
    vector = {"1001-a": 2, "1003-c": 1}
    answer(part, at(1), vector=vector, counts=False)
    part.look_around(at(1))
    assert list(part.sources) == [TWO], "it does not wait for our copy yet"
    answer(part, at(2), vector=vector, counts=True)
    part.look_around(at(2))
    assert (list(part.sources), part.why_not()) == ([], "")
    assert part.has_met_anybody()


def test_a_source_that_cannot_be_reached_is_not_waited_for() -> None:
    part = Replication(ME, state())
    part.start([TWO], at(0))
    push(part, at(0))
    part.fail(TWO, "down", "refused", at(0))
    assert (list(part.sources), part.why_not()) == ([], "")


def test_beside_one_that_has_its_id_this_broker_serves_nobody() -> None:
    part, _ = linked()
    push(part, at(0))
    part.fail(TWO, "id-in-use", "broker id 1001 is in use", at(0))
    assert part.why_not() == "broker id 1001 is in use"


def test_a_broker_that_serves_is_not_stopped_by_one_that_has_its_id_and_came_later() -> None:
    part, _ = linked()
    part.serve()
    push(part, at(0))
    part.fail(TWO, "id-in-use", "broker id 1001 is in use", at(0))
    assert part.why_not() == ""
    assert [peer.state for peer in part.facts(at(0))] == ["id-in-use"]


def test_a_peer_that_answers_and_never_pushes_does_not_reach_this_broker() -> None:
    part, _ = linked()
    long = 2 * ME.heartbeat + limits.PUSH_TIMEOUT_SECONDS
    answer(part, at(0), counts=False)
    assert [peer.reaches_us for peer in part.facts(at(1))] == [True], "it may be about to"
    answer(part, at(long), counts=False)
    assert [peer.reaches_us for peer in part.facts(at(long))] == [False]
    answer(part, at(2 * long), counts=True)
    assert [peer.reaches_us for peer in part.facts(at(2 * long))] == [True], "its receipts wait for copies here"


@pytest.mark.parametrize(
    ("said", "seconds", "refused"),
    [
        ({"broker": "1001", "origin": "1001-z"}, 0.0, True),
        ({"address": THREE, "origin": "1002-c"}, 1.0, True),
        ({"address": THREE, "origin": "1002-c"}, 60.0, False),
        ({"address": THREE}, 1.0, False),
        ({"origin": "1002-c"}, 1.0, False),
        ({"broker": "1003", "address": THREE}, 1.0, False),
    ],
)
def test_an_id_that_another_living_process_has_is_refused(said: dict[str, Any], seconds: float, refused: bool) -> None:
    part, _ = in_sync()
    if not refused:
        part.check_sender(header(**said), at(seconds))
        return
    with pytest.raises(Refused) as error:
        part.check_sender(header(**said), at(seconds))
    assert error.value.code == "id-in-use"


@pytest.mark.parametrize(
    ("said", "who"),
    [
        ({}, ""),
        ({"wire": WIRE_LEAST}, ""),
        ({"wire": WIRE + 1, "wire_least": WIRE}, ""),
        ({"wire": WIRE_LEAST - 1}, "1002"),
        ({"wire": WIRE + 2, "wire_least": WIRE + 1}, "1001"),
    ],
)
def test_who_is_not_understood_is_refused_and_told_who_is_to_be_upgraded(said: dict[str, Any], who: str) -> None:
    part, _ = in_sync()
    if not who:
        part.check_sender(header(**said), at(1))
        return
    with pytest.raises(Refused) as error:
        part.check_sender(header(**said), at(1))
    assert (error.value.code, error.value.detail.endswith(f"upgrade {who}")) == ("other-version", True)


def test_it_says_which_version_it_speaks_and_who_says_none_is_of_the_first() -> None:
    part, _ = linked()
    sent = push(part, at(0)).header
    assert (sent.wire, sent.wire_least) == (WIRE, WIRE_LEAST)
    assert (header().wire, header().wire_least) == (1, 1)


def test_who_agrees_is_who_answered_under_the_id_that_the_push_named() -> None:
    part, _ = linked()
    push(part, at(0), turn=1)
    part.agree(TWO, header(told=("1001",)), ("c", 2))
    part.agree(TWO, header(cluster="d"), ("c", 1))
    assert part.agreements(1) == {}
    part.agree(TWO, header(told=("1001",)), ("c", 1))
    assert (part.agreements(1), part.agreements(2)) == ({TWO: ("1001",)}, {})


def test_a_proof_is_asked_for_once() -> None:
    part, held = in_sync()
    answer(part, at(0), vector=ALL)
    held.apply(Began("1003-c", 1, 0, "1003"), 2, 10, None)
    part.hear("push", header(vector={"1001-a": 2, "1003-c": 1}), at(1))
    assert not part.is_due(at(1), ""), "it holds the op: nothing has to be pushed"
    part.ask_for_proof({"1003-c": 1}, at(1))
    assert part.is_due(at(1), "")
    answer(part, at(1), vector=ALL)
    part.ask_for_proof({"1003-c": 1}, at(1))
    assert not part.is_due(at(1), ""), "it was asked, and has answered"
    assert part.proofs()[0].holds({"1003-c": 1})


def test_links_open_and_close_once() -> None:
    part, _ = linked()
    assert part.greet(TWO, at(1)) == []
    assert part.unlink(TWO) == [Disconnect(TWO)]
    assert (part.unlink(TWO), list(part.links)) == ([], [])
    assert part.fetch_from(THREE, at(0)) == [Connect(THREE)]
    assert list(part.sources) == [THREE]
    for number in range(limits.PEERS_COUNT):
        part.greet(f"10.1.0.{number}:1", at(0))
    assert part.fetch_from("10.9.9.9:1", at(0)) == [], "no more threads for whoever names one cluster after another"


def test_all_is_held_elsewhere_when_one_has_proved_it() -> None:
    part, held = in_sync()
    assert part.is_held_elsewhere()
    held.apply(Published("1001-a", 3, 0, topic="news", data="y"), 2, 10, None)
    assert not part.is_held_elsewhere()


def test_another_run_of_a_peer_holds_nothing_until_it_says_so() -> None:
    part, _ = in_sync()
    answer(part, at(0), vector=ALL)
    part.hear("push", header(vector=ALL), at(1))
    assert not part.is_due(at(1), "")
    part.hear("push", header(origin="1002-c", vector=ALL), at(1))
    assert part.in_sync() == []
    assert part.is_due(at(1), ""), "it lives: hello at once"


def test_clocks_are_compared_with_what_peers_say() -> None:
    part, _ = linked()
    part.hear("push", header(wall=10_000 + int(limits.CLOCK_APART_SECONDS * 1000)), at(10))
    assert part.has_clocks_apart()
    assert part.most_ahead() == int(limits.CLOCK_APART_SECONDS * 1000)
    part.hear("push", header(wall=9_000), at(10))
    assert (part.has_clocks_apart(), part.most_ahead()) == (False, 0)


def anew(part: Replication, clock: float) -> State:
    """Go on with a state in which other things follow from vectors: all that peers said is read anew."""
    held = state()
    held.lineage.began("1003-c", {})
    part.become(held, at(clock), goes_on=False)
    return held


def test_who_was_in_sync_and_is_asked_again_is_waited_for_until_it_answers() -> None:
    part, _ = in_sync()
    answer(part, at(0), vector=ALL)
    receipts = PendingReceipts()
    receipts.wait_for_peers("who", Staged(("1001-a.2",), ALL, stored=1), count=1, copies=2, until=0.0)
    anew(part, 1)
    assert (part.in_sync(), part.proofs(), part.count_writable()) == ([], [], 1), "what it holds is not known"
    assert receipts.settle(part.copies(), at(1)) == []
    assert part.is_due(at(1), "")
    anew(part, 1)
    assert receipts.settle(part.copies(), at(1)) == [], "asked twice"
    answer(part, at(1), vector=ALL)
    (reply,) = receipts.settle(part.copies(), at(1))
    assert isinstance(reply, Reply)
    assert isinstance(reply.result, Receipt)
    assert (reply.result.copies, part.in_sync()) == (2, ["1002"])


def test_who_is_asked_again_is_not_waited_for_when_it_gives_no_answer() -> None:
    for ends in ("late", "failed", "another run", "lacks it"):
        part, _ = in_sync()
        anew(part, 1)
        send = push(part, at(1))
        assert len(part.copies()) == 1
        match ends:
            case "late":
                part.look_around(at(1 + limits.PUSH_TIMEOUT_SECONDS + 0.1))
            case "failed":
                part.fail(TWO, "down", "refused", at(1))
            case "another run":
                part.hear("push", header(origin="1002-c", vector=ALL), at(1))
            case _:
                part.take_answer(TWO, header(send.header.number, vector={"1001-a": 1}), at(1), progress=False)
        assert part.copies() == [], ends


def test_who_was_not_in_sync_is_not_waited_for_when_it_is_asked_again() -> None:
    part, _ = linked()
    answer(part, at(0), vector={})
    part.ask_again(at(1))
    assert part.copies() == []


def test_a_log_that_was_written_anew_still_heals_a_peer() -> None:
    part, _ = in_sync()
    answer(part, at(0), vector=ALL, holes=(Hole("1001-a", 2, 2, unreadable=True),))  # its disk does not give it back
    assert part.in_sync() == ["1002"]
    for _ in range(2):
        assert not part.is_held_elsewhere(), "only this broker has it: it would leave with that"
        part.become(state(), at(1), goes_on=True)
