"""Bugs to plant: each a few lines over the real core or its shell, each of which the simulator must find.

Most are the hazards of docs/hazards.md that a core can have. One that is not found means that a
checker sleeps or that schedules do not reach it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, cast
from unittest.mock import patch

import msgspec

from newswire.core.access import Principal, Rights
from newswire.core.broker import access_drafts, clock, drafts, key_lookup, losses, peer, replication, stager, status
from newswire.core.broker.broker import Broker
from newswire.core.broker.clock import Clocks, RetentionClock
from newswire.core.broker.events import Answer, Now, Received, Reply, Stored, Submitted, Wake
from newswire.core.broker.expiry import Expiry
from newswire.core.broker.peer import Peer
from newswire.core.broker.receipts import PendingReceipts
from newswire.core.broker.replication import Replication
from newswire.core.broker.stager import Stager
from newswire.core.broker.values import Staged
from newswire.core.model.commands import Acknowledge, Request, Subscribe
from newswire.core.model.coverage import Coverage, read, write
from newswire.core.model.ops import (
    Acknowledged,
    Began,
    GrantsRevoked,
    Op,
    PasswordSet,
    Published,
    SessionEnded,
    Subscribed,
    TokensRevoked,
    Unsubscribed,
)
from newswire.core.model.results import Receipt
from newswire.core.model.vector import FullVector, Lineage
from newswire.core.read import scan, start
from newswire.core.read.selection import Selection
from newswire.core.state import message_run, topic_index
from newswire.core.state.accounts import Accounts
from newswire.core.state.fold import State
from newswire.core.state.holes import Holes
from newswire.core.state.keys import Keys, fingerprint
from newswire.core.state.op_index import OpIndex
from newswire.core.state.open_batches import OpenBatches
from newswire.core.state.salvage import Owed
from newswire.core.state.subscriptions import Subscription, Subscriptions
from newswire.core.state.topic_index import TopicIndex
from newswire.core.state.twins import Twin, Twins
from newswire.core.state.withdrawals import Ages
from tests.simulation import machine
from tests.simulation.clients import Session
from tests.simulation.machine import Disk, Machine, Outlet
from tests.simulation.planted_compaction import COMPACTION, FOCUS_COMPACTION
from tests.simulation.planted_confirmations import CONFIRMING, FOCUS_CONFIRMING
from tests.simulation.planted_edits import EDITING, FOCUS_EDITING
from tests.simulation.planted_timed import FOCUS_TIMING, TIMING
from tests.simulation.schedule import CALM

Patch = tuple[Any, str, Any]


def no_sync() -> list[Patch]:
    """What is written counts as stored, and is synced with the next batch."""

    def sync(disk: Disk) -> list[tuple[int, int]]:
        reported = getattr(disk, "reported", 0)
        places = [(reported + index, len(raw)) for index, (raw, _) in enumerate(disk.records[reported:])]
        disk.synced, disk.reported = max(disk.synced, min(reported, len(disk.records))), len(disk.records)  # type: ignore[attr-defined]
        return places

    return [(Disk, "sync", sync)]


def answer_before_sync() -> list[Patch]:
    """A peer is answered before what it pushed is synced."""
    receive = Broker._receive

    def hasty(broker: Broker, event: Received, now: Now) -> None:
        receive(broker, event, now)
        for answer in broker.replication.answer(broker._announce(now)):
            answer.header.vector.update(broker.stager._held)  # type: ignore[attr-defined]
            broker._actions.append(Answer(answer.reply_to, answer.header, []))

    return [(Broker, "_receive", hasty)]


def constant_origin() -> list[Patch]:
    """A broker goes on with the origin that it had."""
    begin = Broker.begin

    def go_on(broker: Broker, now: Now) -> Any:
        if not broker.state.log.held(broker.identity.origin):
            return begin(broker, now)
        with patch.object(Stager, "stamp", lambda *_: None):
            actions = begin(broker, now)
        broker.begun = True
        return actions

    return [(Machine, "mint", lambda machine: f"{machine.id}-r0"), (Broker, "begin", go_on)]


def out_of_order() -> list[Patch]:
    """An op is taken when a later one of its origin is not held, though an earlier one is lacking."""

    def takes(state: State, op: Op, staged: dict[str, int]) -> bool:
        held = staged.get(op.origin) or state.log.held(op.origin)
        return op.sequence > held

    return [(State, "takes", takes)]


def merged_vector() -> list[Patch]:
    """What a peer holds is merged with what it once held."""
    hear = Peer.hear

    def merge(peer: Peer, header: Any, state: State, now: Now) -> None:
        before = peer.holds
        hear(peer, header, state, now)
        peer.holds = peer.holds.join(before)

    return [(Peer, "hear", merge)]


def target_outlives_run() -> list[Patch]:
    """What a peer's former run held is waited for."""
    hear = Peer.hear

    def remember(peer: Peer, header: Any, state: State, now: Now) -> None:
        target = peer.target
        hear(peer, header, state, now)
        peer.target = target

    return [(Peer, "hear", remember)]


