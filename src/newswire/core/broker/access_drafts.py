"""What commands about users mean as ops, and who may give which command (docs/rules.md, ACCESS): by the state that is stored.

Pure functions: they change nothing. A command is checked where it is decided, so one whose right ends before that is refused,
whatever was known where it came in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NoReturn

from newswire.core import limits
from newswire.core.access import EVERYBODY, READS_ONLY, Principal, Rights
from newswire.core.model.commands import (
    AccessRequest,
    Acknowledge,
    AddGrant,
    AddUser,
    Audit,
    Confirm,
    CreateToken,
    EndSession,
    Publish,
    RemoveUser,
    Request,
    RevokeGrant,
    RevokeToken,
    SetPassword,
    Subscribe,
    Unsubscribe,
    Withdraw,
)
from newswire.core.model.ops import (
    NO_PLACE,
    Audited,
    Granted,
    GrantedRight,
    GrantsRevoked,
    Op,
    OpId,
    PasswordSet,
    SessionEnded,
    TokenCreated,
    TokensRevoked,
    UserAdded,
    UsersRemoved,
)
from newswire.core.state.accounts import Accounts
from newswire.errors import BadRequest, NewswireError, NotFound, Refused

_NO_NAMES: Final = (".", "..")  # that /users/<name> could not be asked for: every client takes them for folders
_GONE: Final = "what this was asked with is good no more: sign in again, or use another token"


def check(accounts: Accounts, requests: Sequence[Request], by: Principal | None, now: int) -> None:
    """Check that `by` may give all of these commands at `now` (ms). Raises Refused, with the `index` of several.

    None: nobody is asked.
    """
    if by is None:
        return
    rights = accounts.rights(by, now)
    if rights is None:
        raise Refused(_GONE, code="unauthenticated")
    topics = {""}  # that may be published to: a batch has few
    for index, request in enumerate(requests):
        if isinstance(request, Publish):
            if request.topic in topics and request.escalate in topics:
                continue
            topics |= {request.topic, request.escalate}
        try:
            _check_one(accounts, request, by, rights, now)
        except NewswireError as error:
            error.extra["index"] = index
            raise


def _check_one(accounts: Accounts, request: Request, by: Principal, rights: Rights, now: int) -> None:
    is_narrow = bool(by.token) and accounts.is_narrow(by.token)
    is_own = isinstance(request, (SetPassword, CreateToken)) and accounts.account_of(request.name) == by.account
    match request:
        case Acknowledge(account=account) | Confirm(account=account) | EndSession(account=account) if (
            by.feed and account == by.account
        ):
            if not isinstance(request, EndSession) and by.feed != account:
                _refuse(READS_ONLY)
        case _ if by.feed:
            _refuse(READS_ONLY)
        case Withdraw(topic=topic):
            if not rights.may("publish", topic):
                _refuse(f"you may not publish to {topic}: ask an admin for a grant")
        case Publish(topic=topic):
            for one in filter(None, (topic, request.escalate)):
                if not rights.may("publish", one):
                    _refuse(f"you may not publish to {one}: ask an admin for a grant")
        case Subscribe(user, account=account) | Unsubscribe(user, account=account) | Confirm(user, account=account) if (
            accounts.name_of(account) != user
        ):
            _refuse("there is no such user any more, or another one of that name")
        case Subscribe(account=account, pattern=pattern):
            theirs = _rights_of(accounts, account, by, rights, now)
            if not theirs.covers("subscribe", pattern):
                _refuse(f"a subscription to {pattern} needs a grant that covers all of it: ask an admin for one")
        case Unsubscribe(account=account, pattern=pattern):
            _rights_of(accounts, account, by, rights, now)
            if not accounts.reads_whole(by.token, pattern):
                _refuse(f"this token may not read all of {pattern}, so it does not end that: use another")
        case Acknowledge(account=account) | Confirm(account=account):
            _rights_of(accounts, account, by, rights, now)
            if is_narrow and not rights.subscribe:
                _refuse("this token is not for reading")
        case EndSession(account=account) if account == by.account:
            pass
        case SetPassword() if is_own and by.token:
            _refuse("one's own password is set by who shows the one before, and a token is none: sign in with the password")
        case SetPassword() | CreateToken() if is_own and not is_narrow:
            pass
        case RevokeToken(token=token) if token in accounts.tokens_of(by.account) and not is_narrow:
            pass
        case _ if not rights.admin:
            _refuse("this is for admins")


def _rights_of(accounts: Accounts, account: OpId, by: Principal, rights: Rights, now: int) -> Rights:
    """The rights that count for what hangs on `account`. Raises Refused if it is another one's, and NotFound if nobody's."""
    if account == by.account:
        return rights
    if not rights.admin:
        _refuse("what is another user's is for admins")
    theirs = accounts.rights(Principal(account), now)
    if theirs is None:
        raise NotFound("there is no such user any more", code="no-user")
    return theirs


def _refuse(detail: str) -> NoReturn:
    raise Refused(detail, code="forbidden")


def draft_access(accounts: Accounts, request: AccessRequest, by: Principal | None, now: int) -> list[Op]:
    """The ops of a command at `now` (ms); one that names the user "" means the user whom the first of them adds.

    Raises Refused, NotFound.
    """
    me = accounts.name_of(by.account) if by is not None else ""
    match request:
        case AddUser():
            return _add_user(accounts, request, me)
        case RemoveUser(name):
            if accounts.users[_account(accounts, name)].admin and not accounts.has_admin_beside(name):
                raise Refused(
                    f"user {name} is the last admin, without whom nobody can add users: add another admin first",
                    code="last-admin",
                )
            return [UsersRemoved(**NO_PLACE, accounts=accounts.accounts_of(name), by=me)]
        case SetPassword(name, password):
            return [_set_password(accounts, _account(accounts, name), password, me, now)]
        case CreateToken():
            return _create_token(accounts, request, by, me, now)
        case RevokeToken(token):
            if token not in accounts.tokens:
                raise NotFound(f"there is no token {token}: GET /tokens lists them", code="no-token")
            return [TokensRevoked(**NO_PLACE, tokens=(token,), account=accounts.tokens[token].account, by=me)]
        case AddGrant():
            return [_add_grant(accounts, request, me)]
        case RevokeGrant(who, verb, pattern):
            whose = _who(accounts, who)
            grants = accounts.same_grants(whose, verb, pattern)
            if not grants:
                raise NotFound(f"{who} has no grant to {verb} {pattern}: GET /grants?who={who} lists them", code="no-grant")
            return [GrantsRevoked(**NO_PLACE, grants=grants, was=GrantedRight(whose, verb, pattern), by=me)]
        case EndSession(session, account):
            return [SessionEnded(**NO_PLACE, session=session, account=account, by=me)]
        case Audit(what, who, at):
            return [Audited(**NO_PLACE, what=what, who=who, at=at)]


def _add_user(accounts: Accounts, request: AddUser, me: str) -> list[Op]:
    name = request.name
    if name in _NO_NAMES:
        raise BadRequest(f"`{name}` is no name of a user: in an address it stands for a folder", code="bad-username")
    if accounts.account_of(name):
        raise Refused(f"there is a user {name}: remove the user first, or take another name", code="user-exists")
    like = accounts.spelling_of(name)
    if like and not request.first:
        words = "names that differ in capital letters only would be taken for one another: take another name"
        raise Refused(f"there is a user {like}, and {words}", code="user-exists")
    if request.first and accounts.has_admin:
        raise Refused("there is an admin already", code="user-exists")
    if len(accounts.users) >= limits.USERS_COUNT:
        raise Refused(f"there are {limits.USERS_COUNT} users, the most allowed: remove some", code="too-many")
    ops: list[Op] = [UserAdded(**NO_PLACE, name=name, admin=request.admin, first=request.first, by=me)]
    if request.password:
        ops.append(PasswordSet(**NO_PLACE, account="", hash=request.password, by=me))
    if others := accounts.accounts_of(name):  # first admins of no effect: one may not take the name later
        ops.append(UsersRemoved(**NO_PLACE, accounts=others, by=me))
    return ops


def _set_password(accounts: Accounts, account: OpId, password: str, me: str, now: int) -> PasswordSet:
    """It counts, whatever the clock was ahead of that made the one before."""
    before = accounts.passwords.get(account)
    made = before.order[0] + 1 if before is not None and before.order[0] >= now else 0
    made = min(made, limits.TIME_MILLISECONDS)
    return PasswordSet(**NO_PLACE, account=account, hash=password, made=made, by=me)


def _create_token(accounts: Accounts, request: CreateToken, by: Principal | None, me: str, now: int) -> list[Op]:
    """One that a user makes for himself with a token expires with that at the latest.

    Those that have expired do not count. As many of them are kept for who looks at the list; the oldest others are revoked.
    """
    account = _account(accounts, request.name)
    maker = accounts.tokens.get(by.token) if by is not None and account == by.account else None
    ends = [at for at in (request.expires, maker.expires if maker is not None else 0) if at]
    mine = accounts.tokens_of(account)
    over = sorted((op.expires, name) for name, op in mine.items() if 0 < op.expires <= now)
    if len(mine) - len(over) >= limits.TOKENS_PER_USER:
        raise Refused(
            f"{request.name} has {limits.TOKENS_PER_USER} tokens, the most allowed: revoke those that nobody uses",
            code="too-many",
        )
    token = TokenCreated(
        **NO_PLACE,
        account=account,
        hash=request.digest,
        label=request.label,
        expires=min(ends, default=0),
        publish=request.publish,
        subscribe=request.subscribe,
        by=me,
    )
    gone = tuple(name for _, name in over[: max(0, len(over) - limits.TOKENS_PER_USER)])
    return [token, TokensRevoked(**NO_PLACE, tokens=gone, account=account, by=me)] if gone else [token]


def _add_grant(accounts: Accounts, request: AddGrant, me: str) -> Granted:
    who = _who(accounts, request.who)
    same = accounts.same_grants(who, request.verb, request.pattern)
    if not same and len(accounts.grants_of(who)) >= limits.GRANTS_PER_WHO:
        raise Refused(
            f"{request.who} has {limits.GRANTS_PER_WHO} grants, the most allowed: revoke some, or use a pattern",
            code="too-many",
        )
    return Granted(**NO_PLACE, who=who, verb=request.verb, pattern=request.pattern, replaces=same, by=me)


def _who(accounts: Accounts, who: str) -> str:
    return who if who == EVERYBODY else _account(accounts, who)


def _account(accounts: Accounts, name: str) -> OpId:
    account = accounts.account_of(name)
    if not account:
        raise NotFound(f"there is no user {name}: GET /users lists who there is", code="no-user")
    return account
