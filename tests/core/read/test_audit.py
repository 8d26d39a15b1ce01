from __future__ import annotations

from newswire.core import limits
from newswire.core.model.ops import (
    Audited,
    Began,
    Granted,
    GrantedRight,
    GrantsRevoked,
    Joined,
    Left,
    Lost,
    Op,
    PasswordSet,
    Published,
    SessionEnded,
    Subscribed,
    TokenCreated,
    TokensRevoked,
    UserAdded,
    UsersRemoved,
    Withdrawn,
)
from newswire.core.read.audit import audit_places, audit_rows
from newswire.core.read.pieces import finish
from newswire.core.state.fold import State

A = "1001-a.2"


def state_of(*ops: Op) -> State:
    state = State()
    for place, op in enumerate(ops):
        state.apply(op, place, 1, None)
    return state


def test_each_op_about_users_and_members_and_each_message_is_a_row() -> None:
    ops = (
        Began("1001-a", 1, 1, broker="1001"),
        UserAdded("1001-a", 2, 2, name="Ann", admin=True, by="root"),
        PasswordSet("1001-a", 3, 3, account=A, hash="$secret"),
        TokenCreated("1001-a", 4, 4, account=A, hash="ab" * 32, label="phone"),
        Subscribed("1001-a", 5, 5, user="Ann", pattern="x", account=A),
        Granted("1001-a", 6, 6, who=A, verb="publish", pattern="x"),
        GrantsRevoked("1001-a", 7, 7, grants=("1001-a.6",), was=GrantedRight(A, "publish", "x")),
        TokensRevoked("1001-a", 8, 8, tokens=("1001-a.4",), account=A),
        SessionEnded("1001-a", 9, 9, session="s", account=A),
        Audited("1001-a", 10, 10, what="signed-in", who="Ann", at="10.0.0.1"),
        Published("1001-a", 11, 11, topic="x", data="nobody reads this here", publisher="Ann"),
        Joined("1001-a", 12, 12, broker="1002", address="10.0.0.2:1"),
        Left("1001-a", 13, 13, broker="1002"),
        UsersRemoved("1001-a", 14, 14, accounts=(A,)),
        Lost("1001-a", 15, 15, source="1009-z", first=1, last=3),
    )
    state = state_of(*ops)
    places = finish(audit_places(state, None, 100))
    rows = audit_rows(state.accounts, [ops[place] for place, _ in places])
    assert [(row.what, row.by, row.who, row.verb, row.topic, row.detail) for row in rows] == [
        ("added-user", "root", "Ann", "", "", "an admin"),
        ("set-password", "", "Ann", "", "", ""),
        ("created-token", "", "Ann", "", "", "phone"),
        ("granted", "", "Ann", "publish", "x", ""),
        ("revoked-grant", "", "Ann", "publish", "x", ""),
        ("revoked-token", "", "Ann", "", "", "1001-a.4"),
        ("signed-out", "", "Ann", "", "", ""),
        ("signed-in", "", "Ann", "", "", "10.0.0.1"),
        ("published", "Ann", "", "", "x", ""),
        ("added-broker", "", "1002", "", "", "10.0.0.2:1"),
        ("removed-broker", "", "1002", "", "", ""),
        ("removed-user", "", "Ann", "", "", ""),
        ("accepted-loss", "", "", "", "", "1009-z.1 to 3"),
    ]
    assert "secret" not in str(rows)
    assert audit_rows(state.accounts, [ops[0], ops[4]]) == []


def test_two_users_of_one_name_are_told() -> None:
    first, late = UserAdded("1001-a", 2, 2, name="Ann"), UserAdded("1002-b", 2, 5, name="Ann")
    state = state_of(Began("1001-a", 1, 1, broker="1001"), first, Began("1002-b", 1, 1, broker="1002"), late)
    details = [row.detail for row in audit_rows(state.accounts, [first, late])]
    assert details == ["", "of no effect: 1001-a.2 was made before, at a broker that did not know of this one"]


def test_which_of_two_of_one_name_is_told_also_when_one_of_them_has_ended() -> None:
    ops = (
        UserAdded("1001-a", 2, 2, name="Ann"),
        UserAdded("1002-b", 2, 5, name="Ann"),
        Granted("1002-b", 3, 6, who="1002-b.2", verb="publish", pattern="x"),
        Granted("1002-b", 4, 6, who="*", verb="publish", pattern="x"),
        UsersRemoved("1002-b", 5, 7, accounts=("1002-b.2",)),
        UserAdded("1002-b", 6, 8, name="Ben"),
        PasswordSet("1002-b", 7, 9, account="1009-z.4", hash="$"),
    )
    state = state_of(Began("1001-a", 1, 1, broker="1001"), Began("1002-b", 1, 1, broker="1002"), *ops)
    who = [row.who for row in audit_rows(state.accounts, ops)]
    assert who == ["Ann (1001-a.2)", "Ann (1002-b.2)", "Ann (1002-b.2)", "*", "Ann (1002-b.2)", "Ben", "1009-z.4"]


def test_the_last_rows_or_the_first_since_a_time_however_long_the_log() -> None:
    count = 3 * limits.CHECKPOINT_ROWS
    ops: list[Op] = [Began("1001-a", 1, 1, broker="1001")]
    for number in range(2, count):
        rare = number % 1_000 == 0
        ops.append(
            Audited("1001-a", number, number, what="signed-in", who="Ann")
            if rare
            else Subscribed("1001-a", number, number, user="Ann", pattern="x")
        )
    state = state_of(*ops)

    def times(since: int | None, limit: int) -> list[int]:
        return [ops[place].time for place, _ in finish(audit_places(state, since, limit))]

    assert times(None, 2) == [2_000, 3_000]
    assert times(None, 100) == [1_000, 2_000, 3_000]
    assert times(0, 2) == [1_000, 2_000]
    assert times(1_001, 2) == [2_000, 3_000]
    assert times(3_001, 2) == []
    assert finish(audit_places(State(), None, 5)) == finish(audit_places(State(), 0, 5)) == []


def test_who_withdrew_a_message_is_told_and_not_that_its_time_is_over() -> None:
    ops = (
        Began("1001-a", 1, 1, broker="1001"),
        Published("1001-a", 2, 2, topic="news", data="x", publisher="ann"),
        Published("1001-a", 3, 3, topic="news", data="y", publisher="ann", replaces=A),
        Withdrawn("1001-a", 4, 4, ("1001-a.3",), topic="news", original=A, by="root"),
        Withdrawn("1001-a", 5, 5, ("1001-a.3",)),
        Withdrawn("1001-a", 6, 6, ("1001-a.9",), by="root"),
    )
    state = state_of(*ops)
    places = finish(audit_places(state, None, 10))
    rows = audit_rows(state.accounts, [ops[place] for place, _ in places])
    assert [(row.what, row.by, row.topic, row.detail) for row in rows] == [
        ("published", "ann", "news", ""),
        ("published", "ann", "news", f"in place of {A}"),
        ("withdrew", "root", "news", "1001-a.3"),
        ("withdrew", "root", "", "1001-a.9"),
    ], "the last one waited"