def short_vectors_alone() -> list[Patch]:
    """Nobody tells what an origin began with that the other has never seen."""

    def untold(lineage: Lineage, header: Any) -> Any:
        return understand(lineage, msgspec.structs.replace(header, began={}, more=True))

    understand = peer.understand
    return [(peer, "understand", untold), (replication, "understand", untold)]


def began_unchecked() -> list[Patch]:
    """A `began` is taken where what it names is not held."""
    takes = State.takes

    def trusting(state: State, op: Op, staged: dict[str, int]) -> bool:
        if isinstance(op, Began) and op.sequence == 1:
            return not (staged.get(op.origin) or state.log.held(op.origin))
        return takes(state, op, staged)

    return [(State, "takes", trusting)]


def id_speaks_for_all() -> list[Patch]:
    """An event id moves subscriptions that its broker knew nothing of."""
    return [(start, "speaks", lambda known, sub: True)]


def ack_decided_when_folded() -> list[Patch]:
    """A cursor op moves whatever its user has where it is folded."""
    acknowledged = Subscriptions.acknowledged

    def fold(subscriptions: Subscriptions, op: Acknowledged) -> None:
        users = {subscriptions.alive[name].user for name in op.ids if name in subscriptions.alive}
        ids = {sub.id for user in users for sub in subscriptions.alive_of(user)} | set(op.ids)
        acknowledged(subscriptions, Acknowledged(op.origin, op.sequence, op.time, tuple(sorted(ids)), op.vector))

    return [(Subscriptions, "acknowledged", fold)]


def cursor_to_all_held() -> list[Patch]:
    """An acknowledgement moves the cursor to all that the broker holds."""
    decide = drafts.acknowledge

    def widen(state: State, requests: Sequence[Acknowledge]) -> list[Op]:
        shown = [read(request.event_id) for request in requests]
        places = [write(Coverage(place.message, dict(state.vector), place.opened)) for place in shown]
        return decide(
            state, [msgspec.structs.replace(request, event_id=place) for request, place in zip(requests, places, strict=True)]
        )

    return [(drafts, "acknowledge", widen)]


def acks_together_move_all() -> list[Patch]:
    """Acknowledgements that are handed over together, whose op is one, move the cursors of everybody."""
    decide = drafts.acknowledge

    def join(state: State, requests: Sequence[Acknowledge]) -> list[Op]:
        others = sorted({(sub.user, sub.account) for sub in state.subscriptions.alive.values()}) if len(requests) > 1 else []
        last = requests[-1]
        return decide(state, [*requests, *(Acknowledge(user, last.event_id, account=account) for user, account in others)])

    return [(drafts, "acknowledge", join)]


def cursor_on_send() -> list[Patch]:
    """What was written to a socket counts as delivered."""
    send = Session.send

    def confirmed(session: Session, op: Any, text: str, frames: int) -> None:
        send(session, op, text, frames)
        if session.outlet is not None:
            session.outlet.confirm(frames)

    return [(Session, "send", confirmed)]


