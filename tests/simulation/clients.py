"""Clients: publishers that retry with their key elsewhere, users who subscribe and unsubscribe, readers that move.

They know what a client knows: their own requests, the answers that reached them, the ids that they read. Where a client
is let know more (`Call.open`: whether something may still come of a request), it is said why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, Protocol

import msgspec

from newswire.core.access import Principal
from newswire.core.broker.values import BrokerStatus
from newswire.core.model.commands import Acknowledge, Confirm, Publish, Request, Subscribe, Unsubscribe, Withdraw
from newswire.core.model.event_ids import parse
from newswire.core.model.ops import Confirmed, Published, Scheduled
from newswire.core.model.results import Receipt
from newswire.core.read.scan import DueGap, DueWithdrawal
from newswire.errors import FewerCopies, KeyReused, NewswireError, NotFound, NotStored, Unknown
from tests.simulation.machine import Call, Machine, Outlet
from tests.simulation.truth import Ledger, Registration, Text
from tests.simulation.world import Violation, World

if TYPE_CHECKING:
    from tests.simulation.schedule import Cluster

Result = Receipt | BrokerStatus | NewswireError | None  # None: refused by the host, nothing came of it
TOPICS = ("a.x", "a.y", "b")
PATTERNS = ("a.x", "a.y", "b", "a.*", ">")
EDIT_TRIES = 6
LIFETIMES = (1, 3, 8, 86_400)  # seconds until a message that expires does; the last outlasts any schedule


class Client:
    """Somebody who asks brokers for something, one request after the other."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster, self.name = cluster, name
        self.world: World = cluster.world
        self.ledger: Ledger = cluster.ledger
        self.machine: Machine = cluster.world.rng.choice(cluster.machines)

    def ask(
        self,
        requests: Sequence[Request],
        tell: Callable[[Machine, Result], None],
        copies: int = 1,
        by: Principal | None = None,
    ) -> Call:
        """Send requests to this client's broker; `tell` gets the answer, or Unknown when none came in time."""
        machine, world = self.machine, self.world
        world.steps += 1
        call = Call(lambda result: tell(machine, result))
        if world.tracing:
            world.say(self.name, f"asks {machine.id} {' '.join(map(repr, requests))} copies={copies}")
        world.reach(machine.id, lambda: machine.request(call, requests, copies, 3.0, by), lambda: setattr(call, "open", False))
        world.after(world.between(1.0, 4.0), self._give_up, call)
        return call

    def _give_up(self, call: Call) -> None:
        if call.waiting:
            call.waiting = False
            call.tell(Unknown("no answer in time"))

    def elsewhere(self) -> None:
        """Turn to another broker."""
        self.machine = self.world.rng.choice([m for m in self.cluster.machines if m is not self.machine])


