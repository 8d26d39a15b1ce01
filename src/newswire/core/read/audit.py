"""The audit trail: who did what to users, tokens, grants and members, and who published where (docs/rules.md, ACCESS).

It is read off the log, in its order: nothing is written down twice, and nothing of it can be lost without the operation itself.
Pure over the state; the engine fetches the records.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

from newswire.core import limits
from newswire.core.model.ops import (
    Audited,
    Granted,
    GrantsRevoked,
    Joined,
    Left,
    Lost,
    Op,
    PasswordSet,
    Published,
    SessionEnded,
    TokenCreated,
    TokensRevoked,
    UserAdded,
    UsersRemoved,
    Withdrawn,
)
from newswire.core.model.results import AuditRow
from newswire.core.read.pieces import Pieces
from newswire.core.state.accounts import Accounts
from newswire.core.state.fold import State
from newswire.core.state.op_index import SILENT, VOID

_BLOCK: Final = limits.CHECKPOINT_ROWS


def audit_places(state: State, since: int | None, limit: int) -> Pieces[list[tuple[int, int]]]:
    """Place and length of the first `limit` records that were stamped at `since` (ms) or later; None: of the last ones."""
    log, end = state.log, len(state.log)
    starts = range(0, end, _BLOCK) if since is not None else range(_last_block(end), -1, -_BLOCK)
    rows: list[int] = []
    for start in starts:
        stop = min(end, start + _BLOCK)
        if since is None or max(log.times[start:stop]) >= since:
            mine = [row for row in _rows(state, start, stop) if since is None or log.times[row] >= since]
            rows = [*rows, *mine][:limit] if since is not None else [*mine, *rows][-limit:]
        yield None
        if len(rows) >= limit:
            break
    return [(log.places[row], log.lengths[row]) for row in rows]


def _last_block(end: int) -> int:
    return (end - 1) // _BLOCK * _BLOCK if end else -1


def _rows(state: State, start: int, stop: int) -> list[int]:
    """The rows of a stretch that are told of: messages, what is about users and members, and what was given up."""
    special = state.account_rows
    others = special[bisect_left(special, start) : bisect_left(special, stop)]
    was_withdrawn, topics = state.messages.withdrawals.has_row, state.log.topics[start:stop]
    rows = [row for row, topic in enumerate(topics, start) if topic not in (VOID, SILENT) and (topic or was_withdrawn(row))]
    return sorted([*rows, *(row for row in others if _is_valid(state, row))])


def _is_valid(state: State, row: int) -> bool:
    log = state.log
    return not state.voids.has(log.names[log.origins[row]], log.sequences[row])


def audit_rows(accounts: Accounts, ops: Iterable[Op]) -> list[AuditRow]:
    """What these say, for people."""
    return [row for op in ops if (row := _audit_row(accounts, op)) is not None]


def _audit_row(accounts: Accounts, op: Op) -> AuditRow | None:
    label = accounts.label_of
    match op:
        case Published():
            detail = f"in place of {op.replaces}" if op.replaces else ""
            return AuditRow(id=op.id, time=op.time, what="published", by=op.publisher, topic=op.topic, detail=detail)
        case Withdrawn(topic=topic, by=by) if topic or by:
            return AuditRow(id=op.id, time=op.time, what="withdrew", by=op.by, topic=topic, detail=", ".join(op.ids))
        case UserAdded():
            return AuditRow(
                id=op.id, time=op.time, what="added-user", by=op.by, who=label(op.first_id), detail=_about(accounts, op)
            )
        case UsersRemoved():
            who = ", ".join(sorted({label(account) for account in op.accounts}))
            return AuditRow(id=op.id, time=op.time, what="removed-user", by=op.by, who=who)
        case PasswordSet():
            return AuditRow(id=op.id, time=op.time, what="set-password", by=op.by, who=label(op.account))
        case TokenCreated():
            return AuditRow(id=op.id, time=op.time, what="created-token", by=op.by, who=label(op.account), detail=op.label)
        case TokensRevoked():
            who, tokens = label(op.account), ", ".join(op.tokens)
            return AuditRow(id=op.id, time=op.time, what="revoked-token", by=op.by, who=who, detail=tokens)
        case Granted():
            who = label(op.who)
            return AuditRow(id=op.id, time=op.time, what="granted", by=op.by, who=who, verb=op.verb, topic=op.pattern)
        case GrantsRevoked():
            who, verb, pattern = (op.was.who, op.was.verb, op.was.pattern) if op.was is not None else ("", "", "")
            who = label(who)
            return AuditRow(id=op.id, time=op.time, what="revoked-grant", by=op.by, who=who, verb=verb, topic=pattern)
        case SessionEnded():
            return AuditRow(id=op.id, time=op.time, what="signed-out", by=op.by, who=label(op.account))
        case Audited():
            return AuditRow(id=op.id, time=op.time, what=op.what, who=op.who, detail=op.at)
        case Joined():
            return AuditRow(id=op.id, time=op.time, what="added-broker", who=op.broker, detail=op.address)
        case Left():
            return AuditRow(id=op.id, time=op.time, what="removed-broker", who=op.broker)
        case Lost():
            return AuditRow(id=op.id, time=op.time, what="accepted-loss", detail=f"{op.source}.{op.first} to {op.last}")
        case _:
            return None


def _about(accounts: Accounts, op: UserAdded) -> str:
    """What is to be known of a user: an admin; one whose name another account has."""
    account, parts = op.first_id, ["an admin"] if op.admin else []
    if account in accounts.users and not accounts.name_of(account):
        first = accounts.account_of(op.name)
        parts.append(f"of no effect: {first or 'another admin'} was made before, at a broker that did not know of this one")
    return "; ".join(parts)
