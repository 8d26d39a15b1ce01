"""What the fold keeps of access: users, passwords, tokens, grants, and which sessions are over (docs/rules.md, ACCESS).

A user is an *account*, named by the op that made it; grants, tokens and subscriptions hang on the account, never on the name.
An op ends only what it names, and ops come in any order: a removal may come before what it removes, and what hangs on an
account before the account. Of the accounts of one name that are alive, which only brokers that were apart make, the one that
was made first has the name; the others have no effect while it is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec

from newswire.core import limits
from newswire.core.access import EVERYBODY, Principal, Rights
from newswire.core.model.ops import (
    NO_PLACE,
    AccountOp,
    Audited,
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
)

_Change: TypeAlias = tuple[str, ...]  # names of users


class Accounts:
    """All accounts and what hangs on them. The commit thread writes, under the state lock."""

    def __init__(self) -> None:
        self.users: dict[OpId, UserAdded] = {}
        self.passwords: dict[OpId, PasswordSet] = {}  # by account, the newest; also of one whose own op has yet to come
        self.tokens: dict[OpId, TokenCreated] = {}
        self.grants: dict[OpId, Granted] = {}
        self.removed: set[OpId] = set()  # accounts
        self.revoked: set[OpId] = set()  # tokens and grants
        self.ended: dict[str, set[OpId]] = {}  # sessions, and for which accounts they are over
        self.names: dict[OpId, str] = {}  # of every account that ever was
        self._bearers: Counter[str] = Counter()  # of each name: how many accounts ever had it
        self._of_name: dict[str, dict[OpId, UserAdded]] = {}
        self._account_of: dict[str, OpId] = {}  # by name
        self._spellings: Counter[str] = Counter()  # of each name without capitals: how many names that accounts have
        self._admins: dict[OpId, UserAdded] = {}
        self._firsts: dict[OpId, UserAdded] = {}
        self._by_digest: dict[str, dict[OpId, None]] = {}
        self._tokens_of: dict[OpId, dict[OpId, TokenCreated]] = {}  # by account
        self._grants_of: dict[str, dict[OpId, Granted]] = {}  # by account, or `*`
        self._rights: dict[tuple[OpId, OpId], Rights] = {}  # by account and token, until something of it changes

    # -- the fold

    def take(self, op: AccountOp) -> Iterable[str]:
        """APPLY; return the names of users whose rights may have changed (`*`: of all)."""
        match op:
            case UserAdded():
                return self._add_user(op)
            case UsersRemoved():
                return [name for account in op.accounts for name in self._remove_user(account)]
            case PasswordSet():
                before = self.passwords.get(op.account)
                if op.account in self.removed or (before is not None and before.order >= op.order):
                    return ()
                self.passwords[op.account] = op
                return self._changed(op.account)
            case TokenCreated():
                if op.first_id in self.revoked or op.account in self.removed:
                    return ()
                self.tokens[op.first_id] = op
                self._tokens_of.setdefault(op.account, {})[op.first_id] = op
                self._by_digest.setdefault(op.hash, {})[op.first_id] = None
                return ()
            case TokensRevoked():
                self.revoked.update(op.tokens)
                return [name for token in op.tokens for name in self._drop_token(token)]
            case Granted():
                changed = self._drop_grants(op.replaces)
                if op.first_id not in self.revoked and op.who not in self.removed:
                    self.grants[op.first_id] = op
                    self._grants_of.setdefault(op.who, {})[op.first_id] = op
                    changed += self._changed(op.who)
                return changed
            case GrantsRevoked():
                return self._drop_grants(op.grants)
            case SessionEnded():
                self.ended.setdefault(op.session, set()).add(op.account)
                return self._changed(op.account)
            case Audited():
                return ()

    def _add_user(self, op: UserAdded) -> _Change:
        account = op.first_id
        self._bearers[op.name] += account not in self.names
        self.names[account] = op.name
        if account in self.removed:
            return ()
        self.users[account] = op
        self._of_name.setdefault(op.name, {})[account] = op
        if op.first:
            self._firsts[account] = op
        return self._settle(op)

    def _remove_user(self, account: OpId) -> _Change:
        self.removed.add(account)
        self.passwords.pop(account, None)
        for token in list(self._tokens_of.get(account, ())):
            self._drop_token(token)
        for grant in self._grants_of.pop(account, {}):
            del self.grants[grant]
        user = self.users.pop(account, None)
        if user is None:
            return ()
        del self._of_name[user.name][account]
        self._firsts.pop(account, None)
        return self._settle(user)

    def _settle(self, user: UserAdded) -> _Change:
        """Choose anew which account has the name of `user`, which came or went; return all names of which that changed."""
        names = {user.name}
        if user.admin:
            if user.first_id in self.users:
                self._admins[user.first_id] = user
            else:
                self._admins.pop(user.first_id, None)
            names |= {first.name for first in self._firsts.values()}
        for name in names:
            mine = [one for one in self._of_name.get(name, {}).values() if self._counts(one)]
            if mine:
                self._spellings[name.casefold()] += name not in self._account_of
                self._account_of[name] = min(mine, key=lambda one: one.order).first_id
            else:
                if self._account_of.pop(name, None) is not None:
                    folded = name.casefold()
                    self._spellings[folded] -= 1
                    if not self._spellings[folded]:
                        del self._spellings[folded]
                if not self._of_name.get(name):
                    self._of_name.pop(name, None)
            for account in self._of_name.get(name, ()):
                self._forget(account)
        return tuple(names)

    def _counts(self, user: UserAdded) -> bool:
        """Whether it is one: a first admin only if no other admin was made before."""
        return not user.first or min(self._admins.values(), key=lambda one: one.order, default=user).first_id == user.first_id

    def _drop_token(self, token: OpId) -> _Change:
        op = self.tokens.pop(token, None)
        if op is None:
            return ()
        mine, same = self._tokens_of[op.account], self._by_digest[op.hash]
        del mine[token], same[token]
        if not mine:
            del self._tokens_of[op.account]
        if not same:
            del self._by_digest[op.hash]
        self._rights.pop((op.account, token), None)
        return self._changed(op.account)

    def _drop_grants(self, grants: Iterable[OpId]) -> _Change:
        changed: _Change = ()
        for grant in grants:
            self.revoked.add(grant)
            op = self.grants.pop(grant, None)
            if op is not None:
                del self._grants_of[op.who][grant]
                if not self._grants_of[op.who]:
                    del self._grants_of[op.who]
                changed += self._changed(op.who)
        return changed

    def _changed(self, who: str) -> _Change:
        if who == EVERYBODY:
            self._rights.clear()
            return (EVERYBODY,)
        self._forget(who)
        return (self.names[who],) if who in self.users else ()

    def _forget(self, account: OpId) -> None:
        for token in ("", *self._tokens_of.get(account, ())):
            self._rights.pop((account, token), None)

    # -- questions; any thread, under the state lock

    def account_of(self, name: str) -> OpId:
        """The account that has this name; "" for none."""
        return self._account_of.get(name, "")

    def spelling_of(self, name: str) -> str:
        """A name that an account has and that differs from `name` in capital letters at most; "" for none."""
        folded = name.casefold()
        return next(one for one in self._account_of if one.casefold() == folded) if self._spellings[folded] else ""

    def accounts_of(self, name: str) -> tuple[OpId, ...]:
        """All accounts of this name that are alive: what a removal names."""
        return tuple(sorted(self._of_name.get(name, ())))

    def name_of(self, account: OpId) -> str:
        """The name that an account has now; "" for one that is not there, or whose name another one has."""
        user = self.users.get(account)
        return user.name if user is not None and self._account_of.get(user.name) == account else ""

    def label_of(self, account: OpId) -> str:
        """The name that an account ever had, for people: with its id where another account had that, too."""
        name = self.names.get(account, account)
        return f"{name} ({account})" if self._bearers[name] > 1 else name

    def each(self) -> Iterator[str]:
        """Each name that an account has."""
        return iter(self._account_of)

    @property
    def has_admin(self) -> bool:
        """Whether any account is an admin's."""
        return bool(self._admins)

    def has_admin_beside(self, name: str) -> bool:
        """Whether an account of another name is an admin's, and has its name."""
        return any(user.name != name and self.name_of(account) for account, user in self._admins.items())

    def token_with(self, digest: str) -> TokenCreated | None:
        """The token whose text has this SHA-256; None for none, or one of an account that is not there."""
        alive = [token for token in self._by_digest.get(digest, ()) if self.name_of(self.tokens[token].account)]
        return self.tokens[min(alive)] if alive else None

    def tokens_of(self, account: OpId) -> Mapping[OpId, TokenCreated]:
        """The tokens of an account."""
        return self._tokens_of.get(account, {})

    def grants_of(self, who: str) -> Mapping[OpId, Granted]:
        """The grants of an account, or of `*`: its own ones."""
        return self._grants_of.get(who, {})

    def same_grants(self, who: str, verb: str, pattern: str) -> tuple[OpId, ...]:
        """The grants of just this: what a revocation, or another grant of it, names."""
        mine = self._grants_of.get(who, {})
        return tuple(sorted(name for name, op in mine.items() if (op.verb, op.pattern) == (verb, pattern)))

    def rights(self, principal: Principal, now: int) -> Rights | None:
        """What `principal` may do at `now` (ms since 1970); None if what it was proved by is good no more."""
        account, token = principal.account, principal.token
        if not self.name_of(account) or account in self.ended.get(principal.session, ()):
            return None
        if principal.password and self.password_of(account) != principal.password:
            return None
        if token:
            op = self.tokens.get(token)
            if op is None or op.account != account or 0 < op.expires <= now:
                return None
        rights = self._remembered_rights(account, token)
        if not principal.feed:
            return rights
        if principal.feed == account:
            return rights.reading
        return self._remembered_rights(principal.feed, "").reading if rights.admin and self.name_of(principal.feed) else None

    def reads_whole(self, token: OpId, pattern: str) -> bool:
        """Whether `token` may read all that `pattern` matches, or is for all that its user may. "" is no token: True."""
        if not token:
            return True
        op = self.tokens.get(token)
        if op is None or op.account not in self.users:
            return False
        return op.subscribe is None or self._remembered_rights(op.account, token).covers("subscribe", pattern)

    def is_narrow(self, token: OpId) -> bool:
        """Whether a token is for less than its user may do."""
        op = self.tokens[token]
        return op.publish is not None or op.subscribe is not None

    def password_of(self, account: OpId) -> OpId:
        """The id of the password of an account, "" for none: it is another one when the password is set."""
        op = self.passwords.get(account)
        return op.first_id if op is not None and op.hash else ""

    def _remembered_rights(self, account: OpId, token: OpId) -> Rights:
        rights = self._rights.get((account, token))
        if rights is None:
            if len(self._rights) >= limits.RIGHTS_KEPT:
                self._rights.clear()
            rights = self._rights[account, token] = self._work_out(account, token)
        return rights

    def _work_out(self, account: OpId, token: OpId) -> Rights:
        if token:
            op = self.tokens[token]
            whole = self._rights.get((account, "")) or self._work_out(account, "")
            return whole.narrow(op.publish, op.subscribe)
        if self.users[account].admin:
            return Rights(admin=True)
        return Rights(publish=self._patterns(account, "publish"), subscribe=self._patterns(account, "subscribe"))

    def _patterns(self, account: OpId, verb: Verb) -> tuple[str, ...]:
        ops = (*self.grants_of(account).values(), *self.grants_of(EVERYBODY).values())
        return tuple(sorted({op.pattern for op in ops if op.verb == verb}))

    # -- LOST

    def again(self, op: AccountOp) -> AccountOp:
        """A draft that means what `op`, which is void, means here: what it made goes by the id that it had."""
        if isinstance(op, (UserAdded, PasswordSet, TokenCreated, Granted)):
            return msgspec.structs.replace(op, **NO_PLACE, again=op.first_id, made=op.order[0])
        return msgspec.structs.replace(op, **NO_PLACE)

    def blindly(
        self, names: Collection[OpId], parts: Callable[[Sequence[OpId]], Iterable[tuple[OpId, ...]]]
    ) -> list[AccountOp]:
        """Drafts that mean what these ops, whose records cannot be read, made here, and all that any op here has ended.

        `parts` cuts ids into as many as one op names.
        """
        entries = (self.users, self.tokens, self.grants, {op.first_id: op for op in self.passwords.values()})
        drafts: list[AccountOp] = [self.again(ops[name]) for ops in entries for name in names if name in ops]
        drafts += [UsersRemoved(**NO_PLACE, accounts=ids) for ids in parts(sorted(self.removed))]
        for ids in parts(sorted(self.revoked)):  # of which kind each was is not remembered
            drafts += [TokensRevoked(**NO_PLACE, tokens=ids), GrantsRevoked(**NO_PLACE, grants=ids)]
        for session, accounts in self.ended.items():
            drafts += [SessionEnded(**NO_PLACE, session=session, account=account) for account in sorted(accounts)]
        return drafts