def copies_after_timeout() -> list[Patch]:
    """A peer that did not answer in time is still counted, as if it had."""
    fail = Peer.fail

    def hopeful(peer: Peer, state: str, detail: str, clock: float, heartbeat: float) -> None:
        in_sync = peer.in_sync
        fail(peer, state, detail, clock, heartbeat)
        peer.in_sync, peer.proof = in_sync, peer.proof.raise_to(peer.sent)

    return [(Peer, "fail", hopeful)]


def own_copy_counts_twice() -> list[Patch]:
    """Where copies are asked for a broker counts what it holds itself once more, as if another had proved it."""
    copies = Replication.copies
    return [(Replication, "copies", lambda links: [*(there := copies(links)), *([links._state.log.full] if there else [])])]


def receipt_without_peers() -> list[Patch]:
    """A receipt counts peers that are in sync without waiting for their answer."""
    settle = PendingReceipts.settle

    def early(receipts: PendingReceipts, proofs: Any, now: Now) -> Any:
        with patch.object(FullVector, "holds", lambda full, vector: True):
            return settle(receipts, proofs, now)

    return [(PendingReceipts, "settle", early)]


def wall_clock_decides() -> list[Patch]:
    """The later of a subscribe and an unsubscribe wins, by their time stamps."""
    subscribed, unsubscribed = Subscriptions.subscribed, Subscriptions.unsubscribed

    def sub(subscriptions: Subscriptions, op: Subscribed) -> set[str]:
        if op.time < subscriptions.__dict__.setdefault("ends", {}).get((op.user, op.pattern), 0):
            subscriptions.removed.add(op.id)
        return subscribed(subscriptions, op)

    def unsub(subscriptions: Subscriptions, op: Unsubscribed) -> set[str]:
        mine = [subscriptions.alive[name] for name in op.ids if name in subscriptions.alive]
        ends = subscriptions.__dict__.setdefault("ends", {})
        for one in mine:
            ends[one.user, one.pattern] = max(op.time, ends.get((one.user, one.pattern), 0))
        late = [one.id for one in subscriptions.alive.values() if one.time < ends.get((one.user, one.pattern), 0)]
        return unsubscribed(subscriptions, Unsubscribed(op.origin, op.sequence, op.time, (*op.ids, *late)))

    return [(Subscriptions, "subscribed", sub), (Subscriptions, "unsubscribed", unsub)]


def unsubscribe_by_pattern() -> list[Patch]:
    """An unsubscribe ends, where it is folded, all that its user has for the pattern."""
    unsubscribed = Subscriptions.unsubscribed

    def fold(subscriptions: Subscriptions, op: Unsubscribed) -> set[str]:
        named = {(one.user, one.pattern) for name in op.ids if (one := subscriptions.alive.get(name))}
        same = [one.id for one in subscriptions.alive.values() if (one.user, one.pattern) in named]
        return unsubscribed(subscriptions, Unsubscribed(op.origin, op.sequence, op.time, (*op.ids, *same)))

    return [(Subscriptions, "unsubscribed", fold)]


def subscribe_again_is_no_op() -> list[Patch]:
    """Who is subscribed already is told so, and nothing is stored."""
    decide = Stager.decide

    def lazy(own: Stager, requests: Any, *more: Any) -> Staged:
        request: Request = requests[0]
        if isinstance(request, Subscribe):
            same = [sub for sub in own.state.subscriptions.awake_of(request.user) if sub.pattern == request.pattern]
            if same:
                return Staged((same[0].id,), {same[0].origin: same[0].sequence})
        return decide(own, requests, *more)

    return [(Stager, "decide", lazy)]


def keys_forgotten() -> list[Patch]:
    """A retry is stored again, and both are shown."""
    return [(Keys, "uses", lambda keys, mark: [])]


def keys_without_content() -> list[Patch]:
    """What two brokers took under one key is one message, whatever it says."""
    take = TopicIndex.take

    def fold(held: TopicIndex, op: Published, offset: int) -> int:
        uses = held.keys.uses(fingerprint(op.publisher, op.topic, op.key)) if op.key else []
        if uses and held.is_same_day(uses[0].offset, op.time):
            twin = Twin(op.origin, op.sequence, offset)
            held.twins.add(held.numbers[op.topic], held._twin(uses[0].offset), twin)
            return 0
        return take(held, op, offset)

    return [(TopicIndex, "take", fold)]


