"""Who asks: the one place where a request's credential becomes a `Caller` (docs/security.md; docs/rules.md, ACCESS).

A credential is a token or a password (`credentials`), the cookie of a session (`sessions`), or a ticket, which opens one
stream. Each is looked up in the state of this broker, which any broker has. A look-up is remembered until a right of its user
changes, so a request costs a digest and a look into a dictionary; the engine says when (`wake`), before anything of the change
can be read.

With `--auth none` nobody is asked, and everybody is `NOBODY`, who may do everything under any name.
"""

from __future__ import annotations

import hashlib
import math
import secrets
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Final, NamedTuple

import msgspec

from newswire.core import limits
from newswire.core.access import EVERYBODY, READS_ONLY
from newswire.core.model.commands import Audit
from newswire.core.model.names import SIGN_IN_FAILED, check_username
from newswire.engine.seam import Account, Engine, Principal, Rights
from newswire.errors import BadRequest, NewswireError, NotFound, NotStored, Refused
from newswire.quotas.attempts import Attempts
from newswire.quotas.networks import network_of
from newswire.quotas.rate import Rate
from newswire.threads import NeedsThread, must_not_wait
from newswire.web import credentials, request_fields, sessions
from newswire.web.credentials import PasswordShown, TokenShown
from newswire.web.devices import Devices
from newswire.web.passwords import Passwords
from newswire.web.request_fields import Environ
from newswire.web.sessions import Cookies, Session
from newswire.web.tickets import Tickets

_ENVIRON_KEY: Final = "newswire.caller"
_TICKET_KEY: Final = "newswire.ticket_user"
_FOR_EVER: Final = math.inf
_SIGN_IN: Final = "say who you are: with a token (Authorization: Bearer nw_...), with user and password, or sign in at /login"
_WRONG: Final = "wrong user or password: check both, or ask an admin for a new password"
_ONE_FEED: Final = "this was opened with a ticket for one user's news: name that user, or sign in"
_OVER: Final = "this credential is good no more, or never was: sign in again, or ask an admin for a new token"


class Caller(msgspec.Struct, frozen=True):
    """Who asks. `by`: none, token, password, session or ticket, by which that was shown.

    `rights` is None where nobody is asked. `until`: seconds since 1970 when what was shown ends by itself.
    """

    username: str
    admin: bool
    rights: Rights | None
    by: str
    principal: Principal | None = None
    until: float = _FOR_EVER


NOBODY: Final = Caller(username="", admin=True, rights=None, by="none")
"""Everybody, where nobody is asked: the engine asks nothing of who has no principal."""
ANONYMOUS: Final = Caller(username="", admin=False, rights=Rights(), by="none", principal=Principal(account=""))
"""Who asks for what is public, where everybody else is asked: nobody's account, which may do nothing."""


class _Lookup(NamedTuple):
    """A caller that was looked up; good `until` (seconds since 1970), and while no right of his changed since `generation`."""

    caller: Caller
    until: float
    generation: int


class _Shown(NamedTuple):
    """A name and password that somebody shows; `device`: a browser of that name's, "" for none."""

    name: str
    password: str
    address: str
    device: str

    @property
    def source(self) -> str:
        """What failures of it are counted for."""
        return self.device or self.address


class Subject(NamedTuple):
    """Whom a request is about: the caller, or for an admin another user. `account`: "" where nobody is asked."""

    username: str
    account: str


def caller_of(environ: Environ) -> Caller:
    """Who asks, in a request that was let in."""
    caller: Caller = environ[_ENVIRON_KEY]
    return caller


def ticket_user(environ: Environ) -> str | None:
    """Whose stream the ticket is for that this request showed; None: it showed none."""
    return environ.get(_TICKET_KEY)


def note_caller(environ: Environ, caller: Caller, ticket_user: str | None = None) -> None:
    """Say who asks in this request, and whose stream a ticket is for."""
    environ[_ENVIRON_KEY] = caller
    if ticket_user is not None:
        environ[_TICKET_KEY] = ticket_user


