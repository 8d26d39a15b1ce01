"""What is asked about users, tokens and grants, as rows (docs/rules.md, ACCESS). Pure over the state."""

from __future__ import annotations

from collections.abc import Iterable

from newswire.core import limits
from newswire.core.access import EVERYBODY
from newswire.core.model.ops import Granted, OpId, TokenCreated
from newswire.core.model.results import Account, GrantRow, TokenRow
from newswire.core.read.pieces import Pieces
from newswire.core.state.accounts import Accounts
from newswire.core.state.fold import State


def account_row(accounts: Accounts, name: str) -> Account | None:
    """The user of this name; None if there is none."""
    account = accounts.account_of(name)
    if not account:
        return None
    user, password = accounts.users[account], accounts.passwords.get(account)
    return Account(
        username=user.name,
        account=account,
        admin=user.admin,
        since=user.order[0],
        password=password.hash if password is not None else "",
        password_id=accounts.password_of(account),
    )


def account_rows(state: State) -> Pieces[list[Account]]:
    """All users, by name, as they were when the query looked at each."""
    rows: list[Account] = []
    for count, (name, _) in enumerate(list(state.accounts.each()), 1):
        row = account_row(state.accounts, name)
        if row is not None:
            rows.append(row)
        if count % limits.PIECE_SUBSCRIPTIONS == 0:
            yield None
    return rows


def token_row(accounts: Accounts, digest: str) -> TokenRow | None:
    """The token whose text has this SHA-256; None if there is none."""
    op = accounts.token_with(digest)
    return _token_row(accounts, op) if op is not None else None


def token_rows(state: State, name: str | None) -> Pieces[list[TokenRow]]:
    """The tokens of a user, or of all, the newest last."""
    accounts, rows = state.accounts, list[TokenRow]()
    for count, account in enumerate(_accounts(accounts, name), 1):
        rows += [_token_row(accounts, op) for op in accounts.tokens_of(account).values() if accounts.name_of(account)]
        if count % limits.PIECE_SUBSCRIPTIONS == 0:
            yield None
    return sorted(rows, key=lambda row: (row.since, row.id))


def grant_rows(state: State, who: str | None) -> Pieces[list[GrantRow]]:
    """The grants of a user (its own ones), of `*`, or all, in order; one that was made twice is one."""
    accounts, rows = state.accounts, set[GrantRow]()
    if who in (None, EVERYBODY):
        rows.update(_grant_rows(EVERYBODY, accounts.grants_of(EVERYBODY).values()))
    for count, account in enumerate(_accounts(accounts, who), 1):
        name = accounts.name_of(account)
        if name:
            rows.update(_grant_rows(name, accounts.grants_of(account).values()))
        if count % limits.PIECE_SUBSCRIPTIONS == 0:
            yield None
    return sorted(rows)


def _accounts(accounts: Accounts, name: str | None) -> list[OpId]:
    if name is None:
        return [account for _, account in accounts.each()]
    account = accounts.account_of(name)
    return [account] if account else []


def _token_row(accounts: Accounts, op: TokenCreated) -> TokenRow:
    return TokenRow(
        id=op.first_id,
        username=accounts.names[op.account],
        account=op.account,
        label=op.label,
        since=op.order[0],
        expires=op.expires,
        publish=op.publish,
        subscribe=op.subscribe,
    )


def _grant_rows(who: str, grants: Iterable[Granted]) -> list[GrantRow]:
    return [GrantRow(who=who, verb=op.verb, topic=op.pattern) for op in grants]
