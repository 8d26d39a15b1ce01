"""Whatever the order in which ops about users come: the same state (docs/rules.md, ACCESS)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from newswire.core.access import Principal, Rights
from newswire.core.model.ops import (
    AccountOp,
    Granted,
    GrantsRevoked,
    PasswordSet,
    SessionEnded,
    TokenCreated,
    TokensRevoked,
    UserAdded,
    UsersRemoved,
)
from newswire.core.state.accounts import Accounts
from tests.kit.accounts import DIGEST, seen

A, B, C = "1001-a.1", "1002-b.1", "1001-a.2"


def at(op_id: str, time: int = 1) -> dict[str, Any]:
    origin, sequence = op_id.rsplit(".", 1)
    return {"origin": origin, "sequence": int(sequence), "time": time}


def fold(ops: Sequence[AccountOp]) -> Accounts:
    accounts = Accounts()
    for op in ops:
        accounts.take(op)
    return accounts


OPS: list[AccountOp] = [
    UserAdded(**at(A), name="Ann"),
    UserAdded(**at(B, 5), name="Ann", admin=True),
    UserAdded(**at(C, 3), name="Bob", admin=True, first=True),
    UserAdded(**at("1003-c.1", 2), name="root", admin=True),
    PasswordSet(**at("1001-a.3", 9), account=A, hash="$1"),
    PasswordSet(**at("1002-b.2", 9), account=A, hash="$2"),
    PasswordSet(**at("1002-b.3", 4), account=B, hash="$3"),
    TokenCreated(**at("1001-a.4"), account=A, hash=DIGEST, publish=("x.>",)),
    TokenCreated(**at("1002-b.4"), account=B, hash=DIGEST),
    TokensRevoked(**at("1002-b.5"), tokens=("1002-b.4",)),
    Granted(**at("1001-a.5"), who=A, verb="publish", pattern="x.y"),
    Granted(**at("1002-b.6"), who=A, verb="publish", pattern="x.y", replaces=("1001-a.5",)),
    Granted(**at("1002-b.7"), who="*", verb="subscribe", pattern=">"),
    GrantsRevoked(**at("1001-a.6"), grants=("1001-a.5",)),
    UsersRemoved(**at("1001-a.7"), accounts=(B, "1003-c.1")),
    SessionEnded(**at("1001-a.8"), session="s", account=A),
]


@given(st.permutations(OPS), st.integers(0, len(OPS)))
def test_any_order_and_any_part_of_it_leads_to_one_state(ops: list[AccountOp], count: int) -> None:
    held = set(ops[:count])
    assert seen(fold(ops[:count])) == seen(fold([op for op in OPS if op in held]))
    assert seen(fold([*ops[:count], *ops[:count]])) == seen(fold(ops[:count]))


def test_of_two_accounts_of_one_name_that_was_made_first_has_it() -> None:
    one, other = UserAdded(**at(A, 2), name="Ann"), UserAdded(**at(B, 1), name="Ann")
    for ops in ((one, other), (other, one)):
        accounts = fold(ops)
        assert accounts.account_of("Ann") == B
        assert accounts.rights(Principal(A), 1) is None
        assert accounts.rights(Principal(B), 1) == Rights()
        assert accounts.accounts_of("Ann") == (A, B)
        accounts.take(UsersRemoved(**at("1001-a.9"), accounts=(B,)))
        assert accounts.account_of("Ann") == A


def test_at_one_moment_the_smaller_id_decides() -> None:
    assert fold([UserAdded(**at(B), name="Ann"), UserAdded(**at(A), name="Ann")]).account_of("Ann") == A


def test_a_first_admin_beside_an_older_admin_has_no_effect_until_that_one_is_removed() -> None:
    root, late = UserAdded(**at(A, 1), name="root", admin=True), UserAdded(**at(B, 2), name="admin", admin=True, first=True)
    for ops in itertools.permutations((root, late)):
        accounts = fold(ops)
        assert accounts.account_of("admin") == ""
        assert accounts.rights(Principal(B), 1) is None
        assert set(accounts.take(UsersRemoved(**at("1001-a.9"), accounts=(A,)))) == {"root", "admin"}
        assert accounts.account_of("admin") == B


def test_both_brokers_of_a_pair_make_one_first_admin() -> None:
    made = [UserAdded(**at(name, time), name="admin", admin=True, first=True) for name, time in ((A, 7), (B, 6))]
    for ops in itertools.permutations(made):
        accounts = fold(ops)
        assert list(accounts.each()) == ["admin"]
        assert accounts.rights(Principal(A), 1) is None


def test_a_grant_made_again_elsewhere_outlives_the_revocation_of_what_it_replaced() -> None:
    accounts = fold([UserAdded(**at(A), name="Ann"), Granted(**at("1001-a.5"), who=A, verb="publish", pattern="x")])
    accounts.take(Granted(**at("1002-b.6"), who=A, verb="publish", pattern="x", replaces=("1001-a.5",)))
    accounts.take(GrantsRevoked(**at("1001-a.6"), grants=("1001-a.5",)))
    assert accounts.rights(Principal(A), 1) == Rights(publish=("x",))
    assert accounts.same_grants(A, "publish", "x") == ("1002-b.6",)


def test_a_token_that_has_expired_is_none() -> None:
    accounts = fold([UserAdded(**at(A), name="Ann"), TokenCreated(**at("1001-a.4"), account=A, hash=DIGEST, expires=100)])
    by = Principal(A, token="1001-a.4")
    assert accounts.rights(by, 99) == Rights()
    assert accounts.rights(by, 100) is None
    assert accounts.rights(Principal(B, token="1001-a.4"), 1) is None


def test_names_of_those_whose_rights_changed_are_told() -> None:
    accounts = fold([UserAdded(**at(A), name="Ann")])
    assert accounts.take(Granted(**at("1001-a.5"), who=A, verb="publish", pattern="x")) == ("Ann",)
    assert accounts.take(Granted(**at("1001-a.6"), who="*", verb="publish", pattern="x")) == ("*",)
    assert accounts.take(Granted(**at("1001-a.7"), who=B, verb="publish", pattern="x")) == ()
    assert accounts.take(UserAdded(**at(B), name="Bob")) == ("Bob",)


def test_nothing_is_left_of_a_removed_account() -> None:
    ops = [op for op in OPS if not isinstance(op, (UsersRemoved, TokensRevoked, GrantsRevoked))]
    accounts = fold([*ops, UsersRemoved(**at("1001-a.9"), accounts=(A, B, C, "1003-c.1"))])
    assert [accounts.users, accounts.passwords, accounts.tokens, list(accounts.each())] == [{}, {}, {}, []]
    assert not accounts.has_admin
    assert [op.who for op in accounts.grants.values()] == ["*"]
    left = {name: value for name, value in vars(accounts).items() if name.startswith("_") and value}
    assert list(left) == ["_bearers", "_grants_of"]


@given(st.permutations(OPS))
def test_what_was_given_up_and_is_stored_again_goes_by_the_id_that_it_had(ops: list[AccountOp]) -> None:
    """Whether it is held where it is stored again or not."""
    again: list[AccountOp] = []
    for sequence, op in enumerate(OPS, 1):
        draft = Accounts().again(op)
        again.append(type(draft)(**{**{f: getattr(draft, f) for f in draft.__struct_fields__}, **at(f"1009-z.{sequence}", 99)}))
    assert seen(fold(again)) == seen(fold(OPS)) == seen(fold([*ops, *again])) == seen(fold([*again, *ops]))


def test_what_cannot_be_read_is_stored_again_by_what_it_left() -> None:
    accounts = fold(OPS)
    drafts = accounts.blindly([op.id for op in OPS], lambda names: [tuple(names)])
    again = Accounts()
    for sequence, draft in enumerate(drafts, 1):
        again.take(type(draft)(**{**{f: getattr(draft, f) for f in draft.__struct_fields__}, **at(f"1009-z.{sequence}", 99)}))
    assert seen(again) == seen(accounts)


def test_what_was_opened_for_one_feed_reads_that_and_nothing_else() -> None:
    accounts = fold(
        [
            UserAdded(**at("1001-a.1"), name="Ann"),
            UserAdded(**at("1001-a.2"), name="root", admin=True),
            Granted(**at("1001-a.3"), who=A, verb="publish", pattern="x"),
            Granted(**at("1001-a.4"), who=A, verb="subscribe", pattern="x.>"),
        ]
    )
    assert accounts.rights(Principal(A, feed=A), 1) == Rights(subscribe=("x.>",))
    assert accounts.rights(Principal(C, feed=C), 1) == Rights(subscribe=(">",))
    assert accounts.rights(Principal(C, feed=A), 1) == Rights(subscribe=("x.>",)), "what that user may read"
    assert accounts.rights(Principal(A, feed=C), 1) is None, "for admins"
    accounts.take(UsersRemoved(**at("1001-a.5"), accounts=(A,)))
    assert accounts.rights(Principal(C, feed=A), 1) is None