def keys_answered_unread() -> list[Patch]:
    """A key that is known is answered as a retry, whatever is published under it now."""
    return [
        (key_lookup, "content", lambda request: 0),
        (topic_index, "content", lambda op: 0),
        (message_run, "contents", _all_alike),
    ]


def _all_alike(ops: list[Published]) -> list[int]:
    return [0] * len(ops)


def twins_named_by_log_order() -> list[Patch]:
    """Of twins each broker shows the one that came first here."""
    return [(TopicIndex, "name_row", lambda held, row: row)]


def twins_read_twice() -> list[Patch]:
    """Who has read a message under the id of one twin gets it again under that of another."""
    return [(Selection, "knows", lambda selection, match, twins: False)]


def twins_move() -> list[Patch]:
    """A message stands where the smallest of its twins stands: readers between the two pass it by."""
    take = TopicIndex.take

    def moved(held: TopicIndex, op: Published, offset: int) -> int:
        number, log = take(held, op, offset), held.log
        twins = next((twins for twins in held.twins._groups.values() if twins[-1].row == offset), None)
        if number or twins is None or twins[-1] != min(twins):
            return number
        topic, shown = held.numbers[op.topic], twins[0]
        held.sequences[topic][shown.origin].remove(shown.sequence)
        held._add(topic, op)
        held.newest[topic] = offset
        log.topics[shown.row] = 0
        twins.insert(0, twins.pop())
        return topic

    return [(TopicIndex, "take", moved)]


def streams_never_reopen() -> list[Patch]:
    """A stream goes on as it began when its user's subscriptions change."""
    reopen = Outlet.reopen

    def stay(outlet: Outlet) -> bool:
        broker = outlet.machine.broker
        if broker is None or not hasattr(outlet, "wanted"):
            return reopen(outlet)
        at = outlet.position
        return broker.state.find_offset(at.offset, at.generation) is not None or reopen(outlet)  # else it would never go on

    return [(Outlet, "reopen", stay)]


def cursor_forgotten() -> list[Patch]:
    """A stream without an id starts at the end of what its broker holds."""

    def at_the_end(subscriptions: Subscriptions, sub: Subscription) -> Any:
        return {name: len(offsets) for name, offsets in _log_of(subscriptions).each_origin()}

    logs: dict[int, Any] = {}

    def _log_of(subscriptions: Subscriptions) -> Any:
        return logs[id(subscriptions)]

    begin = State.__init__

    def note(state: State) -> None:
        begin(state)
        logs[id(state.subscriptions)] = state.log

    return [(State, "__init__", note), (Subscriptions, "cursor", at_the_end)]


def all_known_at_a_glance() -> list[Patch]:
    """A stream of which one subscription has all that is held begins at the end of the log for all of them."""
    has_all = start._has_all
    return [(start, "_has_all", lambda state, known: any(has_all(state, [one]) for one in known))]


def ids_without_opening() -> list[Patch]:
    """An event id does not say what its broker held when the stream opened (K)."""
    begin = scan._Walk.__init__

    def forget(walk: scan._Walk, *arguments: Any) -> None:
        begin(walk, *arguments)
        walk.opened = {}

    return [(scan._Walk, "__init__", forget)]


def told_when_all_is_applied() -> list[Patch]:
    """Of a batch that is applied in pieces, readers are told at its end whose subscriptions changed."""
    step = Broker.step

    def late(broker: Broker, event: Any, now: Now) -> Any:
        actions = step(broker, event, now)
        held: set[str] = broker.__dict__.setdefault("untold", set())
        if isinstance(event, Stored) and event.more:
            held.update(*(action.users for action in actions if isinstance(action, Wake)))
            return [action for action in actions if not isinstance(action, Wake)]
        if held:
            actions.insert(0, Wake(frozenset(), frozenset(held), broker.serves))
            held.clear()
        return actions

    return [(Broker, "step", late)]


