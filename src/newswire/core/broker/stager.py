"""From requests and pushes to staged ops: PUBLISH and TAKE (docs/rules.md); `drafts` says what other requests mean.

What is decided here is staged until it is stored; only then is it applied. Decisions read the synced state, and of what
is staged only the publishers' keys. A request that reads what a staged one will change (the same user's subscriptions)
has to wait for the next round: `collides` says so.

Longer than other rooms: what is staged, one by one or many at once, and what looks at it must agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, cast

import msgspec

from newswire.core import limits
from newswire.core.access import EVERYBODY, Principal
from newswire.core.broker.access_drafts import check
from newswire.core.broker.drafts import check_replaced, draft_all
from newswire.core.broker.key_lookup import Key, KeyLookup
from newswire.core.broker.scheduling import Scheduling, draft_scheduled
from newswire.core.broker.values import NamedBatch, Staged
from newswire.core.model import ops, runs, times
from newswire.core.model.commands import Acknowledge, Audit, Confirm, Publish, Request, Subscribe, Unsubscribe, Withdraw
from newswire.core.model.message import MessageFields
from newswire.core.model.ops import NO_PLACE, Began, Lost, Op, OpId, PasswordSet, Published, Scheduled, Void, op_id
from newswire.core.read.reports import shown_row
from newswire.core.state.fold import State
from newswire.core.state.salvage import again, blindly, owed
from newswire.errors import BadRequest, NewswireError, TooLarge

_NOT_KEPT: Final = "a value is out of its bounds, or is no text that can be kept: nothing was stored"


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
        self.adopts: Sequence[Lost] = ()  # of a log that is about to be adopted: nothing of their ranges is taken meanwhile
        self._held: dict[str, int] = {}
        self.keys, self._scheduling = KeyLookup(state), Scheduling(state)
        self._touched: set[str] = set()
        self._batches = 0  # long batches of this run so far
        self._begun = 0  # origins that begin in this batch

    def become(self, state: State) -> None:
        """Go on with another state."""
        self.state = self.keys.state = self._scheduling.state = state

    def clear(self) -> list[Op]:
        """Begin the next batch; return the ops of the one that ends."""
        staged, self.staged, self.raws = self.staged, [], []
        self.healed = set()
        self._held, self._touched, self._begun = {}, set(), 0
        self.keys.clear()
        self._scheduling.clear()
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

    def owes(self, losses: Iterable[Lost]) -> list[Lost]:
        """Those of `losses` of whose ranges something is held here that was not stored again yet."""
        return [lost for lost in losses if owed(self.state, lost, self.again)]

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
        if self.adopts and any(lost.source == op.origin and lost.first <= op.sequence <= lost.last for lost in self.adopts):
            return False  # it would be void here with the rest, and nobody would store it again
        if self.state.holes.is_missing(op):
            if op.id not in self.healed:
                self.healed.add(op.id)
                self.staged.append(op)
                self.raws.append(raw)
            return True
        if op.origin in self._own or self._is_under_way(op.origin) or not self.state.takes(op, self._held):
            return False
        if waits := self.state.holes.waiting.get(op.origin, {}).get(op.sequence):
            # on disk already, perhaps in a void: applied when what is staged before it is
            self._held[op.origin] = waits[0].sequence
            return False
        if isinstance(op, Began) and not self._has_room(op):
            return False
        if isinstance(op, Lost) and (owed(self.state, op, self.again) or self.stages_any(op.source, op.first, op.last)):
            self.owed.append(op)
            return False
        self._stage(op, raw)
        return True

    def stages_any(self, origin: str, first: int, last: int) -> bool:
        """Whether something of a range is staged: held in a moment, and to be stored again before it is given up (LOST)."""
        return any(op.origin == origin and first <= op.sequence <= last for op in self.staged)

    def _is_under_way(self, origin: str) -> bool:
        """Whether it is of our long batch that goes on; of one that was given up others may have to bring the rest."""
        return origin in self.state.open_batches.of and origin == self._batch_origin(self._batches)

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
        if state.log.unreadable or self.adopts or origin in state.holes.waiting or origin in state.voids.of:
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

    def stamp(self, draft: ops.AnyOp, wall: int, origin: str = "") -> ops.AnyOp:
        """Stage one of our own: the next sequence of this origin (or of another of ours), the time as the clock says it now.

        What is staged is what its bytes say, so that a later start reads the state that is there now. Raises BadRequest
        for a value that no reader would take.
        """
        origin = origin or self.origin
        return self._stamp(ops.with_place(draft, origin, self._next(origin), times.stamp(wall)))

    def _stamp(self, draft: ops.AnyOp) -> ops.AnyOp:
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

    def decide(self, requests: Sequence[Request], wall: int, by: Principal | None = None) -> Staged:
        """Stage what the requests of `by` mean, all or none. Raises BadRequest, Refused or NotFound and stages nothing."""
        check(self.state.accounts, requests, by, wall)
        if len(requests) > 1 and (names := self._publish_all(requests, wall)):
            origin, sequence = ops.split_op_id(names[-1])
            return Staged(ids=tuple(names), required={origin: sequence}, stored=len(names))
        keys = self.keys.look_up(requests, wall)
        new = [(at, one) for at, (one, key) in enumerate(zip(requests, keys, strict=True)) if not self.keys.first_under(key)]
        self._check_replaced(new, keys)
        self._scheduling.check(new, wall)
        drafts = draft_all(self.state, requests, wall, self.subscriptions_per_user, by)
        ids: list[OpId] = []
        required: dict[str, int] = {}
        repeated: list[int] = []
        before = len(self.staged)
        try:
            for at, (request, draft, key) in enumerate(zip(requests, drafts, keys, strict=True)):
                first = self.keys.first_under(key)
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
            due=self._scheduling.due(requests[0], ids[0]) if len(requests) == 1 and ids else 0,
            withdrawn=len(requests) == 1 and bool(repeated) and self.state.messages.is_withdrawn(ids[0]),
        )

    def _publish_all(self, requests: Sequence[Request], wall: int) -> list[OpId]:
        """Stage what the requests mean, in one pass, and return the ids; [] where not all are messages without known keys."""
        messages = [request for request in requests if isinstance(request, Publish)]
        marks = self.keys.new_marks(messages) if len(messages) == len(requests) else None
        if marks is None or any(message.replaces or message.is_scheduled for message in messages):
            return []
        run = self._stamp_run(messages, wall, self.origin)
        self.keys.note_all(marks, run)
        return [op_id(self.origin, op.sequence) for op in run]

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
        marks = self.keys.new_marks(publishes)
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
        keys = self.keys.look_up(requests, wall)
        names = [self.keys.first_under(key) for key in keys]
        self._check_replaced([(at, requests[at]) for at, name in enumerate(names) if not name], keys)
        for at, (request, key, first) in enumerate(zip(requests, keys, names, strict=True)):
            name = first or (mine.get(key.mark, "") if key else "")
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

    def _enter(self, request: Request, draft: list[Op], key: Key | None, wall: int, by: Principal | None) -> list[OpId]:
        if isinstance(request, Publish):
            message: Published | Scheduled
            if request.is_scheduled:
                message = self.stamp(draft_scheduled(request, wall, by), wall)
                self._scheduling.note(message)
            else:
                message = self._stamp(self._published(request, wall, self.origin))
            if key:
                self.keys.note(key, message)
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
        first, time = self._next(origin), times.stamp(wall)
        try:
            raws = runs.encode_messages(messages, origin, first, time)
        except (UnicodeEncodeError, TypeError):
            return ()
        run = runs.decode_all(raws)
        if not run:
            return ()
        self._stage_run(run, raws)
        return cast(list[Published], run)

    def _published(self, request: Publish, wall: int, origin: str) -> Published:
        fields, time = {name: getattr(request, name) for name in MessageFields.__struct_fields__}, times.stamp(wall)
        if request.expires:
            fields["expires"] = time + request.expires * 1000
        if request.replaces:
            row = shown_row(self.state, request.replaces)
            fields["original"] = request.replaces if row is None else self.state.messages.original(row)
        return Published(origin, self._next(origin), time, **fields)

    def _check_replaced(self, requests: Iterable[tuple[int, Request]], keys: Sequence[Key | None]) -> None:
        """Check that what these replace, each with its index, is there. Raises as `check_replaced`.

        `keys`: of all requests. Two that replace one message are one request only if they have one key.
        """
        by: dict[OpId, int | None] = {}  # by the message that is replaced, what stands for the key of the first that does it
        for at, request in requests:
            if isinstance(request, Publish) and request.replaces:
                key = keys[at]
                try:
                    check_replaced(self.state, request)
                    if request.replaces in by and (key is None or by[request.replaces] != key.mark):
                        raise BadRequest(
                            f"{request.replaces} is replaced twice: a message is replaced by one", code="bad-field"
                        )
                    by.setdefault(request.replaces, key and key.mark)
                except NewswireError as error:
                    error.extra["index"] = at
                    raise

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
            self.keys.unstage(gone)
            self._scheduling.unstage(gone)


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
