from __future__ import annotations

from typing import Any

import pytest

from newswire.core import limits
from newswire.core.access import Principal
from newswire.core.broker.access_drafts import check, draft_access
from newswire.core.model.commands import (
    Acknowledge,
    AddGrant,
    AddUser,
    CreateToken,
    EndSession,
    Publish,
    RemoveUser,
    Request,
    RevokeToken,
    SetPassword,
    Subscribe,
    Unsubscribe,
)
from newswire.core.model.coverage import Coverage, write
from newswire.core.model.ops import Granted, PasswordSet, TokenCreated, UserAdded, UsersRemoved, with_place
from newswire.core.state.accounts import Accounts
from newswire.errors import NewswireError, NotFound, Refused

DIGEST = "ab" * 32
PLACE = write(Coverage("", {}))
ANN, BOB, ROOT = "1001-a.1", "1001-a.2", "1001-a.3"
FULL, NARROW = "1001-a.6", "1001-a.7"


def at(sequence: int) -> dict[str, Any]:
    return {"origin": "1001-a", "sequence": sequence, "time": sequence}


@pytest.fixture
def accounts() -> Accounts:
    accounts = Accounts()
    for op in (
        UserAdded(**at(1), name="Ann"),
        UserAdded(**at(2), name="Bob"),
        UserAdded(**at(3), name="root", admin=True),
        Granted(**at(4), who=ANN, verb="publish", pattern="news.>"),
        Granted(**at(5), who=ANN, verb="subscribe", pattern="news.>"),
        TokenCreated(**at(6), account=ANN, hash=DIGEST),
        TokenCreated(**at(7), account=ANN, hash=DIGEST, subscribe=()),
        TokenCreated(**at(8), account=BOB, hash=DIGEST),
    ):
        accounts.take(op)
    return accounts


def outcome(accounts: Accounts, by: Principal, *requests: Request) -> str:
    try:
        check(accounts, requests, by, 1_000)
    except NewswireError as error:
        return error.code
    return "done"


REQUESTS: dict[str, Request] = {
    "publish": Publish("news.a"),
    "publish elsewhere": Publish("tech"),
    "subscribe": Subscribe("Ann", "news.*", account=ANN),
    "subscribe to more": Subscribe("Ann", "*.a", account=ANN),
    "unsubscribe": Unsubscribe("Ann", "tech", account=ANN),
    "own password": SetPassword("Ann", "$"),
    "own token": CreateToken("Ann", DIGEST),
    "revoke own token": RevokeToken(NARROW),
    "end own session": EndSession("s", ANN),
    "for another": Subscribe("Bob", "news.a", account=BOB),
    "another's token": RevokeToken("1001-a.8"),
    "another's password": SetPassword("Bob", "$"),
    "another's session": EndSession("s", BOB),
    "user": AddUser("x"),
    "grant": AddGrant("Ann", "publish", ">"),
    "remove": RemoveUser("Ann"),
}
OWN = {"publish", "subscribe", "unsubscribe", "own password", "own token", "revoke own token", "end own session"}


@pytest.mark.parametrize("what", REQUESTS)
def test_who_may_what(accounts: Accounts, what: str) -> None:
    request = REQUESTS[what]
    assert outcome(accounts, Principal(ANN), request) == ("done" if what in OWN else "forbidden")
    own = what in OWN and what != "own password"  # which a token does not prove
    assert outcome(accounts, Principal(ANN, token=FULL), request) == ("done" if own else "forbidden")
    narrow = what in ("publish", "end own session")
    assert outcome(accounts, Principal(ANN, token=NARROW), request) == ("done" if narrow else "forbidden")
    needs_grant = what in ("for another", "subscribe to more")  # of who gets the subscription, whoever asks
    assert outcome(accounts, Principal(ROOT), request) == ("forbidden" if needs_grant else "done")
    assert outcome(accounts, Principal(ANN, feed=ANN), request) == ("done" if what == "end own session" else "forbidden")
    assert outcome(accounts, Principal("1001-x.1"), request) == "unauthenticated"
    check(accounts, [request], None, 1_000)