def gaps_untold() -> list[Patch]:
    """What retention dropped before it was delivered is passed over in silence."""
    return [(scan._Walk, "_tell_gaps", lambda walk, row: walk.dropped.clear())]


def each_gap_confirms_all() -> list[Patch]:
    """Of several topics' gaps before one message each has the same id: who confirms the first has confirmed all."""
    tell = scan._Walk._tell_gaps

    def alike(walk: scan._Walk, row: int) -> None:
        before = len(walk.items)
        tell(walk, row)
        last = walk.items[-1] if len(walk.items) > before else None
        walk.items[before:] = [
            msgspec.structs.replace(item, coverage=last.coverage, position=last.position)  # type: ignore[union-attr]
            for item in walk.items[before:]
        ]

    return [(scan._Walk, "_tell_gaps", alike)]


def retention_by_wall_clock() -> list[Patch]:
    """Retention goes by what the clock says at each moment."""

    def advance(clock: RetentionClock, wall: int, passed: float, *, agreed: bool = True) -> int:
        clock.now = wall
        return wall

    return [(RetentionClock, "advance", advance)]


def retention_by_newest_stamps() -> list[Patch]:
    """Retention begins at what was stamped last, however soon after a step of the clock."""
    return [(clock, "_lived_until", lambda state, runs: state.log.times[runs[-1].offsets[-1]])]


def expiry_by_wall_clock() -> list[Patch]:
    """A message's time passes as the time of day does, whoever sets that."""
    return [(Clocks, "lasted", property(lambda clocks: max(0, clocks._retention._wall)))]


def expiry_forgotten_at_a_start() -> list[Patch]:
    """A broker watches the time of what it took in this run."""
    never = 1 << 60
    return [(Ages, "end", lambda ages, row, lifetime, at: never)]


def withdrawn_under_one_id() -> list[Patch]:
    """Of a message that was taken twice the op that the primary shows is withdrawn, and that of another broker stays."""
    return [
        (Twins, "first_row", lambda twins, row: row),
        (Expiry, "_is_shown", lambda expiry, row: bool(expiry._state.log.topics[row])),
    ]


def exit_too_early() -> list[Patch]:
    """A broker that leaves ends before another holds all that it held."""
    return [(Replication, "is_held_elsewhere", lambda replication: bool(replication.in_sync()))]


def words_never_age() -> list[Patch]:
    """A broker that stood still goes by what the others said before."""
    return [(Peer, "is_recent", lambda peer, now, heartbeat: True)]


def holder_keeps_to_itself() -> list[Patch]:
    """A broker that has what was given up makes it void like everybody, and stores nothing of it again."""
    return [(stager, "owed", lambda state, op, done: Owed())]


def originals_stay_shown() -> list[Patch]:
    """What was given up and stored again stays shown under its first id, too, where that is held."""
    return [(TopicIndex, "hide", lambda messages, row: None)]


def gives_up_what_others_keep() -> list[Patch]:
    """An operator may give up what another broker has, or keeps behind damage of its own."""
    return [(losses, "can_bring", lambda full, holes, waits, hole: False)]


def gives_up_what_it_stands_on() -> list[Patch]:
    """A run gives up what its own `began` names: nobody without that takes the `lost` op that would make it void."""
    return [(losses, "stands_on", lambda state, origin, hole: False)]


def hole_is_nobodys_business() -> list[Patch]:
    """A hole says nothing of who may be known: users whose subscription lies behind it are refused for good."""
    return [(status, "holes_of", lambda situation: [])]


def unreadable_untold() -> list[Patch]:
    """A record that the disk does not give back is not asked for elsewhere."""
    return [(Holes, "miss", lambda holes, row: None)]


def lost_untold() -> list[Patch]:
    """Nobody is told on his stream that something was given up."""
    return [(scan._Walk, "_count_lost", lambda walk, row: None)]


def began_stays_known() -> list[Patch]:
    """What a void `began` implied goes on to be implied where it is held."""
    return [(OpIndex, "forget_began", lambda log, origin: None)]


