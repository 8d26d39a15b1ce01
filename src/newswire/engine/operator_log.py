"""The log of what an operator has to know: who is up, down, added and removed, and what is wrong. A line a fact, said once."""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from newswire.core import limits
from newswire.core.broker.journal import tell_changes
from newswire.core.broker.values import ClusterStatus

_log: Final = logging.getLogger("newswire.cluster")


class OperatorLog:
    """Writes down what changes from one view to the next. One thread."""

    def __init__(self) -> None:
        self._view: ClusterStatus | None = None  # what the log says up to now
        self._from: float | None = None
        self._expired = 0  # messages whose time was over, as far as the log says it
        self._retention_due = 0.0  # when it may say more

    def see(self, view: ClusterStatus, now: float) -> None:
        """Log what is new in `view`. `now`: seconds of a monotonic clock.

        A start is waited out, until this broker serves or it is clear that it will not: meanwhile everybody is unreached.
        """
        if view is self._view:
            return
        if self._from is None:
            self._from = now + limits.CATCH_UP_PATIENCE_SECONDS
        if self._view is None:
            if not view.serves and now < self._from:
                return
            rows = tuple(msgspec.structs.replace(row, state="down") for row in view.rows)
            self._view = ClusterStatus(rows, serves=False)
        for fact in tell_changes(self._view, view):
            _log.log(fact.level, "%s", fact.text)
        self._view = view

    def see_retention(self, topics: int, expired: int, now: float) -> bool:
        """Log what retention took since the last line, once a minute at most, and say whether it was logged.

        It may drop from 10,000 topics at once, and from one of them many times a minute. `topics`: from how many messages were
        dropped since the last line; `expired`: messages whose time was over since the start. `now`: see `see`.
        """
        if now < self._retention_due or (not topics and expired == self._expired):
            return False
        self._retention_due = now + limits.RETENTION_EVERY_SECONDS
        _log.info("retention: dropped from topics: %d, messages whose time was over: %d", topics, expired - self._expired)
        self._expired = expired
        return True
