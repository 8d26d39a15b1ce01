"""From requests and pushes to staged ops: PUBLISH, KEY and TAKE (docs/rules.md); `drafts` says what other requests mean.

What is decided here is staged until it is stored; only then is it applied. Decisions read the synced state, and of what
is staged only the publishers' keys. A request that reads what a staged one will change (the same user's subscriptions)
has to wait for the next round: `collides` says so.

Longer than other rooms: what is staged, one by one or many at once, and what looks at it must agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar, cast

import msgspec

from newswire.core import limits
from newswire.core.access import EVERYBODY, Principal
from newswire.core.broker.access_drafts import check
from newswire.core.broker.drafts import ScheduleRoom, check_replaced, check_scheduled, draft_all
from newswire.core.broker.values import NamedBatch, Staged
from newswire.core.model import ops, runs
from newswire.core.model.commands import Acknowledge, Audit, Confirm, Publish, Request, Subscribe, Unsubscribe, Withdraw
from newswire.core.model.message import MessageFields
from newswire.core.model.ops import NO_PLACE, Began, Lost, Op, OpId, PasswordSet, Published, Scheduled, Void, op_id
from newswire.core.read.reports import shown_row
from newswire.core.state.fold import State
from newswire.core.state.keys import content, fingerprint, fingerprints
from newswire.core.state.salvage import again, blindly, owed
from newswire.errors import BadRequest, KeyReused, NewswireError, TooLarge

AnyOp = TypeVar("AnyOp", bound=Op)

_NOT_KEPT: Final = "a value is out of its bounds, or is no text that can be kept: nothing was stored"


class _Key(NamedTuple):
    """A publisher's key: what stands for it and for the content, and the message that it names; "" for none yet."""

    mark: int
    said: int
    first: OpId


