from __future__ import annotations

from newswire.core import limits
from newswire.core.model.ops import Granted, PasswordSet, TokenCreated, UserAdded, UsersRemoved
from newswire.core.model.results import Account, GrantRow
from newswire.core.read.accounts import account_row, account_rows, grant_rows, token_row, token_rows
from newswire.core.read.pieces import finish
from newswire.core.state.fold import State
from tests.kit.lines import longest_piece

A, B = "1001-a.2", "1001-a.3"
DIGEST = "ab" * 32


def state_of() -> State:
    state = State()
    for op in (
        UserAdded("1001-a", 2, 20, name="Zoe", admin=True),
        UserAdded("1001-a", 3, 30, name="Ann"),
        PasswordSet("1001-a", 4, 40, account=A, hash="$1"),
        TokenCreated("1001-a", 5, 60, account=B, hash=DIGEST, label="second"),
        TokenCreated("1001-a", 6, 50, account=A, hash="cd" * 32, label="first"),
        Granted("1001-a", 7, 70, who=B, verb="publish", pattern="x"),
        Granted("1002-b", 2, 70, who=B, verb="publish", pattern="x"),
        Granted("1001-a", 8, 80, who="*", verb="subscribe", pattern=">"),
        UserAdded("1002-b", 3, 90, name="Ann"),
        TokenCreated("1002-b", 4, 95, account="1002-b.3", hash="ef" * 32),
    ):
        state.accounts.take(op)
    return state


def test_users_are_listed_by_name_with_their_passwords() -> None:
    state = state_of()
    zoe = Account("Zoe", A, True, 20, "$1", "1001-a.4")
    assert account_row(state.accounts, "Zoe") == zoe
    assert finish(account_rows(state)) == [Account("Ann", B, False, 30), zoe]
    assert account_row(state.accounts, "Bob") is None


def test_tokens_are_listed_by_age_and_those_of_accounts_of_no_effect_are_not() -> None:
    state = state_of()
    assert [row.label for row in finish(token_rows(state, None))] == ["first", "second"]
    assert [row.username for row in finish(token_rows(state, "Ann"))] == ["Ann"]
    assert finish(token_rows(state, "Bob")) == []
    row = token_row(state.accounts, DIGEST)
    assert row is not None
    assert row.account == B
    assert token_row(state.accounts, "ef" * 32) is None


def test_a_grant_that_was_made_twice_is_one_row() -> None:
    state = state_of()
    assert finish(grant_rows(state, "Ann")) == [GrantRow("Ann", "publish", "x")]
    assert finish(grant_rows(state, "*")) == [GrantRow("*", "subscribe", ">")]
    assert len(finish(grant_rows(state, None))) == 2
    state.accounts.take(UsersRemoved("1001-a", 9, 99, accounts=(B, "1002-b.3")))
    assert finish(grant_rows(state, "Ann")) == []


def test_no_piece_grows_with_users_and_what_they_have() -> None:
    longest: list[list[int]] = []
    for people in (300, 1_500):
        state = State()
        for number in range(people):
            account = f"1001-a.{number + 2}"
            state.accounts.take(UserAdded("1001-a", number + 2, 1, name=f"user{number}"))
            for one in range(6):
                place = ("1002-b", 12 * number + one + 2, 1)
                state.accounts.take(Granted(*place, who=account, verb="publish", pattern=f"x{one}"))
                place = ("1003-c", 12 * number + one + 2, 1)
                state.accounts.take(TokenCreated(*place, account=account, hash=f"{place[1]:064x}"))
        queries = (account_rows(state), token_rows(state, None), grant_rows(state, None))
        longest.append([longest_piece(query) for query in queries])
    assert all(many < 1.2 * few for few, many in zip(*longest, strict=True)), longest
    assert max(longest[1]) < 30 * limits.PIECE_SUBSCRIPTIONS
