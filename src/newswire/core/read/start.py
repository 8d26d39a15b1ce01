"""Where a reader begins (docs/rules.md, OPEN). Pure over the state; an engine runs its pieces."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec

from newswire.core import limits
from newswire.core.access import Principal, Rights
from newswire.core.model.commands import Acknowledge
from newswire.core.model.coverage import Coverage, read
from newswire.core.model.names import is_pattern, matches
from newswire.core.model.ops import OpId
from newswire.core.model.results import LATEST
from newswire.core.model.vector import Vector
from newswire.core.read.pages import LogPosition, Wanted, all_of, as_items
from newswire.core.read.pieces import Pieces, finish
from newswire.core.read.selection import Reach
from newswire.core.state.accounts import Accounts
from newswire.core.state.fold import State
from newswire.core.state.subscriptions import Subscription

_GLANCE_SUBSCRIPTIONS = 16  # of one reader, looked at without a pause: 1 us each


class Opening(msgspec.Struct, frozen=True):
    """Where to read on, and what is wanted. `more`: something may be due there; else nothing is before the end of the log."""

    position: LogPosition
    wanted: Wanted
    more: bool = True


class Recipient(msgspec.Struct, frozen=True):
    """For whom something is read: a user, by name and account, and what that user, or the token, may read; None: anything.

    `is_narrow`: by a token with patterns, which is not told of what it may not read.
    """

    user: str
    account: OpId = ""
    rights: Rights | None = None
    is_narrow: bool = False

    def parts(self, pattern: str) -> tuple[str, ...]:
        """What of a subscription to `pattern` may be read."""
        return (pattern,) if self.rights is None else self.rights.parts(pattern)


def find_recipient(accounts: Accounts, user: str, by: Principal | None, now: int) -> Recipient | None:
    """For whom `by` reads when asking for what `user` is subscribed to; None if `by` is good no more, or may not.

    An admin reads for another user what that user may read. `now`: ms since 1970.
    """
    if by is None:
        return Recipient(user)
    rights, feed = accounts.rights(by, now), by.feed or by.account
    if rights is not None and accounts.name_of(feed) == user:
        return Recipient(user, feed, rights, is_narrow=bool(by.token) and accounts.is_narrow(by.token))
    account = accounts.account_of(user)
    if rights is None or not (rights.admin and account):
        return None
    return Recipient(user, account, accounts.rights(Principal(account), now))


def knew(state: State, coverage: Coverage) -> Vector:
    """All that the broker that made `coverage` held then or when the stream opened: D and K, in full."""
    merged = dict(coverage.after)
    for origin, sequence in coverage.opened.items():
        merged[origin] = max(sequence, merged.get(origin, 0))
    return state.lineage.expand(merged)


def speaks(known: Vector, sub: Subscription) -> bool:
    """Say whether the broker that held `known` knew of `sub`.

    An id minted before its broker knew of a subscription says nothing about it.
    """
    return known.get(sub.origin, 0) >= sub.sequence


def to_acknowledge(state: State, acks: Sequence[Acknowledge]) -> tuple[Vector, list[OpId]]:
    """ACK(u, id, p?) of each of `acks`, which show one id: how far cursors move, and which. Decided now, never when folded."""
    subscriptions, reach, coverage = state.subscriptions, Reach(state.lineage), read(acks[0].event_id)
    cover, target = knew(state, coverage), acknowledged_by(state, coverage.after)
    behind: dict[int, bool] = {}  # by cursor, many of which are one object
    ids: dict[OpId, None] = {}
    for ack in acks:
        user, pattern, account = ack.user, ack.pattern, ack.account
        for sub in (
            subscriptions.alive_of(user, account) if pattern is None else subscriptions.with_pattern(user, pattern, account)
        ):
            if not speaks(cover, sub) or not state.accounts.reads_whole(ack.token, sub.pattern):
                continue
            cursor = subscriptions.cursor(sub)
            if id(cursor) not in behind:
                behind[id(cursor)] = cursor is not target and not reach.covers(cursor, target)
            if behind[id(cursor)]:
                ids[sub.id] = None
    return target, list(ids)


def acknowledged_by(state: State, after: Vector) -> Vector:
    """What of D a cursor may be moved to, short.

    What is not held here yet counts in the origins that this broker's vector lists. The others are complete or unknown: ids
    that name them, made up by whoever likes, would have cursors grow for ever.
    """
    log, tips = state.log, state.vector
    return state.lineage.shorten(
        {
            origin: sequence if origin in tips else min(sequence, log.held(origin))
            for origin, sequence in after.items()
            if log.held(origin)
        }
    )


def open_stream(state: State, user: str, coverage: Coverage | None) -> Opening | None:
    """`stream_opening` in one go, where nobody is asked."""
    return finish(stream_opening(state, Recipient(user), coverage))


def open_page(
    state: State, user: str, topic: str | None, since: Coverage | int | None, now: int = limits.TIME_MILLISECONDS
) -> Opening | None:
    """`page_opening` in one go, where nobody is asked."""
    return finish(page_opening(state, Recipient(user), topic, since, now))


def stream_opening(state: State, recipient: Recipient, coverage: Coverage | None) -> Pieces[Opening | None]:
    """OPEN(u, id): what is known of each awake subscription and the first record that one does not cover.

    The client's word beats the cursor: a proxy's kernel may have confirmed what the client never got. None: nothing is
    awake that may be read, refuse. The answer is about the subscriptions that were awake when the query began.
    """
    subs, opened = state.subscriptions.awake_of(recipient.user, recipient.account), dict(state.vector)
    known = knew(state, coverage) if coverage is not None else {}
    after = state.lineage.shorten(coverage.after) if coverage is not None else {}
    full = state.lineage.expand(after) if coverage is not None else {}
    wanted: list[tuple[str, Vector]] = []
    for count, sub in enumerate(subs, 1):
        if not speaks(known, sub):
            begin = state.subscriptions.cursor(sub)
        elif all(full.get(origin, 0) >= sequence for origin, sequence in sub.since.items()):
            begin = after
        else:
            begin = state.lineage.join(sub.since, after)
        wanted += [(part, begin) for part in recipient.parts(sub.pattern)]
        if count % limits.PIECE_SUBSCRIPTIONS == 0:
            yield None
    return (yield from _open(state, wanted, opened)) if wanted else None


def page_opening(
    state: State, recipient: Recipient, topic: str | None, since: Coverage | int | None, now: int
) -> Pieces[Opening | None]:
    """What `GET /messages` reads: of the user's subscriptions (of those that match `topic`) all after `since`.

    `since`: an event id, a time in ms (0: the earliest), None: the cursors; `now`: the time of day, ms. None: not subscribed
    to that, or may not read it.
    """
    opened = dict(state.vector)
    start: Vector | None = since.after if isinstance(since, Coverage) else None
    if isinstance(since, int):
        start = state.log.before(since, now + limits.CLOCK_SKEW_SECONDS * 1000) if since else {}
    wanted: list[tuple[str, Vector]] = []
    for count, sub in enumerate(state.subscriptions.awake_of(recipient.user, recipient.account), 1):
        pattern = sub.pattern
        if topic is not None and topic != pattern:
            pattern = topic if matches(pattern, topic) else ""
        if pattern:
            begin = state.subscriptions.cursor(sub) if start is None else start
            wanted += [(part, begin) for part in recipient.parts(pattern)]
        if count % limits.PIECE_SUBSCRIPTIONS == 0:
            yield None
    return (yield from _open(state, wanted, opened)) if wanted else None


def topics_opening(
    state: State, rights: Rights | None, topics: Sequence[str], since: Coverage | str | int | None, now: int
) -> Pieces[Opening | None]:
    """TOPICS: all of `topics` after `since`, for a reader without a subscription. None: one of them may not be read.

    `since`: an event id, `LATEST`, a message id, a time in ms (0: the earliest), None: what comes from now on. `rights`: None
    where nobody is asked. `now`: the time of day, ms.
    """
    if rights is not None and not all(rights.covers("subscribe", topic) for topic in topics):
        return None
    opened = dict(state.vector)
    wanted: list[tuple[str, Vector]] = []
    begin = {} if since == LATEST else _begin(state, since, now)
    for topic in topics:
        wanted.append((topic, _before_the_last_of(state, topic) if since == LATEST else begin))
        yield None
    return (yield from _open(state, wanted, opened))


def _begin(state: State, since: Coverage | str | int | None, now: int) -> Vector:
    """What is known to whoever reads on after `since`."""
    latest = now + limits.CLOCK_SKEW_SECONDS * 1000
    if since is None:
        return dict(state.vector)
    if isinstance(since, Coverage):
        return state.lineage.shorten(since.after)
    if isinstance(since, str):
        return _behind(state, since, latest)
    return state.log.before(since, latest) if since else {}


def _before_the_last_of(state: State, topic: str) -> Vector:
    number = state.messages.numbers.get(topic)
    return dict(state.vector) if number is None else state.log.vector_at(state.messages.newest[number])


def _behind(state: State, message: OpId, latest: int) -> Vector:
    """What a reader knows who was sent `message` last, perhaps by another broker; nothing, where it is not held here.

    All of its own origin up to it. Of others what stands before it here, but for the last seconds before its stamp: another
    broker may have taken those later than it, and not sent them yet (docs/rules.md, TOPICS).
    """
    origin, _, number = message.rpartition(".")
    row = state.log.row(origin, int(number)) if number.isdecimal() else None
    if row is None:
        return {}
    here = state.lineage.expand(state.log.vector_at(row + 1))
    before = state.log.times[row] - limits.OTHER_BROKERS_SECONDS * 1000
    sure = state.lineage.expand(state.log.before(max(before, 1), latest))
    known = {name: min(sequence, sure.get(name, 0)) for name, sequence in here.items()}
    known[origin] = int(number)
    return state.lineage.shorten({name: sequence for name, sequence in known.items() if sequence})


def _has_all(state: State, known: Sequence[tuple[str, Vector]]) -> bool:
    """Say whether all that is held of these topics is known, and no more than is held; False where that takes a longer look.

    So it is for most who come back after a moment: they need not read a page to learn it.
    """
    if len(known) > _GLANCE_SUBSCRIPTIONS or state.given_up or state.holes.topics:
        return False
    lineage, messages, held = state.lineage, state.messages, state.vector
    for topic, vector in known:
        number = messages.numbers.get(topic, 0)
        if len(messages.sequences[number]) + len(messages.voids.get(number, ())) > limits.PIECE_TOPICS:
            return False  # of so many runs and long batches that a page is looked up sooner
        last = {origin: sequences[-1] for origin, sequences in messages.sequences[number].items() if sequences}
        for origin, sequence in messages.last_told.get(number, {}).items():
            last[origin] = max(sequence, last.get(origin, 0))
        for void in messages.voids.get(number, ()):
            last[void.origin] = max(void.last, last.get(void.origin, 0))
        if is_pattern(topic) or not (lineage.covers_all(vector, last) and lineage.covers_all(held, vector)):
            return False
    return True


def _open(state: State, known: Sequence[tuple[str, Vector]], opened: Vector) -> Pieces[Opening]:
    """Where to begin: at the first record that one of the known vectors does not cover, of whatever topic.

    `opened`: K, what was held when `known` was looked up (`follow` leaves it out where D covers it). A later K would speak
    for a subscription that was made meanwhile.
    """
    if _has_all(state, known):
        end = LogPosition(len(state.log), generation=state.generation)
        return Opening(end, all_of(tuple(sorted({pattern for pattern, _ in known}))), more=False)
    written: dict[int, tuple[tuple[str, int], ...]] = {}  # by identity: many are one object, and `known` holds all of them
    reach, items = Reach(state.lineage), set[tuple[str, tuple[tuple[str, int], ...]]]()
    least: dict[frozenset[str], dict[str, int]] = {}  # by the origins that are listed: how far all of these reach
    for count, (pattern, vector) in enumerate(known, 1):
        if id(vector) not in written:
            written[id(vector)] = as_items(vector)
            listed = least.setdefault(frozenset(vector), dict(vector))
            for origin, sequence in vector.items():
                listed[origin] = min(sequence, listed[origin])
        items.add((pattern, written[id(vector)]))
        if count % limits.PIECE_SUBSCRIPTIONS == 0:
            yield None
    ordered: list[tuple[str, tuple[tuple[str, int], ...]]] = yield partial(sorted, items)
    offset = len(state.log)
    for vector in least.values():
        offset = min(offset, state.log.first_not_covered(reach.implied(vector).raise_to(vector)))
        yield None
    wanted = Wanted(tuple(pattern for pattern, _ in ordered), tuple(vector for _, vector in ordered))
    return Opening(LogPosition(offset, as_items(opened), generation=state.generation), wanted)