class Publisher(Client):
    """Publishes texts, most with a key, some as a batch, some with two copies; tries until it is answered."""

    def __init__(self, cluster: Cluster, name: str, texts: int, pace: float) -> None:
        super().__init__(cluster, name)
        self.left, self.pace = texts, pace
        self.number = 0
        self.now: list[Publish] = []
        self.said: list[Publish] = []  # with a key, and answered
        self.copies = 1
        self.tries = 0
        self.world.after(self.world.between(0, pace), self.next)

    @property
    def done(self) -> bool:
        """Whether everything was published and answered."""
        return not self.left and not self.now

    def next(self) -> None:
        """Publish the next text or batch."""
        if not self.left:
            return
        rng = self.world.rng
        count = min(self.left, 1 if rng.random() < 0.8 else rng.randint(2, 4))
        self.left -= count
        expires = rng.choice(LIFETIMES) if rng.random() < 0.25 else 0
        keyed = rng.random() < 0.9
        self.copies, self.tries = (2 if rng.random() < self.cluster.asks_for_two else 1), 0
        if not self.cluster.keeps_keys and 0 < expires < LIFETIMES[-1]:
            keyed = False  # where its message is compacted its key is forgotten, and a retry is one more message there
        self.now = [self.write(rng.choice(TOPICS), keyed=keyed, expires=expires) for _ in range(count)]
        if keyed and self.said and rng.random() < 0.15:
            self._borrow(rng.choice(self.said))
        self._try()

    def _borrow(self, before: Publish) -> None:
        """Publish an old message once more beside the new ones, or give its key to one of them."""
        if self.world.chance(0.6):
            self.now.append(before)
        else:
            new = self.now[-1]
            self.ledger.texts[new.data].topic = before.topic
            self.now[-1] = msgspec.structs.replace(new, topic=before.topic, key=before.key)

    def write(self, topic: str, *, keyed: bool = True, expires: int = 0) -> Publish:
        """A new text; one that expires does so in `expires` seconds."""
        self.number += 1
        name = f"{self.name}.{self.number}"
        self.ledger.texts[name] = Text(name, topic, self.world.now)
        confirm, escalate = self.cluster.draw_confirm()
        return Publish(
            topic, name, key=name if keyed else "", publisher=self.name, expires=expires, confirm=confirm, escalate=escalate
        )

    def _try(self) -> None:
        self.tries += 1
        copies = self.copies if self.tries < 6 else 1
        self.ask(self.now, self._answered, copies)

    def _answered(self, machine: Machine, result: Result) -> None:
        if isinstance(result, Receipt):
            if result.copies < self.copies and self.tries < 6:
                raise Violation(f"{machine.id} answers {result} where {self.copies} copies were asked for")
            self._published(result)
        elif (
            isinstance(result, NotStored)
            and self.tries == 1
            and any(self.ledger.is_stored(one.data) for one in self.now if one not in self.said)
        ):
            raise Violation(f"{machine.id} says that {self.now[0].data} is not stored ({result.code}), and it is")
        elif isinstance(result, KeyReused):
            self._check_reused(machine, result)
            self.now = []
        elif isinstance(result, FewerCopies):
            self.ledger.texts[self.now[-1].data].published.append(str(result.extra["id"]))
            self.now = []
        elif not self.now[0].key and not (result is None or isinstance(result, NotStored)):
            self.now = []  # perhaps stored, and no key to try again with
        if self.now:
            if self.world.chance(0.8):
                self.elsewhere()
            self.world.after(self.world.between(0.02, 0.3), self._try)
        else:
            self.world.after(self.world.between(0.2, 1.8) * self.pace, self.next)

    def _published(self, done: Receipt) -> None:
        self.cluster.copies = done.copies
        if done.count + done.duplicates != len(self.now) or (
            self.tries == 1 and self.cluster.fault_free and done.duplicates > 1
        ):
            raise Violation(f"{len(self.now)} messages were published, and the answer is {done}")
        if self.world.now > 5.0 and self.copies == 1 and done.copies < len(self.cluster.machines) and self.cluster.fault_free:
            raise Violation(f"{done} names too few copies, and there was no fault")
        for message, name in zip(self.now, done.ids, strict=True):
            op = self.ledger.ops[name]
            if not isinstance(op, Published) or (op.topic, op.data, op.key) != (message.topic, message.data, message.key):
                raise Violation(f"{message} is answered with {name}, which is {op}")
            self.ledger.texts[message.data].published.append(name)
        self.said += [message for message in self.now if message.key]
        self.now = []

    def _check_reused(self, machine: Machine, error: KeyReused) -> None:
        """A key is refused only where it names another text, and the answer says which."""
        asked = self.now[error.extra["index"]]
        named = self.ledger.ops[error.extra["id"]]
        if not isinstance(named, Published) or (named.topic, named.key) != (asked.topic, asked.key) or named.data == asked.data:
            raise Violation(f"{machine.id} refuses {asked} because of {named}")


class User(Client):
    """Subscribes and unsubscribes, one request at a time for each pattern, tried until it is answered."""

    def __init__(self, cluster: Cluster, name: str, patterns: Sequence[str], *, steady: bool) -> None:
        super().__init__(cluster, name)
        self.steady = steady  # subscribes once and stays
        self.desks = [_Desk(self, pattern) for pattern in patterns]
        self.ledger.taken.setdefault(name, [])

    def step(self) -> None:
        """Now and then change a subscription."""
        for desk in self.desks:
            desk.step()

    @property
    def idle(self) -> bool:
        """Whether nothing is asked for at the moment."""
        return not any(desk.wanted for desk in self.desks)


