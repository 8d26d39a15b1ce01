"""All that a fold of users, tokens and grants shows, as one value, and ops about them at random."""

from __future__ import annotations

from random import Random

from newswire.core.access import Principal
from newswire.core.model.ops import (
    NO_PLACE,
    AccountOp,
    Audited,
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

DIGEST = "ab" * 32


def seen(accounts: Accounts) -> object:
    """All that anybody is told, and what a later op is met with."""
    people = {
        account: (name, user.admin, accounts.name_of(account), accounts.rights(Principal(account), 1))
        for account, name in accounts.names.items()
        if (user := accounts.users.get(account)) is not None
    }
    tokens = {name: accounts.rights(Principal(op.account, token=name), 1) for name, op in accounts.tokens.items()}
    passwords = {account: (op.first_id, op.hash) for account, op in accounts.passwords.items()}
    found = accounts.token_with(DIGEST)
    return (
        people,
        tokens,
        passwords,
        sorted(accounts.grants),
        sorted(accounts.removed),
        sorted(accounts.revoked),
        accounts.ended,
        {name: accounts.account_of(name) for name in sorted(accounts.each())},
        found.first_id if found else "",
        accounts.has_admin,
    )


def account_draft(accounts: Accounts, chance: Random) -> AccountOp:
    """An op about users that this state could lead to, or one that names what is not there."""
    people, grants, tokens = ([*sorted(ops), "1009-zz.7"] for ops in (accounts.users, accounts.grants, accounts.tokens))
    who, grant, token = chance.choice(people), chance.choice(grants), chance.choice(tokens)
    name, admin = chance.choice(("Alice", "Bob")), chance.random() < 0.3
    return chance.choice(
        (
            UserAdded(**NO_PLACE, name=name, admin=admin, first=admin and chance.random() < 0.5),
            UsersRemoved(**NO_PLACE, accounts=(who,)),
            PasswordSet(**NO_PLACE, account=who, hash=f"${chance.random()}"),
            TokenCreated(**NO_PLACE, account=who, hash=DIGEST, publish=chance.choice((None, ("news",)))),
            TokensRevoked(**NO_PLACE, tokens=(token,)),
            Granted(**NO_PLACE, who=chance.choice((who, "*")), verb="subscribe", pattern="news.>", replaces=(grant,)),
            GrantsRevoked(**NO_PLACE, grants=(grant,)),
            SessionEnded(**NO_PLACE, session="s", account=who),
            Audited(**NO_PLACE, what="signed-in"),
        )
    )