def test_which_of_several_was_refused_is_said(accounts: Accounts) -> None:
    with pytest.raises(Refused) as raised:
        check(accounts, [Publish("news.a"), Publish("tech")], Principal(ANN), 1_000)
    assert raised.value.extra == {"index": 1}


def test_an_admin_cannot_act_for_an_account_that_is_gone(accounts: Accounts) -> None:
    assert outcome(accounts, Principal(ROOT), Acknowledge("Ann", PLACE, account="1001-x.1")) == "no-user"


def test_what_a_ticket_opened_acknowledges_for_its_maker_alone(accounts: Accounts) -> None:
    for by, account, right in ((ANN, ANN, "done"), (ANN, BOB, "forbidden"), (ROOT, ANN, "forbidden")):
        request = Acknowledge("Ann", PLACE, account=account)
        assert outcome(accounts, Principal(by, feed=ANN), request) == right
    assert outcome(accounts, Principal(ROOT, feed=ANN), Acknowledge("root", PLACE, account=ROOT)) == "forbidden"


def test_an_admin_s_token_sets_the_passwords_of_others_and_not_its_own(accounts: Accounts) -> None:
    accounts.take(TokenCreated(**at(9), account=ROOT, hash=DIGEST))
    by = Principal(ROOT, token="1001-a.9")
    assert outcome(accounts, by, SetPassword("Ann", "$")) == "done"
    assert outcome(accounts, by, SetPassword("root", "$")) == "forbidden"
    assert outcome(accounts, Principal(ROOT), SetPassword("root", "$")) == "done"


_ENDS = [(5_000, 0, 5_000), (5_000, 9_000, 5_000), (5_000, 3_000, 3_000), (0, 0, 0)]


@pytest.mark.parametrize(("maker", "asked", "ends"), _ENDS)
def test_a_token_that_a_token_makes_ends_with_it_at_the_latest(accounts: Accounts, maker: int, asked: int, ends: int) -> None:
    accounts.take(TokenCreated(**at(9), account=ANN, hash=DIGEST, expires=maker))
    (op,) = draft_access(accounts, CreateToken("Ann", DIGEST, expires=asked), Principal(ANN, token="1001-a.9"), 1_000)
    assert isinstance(op, TokenCreated)
    assert op.expires == ends
    accounts.take(TokenCreated(**at(10), account=ROOT, hash=DIGEST, expires=maker))
    (op,) = draft_access(accounts, CreateToken("Ann", DIGEST, expires=asked), Principal(ROOT, token="1001-a.10"), 1_000)
    assert isinstance(op, TokenCreated)
    assert op.expires == asked, "what an admin gives to others is theirs"


def test_the_last_admin_is_not_removed(accounts: Accounts) -> None:
    with pytest.raises(Refused) as raised:
        draft_access(accounts, RemoveUser("root"), Principal(ROOT), 1_000)
    assert raised.value.code == "last-admin"
    accounts.take(UserAdded(**at(9), name="Cy", admin=True))
    draft_access(accounts, RemoveUser("root"), Principal(ROOT), 1_000)


def test_a_token_ends_only_what_it_may_read_whole(accounts: Accounts) -> None:
    accounts.take(TokenCreated(**at(9), account=ANN, hash=DIGEST, subscribe=("news.a",)))
    accounts.take(TokenCreated(**at(10), account=ANN, hash=DIGEST, publish=()))
    for token, pattern, right in (
        ("1001-a.9", "news.a", "done"),
        ("1001-a.9", "news.>", "forbidden"),
        ("1001-a.9", "tech", "forbidden"),
        ("1001-a.10", "tech", "done"),  # reads whatever its user does, who may end what is not readable any more
        (FULL, "tech", "done"),
    ):
        assert outcome(accounts, Principal(ANN, token=token), Unsubscribe("Ann", pattern, account=ANN)) == right


def test_a_password_that_comes_with_a_user_names_nobody_yet(accounts: Accounts) -> None:
    user, password = draft_access(accounts, AddUser("Cy", password="$1"), Principal(ROOT), 1_000)
    assert isinstance(user, UserAdded)
    assert (user.name, user.by) == ("Cy", "root")
    assert isinstance(password, PasswordSet)
    assert (password.account, password.hash) == ("", "$1")