class _Desk:
    """One pattern of one user."""

    def __init__(self, user: User, pattern: str) -> None:
        self.user, self.pattern = user, pattern
        self.registration: Registration = user.ledger.registration(user.name, pattern)
        self.wanted = ""  # "sub" or "unsub" while it is being asked for
        self.since: int | None = None
        self.calls: list[Call] = []
        self.first = True
        world = user.world
        self.begins_at = world.now + (world.between(0.5, 6.0) if world.chance(0.4) else 0.0)  # perhaps with a history before it

    def step(self) -> None:
        """Ask for a change, perhaps."""
        user, rng = self.user, self.user.world.rng
        if self.wanted:
            return
        registered = bool(self.registration.answered)
        if user.cluster.healing or user.world.now < self.begins_at:
            return
        if not registered or rng.random() < 0.03:
            if registered and user.steady and rng.random() < 0.7:
                return
            if self.first or registered or rng.random() < 0.15:
                self._begin("sub")
        elif not user.steady and rng.random() < 0.04:
            self._begin("unsub")

    def _begin(self, wanted: str) -> None:
        # What may still come of an earlier request would be a second, unseen change of mind: a client can't know, so
        # the schedule waits for it where the opposite is asked for.
        if any(call.open for call in self.calls):
            return
        self.calls = []
        self.wanted = wanted
        if self.user.world.chance(0.4):
            self.user.elsewhere()
        if wanted == "unsub":
            self.registration.answered, self.registration.earliest = [], False
        else:
            earliest = self.first and self.user.world.chance(0.3)
            self.since = 0 if earliest else None
            self.registration.earliest = self.registration.earliest or earliest
            self.first = False
        self._try()

    def _try(self) -> None:
        user = self.user
        request: Request
        if self.wanted == "sub":
            request = Subscribe(user.name, self.pattern, self.since)
        else:
            request = Unsubscribe(user.name, self.pattern)
        self.calls.append(user.ask([request], self._answered))

    def _answered(self, machine: Machine, result: Result) -> None:
        user = self.user
        if isinstance(result, Receipt):
            if self.wanted == "sub":
                self.registration.answered.append((user.world.now, result.first))
            self.wanted = ""
        elif isinstance(result, NotFound):
            self.wanted = ""
        if self.wanted:
            user.elsewhere()
            user.world.after(user.world.between(0.02, 0.5), self._try)


class Confirmer(Client):
    """Confirms for a user some of the messages that he took and that ask for it, at any broker, under any of their ids."""

    def __init__(self, cluster: Cluster, user: User, rng: Random) -> None:
        super().__init__(cluster, user.name)
        self._rng = rng
        self._willing: dict[str, bool] = {}  # by text
        self._asked = ""
        self.world.after(rng.random(), self._loop)

    def _loop(self) -> None:
        if not self.cluster.healing:
            self.world.after(self._rng.uniform(0.1, 0.8), self._loop)
        texts = sorted({text for taken in self.ledger.taken[self.name] for text in taken if self._asks(text)})
        todo = [text for text in texts if self._is_willing(text)]
        if todo and not self._asked:
            self._asked = self._rng.choice(todo)
            self._ask_once()

    def _asks(self, text: str) -> bool:
        ids = self.ledger.texts[text].ids if text in self.ledger.texts else []
        return bool(ids) and not self.ledger.confirmations.asking.isdisjoint(ids)

    def _is_willing(self, text: str) -> bool:
        is_willing = self._willing.setdefault(text, self._rng.random() < 0.7)
        done = (self.name, text) in self.ledger.confirmations.answered
        return is_willing and (not done or self._rng.random() < 0.05)

    def _ask_once(self) -> None:
        self.machine = self._rng.choice(self.cluster.machines)
        ids = self.ledger.texts[self._asked].ids
        if ids:
            name = self._rng.choice(ids)
            self.ask([Confirm(self.name, name)], lambda machine, result: self._answered(machine, name, result))
        else:
            self._asked = ""

    def _answered(self, machine: Machine, name: str, result: Result) -> None:
        text, self._asked = self._asked, ""
        if isinstance(result, Receipt):
            op = self.ledger.ops[result.first] if result.first else None
            if op is not None and (not isinstance(op, Confirmed) or op.user != self.name):
                raise Violation(f"{machine.id} answers {self.name}, who confirms {name}, with {op}")
            ids = [op.id] if op is not None else self.ledger.confirmations.known(machine, self.name, text)
            self.ledger.confirmations.answered.setdefault((self.name, text), []).extend(ids)
        elif isinstance(result, (NotStored, Unknown)) or result is None:
            self._asked = text
            self.world.after(self._rng.uniform(0.02, 0.5), self._ask_once)


