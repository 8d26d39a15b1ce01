"""The first admin: made when the broker serves and there is none, with the password that its operator gave.

Before that the broker cannot know whether there is one: what it lacks may say so. Two brokers that begin together and do not
see each other both make one; of these the one that was made first counts (docs/rules.md, ACCESS).

Where the only admin has forgotten the password, who has access to the machine is let in again: a start with
`--reset-admin-password` sets it, or makes another admin. That is an op like others, and the audit trail tells it.
"""

from __future__ import annotations

import logging
import threading
from itertools import count
from typing import Final

from newswire.core import limits
from newswire.core.model.commands import AddUser, Audit, Request, SetPassword
from newswire.core.model.conditions import NO_ADMIN
from newswire.core.model.passwords import check_new_password
from newswire.engine.seam import Engine
from newswire.errors import NewswireError
from newswire.threads import OnFatal, supervise
from newswire.web import Authenticator

NAME: Final = "admin"
_log: Final = logging.getLogger("newswire.server")


class FirstAdmin:
    """Makes the first admin, or sets the password of one, in a thread of its own."""

    def __init__(
        self,
        engine: Engine,
        auth: Authenticator,
        password: str,
        stopped: threading.Event,
        on_fatal: OnFatal,
        *,
        resets: bool = False,
    ) -> None:
        """`password`: "" for none, and nobody is made; `stopped`: the broker ends; `resets`: also where there is an admin."""
        self._engine, self._auth, self._password, self._stopped, self._resets = engine, auth, password, stopped, resets
        self._thread = supervise(self._run, "first-admin", on_fatal, may_end=lambda: True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def try_once(self) -> bool:
        """Make the admin, or set the password, if that can be decided now; False: try again."""
        if not self._engine.describe().serves:
            return False
        admins = [account.username for account in self._engine.accounts() if account.admin]
        if admins and not self._resets:
            if self._password:
                _log.info("there is an admin (%s), so NEWSWIRE_ADMIN_PASSWORD_FILE is not used", ", ".join(admins[:3]))
            return True
        if not self._password:
            _log.warning("%s", NO_ADMIN.say())
            return True
        try:
            check_new_password(self._password)
        except NewswireError as error:
            _log.warning("the password of NEWSWIRE_ADMIN_PASSWORD_FILE is not used: %s", error.detail)
            return True
        try:
            return self._reset() if admins else self._make_first()
        except NewswireError as error:
            _log.warning("the admin cannot be made yet: %s", error.detail)
            return False

    def _make_first(self) -> bool:
        try:
            self._engine.submit([AddUser(name=NAME, admin=True, password=self._hash(), first=True)])
        except NewswireError as error:
            if error.code != "user-exists":
                raise
            return True
        _log.info("made the user %s, the first admin", NAME)
        return True

    def _reset(self) -> bool:
        account = self._engine.account(NAME)
        if account is not None and account.admin:
            if self._auth.passwords.verify(self._password, account.password or None):
                _log.info("the admin %s has this password: start the broker without --reset-admin-password", NAME)
                return True
            name = NAME
            change: Request = SetPassword(name=name, password=self._hash())
        else:
            names = (NAME if number == 1 else f"{NAME}-{number}" for number in count(1))
            name = next(one for one in names if self._engine.account(one) is None)
            change = AddUser(name=name, admin=True, password=self._hash())
        own = next((row.id for row in self._engine.describe().rows if row.self), "")
        self._engine.submit([change, Audit(what="reset-admin-password", who=name, at=f"broker {own}")])
        _log.warning("set the password of the admin %s: start the broker without --reset-admin-password from now on", name)
        return True

    def _hash(self) -> str:
        return self._auth.passwords.hash(self._password)

    def _run(self) -> None:
        while not self.try_once():
            if self._stopped.wait(limits.SERVES_EVERY_SECONDS):
                return