def test_no_two_users_differ_in_capital_letters_only(accounts: Accounts) -> None:
    with pytest.raises(Refused, match="there is a user Ann, and names that differ in capital letters only") as refused:
        draft_access(accounts, AddUser("aNN"), Principal(ROOT), 1_000)
    assert refused.value.code == "user-exists"
    accounts.take(UsersRemoved("1001-a", 90, 99, accounts=(ANN,)))
    (op,) = draft_access(accounts, AddUser("aNN"), Principal(ROOT), 1_000)
    assert isinstance(op, UserAdded)


def test_a_user_who_is_removed_takes_all_accounts_of_the_name_along(accounts: Accounts) -> None:
    accounts.take(UserAdded("1002-b", 1, 99, name="Ann"))
    (op,) = draft_access(accounts, RemoveUser("Ann"), None, 1_000)
    assert isinstance(op, UsersRemoved)
    assert op.accounts == (ANN, "1002-b.1")


def test_a_user_added_under_the_name_of_a_first_admin_of_no_effect_ends_that_one(accounts: Accounts) -> None:
    accounts.take(UserAdded("1002-b", 1, 99, name="admin", admin=True, first=True))
    ops = draft_access(accounts, AddUser("admin"), None, 1_000)
    assert [op.accounts for op in ops if isinstance(op, UsersRemoved)] == [("1002-b.1",)]


def test_a_grant_takes_the_place_of_the_same_one(accounts: Accounts) -> None:
    (op,) = draft_access(accounts, AddGrant("Ann", "publish", "news.>"), None, 1_000)
    assert isinstance(op, Granted)
    assert (op.who, op.replaces) == (ANN, ("1001-a.4",))


def test_there_are_limits(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "USERS_COUNT", 3)
    monkeypatch.setattr(limits, "TOKENS_PER_USER", 2)
    monkeypatch.setattr(limits, "GRANTS_PER_WHO", 2)
    for request in (AddUser("x"), CreateToken("Ann", DIGEST), AddGrant("Ann", "publish", "x")):
        with pytest.raises(Refused) as raised:
            draft_access(accounts, request, None, 1_000)
        assert raised.value.code == "too-many"
    draft_access(accounts, AddGrant("Ann", "publish", "news.>"), None, 1_000)
    with pytest.raises(NotFound):
        draft_access(accounts, AddGrant("x", "publish", "news.>"), None, 1_000)


def test_tokens_that_have_expired_keep_nobody_from_another_one(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that signs in for an hour each night has as many tokens after some months as one may have."""
    monkeypatch.setattr(limits, "TOKENS_PER_USER", 3)
    for night in range(20):
        now = 1_000_000 * (night + 1)
        for number, op in enumerate(draft_access(accounts, CreateToken("Bob", DIGEST, expires=now + 1_000), None, now)):
            accounts.take(with_place(op, "1001-a", 100 + 2 * night + number, now))  # type: ignore[arg-type]
    assert len(accounts.tokens_of(BOB)) == 1 + 3 + 1, "one that does not expire, those that have, and the last"


def test_a_password_counts_also_after_one_from_the_future(accounts: Accounts) -> None:
    accounts.take(PasswordSet("1002-b", 1, 90_000, account=ANN, hash="$ahead"))
    (op,) = draft_access(accounts, SetPassword("Ann", "$now"), None, 1_000)
    assert isinstance(op, PasswordSet)
    accounts.take(with_place(op, "1001-a", 9, 1_000))  # type: ignore[arg-type]
    assert accounts.passwords[ANN].hash == "$now"
    (op,) = draft_access(accounts, SetPassword("Ann", "$later"), None, 100_000)
    assert isinstance(op, PasswordSet)
    assert op.made == 0, "the stamp will do"


def test_a_subscription_is_under_the_name_of_its_account(accounts: Accounts) -> None:
    assert outcome(accounts, Principal(ANN), Subscribe("Bob", "news.a", account=ANN)) == "forbidden"
    assert outcome(accounts, Principal(ROOT), Unsubscribe("Bob", "news.a", account=ANN)) == "forbidden"
