"""The seam: all that is known of an engine above it (docs/architecture.md, Rooms).

Four engines stand below it, `embedded` (ops file, links), `jetstream`, `memory` and `lone`; one contract suite
(`tests/contract`) runs over all. What is asked has a name, and what is answered is a plain value: nothing of an engine's state
is seen above it. `lag`, `unread` and `index` are counts that the engine or the fold gives.

Longer than other rooms: it is the one list of all that may be asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from newswire.core.access import Principal, Rights
from newswire.core.broker.events import Wake
from newswire.core.broker.journal import Fact, tell_changes, tell_reasons
from newswire.core.broker.values import BrokerStatus, ClusterStatus, DiskFacts, HoleRow
from newswire.core.model.commands import Request
from newswire.core.model.event_ids import EventId
from newswire.core.model.forecasts import ArrivalPlace, Arrivals, Past
from newswire.core.model.ops import OpId, Published, Scheduled
from newswire.core.model.results import (
    LATEST,
    Account,
    AuditRow,
    Compacted,
    DeliveryReport,
    Entry,
    GapEntry,
    GrantRow,
    Page,
    Position,
    Receipt,
    Start,
    SubscriptionRow,
    TokenRow,
    TopicRow,
    WithdrawalEntry,
)
from newswire.errors import NewswireError
from newswire.metrics import Distribution

__all__ = [
    "LATEST",
    "Account",
    "AuditRow",
    "Backup",
    "BrokerStatus",
    "ClusterAdmin",
    "ClusterStatus",
    "Compacted",
    "DeliveryReport",
    "DiskFacts",
    "Engine",
    "EngineNumbers",
    "Entry",
    "Fact",
    "GapEntry",
    "GrantRow",
    "HoleRow",
    "Page",
    "Position",
    "Principal",
    "PushAnswer",
    "Receipt",
    "Rights",
    "Start",
    "SubscriptionRow",
    "TokenRow",
    "TopicRow",
    "Wake",
    "WithdrawalEntry",
    "tell_changes",
    "tell_reasons",
]


class EngineNumbers(msgspec.Struct, frozen=True):
    """What an engine counts, since it started, and what it holds. Sizes in bytes, times in seconds.

    `messages_published`: those that a receipt was given for, repeats not among them. `compacting`: whether a compaction runs.
    """

    messages_published: int
    topics: int
    subscriptions: int
    publish_seconds: Distribution
    commit_seconds: Distribution
    ops_file_bytes: int = 0
    compactions: int = 0
    compacting: bool = False


class Backup(msgspec.Struct, frozen=True):
    """A copy of all that was durable at one moment: the name of a file for it, and its bytes, read as they are asked for.

    `parts` is for a thread that may wait; it raises Damaged or OSError where the log cannot be read.
    """

    name: str
    parts: Iterator[bytes]


class PushAnswer(msgspec.Struct, frozen=True):
    """The answer to a peer's push. `write` makes its body; where that `reads` ops of the log it is not for a loop.

    `write` raises Damaged.
    """

    status: int
    reads: bool
    write: Callable[[], bytes]


class Engine(Protocol):
    """Any thread may call, close() excepted; nothing calls back into the caller but wake, and each `then` once.

    `then` runs in the engine's thread (at the end, in that which closes it), returns at once, and calls nothing here.

    A query never waits for a disk that hangs or for another broker, and holds up a commit for one piece at most: a bounded
    count of rows, topics or subscriptions, about a millisecond (docs/rules.md, QUERIES). The state may change between two.
    """

    def submit_later(
        self,
        requests: Sequence[Request],
        then: Callable[[Receipt | NewswireError], None],
        *,
        copies: int = 1,
        timeout: float = 10.0,
        by: Principal | None = None,
    ) -> None:
        """Store requests as one, all or none, in order; tell `then` when they are durable, in the state and readable here.

        `by`: who asks, and is checked where they are decided; None: nobody is asked. `then` gets Refused (`forbidden`;
        `unauthenticated`: what it was asked with is good no more; `extra["index"]` says which request), for users also
        `user-exists`, NotFound `no-user`, `no-token`, `no-grant`: nothing was stored.

        Never blocks. `then` gets NotEnoughCopies, TooLarge, StorageFull, Unavailable, NotFound (an Unsubscribe that names
        nothing), KeyReused: certainly not stored. FewerCopies: stored (`extra["ids"]`). Unknown, after `timeout` seconds or
        at the end of the engine: perhaps stored, retry with the same key. Raises NotStored when too many wait: `then` is
        told nothing. While the disk hangs nobody is told anything: who waits has a time of their own.
        """
        ...

    def together(self) -> AbstractContextManager[None]:
        """Hand in at its end, as one, what the calling thread submits later in a `with` of it. One thread has it, at most."""
        ...

    def submit(
        self, requests: Sequence[Request], *, copies: int = 1, timeout: float = 10.0, by: Principal | None = None
    ) -> Receipt:
        """As submit_later, but wait for the receipt, and raise what is an error. Threads that may wait."""
        ...

    def post(self, requests: Sequence[Request]) -> bool:
        """As submit without a receipt; never blocks. For what only repeats messages when lost (cursors).

        False: not taken, offer a newer one later.
        """
        ...

    def patterns_of(self, user: str, by: Principal | None = None) -> tuple[str, ...]:
        """What `user` is subscribed to, and may read any of, by name; () for one without a subscription. One piece.

        `by`, here and below: who asks. None: nobody is asked (`--auth none`), and what hangs on no account is meant. Else what
        hangs on the account of the user: one's own; an admin reads for another what that one may read. Where `by` is good
        no more, or may not, there is nothing: (), [] or None.
        """
        ...

    def subscriptions_of(self, user: str, by: Principal | None = None) -> list[SubscriptionRow]:
        """The subscriptions of `user` with their counts, by pattern; [] without any. In pieces.

        The counts are of what was held when the query began, for the cursors of that moment; of topics that may not be read
        nothing is counted.
        """
        ...

    def topics(self, now: int, take: Callable[[list[TopicRow]], object], by: Principal | None = None) -> None:
        """Hand every topic that holds messages, and may be seen, to `take`, by name, each as it was when looked at. In pieces.

        `take` gets some at a time, in the caller's thread, and may take its time: it holds up nobody. `now`: the time of day,
        ms since 1970; stamps from beyond it (and 5 minutes) are not believed. A topic that may be published to and not
        be read has no messages here, and no last one (0).
        """
        ...

    def open_stream(self, user: str, event_id: EventId | None, by: Principal | None = None) -> Start | None:
        """Where a stream of `user` begins who shows `event_id`, or nothing. In pieces. None: no subscription to read for.

        Any id is taken: one that this engine never gave brings what it does not cover, never less. Only what `by` may read
        follows: that is decided here, so a stream is opened again when a `Wake` names its user.
        """
        ...

    def open_page(
        self, user: str, topic: str | None, since: EventId | int | None, now: int, by: Principal | None = None
    ) -> Start | None:
        """Where a page begins, of what `user` is subscribed to (as far as it matches `topic`). In pieces. None: to nothing.

        `since`: an event id, a time in ms (0: the earliest), or None for the cursors; `now` as for `topics`. As `open_stream`,
        what follows was decided here.
        """
        ...

    def open_topics(
        self, topics: Sequence[str], since: EventId | str | int | None = None, by: Principal | None = None
    ) -> Start | None:
        """Where a reader of `topics` begins who has no subscription, and so no cursor. In pieces. None: one may not be read.

        `since`: an event id, the id of the last message that was read (one that is not held here: all there are), `LATEST`, a
        time in ms (0: the earliest), or None: only what comes from now on; then the start has an event id. As `open_stream`,
        what follows was decided here, so it is opened again when a `Wake` names whose `by` it is.
        """
        ...

    def delivery_report(self, name: OpId, by: Principal | None = None) -> DeliveryReport | None:
        """Who has got the message of this id, and who has confirmed it. In pieces; threads that may wait.

        None: there is no such message (any more), or `by` is neither its publisher nor an admin, or may not know of its topic.
        """
        ...

    def not_shown(self, names: Sequence[OpId]) -> tuple[frozenset[OpId], frozenset[OpId]]:
        """Those of these messages that wait, and those that are withdrawn or over. One piece; threads that may wait."""
        ...

    def confirmed_at(self, name: OpId, user: str, by: Principal | None = None) -> int | None:
        """When `user` confirmed the message of this id (ms since 1970), 0 for not yet. One piece.

        None: there is no such message (any more), or it is not due to `user`, or `by` may not read it for that one.
        """
        ...

    def own_message(self, name: OpId, by: Principal | None = None) -> Published | Scheduled | None:
        """The message of this id, shown or not or waiting, for its publisher and for admins. One piece; threads that may wait.

        None: there is no such message (any more), it cannot be read, or `by` is neither, or may not know of its topic.
        """
        ...

    def scheduled(
        self,
        publisher: str | None,
        most: int,
        account: OpId = "",
        by: Principal | None = None,
        after: tuple[int, OpId] | None = None,
    ) -> list[Scheduled]:
        """What waits to be published, of one publisher or of all (None), what is due first; at most so many. One piece.

        `account`: of that publisher; a later user of a name inherits nothing. Left out is what is of a topic that `by` may
        neither publish to nor read. `after`: only what follows what is due then (ms) and has this id, which need
        not wait any more.
        """
        ...

    def account(self, name: str) -> Account | None:
        """The user of this name; None if there is none. One piece, a look-up: also for threads that never wait."""
        ...

    def accounts(self) -> list[Account]:
        """All users, by name. In pieces."""
        ...

    def token(self, digest: str) -> TokenRow | None:
        """The token whose text has this SHA-256 (hex); None if there is none any more. One piece, a look-up.

        It may have expired: `rights` says so.
        """
        ...

    def tokens(self, name: str | None) -> list[TokenRow]:
        """The tokens of a user, or of all (None), the newest last. In pieces."""
        ...

    def grants(self, who: str | None) -> list[GrantRow]:
        """The grants of a user, without those of `*`; those of `*`; or all (None). In pieces."""
        ...

    def has_admin(self) -> bool:
        """Whether any user is an admin. One piece."""
        ...

    def rights(self, by: Principal) -> Rights | None:
        """What one may do now; None where what it was proved by (token, password, session) is good no more. One piece."""
        ...

    def audit(self, since: int | None, limit: int) -> list[AuditRow]:
        """What was done, in the order of the log: the first `limit` rows stamped at `since` (ms) or later; None: the last ones.

        In pieces; records are read beside them: threads that may wait.
        """
        ...

    def next_page(self, at: Position, limit: int) -> Page:
        """What is due after `at`: at most `limit` messages, and the gaps before them. In pieces; texts are read beside them.

        Every page of one position that is read before the next commit is the same.
        """
        ...

    def older_page(self, at: Position, before: EventId | int | None, limit: int) -> Page:
        """What is due from `at` on and `before` covers, the newest first: at most `limit` messages, and no gaps. In pieces.

        `before`: an event id, without the message that it stands behind; a time in ms; None: all there is. It looks at a
        bounded part of the log: the page's `event_id` stands for what was not looked at, `more` says whether there is any.
        """
        ...

    def on_wake(self, wake: Callable[[Wake], None]) -> None:
        """Once, before start. `wake` runs in the engine's thread under the state lock: it returns at once, calls nothing here.

        So nothing can be read of a commit before `wake` told of it (docs/rules.md, REOPEN).
        """
        ...

    def note_load(self, streams: int, limit: int) -> None:
        """Take note of how many streams this broker serves, of so many that it may: other brokers are told. Never blocks."""
        ...

    def describe(self) -> ClusterStatus:
        """A snapshot; never blocks or raises."""
        ...

    def numbers(self) -> EngineNumbers:
        """What is counted, for metrics. One piece, and a look at the directory of the log: threads that may wait."""
        ...

    def arrivals(self, since: ArrivalPlace | None, oldest: int) -> Arrivals:
        """What messages came since that place, of those stamped at `oldest` (ms) or later; none without a place. In pieces.

        A place is one of this run; after a compaction it counts as the end of the log.
        """
        ...

    def past(self, now: int) -> Past:
        """What came in the hours before `now` (ms), as stamps tell: of a million records and eight weeks at most. In pieces."""
        ...

    def backup(self) -> Backup:
        """A copy of now, for `newswire restore`. One piece, and a look at the directory of the log: threads that may wait.

        It holds nothing until its bytes are asked for, and commits go on beside it.
        """
        ...

    def close(self, timeout: float = 5.0) -> None:
        """Stop: what is being stored is stored and answered, nothing more is taken. One thread, once."""
        ...


class ClusterAdmin(Protocol):
    """What an engine with peers has beside `Engine`: who belongs to the cluster, pushes of peers, what no broker can bring.

    An engine without peers has none of it, and the routes of it are not there.
    """

    def join_later(self, address: str, then: Callable[[BrokerStatus | NewswireError], None], timeout: float = 10.0) -> None:
        """Make the broker at `address` a member and tell all. `then` gets BadRequest, LinkRefused, Refused (`unreachable`).

        This and what follows never blocks. Raises BadRequest, and NotStored when too many wait.
        """
        ...

    def leave_later(self, broker: str, then: Callable[[BrokerStatus | NewswireError], None]) -> None:
        """End the membership of `broker` (an id or an address) and tell all. `then` gets NotFound, Refused (`last-broker`)."""
        ...

    def check_head(self, path: str, headers: Mapping[str, str]) -> None:
        """Check the head of a push before its body is taken; returns at once. Raises LinkRefused (`unauthenticated`)."""
        ...

    def accept_loss_later(
        self,
        then: Callable[[Receipt | NewswireError], None],
        origin: str = "",
        first: int = 0,
        last: int = 0,
        *,
        even_if_away: bool = False,
        timeout: float = 10.0,
    ) -> None:
        """Give up what no broker can bring: all holes, or those of `origin` from `first` to `last` (0: no bound).

        `count` is how many ops were given up; what waited behind them is readable when `then` is told. It gets NotFound
        (`no-hole`), Refused (`not-lost`, `may-be-elsewhere`).
        """
        ...

    def compact_later(self, then: Callable[[Compacted | NewswireError], None], *, even_if_away: bool = False) -> None:
        """Have what retention dropped and what ended freed now; `then` is told when it is. It gets Refused (`not-compacted`).

        `even_if_away`: also while a member is away, which is handed everything when it comes back.
        """
        ...

    def receive_later(
        self, path: str, headers: Mapping[str, str], body: bytes, then: Callable[[PushAnswer | NewswireError], None]
    ) -> None:
        """Take a peer's push (`POST /replicate`, `/heartbeat/receive`); tell `then` its answer, after the sync.

        Raises LinkRefused (`unauthenticated`), BadRequest (`bad-body`).
        """
        ...