def subject_of(engine: Engine, caller: Caller, username: str | None) -> Subject:
    """Whom a request is about that names `username`, or nobody. Raises `missing-field`, `forbidden`, `no-user`."""
    if caller.principal is None:
        if username is None:
            raise request_fields.missing("username")
        return Subject(username, "")
    if caller.principal.feed not in ("", caller.principal.account):
        return _subject_of_feed(engine, caller.principal, username)
    if username is None or username == caller.username:
        return Subject(caller.username, caller.principal.account)
    if not caller.admin:
        raise Refused(f"you may act for {caller.username} alone: leave `username` out, or ask an admin")
    account = engine.account(username)
    if account is None:
        raise NotFound(f"there is no user {username}: an admin can add one", code="no-user")
    return Subject(username, account.account)


def _subject_of_feed(engine: Engine, principal: Principal, username: str | None) -> Subject:
    account = engine.account(username) if username is not None else None
    if account is None or account.account != principal.feed:
        raise Refused(_ONE_FEED)
    return Subject(account.username, account.account)


def check_is_whole(engine: Engine, caller: Caller) -> None:
    """Raise `forbidden` if `caller` shows a token with patterns, or a ticket: what else its user has is not its matter."""
    if caller.principal is not None and caller.principal.feed:
        raise Refused(READS_ONLY)
    token = caller.principal.token if caller.principal is not None else ""
    if token and any(row.id == token and row.is_narrow for row in engine.tokens(caller.username)):
        raise Refused("a token with patterns is not for that: GET /me says what it may")


