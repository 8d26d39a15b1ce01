"""What people see of subscriptions and topics, counted in pieces (docs/rules.md, QUERIES). Pure over the state.

A subscription's counts are sums over the topics that it matches, of how many messages its cursor covers. Users have up to
a thousand subscriptions to patterns that all match the same hundred thousand topics, so it is done for all of them at once:
topics that match alike form a group, and in a group each message is counted once, however many cursors there are.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import TypeAlias

from newswire.core import limits
from newswire.core.access import Rights
from newswire.core.model.matching import Match, pattern_set
from newswire.core.model.results import SubscriptionRow, TopicRow
from newswire.core.model.vector import Vector
from newswire.core.read.pieces import Pieces, finish
from newswire.core.read.selection import Reach
from newswire.core.read.start import Recipient
from newswire.core.state.fold import State
from newswire.core.state.subscriptions import Subscription
from newswire.core.state.topic_index import TopicVoid
from newswire.core.state.twins import Twin


def topics(state: State, latest: int = limits.TIME_MILLISECONDS) -> list[TopicRow]:
    """`topic_rows` in one go."""
    rows: list[TopicRow] = []
    finish(topic_rows(state, latest, rows.extend))
    return rows


def subscriptions_of(state: State, user: str) -> list[SubscriptionRow]:
    """`subscription_rows` in one go, where nobody is asked."""
    return finish(subscription_rows(state, Recipient(user)))


def topic_rows(
    state: State, latest: int, take: Callable[[list[TopicRow]], object], rights: Rights | None = None
) -> Pieces[None]:
    """Hand every topic that has messages to `take`, by name, a piece at a time and beside the lock.

    Each topic as it was when it was looked at; later ones may be left out. `latest`: time stamps beyond it are not believed
    (ms). `rights`: topics that one may neither read nor publish to are left out, and nothing is counted that may not be read.
    """
    messages, totals, looked_at = state.messages, state.messages.totals, 0
    names: list[str] = yield messages.names_in_order
    rows: list[TopicRow] = []
    for at, name in enumerate(names):
        if rights is not None and at % limits.PIECE_TOPICS == 0:  # all in one go would hold up who shares the interpreter
            yield partial(take, rows)
            rows = []
            part = names[at : at + limits.PIECE_TOPICS]
            visible: set[str] = yield partial(_visible, part, rights)
        if rights is not None and name not in visible:
            continue
        number = messages.numbers[name]
        looked_at += 1
        if (number in totals.unknown or name in messages.horizons) and messages.work_out(number):
            looked_at += len(messages.sequences[number]) + len(messages.twins.in_topic(number))
        if totals.counts[number] and rights is not None and not rights.may("subscribe", name):
            rows.append(TopicRow(name, 0, 0))
        elif totals.counts[number]:
            last = totals.lasts[number]
            if last > latest:
                last = messages.last(number, latest)
                looked_at += len(messages.sequences[number])
            rows.append(TopicRow(name, totals.counts[number], last))
        if looked_at >= limits.PIECE_TOPICS:
            looked_at = 0
            yield partial(take, rows)
            rows = []
    yield partial(take, rows)


def _visible(names: list[str], rights: Rights) -> set[str]:
    return {name for name in names if rights.may_see(name)}


def subscription_rows(state: State, recipient: Recipient) -> Pieces[list[SubscriptionRow]]:
    """A row a pattern. Where brokers took two at once for one pattern, the one that is further behind.

    Of topics that the recipient may not read nothing is counted, and a token with patterns is not told of what it may not read.

    The counts are of what was held when the query began, for the cursors of that moment; what retention drops meanwhile may
    be counted as unread or not.
    """
    subs = state.subscriptions.awake_of(recipient.user, recipient.account)
    if recipient.is_narrow:
        subs = [sub for sub in subs if recipient.parts(sub.pattern)]
    counting = _Counting(state, subs, recipient.rights)
    yield from counting.place()
    groups: dict[Match[int], list[int]] = yield counting.groups
    yield from counting.count(groups)
    rows: list[SubscriptionRow] = yield counting.rows
    return rows


_Reach: TypeAlias = Sequence[Vector]  # how far messages are counted: what a vector lists, and what that implies
_Twins: TypeAlias = tuple[Sequence[Sequence[Twin]], Vector, Vector]  # of a topic: the messages that have some, its horizon
# of a topic: its group, an origin, its sequences there, and up to where they are dropped
_Column: TypeAlias = tuple[Match[int], str, "array[int]", int]


class _Counting:
    """The counts of one user's subscriptions at one moment."""

    def __init__(self, state: State, subs: Sequence[Subscription], rights: Rights | None) -> None:
        self.state, self.subs, self.rights = state, subs, rights
        self.heads = state.log.full
        self.ends = [(state.subscriptions.cursor(sub), sub.since) for sub in subs]
        self.reach = Reach(state.lineage)
        self.names, self.numbers = state.messages.names, state.messages.numbers  # these only grow
        self.topics = len(self.names)
        self.patterns = pattern_set(())
        self.vectors: list[tuple[Vector, Vector]] = []  # how far messages are counted: what is listed, and what that implies
        self.places: list[tuple[int, int]] = []  # by subscription: which of these are its cursor and its start
        self.of_pattern: dict[str, list[int]] = {}
        self.tallies: dict[Match[int], dict[str, _Tally]] = {}  # by group and origin
        self.twins: dict[Match[int], list[_Twins]] = {}  # by group
        self.index = [0] * len(subs)
        self.unread = [0] * len(subs)

    def place(self) -> Pieces[None]:
        """Number the vectors: many are one object."""
        places: dict[int, int] = {}  # by identity, which `ends` keeps
        for index, (sub, ends) in enumerate(zip(self.subs, self.ends, strict=True)):
            for vector in ends:
                if id(vector) not in places:
                    places[id(vector)] = len(self.vectors)
                    self.vectors.append((vector, self.reach.implied(vector)))
            self.places.append((places[id(ends[0])], places[id(ends[1])]))
            self.of_pattern.setdefault(sub.pattern, []).append(index)
            if index % limits.PIECE_SUBSCRIPTIONS == limits.PIECE_SUBSCRIPTIONS - 1:
                yield None

    def groups(self) -> dict[Match[int], list[int]]:
        """The topics that match, by what they match. Needs no lock."""
        members: dict[Match[int], list[int]] = {}
        patterns = tuple(sorted(self.of_pattern))
        self.patterns = pattern_set(patterns)
        for number in (
            range(1, self.topics) if self.patterns.is_wild else [self.numbers[p] for p in patterns if p in self.numbers]
        ):
            match = self.patterns.match(self.names[number])
            if match.hits and (self.rights is None or self.rights.may("subscribe", self.names[number])):
                members.setdefault(match, []).append(number)
        return members

    def count(self, groups: Mapping[Match[int], Sequence[int]]) -> Pieces[None]:
        """Count the messages of each group of topics for all that it concerns."""
        messages, columns, voids = self.state.messages, list[_Column](), list[tuple[Match[int], TopicVoid]]()
        for match, topics in groups.items():
            for number in topics:
                horizon = messages.horizons.get(self.names[number], {})
                implied = self.reach.implied(horizon) if horizon else {}
                for origin, column in messages.sequences[number].items():
                    columns.append((match, origin, column, max(horizon.get(origin, 0), implied.get(origin, 0))))
                if twins := messages.shown_twins(number):
                    self.twins.setdefault(match, []).append((twins, horizon, implied))
                voids += [(match, void) for void in messages.voids.get(number, ())]
                if len(columns) + len(voids) >= limits.PIECE_TOPICS:
                    yield partial(self._tally, columns, voids)
                    columns, voids = [], []
        yield partial(self._tally, columns, voids)

    # -- without the lock

    def _concerned(self, match: Match[int]) -> tuple[list[int], list[int]]:
        """Which subscriptions a group concerns, and which vectors."""
        indices = [index for hit in match.hits for index in self.of_pattern[self.patterns.patterns[hit]]]
        return indices, sorted({place for index in indices for place in self.places[index]})

    def _tally(self, columns: Sequence[_Column], voids: Sequence[tuple[Match[int], TopicVoid]]) -> None:
        for match, origin, column, dropped in columns:
            self._tally_of(match, origin).count(column, dropped)
        for match, void in voids:
            self._tally_of(match, void.origin).count_void(void)

    def _tally_of(self, match: Match[int], origin: str) -> _Tally:
        tallies = self.tallies.setdefault(match, {})
        if origin not in tallies:
            vectors = (self.vectors[place] for place in self._concerned(match)[1])
            reaches = [max(vector.get(origin, 0), implied.get(origin, 0)) for vector, implied in vectors]
            tallies[origin] = _Tally(reaches, self.heads.get(origin, 0))
        return tallies[origin]

    def _add(self, match: Match[int]) -> None:
        """Add a group to the rows."""
        indices, places = self._concerned(match)
        covered, unread = dict.fromkeys(places, 0), dict.fromkeys(places, 0)
        for tally in self.tallies[match].values():
            for place, (deliveries, rest) in zip(places, tally.sums(), strict=True):
                covered[place] += deliveries
                unread[place] += rest
        for place in places:
            deliveries, rest = self._correct(self.vectors[place], self.twins.get(match, ()))
            covered[place] += deliveries
            unread[place] += rest
        for index in indices:
            cursor, since = self.places[index]
            self.index[index] += covered[cursor] - covered[since]
            self.unread[index] += unread[cursor]

    def _correct(self, reach: _Reach, topics: Sequence[_Twins]) -> tuple[int, int]:
        """What the counts of one reach lack: a message is counted for the place of the first of its twins alone."""
        covered = unread = 0
        for groups, *horizon in topics:
            for group in ([t for t in twins if t.sequence <= self.heads.get(t.origin, 0)] for twins in groups):
                if len(group) > 1:
                    first = _covers(reach, group[:1])
                    is_delivered = first or _covers(reach, group[1:])
                    is_unread = not first and not _covers(horizon, group[:1])
                    covered += is_delivered - first
                    unread += (not is_delivered and not _covers(horizon, group)) - is_unread
        return covered, unread

    def rows(self) -> list[SubscriptionRow]:
        """The rows, by pattern."""
        for match in self.tallies:
            self._add(match)
        rows: dict[str, SubscriptionRow] = {}
        for index, sub in enumerate(self.subs):
            if sub.pattern not in rows or rows[sub.pattern].unread < self.unread[index]:
                rows[sub.pattern] = SubscriptionRow(
                    topic=sub.pattern, since=sub.time, index=self.index[index], unread=self.unread[index]
                )
        return [rows[pattern] for pattern in self.patterns.patterns]