def batch_shows_half() -> list[Patch]:
    """What is of a long batch has an effect as soon as it is stored."""
    return [(OpenBatches, "take", lambda batches, op, place, length: False)]


def unfinished_batch_counts() -> list[Patch]:
    """What is left of a batch whose broker died before it was whole counts from the next start on."""

    def release(state: State, broker: str) -> None:
        for origin in list(state.open_batches.of):
            state.open_batches.release(origin)
        state._apply_whole(None)

    return [(State, "forget_unfinished", release)]


def receipt_before_the_last_piece() -> list[Patch]:
    """A long batch is answered when its first piece is on its way to the disk."""
    begin = Broker._begin_batch

    def hasty(broker: Broker, event: Submitted, now: Now) -> None:
        begin(broker, event, now)
        if broker.batches.origin:
            staged = broker.batches._named.staged
            broker._actions.append(
                Reply(event.reply_to, Receipt(staged.ids[0], staged.ids[-1], staged.stored, 1, 0, staged.ids))
            )

    return [(Broker, "_begin_batch", hasty)]


def refused_for_good() -> list[Patch]:
    """Who is not known here is refused for good, though a member is away that may know better."""
    view = Broker.view
    return [(Broker, "view", lambda broker, now: msgspec.structs.replace(view(broker, now), all_in_sync=True))]


def rights_checked_at_publish_only() -> list[Patch]:
    """Who may not read is sent what he is subscribed to."""
    return [(start.Recipient, "parts", lambda recipient, pattern: (pattern,))]


def commands_checked_at_the_door_only() -> list[Patch]:
    """What somebody asks is stored, whatever became of his rights since it was let in."""
    return [(stager, "check", lambda accounts, requests, by, now: None)]


def revoked_token_is_kept() -> list[Patch]:
    """What a token may do is remembered, and not whether it still is one."""
    rights = Accounts.rights

    def remembered(accounts: Accounts, by: Principal, now: int) -> Rights | None:
        seen = accounts.__dict__.setdefault("seen", {})
        if by.token in accounts.revoked and by in seen:
            return cast("Rights | None", seen[by])
        seen[by] = rights(accounts, by, now)
        return cast("Rights | None", seen[by])

    return [(Accounts, "rights", remembered), (Accounts, "is_narrow", lambda accounts, token: False)]


def grants_hang_on_the_name() -> list[Patch]:
    """A later user of a name has the grants of the one who was removed."""
    remove, patterns = Accounts._remove_user, Accounts._patterns

    def keep(accounts: Accounts, account: str) -> Any:
        mine = accounts._grants_of.get(account, {})
        accounts.__dict__.setdefault("left", {}).setdefault(accounts.names.get(account, ""), []).extend(mine.values())
        return remove(accounts, account)

    def inherit(accounts: Accounts, account: str, verb: str) -> tuple[str, ...]:
        left = accounts.__dict__.get("left", {}).get(accounts.names[account], ())
        return (*patterns(accounts, account, verb), *(op.pattern for op in left if op.verb == verb))

    return [(Accounts, "_remove_user", keep), (Accounts, "_patterns", inherit)]


def subscriptions_hang_on_the_name() -> list[Patch]:
    """What a removed user was subscribed to stays, for whoever has the name later."""
    return [(Subscriptions, "end_account", lambda subscriptions, account: set())]


def replay_skips_the_check() -> list[Patch]:
    """Who shows an id is sent all since, whatever he may read."""
    opening = start.stream_opening

    def unchecked(state: State, recipient: start.Recipient, coverage: Coverage | None) -> Any:
        if coverage is not None:
            recipient = msgspec.structs.replace(recipient, rights=None)
        return opening(state, recipient, coverage)

    return [(machine, "stream_opening", unchecked)]


def revocation_wakes_nobody() -> list[Patch]:
    """Streams that are open go on as they began."""
    take = Accounts.take

    def untold(accounts: Accounts, op: Any) -> Any:
        changed = take(accounts, op)
        return () if isinstance(op, (GrantsRevoked, TokensRevoked, SessionEnded)) else changed

    return [(Accounts, "take", untold)]


