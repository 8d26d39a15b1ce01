"""The first admin: made when the broker serves and there is none, with the password that its operator gave.

Before that the broker cannot know whether there is one: what it lacks may say so. Two brokers that begin together and do not
see each other both make one; of these the one that was made first counts (docs/rules.md, ACCESS).
"""

from __future__ import annotations

import logging
import threading
from typing import Final

from newswire.core import limits
from newswire.core.model.commands import AddUser
from newswire.core.model.passwords import check_new_password
from newswire.engine.seam import Engine
from newswire.errors import NewswireError
from newswire.threads import OnFatal, supervise
from newswire.web import Authenticator

NAME: Final = "admin"
_log: Final = logging.getLogger("newswire.server")


class FirstAdmin:
    """Makes the first admin, in a thread of its own."""

    def __init__(self, engine: Engine, auth: Authenticator, password: str, stopped: threading.Event, on_fatal: OnFatal) -> None:
        """`password`: "" for none, and nobody is made; `stopped`: the broker ends."""
        self._engine, self._auth, self._password, self._stopped = engine, auth, password, stopped
        self._thread = supervise(self._run, "first-admin", on_fatal, may_end=lambda: True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def try_once(self) -> bool:
        """Make the admin, if that can be decided now; False: try again."""
        if not self._engine.describe().serves:
            return False
        admins = [account.username for account in self._engine.accounts() if account.admin]
        if admins:
            if self._password:
                _log.info("there is an admin (%s), so NEWSWIRE_ADMIN_PASSWORD_FILE is not used", ", ".join(admins[:3]))
            return True
        if not self._password:
            _log.warning(
                "there is no admin, so nobody can add users: start the broker with NEWSWIRE_ADMIN_PASSWORD_FILE once, which"
                " makes the user `%s`", NAME,
            )  # fmt: skip
            return True
        try:
            check_new_password(self._password)
        except NewswireError as error:
            _log.warning("the user `%s` is not made: %s", NAME, error.detail)
            return True
        try:
            command = AddUser(name=NAME, admin=True, password=self._auth.passwords.hash(self._password), first=True)
            self._engine.submit([command])
        except NewswireError as error:
            if error.code == "user-exists":
                return True
            _log.warning("the first admin cannot be made yet: %s", error.detail)
            return False
        _log.info("made the user %s, the first admin", NAME)
        return True

    def _run(self) -> None:
        while not self.try_once():
            if self._stopped.wait(limits.SERVES_EVERY_SECONDS):
                return