def _covers(reach: _Reach, twins: Sequence[Twin]) -> bool:
    return any(vector.get(twin.origin, 0) >= twin.sequence for twin in twins for vector in reach)


class _Tally:
    """Messages of one origin, counted for several reaches at once: how many each covers, and how many it does not."""

    def __init__(self, reaches: Sequence[int], head: int) -> None:
        """`head`: what is counted ends there."""
        self._reaches, self._head = reaches, head
        self._levels = sorted(set(reaches))
        self._covered, self._left = [0] * len(self._levels), [0] * len(self._levels)  # of topics with many messages
        self._covered_from, self._left_until = [0] * (len(self._levels) + 1), [0] * (len(self._levels) + 1)  # of those with few

    def count(self, sequences: array[int], dropped: int) -> None:
        """Count the messages of a topic, of which those up to `dropped` are dropped."""
        levels = self._levels
        end = bisect_right(sequences, self._head)
        rest = bisect_right(sequences, dropped, 0, end)
        if end <= len(levels):  # each message once: levels from `at` on cover it, those before do not
            for position in range(end):
                at = bisect_left(levels, sequences[position])
                self._covered_from[at] += 1
                if position >= rest:
                    self._left_until[at] += 1
            return
        for at, level in enumerate(levels):
            at_level = bisect_right(sequences, level, 0, end)
            self._covered[at] += at_level
            self._left[at] += end - max(at_level, rest)

    def count_void(self, void: TopicVoid) -> None:
        """Count messages that are void: who covers the last of them has had all, or was told; they are unread by nobody."""
        self._covered_from[bisect_left(self._levels, void.last)] += void.messages

    def sums(self) -> list[tuple[int, int]]:
        """For each reach how many messages it covers, and how many that are not dropped it does not."""
        covered = [sum(both) for both in zip(self._covered, accumulate(self._covered_from), strict=False)]
        behind = list(accumulate(reversed(self._left_until)))[::-1][1:]  # of level `at` those that end behind it
        both_sums = [sum(both) for both in zip(self._left, behind, strict=True)]
        index = {level: at for at, level in enumerate(self._levels)}
        return [(covered[index[reach]], both_sums[index[reach]]) for reach in self._reaches]
