"""How far a shared log was read, and what follows from what it says next. Pure; no part of a broker knows it (JETSTREAM).

A log is a list of records, numbered from 1 on. Each has a token that no other record has, so two logs are the same up to a
record if that has one token in both. A log may lose its end: its servers' disks were lost, or are an older copy. Whoever had
read that finds another record, or none, where it stands. The log then becomes another *incarnation*, whose name is part of
the address that is written to, so that nothing of somebody who has not noticed gets in; and everybody reads it from its
beginning, and gives it what it lost and he still has.

    place     the incarnation, and the last record that was applied, with its token; and of ours the last, if it is further on
    appended  at most one record at a time is on its way; the answer names its number. Without one nobody knows whether it
              stands there: it is sent again, with its token, until there is an answer: what it holds counts once
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

import msgspec

from newswire.core import limits


class LogPlace(msgspec.Struct, frozen=True):
    """The last record that was applied, with all before it; 0 and "" for none.

    `own`: a record of ours further on, which is applied, too: what others appended before it is not.
    """

    incarnation: str
    sequence: int = 0
    token: str = ""
    own: int = 0
    own_token: str = ""

    @property
    def newest(self) -> tuple[int, str]:
        """The last record that must be in the log, and its token: if it is, so is all that was applied."""
        return (self.own, self.own_token) if self.own > self.sequence else (self.sequence, self.token)


class LogLook(msgspec.Struct, frozen=True):
    """What the leader of a log says of it. `token`: of the record that was asked about; None: there is none."""

    incarnation: str
    first: int  # the first record that is there: what was before it was purged, behind a checkpoint
    last: int
    token: str | None


class LogVerdict(enum.Enum):
    """What a look says."""

    SAME = "it goes on from here"
    PURGED = "it goes on from a checkpoint that is beyond this place"
    OTHER = "it is not the log that was read"
    UNSURE = "it seems shorter than it was: look again"


class Follower:
    """One reader and writer of a log. One thread."""

    def __init__(self, place: LogPlace) -> None:
        self.place = place
        self.must_look = True  # before anything else is read or appended
        self._doubts = 0

    def look(self, look: LogLook) -> LogVerdict:
        """Take what the leader says, asked after a connection was made, or when something was not as it should be."""
        verdict = self._compare(look)
        if verdict is LogVerdict.UNSURE:
            self._doubts += 1
            if self._doubts < limits.LOG_LOOKS_COUNT:
                return verdict
            verdict = LogVerdict.OTHER
        self._doubts = 0
        if verdict is LogVerdict.SAME:
            self.must_look = False
            self.place = msgspec.structs.replace(self.place, incarnation=look.incarnation)
        return verdict

    def _compare(self, look: LogLook) -> LogVerdict:
        sequence, token = self.place.newest
        if look.token is not None and sequence:
            if look.token != token:
                return LogVerdict.OTHER
        elif sequence and look.last < sequence:
            return LogVerdict.UNSURE
        elif sequence and look.first <= sequence:
            return LogVerdict.UNSURE  # it is about to come there, or was lost in the middle
        elif sequence and look.incarnation != self.place.incarnation:
            return LogVerdict.OTHER  # what could be compared was purged
        return LogVerdict.SAME if look.first <= self.place.sequence + 1 else LogVerdict.PURGED

    def acknowledge(self, sequence: int, token: str, *, repeated: bool) -> bool:
        """Our record stands at `sequence`; `repeated`: it stood there before. False: look first, the log may be another one."""
        if sequence == self.place.sequence + 1:
            self.place = msgspec.structs.replace(self.place, sequence=sequence, token=token)
        elif sequence > self.place.newest[0]:
            self.place = msgspec.structs.replace(self.place, own=sequence, own_token=token)
        elif not repeated:
            self.must_look = True
        return not self.must_look

    def take(self, records: Iterable[tuple[int, str]]) -> int:
        """How many of these (number, token), read from behind this place on, are to be applied now: all before a gap."""
        count = 0
        for sequence, token in records:
            if sequence != self.place.sequence + 1:
                self.must_look = True
                break
            self.place = msgspec.structs.replace(self.place, sequence=sequence, token=token)
            count += 1
        return count

    def doubt(self) -> None:
        """A connection was lost or made, or an answer did not come: look before anything else."""
        self.must_look = True
