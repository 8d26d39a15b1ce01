"""Who gets a stream, and who makes room for whom (docs/rules.md, STREAM ROOM). Pure: time is an argument, in seconds.

A stream counts in up to three groups: those of its user, those of its address, and all. At the limit of a user or an
address one of the same user or address makes room: the one that has been idle longest, if that is long enough. No stream
makes room for a stranger's, except one whose client has confirmed nothing for a while: that client has gone.

The patience of a group, which is how long one of its streams must have been idle, doubles with each eviction, and the
client that is evicted is asked to stay away for as long (a minute at most). So clients that return by themselves evict each
other ever more rarely. Of those who share a limit, who has most gives: somebody who fills what a user may have from another
address takes nothing from the first one.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

from newswire.config import ServiceSettings
from newswire.core import limits
from newswire.quotas.networks import is_counted
from newswire.stream_order import StreamOrder
from newswire.streams.stream import Stream

SILENT_SECONDS: Final = 2 * limits.KEEPALIVE_SECONDS  # without a byte confirmed while some are out: that client has gone
PATIENCE_SECONDS: Final = 10.0  # what makes room had no event for so long: whoever is in the middle of reading goes on
PATIENCE_MOST_SECONDS: Final = 640.0  # what was idle for ten minutes can be spared, however often that happened
RETRY_MOST_SECONDS: Final = 60.0  # that who was evicted stays away: there may be room long before patience is over
CALM_SECONDS: Final = 2 * PATIENCE_MOST_SECONDS  # without an eviction, until patience begins anew
GONE_COUNT: Final = 256  # whose clients have gone and that make room at once: to close them takes 10 ms
LOOK_SECONDS: Final = 1.0  # between two looks through a group of many: 10,000 streams take 3 ms, 30 if all are asked
LOOK_STREAMS: Final = 256  # of a group that is looked through whenever it is full: 0.1 ms

NO_ROOM: Final = "this broker serves as many streams as it may; another one, or this one later, will take it"
_FOR_THE_READER: Final = (
    "half of the streams of a user are for who is certainly the reader: use the page of this broker, or a program"
)


class NotNow(Exception):
    """A stream is not served now; the text tells its client why."""


class Eviction(NamedTuple):
    """A stream that makes room. `reason`: for its client, "" if that has gone; `retry_seconds`: when it may come again."""

    stream: Stream
    reason: str = ""
    retry_seconds: float = 0.0


class StreamLimit(NamedTuple):
    """How many streams there may be. `whose`: in words; `share`: by what they are told apart, to see who has most.

    Without `share` it is the limit of all, where only those make room whose clients have gone.
    """

    most: int
    whose: str = ""
    share: Callable[[StreamOrder], str] | None = None

    @property
    def sentence(self) -> str:
        """That it is reached."""
        count = f"{self.most} streams {self.whose} are" if self.most > 1 else f"1 stream {self.whose} is"
        return f"{count} open, which is the limit"


class Group:
    """The streams that share one limit."""

    __slots__ = ("_patient_until", "limit", "next_look", "patience_seconds", "streams")

    def __init__(self, limit: StreamLimit) -> None:
        self.limit = limit
        self.streams: dict[Stream, None] = {}
        self.next_look = 0.0
        self.patience_seconds = PATIENCE_SECONDS
        self._patient_until = 0.0

    @property
    def is_full(self) -> bool:
        """Whether one more is too many."""
        return len(self.streams) >= self.limit.most

    @property
    def reason(self) -> str:
        """Why there is no room in it."""
        return NO_ROOM if self.limit.share is None else f"{self.limit.sentence}, and none has been idle for long; close one"

    def choose(self, order: StreamOrder, now: float, ask: Callable[[Stream], None]) -> list[Eviction]:
        """Who makes room for `order`: of those whose clients have gone up to an eighth of the limit, else one.

        `ask` is called for a stream before it is said to be silent: what its client has confirmed is perhaps not known yet.
        """
        if now >= self._patient_until:
            self.patience_seconds = PATIENCE_SECONDS
        candidates = self._candidates(order)
        for stream in [stream for stream in candidates if stream.unconfirmed_seconds(now) >= SILENT_SECONDS]:
            ask(stream)
        silent = [stream for stream in candidates if stream.unconfirmed_seconds(now) >= SILENT_SECONDS]
        if silent:
            most = min(max(1, self.limit.most // 8), GONE_COUNT)
            longest = heapq.nlargest(most, silent, key=lambda stream: stream.unconfirmed_seconds(now))
            return [Eviction(stream) for stream in longest]
        if self.limit.share is None or len(self.streams) > LOOK_STREAMS:
            self.next_look = now + LOOK_SECONDS
        return [] if self.limit.share is None or order.ack == "none" else self._choose_idle(candidates, now)

    def note_eviction(self, now: float) -> None:
        """Be twice as patient for a while: who was evicted will come again."""
        self.patience_seconds = min(2 * self.patience_seconds, PATIENCE_MOST_SECONDS)
        self._patient_until = now + CALM_SECONDS

    def _candidates(self, order: StreamOrder) -> list[Stream]:
        """Those of who has most, the newcomer counted in, and those of who is not certainly the reader."""
        share = self.limit.share
        if share is None:
            return list(self.streams)
        counts = Counter([share(order), *(share(stream.order) for stream in self.streams)])
        most = max(counts.values())
        return [stream for stream in self.streams if stream.order.ack == "none" or counts[share(stream.order)] == most]

    def _choose_idle(self, candidates: list[Stream], now: float) -> list[Eviction]:
        """The one that has been idle longest, if for long enough; before it those of who is not certainly the reader."""
        idle = [stream for stream in candidates if stream.idle_seconds(now) >= self.patience_seconds]
        if not idle:
            lack = self.patience_seconds - max(stream.idle_seconds(now) for stream in self.streams)
            self.next_look = max(self.next_look, now + min(lack, LOOK_SECONDS))  # until then nobody is, whoever comes
            return []
        longest = max(idle, key=lambda stream: (stream.order.ack == "none", stream.idle_seconds(now)))
        retry = min(2 * self.patience_seconds, RETRY_MOST_SECONDS)
        reason = (
            f"another stream takes the place of this one, which has brought nothing for {longest.idle_seconds(now):.0f} s:"
            f" {self.limit.sentence}; come again in {retry:.0f} s"
        )
        return [Eviction(longest, reason, retry)]


class Admission:
    """Counts the streams that are served, and decides on each that comes. Hub thread only, but `count` and `refusal`."""

    def __init__(self, settings: ServiceSettings, ask: Callable[[Stream], None]) -> None:
        """`ask` finds out what a stream's client has confirmed, and notes it in the stream."""
        self._ask = ask
        per_caller = limits.STREAMS_PER_CALLER if settings.streams_per_address is None else settings.streams_per_address
        per_caller = min(per_caller, max(1, settings.streams // 2))
        self._per_user = StreamLimit(settings.streams_per_user, "of this user", lambda order: order.caller)
        self._per_caller = StreamLimit(per_caller, "from this address", lambda order: order.user)
        self._counts_own = settings.streams_per_address is not None
        self._all = Group(StreamLimit(settings.streams))
        self._of_user: dict[str, Group] = {}
        self._of_caller: dict[str, Group] = {}

    @property
    def count(self) -> int:
        """How many are served now."""
        return len(self._all.streams)

    def refusal(self, order: StreamOrder, now: float) -> str:
        """Why `order` certainly gets no stream now; "" if it perhaps gets one."""
        mine = self._of_user.get(order.user)
        if order.user and order.ack == "none" and (len(mine.streams) if mine else 0) >= self._per_user.most // 2:
            return _FOR_THE_READER
        first = next((group for group in self._groups(order) if group.is_full), None)  # who leaves it leaves the others, too
        return first.reason if first is not None and now < first.next_look else ""

    def admit(self, stream: Stream, now: float) -> list[Eviction]:
        """Count `stream` in; returns who makes room for it. Raises NotNow, and nobody does."""
        order = stream.order
        if refusal := self.refusal(order, now):
            raise NotNow(refusal)
        groups = self._groups(order)
        evictions: dict[Stream, Eviction] = {}
        evicting: list[Group] = []
        for group in groups:
            if len(group.streams) - sum(leaver in group.streams for leaver in evictions) >= group.limit.most:
                choice = group.choose(order, now, self._ask)
                if not choice:
                    raise NotNow(group.reason)
                evictions.update({eviction.stream: eviction for eviction in choice})
                if choice[0].reason:
                    evicting.append(group)
        for group in evicting:
            group.note_eviction(now)
        for group in groups:
            group.streams[stream] = None
        if order.user:
            self._of_user[order.user] = groups[0]
        if is_counted(order.caller, own=self._counts_own):
            self._of_caller[order.caller] = groups[-2]
        return list(evictions.values())

    def remove(self, stream: Stream) -> None:
        """Count `stream` out, if it was counted in."""
        self._all.streams.pop(stream, None)
        for groups, name in ((self._of_user, stream.order.user), (self._of_caller, stream.order.caller)):
            group = groups.get(name)
            if group is not None:
                group.streams.pop(stream, None)
                if not group.streams:
                    del groups[name]

    def _groups(self, order: StreamOrder) -> list[Group]:
        """The groups that `order` would count in: of its user, if it has one, of its address, all.

        One that is empty is made, and not stored.
        """
        groups = [self._all]
        if is_counted(order.caller, own=self._counts_own):
            groups.insert(0, self._of_caller.get(order.caller) or Group(self._per_caller))
        if order.user:
            groups.insert(0, self._of_user.get(order.user) or Group(self._per_user))
        return groups