class Authenticator:
    """Makes callers of what requests show. Any thread; what hashes a password raises NeedsThread in one that never waits."""

    def __init__(
        self,
        engine: Engine,
        keys: Sequence[bytes],
        clock: Callable[[], float] = time.time,
        passwords: Passwords | None = None,
    ) -> None:
        """`keys`: sessions are signed with the first, and verified with all; `clock`: seconds since 1970."""
        self._engine = engine
        self._clock = clock
        self.passwords = passwords or Passwords()
        self.cookies = Cookies(keys)
        self.devices = Devices(keys)
        self.tickets: Tickets[tuple[Caller, str]] = Tickets()
        self._attempts = Attempts()
        self._lock = threading.Lock()  # of `_attempts` and `_audited`
        self._audited = Rate(limits.AUDITED_FAILURES_PER_SECOND, limits.AUDITED_FAILURES_BURST)
        self._untold_count = 0  # failures that were not written down yet, beyond that rate
        self._key = secrets.token_bytes(32)
        self._callers: dict[bytes, _Lookup] = {}  # by a keyed digest of what was shown
        self._generation = 0  # grows with each wake
        self._changed: dict[str, int] = {}  # by username: the generation since which rights may be others
        self._all_changed = 0

    # -- who asks

    def identify(self, environ: Environ) -> Caller:
        """Who asks. Raises `unauthenticated`, `too-many`; NotStored where too many passwords wait."""
        header = environ.get("HTTP_AUTHORIZATION", "")
        shown = header or sessions.cookie_of(environ)
        if not shown:
            raise _unauthenticated(_SIGN_IN)
        key = self._digest(shown, is_cookie=not header)
        now = self._clock()
        generation = self._generation  # before anything is looked up: what changes meanwhile is later
        lookup = self._callers.get(key)
        if lookup is not None and now < lookup.until and not self._has_changed(lookup):
            if lookup.caller.by == "password":
                self._check_attempts(lookup.caller.username, network_of(environ.get("REMOTE_ADDR", "")))
            return lookup.caller
        caller = self._of_header(header, environ) if header else self._of_cookie(shown)
        if len(self._callers) >= limits.CALLERS_CACHE_COUNT:
            self._callers.clear()
        self._callers[key] = _Lookup(caller, min(now + limits.CALLERS_CACHE_SECONDS, caller.until), generation)
        return caller

    def user_of(self, authorization: str, cookie: str) -> str:
        """The user whose credential these headers show, "" where it was not looked up yet: whose turn it is, not what it may.

        Whether it is good still is not asked. Returns at once.
        """
        environ = {"HTTP_COOKIE": cookie}
        shown = authorization or sessions.cookie_named(sessions.SECURE_COOKIE, environ) or sessions.cookie_of(environ)
        lookup = self._callers.get(self._digest(shown, is_cookie=not authorization)) if shown else None
        return lookup.caller.username if lookup is not None else ""

    def _digest(self, shown: str, *, is_cookie: bool) -> bytes:
        """What stands for a credential: another one in a cookie than in a header, as what is changed by a cookie is."""
        person = b"cookie" if is_cookie else b"header"
        return hashlib.blake2b(shown.encode("latin-1", "replace"), key=self._key, person=person, digest_size=32).digest()

    def _has_changed(self, lookup: _Lookup) -> bool:
        """Whether a right of the caller may have changed since."""
        return lookup.generation < max(self._all_changed, self._changed.get(lookup.caller.username, 0))

    def sign_in(self, username: str, password: str, address: str, device: str = "") -> Caller:
        """Check a password. Raises `unauthenticated`, alike for a wrong user and a wrong password; `too-many`; NotStored.

        `device`: a browser in which this user signed in before (`Devices.source_of`), which counts in place of the address.
        In a thread that never waits: NeedsThread, if it has to be hashed.
        """
        shown = _Shown(name=username[: limits.USERNAME_CHARS], password=password, address=network_of(address), device=device)
        if device:
            with self._lock:
                self._attempts.trust(shown.name, device, self._clock())
        self._check_attempts(shown.name, shown.source)
        account = self._account(username)
        stored = account.password if account is not None else ""
        if not (stored and self.passwords.is_verified(password, stored)):
            if must_not_wait():
                raise NeedsThread
            self._verify(shown, stored)
        if account is None:
            raise _unauthenticated(_WRONG)
        return self.resolve(account.username, Principal(account=account.account, password=account.password_id), by="password")

    def resolve(self, username: str, principal: Principal, *, by: str, until: float = _FOR_EVER) -> Caller:
        """Who this is now. Raises `unauthenticated` when what the principal was proved by is good no more."""
        rights = self._engine.rights(principal) if self._clock() < until else None
        if rights is None:
            raise _unauthenticated(_OVER)
        return Caller(username=username, admin=rights.admin, rights=rights, by=by, principal=principal, until=until)

    def wake(self, users: Collection[str]) -> None:
        """Have these users (`*`: all) looked up anew. Returns at once; one thread, before a change of theirs can be read."""
        self._generation += 1
        if EVERYBODY in users or len(self._changed) + len(users) > limits.CALLERS_CACHE_COUNT:
            self._all_changed = self._generation
            self._changed.clear()
        else:
            self._changed.update(dict.fromkeys(users, self._generation))

    # -- sessions and tickets

    def new_session(self, caller: Caller) -> str:
        """The value of a cookie for a browser that shows what `caller` showed; of the same session, if that was one."""
        assert caller.principal is not None
        principal = caller.principal
        seconds = limits.TICKET_SESSION_SECONDS if principal.feed else limits.SESSION_SECONDS
        until = int(min(self._clock() + seconds, caller.until))
        return self.cookies.write(
            Session(
                id=principal.session or sessions.new_id(),
                username=caller.username,
                account=principal.account,
                until=until,
                password=principal.password,
                token=principal.token,
                feed=principal.feed,
            )
        )

    def is_signed_in(self, environ: Environ, username: str) -> bool:
        """Whether the request's cookie is of a session of this user that may do all that the user may."""
        try:
            caller = self._of_cookie(sessions.cookie_of(environ))
        except NewswireError:
            return False
        return caller.username == username and caller.principal is not None and not caller.principal.feed

    def with_new_password(self, caller: Caller) -> Caller:
        """`caller` as one who shows the password that was just set."""
        account = self._engine.account(caller.username)
        if account is None:
            raise _unauthenticated(_OVER)
        principal = Principal(account=account.account, password=account.password_id)
        return self.resolve(caller.username, principal, by=caller.by)

    def new_ticket(self, caller: Caller, subject: Subject) -> str:
        """A ticket for one stream of `subject`."""
        assert caller.principal is not None
        principal = msgspec.structs.replace(caller.principal, feed=subject.account)
        return self.tickets.give((msgspec.structs.replace(caller, principal=principal), subject.username))

    def use_ticket(self, ticket: str) -> tuple[Caller, str]:
        """Who made the ticket, as he is now, and for whose stream. It is used up. Raises `unauthenticated`."""
        value = self.tickets.take(ticket)
        if value is None:
            raise _unauthenticated("this ticket was used, or is older than 30 seconds: ask for another")
        caller, username = value
        assert caller.principal is not None
        return self.resolve(caller.username, caller.principal, by="ticket", until=caller.until), username

    # -- inside

    def _account(self, username: str) -> Account | None:
        try:
            return self._engine.account(check_username(username))
        except BadRequest:  # no name that anybody could have
            return None

    def _of_header(self, header: str, environ: Environ) -> Caller:
        match credentials.read(header):
            case TokenShown(digest, username):
                token = self._engine.token(digest)
                if token is None or (username and username != token.username):
                    raise _unauthenticated(_OVER)
                until = token.expires / 1000 if token.expires else _FOR_EVER
                return self.resolve(token.username, Principal(account=token.account, token=token.id), by="token", until=until)
            case PasswordShown(username, password):
                return self.sign_in(username, password, environ.get("REMOTE_ADDR", ""))
        raise _unauthenticated(_SIGN_IN)

    def _of_cookie(self, value: str) -> Caller:
        session = self.cookies.read(value)
        if session is None:
            raise _unauthenticated(_OVER)
        principal = Principal(
            account=session.account, token=session.token, password=session.password, session=session.id, feed=session.feed
        )
        return self.resolve(session.username, principal, by="session", until=session.until)

    def _check_attempts(self, name: str, source: str) -> None:
        """Raise `too-many` where no attempt may be made: a password that is remembered must not tell who guesses it."""
        with self._lock:
            wait = self._attempts.wait(name, source, self._clock())
        if wait:
            raise _too_many(wait)

    def _verify(self, shown: _Shown, stored: str) -> None:
        with self._lock:
            wait = self._attempts.begin(shown.name, shown.source, self._clock())
        if wait:
            raise _too_many(wait)
        try:
            is_right = self.passwords.verify(shown.password, stored or None)
        except NotStored:
            with self._lock:
                self._attempts.take_back(shown.name, shown.source)
            raise
        if not is_right:
            self._note_failure(shown.name, shown.address)
            raise _unauthenticated(_WRONG)
        with self._lock:
            self._attempts.went_well(shown.name, shown.source, self._clock())
        self.passwords.remember(shown.password, stored)

    def _note_failure(self, name: str, address: str) -> None:
        with self._lock:
            if self._audited.take("", self._clock()):
                self._untold_count += 1
                return
        self.tell_failures()
        self._engine.post([Audit(what=SIGN_IN_FAILED, who=name, at=address)])

    def tell_failures(self) -> None:
        """Have the audit trail say how many failed sign-ins it was not told of one by one. Returns at once."""
        with self._lock:
            count, self._untold_count = self._untold_count, 0
        if count:
            self._engine.post([Audit(what=SIGN_IN_FAILED, who="", at=f"and {count:,} more")])


def _unauthenticated(detail: str) -> NewswireError:
    return Refused(detail, code="unauthenticated")


def _too_many(wait: int) -> Refused:
    detail = f"too many wrong passwords for this name, or from here: try again in {wait} seconds"
    return Refused(detail, code="too-many", retry_after=wait)
