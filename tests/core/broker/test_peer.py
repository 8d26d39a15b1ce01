"""One peer: what it surely holds, what is pushed to it, when it is in sync (docs/rules.md, PUSH and HAVE)."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from newswire.core.broker.events import Header, Now
from newswire.core.broker.peer import Peer, understand
from newswire.core.model.ops import Began, Published, Void
from newswire.core.model.vector import Lineage
from newswire.core.state.fold import State
from newswire.core.state.holes import Hole

TWO = "127.0.0.1:2"
START = Now(0.0, 0)


def header(origin: str = "1002-b", **said: Any) -> Header:
    return Header(
        broker="1002", address=TWO, origin=origin, cluster="c", settled=True, primary=False, serves=True, number=1, **said
    )  # fmt: skip


def test_what_is_surely_held() -> None:
    lineage = Lineage()
    lineage.began("1001-a", {})
    lineage.began("1001-b", {"1001-a": 5})
    holds, ask = understand(lineage, header(vector={"1001-b": 2}, more=True))
    assert (dict(holds), ask) == ({"1001-a": 5, "1001-b": 2}, 0)
    holds, ask = understand(lineage, header(vector={"1002-n": 2, "1001-a": 7}, more=True))
    assert dict(holds) == {"1001-a": 7}, "a lower bound"
    assert ask > 0
    told: dict[str, dict[str, int]] = {"1002-n": {"1002-m": 3}, "1002-m": {"1001-b": 4}}
    holds, ask = understand(lineage, header(vector={"1002-n": 2}, began=told, more=True))
    assert (dict(holds), ask) == ({"1001-a": 5, "1001-b": 4}, 0)
    told = {"1002-n": {"1002-m": 3}, "1001-a": {}}
    holds, ask = understand(lineage, header(vector={"1002-n": 2}, began=told, more=True))
    assert dict(holds) == {"1001-a": 1}, "it was told of, so it is held"
    assert ask > len(told)
    assert understand(lineage, header(vector={"1002-n": 2}, began=told))[1] == 0, "it can say no more"


def test_what_has_not_begun_here_is_known_to_be_there() -> None:
    """So that nobody gives up what is about to come."""
    state = State()
    state.apply(Began("1001-a", 1, 0, "1001", {}), 0, 1, None)
    peer = Peer(TWO, 0.0, state.lineage)
    peer.take_answer(header(vector={"1002-n": 2, "1001-a": 1}, began={"1002-n": {"1002-m": 3}}), state, START)
    assert peer.facts(state, START, 5.0, counts=True).told == {"1002-n": 2, "1002-m": 3}
    state.apply(Began("1002-m", 1, 0, "1002", {}), 0, 1, None)
    peer.take_answer(header(vector={"1002-n": 4, "1001-a": 1}), state, START)
    assert peer.told == {"1002-n": 4}
    peer.take_answer(header("1002-other", vector={}), state, START)
    assert peer.told == {}, "another run, perhaps of another disk"


def test_a_peer_is_unclear_until_it_said_what_follows_from_what_has_not_begun_here() -> None:
    state = State()
    state.apply(Began("1001-a", 1, 0, "1001", {}), 0, 1, None)
    peer = Peer(TWO, 0.0, state.lineage)
    said = [
        header(vector={"1001-a": 1}, more=True),  # all of that is known here
        header(vector={"1002-n": 2}, more=True),
        header(vector={"1002-n": 2}, began={"1002-n": {"1002-m": 3}}, more=True),  # and from what follows `1002-m`?
        header(vector={"1002-n": 2}, began={"1002-m": {"1001-a": 5}}, more=True),
        header(vector={"1002-n": 3}, more=True),
        header(vector={"1002-o": 1}, began={"1002-p": {}}),  # it can say no more
        header("1002-other", vector={"1002-q": 1}, more=True),
    ]
    unclear = []
    for one in said:
        peer.take_answer(one, state, START)
        unclear.append(peer.facts(state, START, 5.0, counts=True).unclear)
    assert unclear == [False, True, True, False, False, False, True]


def test_what_was_answered_for_is_no_proof_and_is_pushed_again_in_time() -> None:
    """A peer may answer a push and not take of it what goes beyond its bounds."""
    state = State()
    state.apply(Began("1001-a", 1, 0, "1001", {}), 0, 1, None)
    peer = Peer(TWO, 0.0, state.lineage)
    peer.take_answer(header(vector={}), state, START)
    rows = peer.rows(state)
    assert rows == [0]
    peer.note_push(state, rows, START, 5.0)
    peer.take_answer(header(vector={}), state, START)
    assert not peer.in_sync
    assert peer.proof.get("1001-a") == 0
    assert not peer.lacks_any(state), "not at once"
    assert not peer.is_due(state, 0.0)
    assert peer.is_due(state, 5.0)
    assert peer.rows(state) == [0], "but with the next heartbeat"


def test_another_run_holds_nothing_until_it_says_so() -> None:
    state = State()
    state.apply(Began("1001-a", 1, 0, "1001", {}), 0, 1, None)
    peer = Peer(TWO, 0.0, state.lineage)
    peer.take_answer(header(vector={"1001-a": 1}), state, START)
    assert peer.in_sync
    peer.target = {"1002-b": 9}
    peer.hear(header(origin="1002-c", vector={"1002-c": 1}, began={"1002-c": {}}), state, Now(1.0, 0))
    assert not peer.in_sync
    assert peer.holds.get("1001-a") == 0
    assert peer.target is None


@pytest.mark.parametrize("seed", range(40))
def test_a_peer_that_goes_on_is_understood_as_if_nothing_had_been_known(seed: int) -> None:
    """Vectors that list the same origins as before are taken without looking up what follows from them again."""
    rng, state = Random(seed), State()
    peer = Peer(TWO, 0.0, state.lineage)
    upto: dict[str, int] = {}
    for number in range(60):
        if number % 10 == 0:  # another run begins here, on all that is held
            state.apply(Began(f"1001-{number}", 1, 0, "1001", dict(state.vector)), number, 1, None)
        origin = rng.choice(state.lineage.names)
        state.apply(Published(origin, state.log.held(origin) + 1, 0, topic="news", data="x"), number, 1, None)
        if rng.random() < 0.4:
            upto = {name: rng.randint(1, state.log.held(name)) for name in rng.sample(state.lineage.names, 1)}
        elif upto:
            upto = {name: rng.randint(sequence, max(sequence, state.log.held(name))) for name, sequence in upto.items()}
        if rng.random() < 0.1:
            upto = {**upto, "1002-unknown": 1}
        before, said = peer.holds, header(vector=upto, more=True)
        peer.hear(said, state, START)
        holds, ask = understand(state.lineage, said)
        assert (dict(peer.holds), peer.ask) == (dict(holds.join(before)), ask)
        assert dict(peer.assumed) == dict(peer.holds)


def test_what_waits_here_behind_damage_heals_a_peer_and_a_void_that_does_is_not_taken_for_it() -> None:
    state = State()
    three, six = (Published("1001-a", sequence, 0, topic="news", data="x") for sequence in (3, 6))
    known = (Began("1001-a", 1, 0, "1001", {}), three, Void("1001-a", 5, 0, first=4, of=1), six)  # 2 is missing
    state.replay([(op, place, 10) for place, op in enumerate(known)])
    peer = Peer(TWO, 0.0, state.lineage)
    peer.take_answer(header(vector={"1001-a": 2}, holes=(Hole("1001-a", 3, 5),), voids=True), state, START)
    assert peer.parts_to_push(state, "", 9.0) == [(1, 10)]