def name_goes_to_who_is_known_first() -> list[Patch]:
    """Of two users of one name, added at brokers that were apart, each broker keeps its own."""
    settle = Accounts._settle

    def known_first(accounts: Accounts, user: Any) -> Any:
        before = accounts.account_of(user.name)
        changed = settle(accounts, user)
        if before in accounts.users:
            accounts._account_of[user.name] = before
        return changed

    return [(Accounts, "_settle", known_first)]


def password_by_arrival() -> list[Patch]:
    """The password that came last counts, at each broker."""
    take = Accounts.take

    def by_arrival(accounts: Accounts, op: Any) -> Any:
        if isinstance(op, PasswordSet):
            accounts.passwords.pop(op.account, None)
        return take(accounts, op)

    return [(Accounts, "take", by_arrival)]


def password_by_stamp() -> list[Patch]:
    """Who changes a password that a broker took whose clock was ahead is told that it is done, and it is not."""
    made = access_drafts._set_password

    def stamped(*arguments: Any) -> PasswordSet:
        return msgspec.structs.replace(made(*arguments), made=0)

    return [(access_drafts, "_set_password", stamped)]


def ticket_is_all_that_its_maker_is() -> list[Patch]:
    """Who has a ticket does what the one may who made it."""
    check = access_drafts._check_one

    def unbound(accounts: Accounts, request: Any, by: Principal, *terms: Any) -> None:
        check(accounts, request, msgspec.structs.replace(by, feed=""), *terms)

    return [(access_drafts, "_check_one", unbound)]


def ticket_reads_what_its_maker_may() -> list[Patch]:
    """Who has an admin's ticket for the feed of somebody else reads there what the admin may."""
    rights = Accounts.rights

    def unbound(accounts: Accounts, by: Principal, now: int) -> Rights | None:
        whole = rights(accounts, msgspec.structs.replace(by, feed=""), now)
        return whole if rights(accounts, by, now) is not None else None

    return [(Accounts, "rights", unbound)]


def token_outlives_its_maker() -> list[Patch]:
    """A token that was made with another one lasts as long as its maker asked for."""
    make = access_drafts._create_token
    return [(access_drafts, "_create_token", lambda accounts, request, by, *rest: make(accounts, request, None, *rest))]


def last_admin_goes() -> list[Patch]:
    """Who is the only admin is removed like everybody."""
    return [(Accounts, "has_admin_beside", lambda accounts, name: True)]


ACCESS = (  # these need schedules with users
    rights_checked_at_publish_only,
    commands_checked_at_the_door_only,
    revoked_token_is_kept,
    grants_hang_on_the_name,
    subscriptions_hang_on_the_name,
    replay_skips_the_check,
    revocation_wakes_nobody,
    name_goes_to_who_is_known_first,
    password_by_arrival,
    password_by_stamp,
    ticket_is_all_that_its_maker_is,
    ticket_reads_what_its_maker_may,
    token_outlives_its_maker,
    last_admin_goes,
)
BUGS: dict[str, Callable[[], list[Patch]]] = {
    make.__name__.replace("_", "-"): make
    for make in (
        no_sync,
        answer_before_sync,
        constant_origin,
        out_of_order,
        merged_vector,
        target_outlives_run,
        short_vectors_alone,
        began_unchecked,
        id_speaks_for_all,
        ack_decided_when_folded,
        cursor_to_all_held,
        acks_together_move_all,
        cursor_on_send,
        copies_after_timeout,
        own_copy_counts_twice,
        receipt_without_peers,
        wall_clock_decides,
        unsubscribe_by_pattern,
        subscribe_again_is_no_op,
        keys_forgotten,
        keys_without_content,
        keys_answered_unread,
        twins_named_by_log_order,
        twins_read_twice,
        twins_move,
        streams_never_reopen,
        cursor_forgotten,
        all_known_at_a_glance,
        ids_without_opening,
        told_when_all_is_applied,
        gaps_untold,
        each_gap_confirms_all,
        retention_by_wall_clock,
        retention_by_newest_stamps,
        expiry_by_wall_clock,
        expiry_forgotten_at_a_start,
        withdrawn_under_one_id,
        exit_too_early,
        words_never_age,
        refused_for_good,
        holder_keeps_to_itself,
        originals_stay_shown,
        gives_up_what_others_keep,
        gives_up_what_it_stands_on,
        hole_is_nobodys_business,
        unreadable_untold,
        lost_untold,
        began_stays_known,
        batch_shows_half,
        unfinished_batch_counts,
        receipt_before_the_last_piece,
        *ACCESS,
        *COMPACTION,
        *CONFIRMING,
        *EDITING,
        *TIMING,
    )
}