class Stager:
    """The ops of the batch that gathers. Commit thread only."""

    def __init__(self, state: State, origin: str, subscriptions_per_user: int) -> None:
        self.state, self.origin = state, origin
        self._own = {origin: None}  # of this run, in order: `renew` adds to them
        self.subscriptions_per_user = subscriptions_per_user
        self.staged: list[Op] = []
        self.raws: list[bytes] = []
        self.healed: set[str] = set()  # of what is staged, what is held already and could not be read
        self.owed: list[Lost] = []  # not taken before what of its range is held here is stored again
        self.again: dict[str, set[int]] = {}  # by origin, the sequences that were
        self._held: dict[str, int] = {}
        self._keys: dict[int, Published | Scheduled] = {}  # of what is staged: what a key names
        self._scheduled: list[Scheduled] = []  # of what is staged: what is to wait
        self._touched: set[str] = set()
        self._batches = 0  # long batches of this run so far
        self.shifts: tuple[int, ...] = (0,)  # see `clock.WallClock.shifts`: a retry is known across a clock that is set
        self._begun = 0  # origins that begin in this batch

    def clear(self) -> list[Op]:
        """Begin the next batch; return the ops of the one that ends."""
        staged, self.staged, self.raws = self.staged, [], []
        self.healed = set()
        self._held, self._keys, self._touched, self._begun = {}, {}, set(), 0
        self._scheduled = []
        return staged

    def unstored(self) -> None:
        """Nothing of the batch is on disk: begin the next one, under the origin that was begun last."""
        self.clear()
        self.again.clear()
        if len(self._own) > 1 and not self.state.log.held(self.origin):
            del self._own[self.origin]
            self.origin = next(reversed(self._own))

    def pop_owed(self) -> list[Lost]:
        """The `lost` ops that were not taken since the last time, because of what of their ranges is held here."""
        owed_ops, self.owed = self.owed, []
        return owed_ops

    def pop_raws(self) -> tuple[Sequence[Op], Sequence[bytes]]:
        """What was staged since the last time, and its bytes: to be appended now."""
        raws, self.raws = self.raws, []
        return self.staged[len(self.staged) - len(raws) :], raws

    def take_stored(self, count: int) -> list[Op]:
        """The next `count` ops of the batch, which are about to be applied; they are staged no more."""
        stored, self.staged = self.staged[:count], self.staged[count:]
        return stored

    def take(self, op: Op, raw: bytes) -> bool:
        """TAKE a peer's op. False: held already, not the next of its origin, or of this very run."""
        if isinstance(op, Void):
            return False  # OFFER: by itself it would end here what somebody's op stands for
        if self.state.is_missing(op):
            if op.id not in self.healed:
                self.healed.add(op.id)
                self.staged.append(op)
                self.raws.append(raw)
            return True
        if op.origin in self._own or self._is_under_way(op.origin) or not self.state.takes(op, self._held):
            return False
        if waits := self.state.waiting.get(op.origin, {}).get(op.sequence):
            # on disk already, perhaps in a void: applied when what is staged before it is
            self._held[op.origin] = waits[0].sequence
            return False
        if isinstance(op, Began) and not self._has_room(op):
            return False
        if isinstance(op, Lost) and owed(self.state, op, self.again):
            self.owed.append(op)
            return False
        self._stage(op, raw)
        return True

    def _is_under_way(self, origin: str) -> bool:
        """Whether it is of our long batch that goes on; of one that was given up others may have to bring the rest."""
        return origin in self.state.open and origin == self._batch_origin(self._batches)

    def _batch_origin(self, number: int) -> str:
        return f"{next(iter(self._own))}b{number}"

    def take_all(self, raws: Sequence[bytes], name: str) -> None:
        """TAKE a peer's ops, which came with an answer or a push (`name`). Raises BadRequest."""
        decoded = runs.decode_all(raws)
        if decoded is not None and self._takes_run(decoded):
            self._stage_run(decoded, raws)
            return
        try:
            for raw, op in zip(raws, decoded or map(ops.decode, raws), strict=True):
                self.take(op, raw)
        except ops.NotAnOp:
            raise BadRequest(f"the {name} holds something that is no operation", code="bad-body") from None

    def take_logged(self, raws: Sequence[bytes]) -> None:
        """TAKE what a shared log holds, in its order; what is no operation there is nobody's, and nothing follows from it."""
        decoded = runs.decode_all(raws)
        if decoded is not None and self._takes_run(decoded):
            self._stage_run(decoded, raws)
            return
        for raw, op in zip(raws, decoded or map(_decode, raws), strict=True):
            if not isinstance(op, Void):
                if op is not None:
                    self.take(op, raw)
            elif op.origin not in self._own and self.state.takes(op, self._held):
                self._stage(op, raw)  # of a log that was moved here: what it stands for is in no log any more

    def _takes_run(self, decoded: Sequence[Op]) -> bool:
        """Say whether `take` would stage all of these for one reason: messages of an origin, of which nothing is amiss."""
        state, origin = self.state, decoded[0].origin if decoded else ""
        if not origin or origin in self._own or self._is_under_way(origin):
            return False
        if state.log.unreadable or origin in state.waiting or origin in state.voids:
            return False
        first = self._next(origin)
        return first > 1 and runs.are_run(decoded, origin, first)

    def _has_room(self, op: Began) -> bool:
        """Say whether one more origin may begin: so many in one batch, and so many that no other origin implies.

        The vector never outgrows what a `began` can carry. One that names an entry of it makes it no longer.
        """
        vector = self.state.vector
        shortens = any(vector.get(origin, sequence + 1) <= sequence for origin, sequence in op.vector.items())
        if self._begun >= limits.PUSH_ORIGINS or not (shortens or len(vector) + self._begun < limits.VECTOR_ENTRIES):
            return False
        self._begun += 1
        return True

    def store_again(self, op: Op, wall: int) -> None:
        """Stage anew what `op`, which was given up and is held here, means."""
        self.again.setdefault(op.origin, set()).add(op.sequence)
        for draft in again(self.state, op):
            self.stamp(draft, wall)

    def store_blindly(self, origin: str, sequences: Sequence[int], wall: int) -> None:
        """Stage anew what ops of `origin` did here, whose records cannot be read."""
        self.again.setdefault(origin, set()).update(sequences)
        for draft in blindly(self.state, [op_id(origin, sequence) for sequence in sequences]):
            self.stamp(draft, wall)

    def renew(self, broker: str, wall: int) -> None:
        """Go on under another origin, whose `began` names all that is held: the vector becomes one entry."""
        self.origin = f"{next(iter(self._own))}v{len(self._own)}"
        self._own[self.origin] = None
        self.stamp(Began(**NO_PLACE, broker=broker, vector=dict(self.state.vector)), wall)

    def stamp(self, draft: Op, wall: int, origin: str = "") -> Op:
        """Stage one of our own: the next sequence of this origin (or of another of ours), the time as the clock says it now.

        What is staged is what its bytes say, so that a later start reads the state that is there now. Raises BadRequest
        for a value that no reader would take.
        """
        origin = origin or self.origin
        return self._stamp(ops.with_place(draft, origin, self._next(origin), max(0, min(wall, limits.TIME_MILLISECONDS))))

    def _stamp(self, draft: AnyOp) -> AnyOp:
        """Stage what the bytes of `draft`, which has its coordinates, say."""
        try:
            raw = ops.encode(draft)
        except (UnicodeEncodeError, TypeError) as error:
            raise BadRequest(_NOT_KEPT, code="bad-field") from error
        op = ops.decode(raw)
        if type(op) is not type(draft):
            raise BadRequest(_NOT_KEPT, code="bad-field")
        self._stage(op, raw)
        return op

    def collides(self, requests: Sequence[Request]) -> bool:
        """Say whether deciding these now would miss what is staged."""
        return bool(self._touched) and any(not self._touched.isdisjoint(_reads(request)) for request in requests)

    def stores_nothing(self, requests: Sequence[Request], wall: int) -> bool:
        """Say whether every one of these publishes what is in the log or staged, or is refused for its key."""
        try:
            return all(
                isinstance(request, Publish) and request.key and self._first(request, _mark(request), content(request), wall)
                for request in requests
            )
        except KeyReused:
            return True

    def decide(self, requests: Sequence[Request], wall: int, by: Principal | None = None) -> Staged:
        """Stage what the requests of `by` mean, all or none. Raises BadRequest, Refused or NotFound and stages nothing."""
        check(self.state.accounts, requests, by, wall)
        if len(requests) > 1 and (names := self._publish_all(requests, wall)):
            origin, sequence = ops.split_op_id(names[-1])
            return Staged(ids=tuple(names), required={origin: sequence}, stored=len(names))
        keys = self._look_up(requests, wall)
        self._check_replaced(requests, keys)
        self._check_scheduled(requests, keys, wall)
        drafts = draft_all(self.state, requests, wall, self.subscriptions_per_user, by)
        ids: list[OpId] = []
        required: dict[str, int] = {}
        repeated: list[int] = []
        before = len(self.staged)
        try:
            for at, (request, draft, key) in enumerate(zip(requests, drafts, keys, strict=True)):
                first = (key.first or self._staged_under(key)) if key else ""
                if first:
                    repeated.append(at)
                for name in (first,) if first else self._enter(request, draft, key, wall, by):
                    origin, sequence = ops.split_op_id(name)
                    required[origin] = max(required.get(origin, 0), sequence)
                    ids.append(name)
        except BadRequest:
            self._unstage(before)
            raise
        return Staged(
            ids=tuple(ids),
            required=required,
            stored=len(requests) - len(repeated),
            repeated=tuple(repeated),
            due=self._due(requests, ids),
        )

    def _due(self, requests: Sequence[Request], ids: Sequence[OpId]) -> int:
        """When the one message that these schedule is published, ms since 1970; 0: it was, or it is none or one of several."""
        request = requests[0] if len(requests) == 1 else None
        if not (isinstance(request, Publish) and request.is_scheduled):
            return 0
        staged = next((op for op in self._scheduled if op.id == ids[0]), None)
        waiting = staged or self.state.messages.waiting_as(ids[0])
        return waiting.due if waiting is not None else 0

    def _publish_all(self, requests: Sequence[Request], wall: int) -> list[OpId]:
        """Stage what the requests mean, in one pass, and return the ids; [] where not all are messages without known keys."""
        messages = [request for request in requests if isinstance(request, Publish)]
        marks = self._new_marks(messages) if len(messages) == len(requests) else None
        if marks is None or any(message.replaces or message.is_scheduled for message in messages):
            return []
        run = self._stamp_run(messages, wall, self.origin)
        if run:
            self._keys.update(zip(marks, run, strict=False))
        return [op_id(self.origin, op.sequence) for op in run]

    def _new_marks(self, messages: Sequence[Publish]) -> list[int] | None:
        """What stands for the keys of all; [] where none has one. None where one is known or there twice, or some have none."""
        keys = [message.key for message in messages]
        if not any(keys):
            return []
        marks = fingerprints([message.publisher for message in messages], [message.topic for message in messages], keys)
        is_new = (
            all(keys)
            and len(set(marks)) == len(marks)
            and self._keys.keys().isdisjoint(marks)
            and not self.state.messages.keys.has_any(marks)
        )
        return marks if is_new else None

    def name_batch(self, requests: Sequence[Request], wall: int, by: Principal | None = None) -> NamedBatch:
        """Give a long batch of `by` an origin. Raises KeyReused, Refused.

        All its keys and rights are looked up here, so that nothing of it is staged before it is known that all of it may be.
        """
        check(self.state.accounts, requests, by, wall)
        origin = self._batch_origin(self._batches + 1)
        publishes = [request for request in requests if isinstance(request, Publish)]
        if any(one.is_scheduled for one in publishes):
            raise TooLarge(
                f"a batch that is delivered later has at most {limits.BATCH_LONG_OPS} messages and"
                f" {limits.BATCH_LONG_BYTES // 1024} KiB: send several"
            )
        marks = self._new_marks(publishes)
        if marks is not None and not any(one.replaces for one in publishes):
            return NamedBatch(
                origin=origin,
                messages=publishes,
                marks=frozenset(marks),
                required={origin: len(publishes) + 1},
                ids=tuple([op_id(origin, sequence) for sequence in range(2, len(publishes) + 2)]),  # behind its `began`
            )
        ids: list[OpId] = []
        required: dict[str, int] = {}
        repeated: list[int] = []
        messages: list[Publish] = []
        mine: dict[int, OpId] = {}
        keys = self._look_up(requests, wall)
        self._check_replaced(requests, keys)
        for at, (request, key) in enumerate(zip(requests, keys, strict=True)):
            name = (key.first or self._staged_under(key) or mine.get(key.mark, "")) if key else ""
            if name:
                repeated.append(at)
            elif isinstance(request, Publish):
                messages.append(request)
                name = op_id(origin, len(messages) + 1)  # behind its `began`
                if key:
                    mine[key.mark] = name
            source, sequence = ops.split_op_id(name)
            required[source] = max(required.get(source, 0), sequence)
            ids.append(name)
        return NamedBatch(
            origin=origin,
            messages=messages,
            marks=frozenset(mine),
            required=required,
            ids=tuple(ids),
            repeated=tuple(repeated),
        )

    def take_name(self) -> None:
        """No other batch of this run gets the origin that `name_batch` gave last: it is stored."""
        self._batches += 1

    def stage_piece(self, origin: str, began: Began | None, messages: Sequence[Publish], wall: int) -> int:
        """Stage what comes next of a long batch; return how many ops. Raises BadRequest, having staged nothing."""
        before, held = len(self.staged), self._held.get(origin)
        try:
            if began:
                self.stamp(began, wall, origin)
            if not self._stamp_run(messages, wall, origin):
                for message in messages:
                    self._stamp(self._published(message, wall, origin))
        except BadRequest:
            gone = len(self.staged) - before
            if gone:
                del self.staged[before:], self.raws[-gone:]
            self._held.pop(origin, None)
            if held:
                self._held[origin] = held
            raise
        return len(self.staged) - before

    def names_any(self, requests: Sequence[Request], marks: frozenset[int]) -> bool:
        """Say whether one of these publishes under one of these keys."""
        return bool(marks) and any(isinstance(one, Publish) and one.key and _mark(one) in marks for one in requests)

    def _enter(self, request: Request, draft: list[Op], key: _Key | None, wall: int, by: Principal | None) -> list[OpId]:
        if isinstance(request, Publish):
            message: Published | Scheduled
            if request.is_scheduled:
                message = self._stamp(self._later(request, wall, by))
                self._scheduled.append(message)
            else:
                message = self._stamp(self._published(request, wall, self.origin))
            if key:
                self._keys[key.mark] = message
            if request.replaces:
                self._touched |= _changes(request)
            return [message.id]
        names: list[OpId] = []
        for op in draft:
            is_new = isinstance(op, PasswordSet) and not op.account
            names.append(self.stamp(msgspec.structs.replace(op, account=names[0]) if is_new else op, wall).id)
        if names:  # else nothing is stored, and who waits for that waits for ever
            self._touched |= _changes(request)
        return names

    def _stamp_run(self, messages: Sequence[Publish], wall: int, origin: str) -> Sequence[Published]:
        """`_stamp` what publishes these, in one pass; nothing, and nothing staged, where one has to be looked at by itself."""
        if any(message.expires or message.replaces or message.is_scheduled for message in messages):
            return ()
        first, time = self._next(origin), max(0, min(wall, limits.TIME_MILLISECONDS))
        try:
            raws = runs.encode_messages(messages, origin, first, time)
        except (UnicodeEncodeError, TypeError):
            return ()
        run = runs.decode_all(raws)
        if not run:
            return ()
        self._stage_run(run, raws)
        return cast(list[Published], run)

    def _later(self, request: Publish, wall: int, by: Principal | None) -> Scheduled:
        fields = msgspec.structs.asdict(request)
        time = max(0, min(wall, limits.TIME_MILLISECONDS))
        due = min(fields.pop("at") or time + request.delay, limits.TIME_MILLISECONDS)
        if request.expires:
            fields["expires"] = due + request.expires * 1000
        account, token = (by.account, by.token) if by is not None else ("", "")
        return Scheduled(self.origin, self._next(self.origin), time, due=due, account=account, token=token, **fields)

    def _published(self, request: Publish, wall: int, origin: str) -> Published:
        fields = {name: getattr(request, name) for name in MessageFields.__struct_fields__}
        if request.expires:
            fields["expires"] = wall + request.expires * 1000
        if request.replaces:
            row = shown_row(self.state, request.replaces)
            fields["original"] = request.replaces if row is None else self.state.messages.original(row)
        time = 0 if wall < 0 else min(wall, limits.TIME_MILLISECONDS)
        return Published(origin, self._next(origin), time, **fields)

    def _staged_under(self, key: _Key) -> OpId:
        staged = self._keys.get(key.mark)
        return staged.id if staged else ""

    def _look_up(self, requests: Sequence[Request], wall: int) -> list[_Key | None]:
        """The key of each request that gives one. Raises KeyReused, with the index, if one names another content."""
        keys: list[_Key | None] = []
        contents: dict[int, int] = {}
        for at, request in enumerate(requests):
            if not (isinstance(request, Publish) and request.key):
                keys.append(None)
                continue
            mark, content_hash = _mark(request), content(request)
            try:
                keys.append(_Key(mark, content_hash, self._first(request, mark, content_hash, wall)))
            except KeyReused as error:
                error.extra["index"] = at
                raise
            if contents.setdefault(mark, content_hash) != content_hash:
                raise KeyReused(_reused(request, "in the same batch"), index=at)
        return keys

    def _check_replaced(self, requests: Sequence[Request], keys: Sequence[_Key | None]) -> None:
        """Check that what these replace is there, but of those that were published before. Raises as `check_replaced`."""
        for at, (request, key) in enumerate(zip(requests, keys, strict=True)):
            if isinstance(request, Publish) and request.replaces and not (key and (key.first or self._staged_under(key))):
                try:
                    check_replaced(self.state, request)
                except NewswireError as error:
                    error.extra["index"] = at
                    raise

    def _check_scheduled(self, requests: Sequence[Request], keys: Sequence[_Key | None], wall: int) -> None:
        """Check what is to be delivered later, but what was stored before. Raises as `check_scheduled`, `ScheduleRoom`."""
        room: ScheduleRoom | None = None
        for at, (request, key) in enumerate(zip(requests, keys, strict=True)):
            if not (isinstance(request, Publish) and request.is_scheduled) or (key and (key.first or self._staged_under(key))):
                continue
            room = room or ScheduleRoom(self.state, self._scheduled)
            try:
                check_scheduled(request, wall)
                room.take(request)
            except NewswireError as error:
                error.extra["index"] = at
                raise

    def _first(self, request: Publish, mark: int, content_hash: int, wall: int) -> OpId:
        """PUBLISH, KEY: the message that `request` publishes again; "" for none. Raises KeyReused."""
        messages = self.state.messages
        others: list[OpId] = []
        for use in messages.keys.uses(mark):
            if any(messages.is_same_day(use.offset, wall + shift) for shift in self.shifts):
                if use.content == content_hash:
                    return messages.name(use.offset)
                others.append(messages.name(use.offset))
        staged = self._keys.get(mark)
        if staged is not None:
            if content(staged) == content_hash:
                return staged.id
            others.append(staged.id)
        if others:
            name = min(others, key=ops.split_op_id)
            raise KeyReused(_reused(request, f"for the message {name}"), id=name)
        return ""

    def _next(self, origin: str) -> int:
        return self.state.reach(origin, self._held) + 1

    def _stage(self, op: Op, raw: bytes) -> None:
        self.staged.append(op)
        self.raws.append(raw)
        self._held[op.origin] = op.sequence

    def _stage_run(self, run: Sequence[Op], raws: Sequence[bytes]) -> None:
        self.staged += run
        self.raws += raws
        self._held[run[-1].origin] = run[-1].sequence

    def _unstage(self, length: int) -> None:
        """Keep only the first `length` staged ops; those behind them are our own, and not handed out yet."""
        gone = {op.id for op in self.staged[length:]}
        if gone:
            del self.staged[length:], self.raws[-len(gone) :]
            self._held[self.origin] = self._next(self.origin) - 1 - len(gone)
            self._keys = {mark: op for mark, op in self._keys.items() if op.id not in gone}
            self._scheduled = [op for op in self._scheduled if op.id not in gone]