class Editor(Client):
    """Withdraws messages, or has others take their place, at any broker, under any of their ids; tries again elsewhere."""

    def __init__(self, cluster: Cluster, rng: Random) -> None:
        super().__init__(cluster, "editor")
        self._rng = rng
        self._request: Request | None = None
        self._text = ""
        self._count = self._tries = 0
        self.world.after(rng.uniform(1.0, 3.0), self._loop)

    def _loop(self) -> None:
        if self.cluster.healing:
            return
        self.world.after(self._rng.uniform(0.3, 1.5), self._loop)
        texts = [text for name, text in sorted(self.ledger.texts.items()) if text.ids and not self.ledger.is_withdrawn(name)]
        if self._request is not None or not texts:
            return
        text = self._rng.choice(texts)
        self._text, self._tries, name = text.name, 0, self._rng.choice(text.ids)
        if self._rng.random() < 0.5:
            self.ledger.edits.asked.add(text.name)
            self._request = Withdraw(name, text.topic)
        else:
            self._count += 1
            newer = f"editor.{self._count}"
            self._text = newer
            self.ledger.texts[newer] = Text(newer, text.topic, self.world.now)
            self._request = Publish(text.topic, newer, key=newer, publisher=self.name, replaces=name)
        self._ask_once()

    def _ask_once(self) -> None:
        assert self._request is not None
        self._tries += 1
        self.machine = self._rng.choice(self.cluster.machines)
        self.ask([self._request], self._answered)

    def _answered(self, machine: Machine, result: Result) -> None:
        request, self._request = self._request, None
        assert request is not None
        if isinstance(result, Receipt):
            self._done(machine, request, result)
        elif (isinstance(result, (NotStored, Unknown)) or result is None) and self._tries < EDIT_TRIES:
            self._request = request
            self.world.after(self._rng.uniform(0.02, 0.5), self._ask_once)

    def _done(self, machine: Machine, request: Request, done: Receipt) -> None:
        if isinstance(request, Publish):
            op = self.ledger.ops[done.first]
            if not isinstance(op, Published) or (op.data, op.replaces) != (request.data, request.replaces):
                raise Violation(f"{request} is answered with {op}")
            self.ledger.texts[request.data].published.append(done.first)
        elif done.first:
            self.ledger.edits.answered.setdefault(self._text, []).append(done.first)


