"""What is asked about users, tokens and grants, as rows (docs/rules.md, ACCESS). Pure over the state."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from newswire.core import limits
from newswire.core.access import EVERYBODY
from newswire.core.model.ops import Granted, TokenCreated
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
    accounts, rows = state.accounts, list[Account]()
    for count, name in enumerate((yield from _names(accounts, None)), 1):
        row = account_row(accounts, name)
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
    accounts, rows, looked_at = state.accounts, list[TokenRow](), 0
    for one in (yield from _names(accounts, name)):
        mine = accounts.tokens_of(accounts.account_of(one))
        rows += [_token_row(accounts, op) for op in mine.values()]
        looked_at += 1 + len(mine)
        if looked_at >= limits.PIECE_SUBSCRIPTIONS:
            looked_at = 0
            yield None
    ordered: list[TokenRow] = yield partial(sorted, rows, key=lambda row: (row.since, row.id))
    return ordered


def grant_rows(state: State, who: str | None) -> Pieces[list[GrantRow]]:
    """The grants of a user (its own ones), of `*`, or all, in order; one that was made twice is one."""
    accounts, rows, looked_at = state.accounts, set[GrantRow](), 0
    if who in (None, EVERYBODY):
        rows.update(_grant_rows(EVERYBODY, accounts.grants_of(EVERYBODY).values()))
    for name in (yield from _names(accounts, who)):
        mine = accounts.grants_of(accounts.account_of(name))
        rows.update(_grant_rows(name, mine.values()))
        looked_at += 1 + len(mine)
        if looked_at >= limits.PIECE_SUBSCRIPTIONS:
            looked_at = 0
            yield None
    ordered: list[GrantRow] = yield partial(sorted, rows)
    return ordered


def _names(accounts: Accounts, name: str | None) -> Pieces[list[str]]:
    """All names that an account has, in order, which is found beside the lock; of one that is named just that."""
    if name is not None:
        return [name] if accounts.account_of(name) else []
    names = [*accounts.each()]
    ordered: list[str] = yield partial(sorted, names)
    return ordered


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