def _decode(raw: bytes) -> Op | None:
    try:
        return ops.decode(raw)
    except ops.NotAnOp:
        return None


def _reads(request: Request) -> frozenset[str]:
    """What deciding `request` looks at: a user's subscriptions, by name, and `*` for all that is about users."""
    if isinstance(request, Publish):
        return frozenset((f"message {request.replaces}",)) if request.replaces else frozenset()  # checked by what is stored
    if isinstance(request, Audit):
        return frozenset()
    if isinstance(request, Withdraw):
        return frozenset((f"message {request.message}",))
    if isinstance(request, (Subscribe, Unsubscribe, Acknowledge, Confirm)):
        return frozenset((request.user, EVERYBODY)) if request.account else frozenset((request.user,))
    return frozenset((EVERYBODY,))


def _changes(request: Request) -> frozenset[str]:
    """What of that its op changes."""
    if isinstance(request, (Subscribe, Unsubscribe, Confirm)):
        return frozenset((request.user,))
    return frozenset() if isinstance(request, Acknowledge) else _reads(request)


def _mark(request: Publish) -> int:
    """What stands for the key of a message."""
    return fingerprint(request.publisher, request.topic, request.key)


def _reused(request: Publish, where: str) -> str:
    return (
        f"the key {request.key} was used on {request.topic} {where}, which says something else: nothing was stored;"
        " a new message needs a new key, a retry the same words"
    )