class Scheduler(Client):
    """Has messages delivered later, retries elsewhere under their keys, and withdraws some while they wait, or later."""

    def __init__(self, cluster: Cluster, rng: Random) -> None:
        super().__init__(cluster, "timer")
        self._rng = rng
        self._request: Publish | None = None
        self._count = self._tries = 0
        self.world.after(rng.uniform(0.1, 1.0), self._loop)

    @property
    def done(self) -> bool:
        """Whether everything was answered."""
        return self._request is None

    def _loop(self) -> None:
        if self.cluster.healing:
            return
        self.world.after(self._rng.uniform(0.3, 1.5), self._loop)
        if self._request is None and self._rng.random() < 0.7:
            self._write()
        elif (answered := sorted(self.ledger.timed.answered)) and self._rng.random() < 0.4:
            self._withdraw(self._rng.choice(answered))

    def _write(self) -> None:
        self._count += 1
        self._tries = 0
        name, topic, rng = f"timer.{self._count}", self._rng.choice(TOPICS), self._rng
        self.ledger.texts[name] = Text(name, topic, self.world.now)
        milliseconds = rng.choice((rng.randint(1, 500), rng.randint(500, 5_000)))
        expires = rng.choice(LIFETIMES) if rng.random() < 0.15 else 0
        self._request = Publish(topic, name, key=name, publisher=self.name, delay=milliseconds, expires=expires)
        self._ask_once()

    def _ask_once(self) -> None:
        assert self._request is not None
        self._tries += 1
        self.machine = self._rng.choice(self.cluster.machines)
        self.ask([self._request], self._answered)

    def _answered(self, machine: Machine, result: Result) -> None:
        request = self._request
        assert request is not None
        if isinstance(result, Receipt):
            op = self.ledger.ops[result.first]
            if not isinstance(op, Scheduled) or (op.data, op.topic, op.delay) != (request.data, request.topic, request.delay):
                raise Violation(f"{request} is answered with {op}")
            self.ledger.timed.answered.setdefault(request.data, []).append(op.id)
            self._request = None
        elif (isinstance(result, (NotStored, Unknown)) or result is None) and self._tries < EDIT_TRIES:
            self.world.after(self._rng.uniform(0.02, 0.5), self._ask_once)
        else:
            self._request = None

    def _withdraw(self, text: str) -> None:
        name = self._rng.choice(self.ledger.timed.answered[text])
        self.ledger.edits.asked.add(text)
        self.machine = self._rng.choice(self.cluster.machines)
        self.ask([Withdraw(name, self.ledger.texts[text].topic)], lambda machine, result: self._withdrew(text, result))

    def _withdrew(self, text: str, result: Result) -> None:
        if isinstance(result, Receipt) and result.first:
            self.ledger.edits.answered.setdefault(text, []).append(result.first)


class Reader(Client):
    """A user's program that reads a stream: crashes, moves, shows ids or none, acknowledges or leaves it to the kernel.

    `auto`: what the kernel of this side confirmed counts as got. Else got is what the program keeps: at once, together
    with the id (`durable`), or only when it acknowledges it or shows its id (`memory`, `none`: lost with the program).
    """

    def __init__(self, cluster: Cluster, user: User, *, auto: bool, ids: str) -> None:
        super().__init__(cluster, user.name)
        self.user, self.auto, self.ids = user, auto, ids
        self.got: set[str] = set()
        self.hand: list[str] = []  # read, and neither acknowledged nor named yet
        self.last_id = ""
        self.session: Session | None = None
        self.again_at = 0.0
        self.shows = False  # the id that the session was opened with, or could have been
        self.seen: dict[str, int] = {}
        self.restless = 0.03
        self.ledger.taken[user.name].append(self.got)
        self.world.after(self.world.between(0, 1), self._loop)

    def _loop(self) -> None:
        self.step()
        self.world.after(self.world.between(0.1, 0.3), self._loop)

    def step(self) -> None:
        """Read what came; now and then crash, move, acknowledge."""
        rng, cluster = self.world.rng, self.cluster
        session = self.session
        if session is None:
            if self.world.now >= self.again_at:
                self.connect()
            return
        if session.slow and rng.random() < 0.5:
            return
        self.read(session)
        if session.over:
            self.session = None
            self._forget(crashed=False)
            self.again_at = self.world.now + self.world.between(0.01, 0.6)
            if self.world.chance(0.7):
                self.elsewhere()
        elif not cluster.quiet and rng.random() < self.restless:
            self._leave(session)
        elif not self.auto and self.last_id and rng.random() < 0.2:
            self.acknowledge()

    def connect(self) -> None:
        """Open a stream with what this program remembers."""
        if self.ids == "memory" or self.ids == "durable":
            text = self.last_id
            self.got.update(self.hand)  # the id names all of it
            self.hand = []
        else:
            text = ""
        if not (self.cluster.quiet or self.cluster.fault_free) and self.world.chance(0.03):
            text = "e~not-an-id"
        session = self.session = Session(self, self.machine)
        machine = self.machine
        if self.world.tracing:
            self.world.say(self.name, f"opens a stream at {machine.id} with {text or 'no id'}")
        event_id = parse(text) if text else None
        self.world.reach(machine.id, lambda: machine.open(session, self.user.name, event_id), session.broke)

    def read(self, session: Session) -> None:
        """Take what the kernel of this side has."""
        for op, text in session.arrived:
            self.last_id = text or self.last_id  # of several gaps only the last has one
            if isinstance(op, DueGap):
                self.ledger.told_gaps[self.user.name, op.topic] += op.dropped
                continue
            if isinstance(op, DueWithdrawal):
                continue
            if self.cluster.fault_free:
                self.seen[op.data] = self.seen.get(op.data, 0) + 1
            if self.auto or self.ids == "durable":
                self.got.add(op.data)
            else:
                self.hand.append(op.data)
        session.arrived.clear()

    def acknowledge(self) -> None:
        """`POST /ack` at any broker."""
        event_id = parse(self.last_id)
        assert event_id is not None
        self.got.update(self.hand)
        self.hand = []
        pattern = self.world.rng.choice(self.user.desks).pattern if self.world.chance(0.2) else None
        stayed, self.machine = self.machine, self.world.rng.choice(self.cluster.machines)
        self.ask([Acknowledge(self.user.name, event_id, pattern)], lambda machine, result: None)
        self.machine = stayed

    def _leave(self, session: Session) -> None:
        crashed = self.world.chance(0.4)
        if self.world.tracing:
            self.world.say(self.name, f"{'crashes' if crashed else 'moves'}, leaving {session.machine.id}")
        session.leave()
        self.session = None
        self._forget(crashed=crashed)
        self.again_at = self.world.now + self.world.between(0, 0.8)
        if self.world.chance(0.7):
            self.elsewhere()

    def _forget(self, *, crashed: bool) -> None:
        if self.ids == "none" or (crashed and self.ids == "memory"):
            self.hand, self.last_id = [], ""


