"""A second opinion on who may what: everything is worked out anew from the ops, of which it knows nothing but the shapes.

Patterns are compared by what they match: `PROBES` tell all of those apart that schedules use.
"""

from __future__ import annotations

from newswire.core.access import EVERYBODY, Principal
from newswire.core.model.names import matches
from newswire.core.model.ops import (
    AccountOp,
    Granted,
    GrantsRevoked,
    OpId,
    PasswordSet,
    SessionEnded,
    TokenCreated,
    TokensRevoked,
    UserAdded,
    UsersRemoved,
    Verb,
    split_op_id,
)
from newswire.core.state.accounts import Accounts

PROBES = ("a.x", "a.y", "b", "a.z", "c", "c.d", "a.x.y")
_VERBS: tuple[Verb, ...] = ("publish", "subscribe")


class AccessFold:
    """What ops about users say, worked out anew whenever there is another one."""

    def __init__(self) -> None:
        self._ops: list[AccountOp] = []
        self._count = -1

    def add(self, op: AccountOp) -> None:
        """Fold in an op."""
        self._ops.append(op)

    def _fold(self) -> None:
        if self._count == len(self._ops):
            return
        self._count = len(self._ops)
        self._removed: set[OpId] = set()
        self._over: set[tuple[str, OpId]] = set()
        revoked: set[OpId] = set()
        for op in self._ops:
            if isinstance(op, UsersRemoved):
                self._removed.update(op.accounts)
            elif isinstance(op, TokensRevoked):
                revoked.update(op.tokens)
            elif isinstance(op, GrantsRevoked):
                revoked.update(op.grants)
            elif isinstance(op, Granted):
                revoked.update(op.replaces)
            elif isinstance(op, SessionEnded):
                self._over.add((op.session, op.account))
        named = [op for op in self._ops if isinstance(op, (UserAdded, PasswordSet, TokenCreated, Granted))]
        users = {_name(op): op for op in named if isinstance(op, UserAdded) and _name(op) not in self._removed}
        self._tokens = {_name(op): op for op in named if isinstance(op, TokenCreated) and _name(op) not in revoked}
        self._grants = [op for op in named if isinstance(op, Granted) and _name(op) not in revoked]
        self._passwords: dict[OpId, OpId] = {}
        for password in sorted((op for op in named if isinstance(op, PasswordSet)), key=_order):
            self._passwords[password.account] = _name(password)
        first_admin = min((op for op in users.values() if op.admin), key=_order, default=None)
        self._users: dict[OpId, UserAdded] = {}  # those that have their name
        taken: set[str] = set()
        for user in sorted(users.values(), key=_order):
            stands_back = user.first and first_admin is not None and _name(user) != _name(first_admin)
            if user.name not in taken and not stands_back:
                taken.add(user.name)
                self._users[_name(user)] = user

    @property
    def removed(self) -> set[OpId]:
        """The accounts that some op removed."""
        self._fold()
        return self._removed

    def password_counts(self, op: PasswordSet) -> bool:
        """Whether it would be the newest of its account."""
        mine = (one for one in self._ops if isinstance(one, PasswordSet) and one.account == op.account)
        return all(_order(one) < _order(op) for one in mine)

    def good(self, by: Principal) -> bool:
        """Whether something may be asked with this."""
        self._fold()
        token = self._tokens.get(by.token)
        is_narrow = token is not None and (token.publish, token.subscribe) != (None, None)
        return (
            by.account in self._users
            and (not by.token or (token is not None and token.account == by.account))
            and (not by.password or self._passwords.get(by.account) == by.password)
            and (by.session, by.account) not in self._over
            and (by.feed in ("", by.account) or (by.feed in self._users and self._users[by.account].admin and not is_narrow))
        )

    def admins(self) -> set[OpId]:
        """The accounts of admins that have their name."""
        self._fold()
        return {account for account, user in self._users.items() if user.admin}

    def may(self, by: Principal, verb: Verb, topic: str) -> bool:
        """Whether who asks with this may publish to a topic, or read it; with a ticket what its feed may read, and no more."""
        if not self.good(by) or (by.feed and verb == "publish"):
            return False
        if by.feed not in ("", by.account):
            return self.may(Principal(by.feed), verb, topic)
        token = self._tokens.get(by.token)
        patterns = None if token is None else token.publish if verb == "publish" else token.subscribe
        narrowed = patterns is not None and not any(matches(pattern, topic) for pattern in patterns)
        return not narrowed and (self._users[by.account].admin or any(matches(g, topic) for g in self._patterns(by, verb)))

    def may_subscribe(self, account: OpId, pattern: str) -> bool:
        """Whether one grant allows all that the pattern matches."""
        by, wanted = Principal(account), {topic for topic in PROBES if matches(pattern, topic)}
        if not self.good(by):
            return False
        grants = self._patterns(by, "subscribe")
        return self._users[account].admin or any(all(matches(grant, topic) for topic in wanted) for grant in grants)

    def may_publish(self, name: str, topic: str) -> bool:
        """Whether the user of this name may."""
        self._fold()
        return any(
            user.name == name and self.may(Principal(account), "publish", topic) for account, user in self._users.items()
        )

    def _patterns(self, by: Principal, verb: Verb) -> list[str]:
        return [op.pattern for op in self._grants if op.verb == verb and op.who in (by.account, EVERYBODY)]

    def differs(self, accounts: Accounts) -> str:
        """How the core's fold of the same ops differs, "" if it does not."""
        self._fold()
        mine = {user.name: account for account, user in self._users.items()}
        said = {name: accounts.account_of(name) for name in accounts.each()}
        if mine != said:
            return f"names: {said}; its ops say {mine}"
        for account in self._users:
            tokens = [token for token, op in self._tokens.items() if op.account == account]
            for by in (Principal(account), *(Principal(account, token=token) for token in tokens)):
                rights = accounts.rights(by, 0)
                for verb in _VERBS:
                    says = [topic for topic in PROBES if rights is not None and rights.may(verb, topic)]
                    meant = [topic for topic in PROBES if self.may(by, verb, topic)]
                    if says != meant:
                        return f"{by} may {verb} {says}; its ops say {meant}"
            if accounts.password_of(account) != self._passwords.get(account, ""):
                return f"the password of {account} is {accounts.password_of(account)}"
        alive = {token for token, op in self._tokens.items() if op.account not in self._removed}
        return "" if set(accounts.tokens) == alive else f"tokens: {sorted(accounts.tokens)}; its ops say {sorted(alive)}"


def _name(op: UserAdded | PasswordSet | TokenCreated | Granted) -> OpId:
    return op.again or op.id


def _order(op: UserAdded | PasswordSet) -> tuple[int, str, int]:
    return (op.made or op.time, *split_op_id(_name(op)))