# What a bug needs to show, where that is rare in schedules of all kinds.
FOCUS: dict[str, tuple[str, ...]] = {
    "began-unchecked": ("succession",),
    "out-of-order": ("succession", "disk-lost", "disk-back"),
    "short-vectors-alone": ("crash-loops",),
    "target-outlives-run": ("relapse",),
    "merged-vector": ("disk-lost", "disk-back"),
    "subscribe-again-is-no-op": ("partition", "one-way"),
    "unsubscribe-by-pattern": ("partition", "one-way"),
    "wall-clock-decides": ("partition", "wall"),
    "ids-without-opening": CALM,
    "gaps-untold": ("retention", "clients-cut", "clients-cut"),
    "each-gap-confirms-all": ("retention", "clients-cut"),
    "keys-without-content": ("partition", "one-way"),
    "twins-named-by-log-order": ("partition", "one-way"),
    "twins-read-twice": ("partition", "one-way", "crash"),
    "twins-move": ("partition", "one-way", "clients-cut"),
    "holder-keeps-to-itself": ("rot", "give-up", "disk-back", "crash"),
    "originals-stay-shown": ("rot", "give-up", "power"),
    "gives-up-what-others-keep": ("rot", "crash", "give-up"),
    "gives-up-what-it-stands-on": ("rot", "give-up", "disk-cloned"),
    "hole-is-nobodys-business": ("rot", "crash"),
    "unreadable-untold": ("rot",),
    "lost-untold": ("rot", "crash", "give-up"),
    "began-stays-known": ("rot", "give-up", "crash-loops"),
    "retention-by-wall-clock": ("wall", "wall-all"),
    "retention-by-newest-stamps": ("wall-all",),
    "expiry-by-wall-clock": ("wall", "wall-all"),
    "expiry-forgotten-at-a-start": ("crash", "power"),
    "withdrawn-under-one-id": ("partition", "one-way"),
    "exit-too-early": ("leave", "join", "slow-disk"),
    "words-never-age": ("oversleep",),
    "batch-shows-half": ("crash", "power", "slow-disk"),
    "unfinished-batch-counts": ("crash", "power", "slow-disk"),
    "refused-for-good": ("partition", "one-way"),
    "name-goes-to-who-is-known-first": ("partition", "one-way"),
    "password-by-arrival": ("partition", "one-way"),
    "password-by-stamp": ("wall", "wall-all"),
    "ticket-reads-what-its-maker-may": ("clients-cut",),
    "token-outlives-its-maker": ("clients-cut",),
    **FOCUS_COMPACTION,
    **FOCUS_CONFIRMING,
    **FOCUS_EDITING,
    **FOCUS_TIMING,
}


ASKS: frozenset[str] = frozenset(make.__name__.replace("_", "-") for make in ACCESS)
EDITS: frozenset[str] = frozenset(make.__name__.replace("_", "-") for make in EDITING)
TIMES: frozenset[str] = frozenset(make.__name__.replace("_", "-") for make in TIMING)
CONFIRMS: frozenset[str] = frozenset(make.__name__.replace("_", "-") for make in CONFIRMING)


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Have the bug `name` in the core while this lasts."""
    with ExitStack() as stack:
        for where, attribute, replacement in BUGS[name]():
            stack.enter_context(patch.object(where, attribute, replacement))
        yield