class TakesNews(Protocol):
    """Who reads: `auto`: what the kernel of this side confirmed counts as got."""

    world: World
    cluster: Cluster
    auto: bool
    got: set[str]


class Session:
    """The reading end of a stream: a connection with a kernel that has what it has, in order."""

    def __init__(self, reader: TakesNews, machine: Machine) -> None:
        self.reader, self.machine, self.world = reader, machine, reader.world
        self.auto = reader.auto
        self.outlet: Outlet | None = None
        self.arrived: list[tuple[Published | DueGap | DueWithdrawal, str]] = []
        self.over = False
        self.slow = reader.world.chance(0.1)
        self._last = 0.0

    def accepted(self, outlet: Outlet) -> None:
        """The stream is open."""
        self.outlet = outlet

    def refused(self) -> None:
        """There is no stream to be had here now."""
        self.world.after(0.002, self._end)

    def broke(self) -> None:
        """The other end is gone; this one learns of it later."""
        self.world.after(self.world.between(0.001, 0.5), self._end)

    def _end(self) -> None:
        self.over = True

    def send(self, op: Published | DueGap | DueWithdrawal, text: str, frames: int) -> None:
        """Bytes on their way to this end, in order."""
        self._last = max(self._last, self.world.now + self.world.delay())
        self.world.after(self._last - self.world.now, self._arrive, op, text, frames)

    def _arrive(self, op: Published | DueGap | DueWithdrawal, text: str, frames: int) -> None:
        if self.over:
            return
        cluster = self.reader.cluster
        at_gap = isinstance(op, DueGap) and not (cluster.fault_free or cluster.healing)  # several seldom stand together
        if (self.machine.id, "client") in self.world.cut or self.world.chance(0.4 if at_gap else self.world.loss * 0.2):
            self.over = True  # reset: nothing behind this comes either
            if self.outlet is not None:
                self.world.after(self.world.between(0.01, 1.0), self.outlet.close)
            return
        self.arrived.append((op, text))
        if self.auto and isinstance(op, Published):
            self.reader.got.add(op.data)
        if self.outlet is not None and not self.outlet.gone:
            self.world.after(self.world.between(0.0005, 0.3), self.outlet.confirm, frames)

    def leave(self) -> None:
        """Close this end."""
        self.over = True
        if self.outlet is not None:
            self.world.after(self.world.delay(), self.outlet.left)
