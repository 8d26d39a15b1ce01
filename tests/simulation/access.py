"""Users, tokens and grants in a schedule: who makes and ends them, and who reads and publishes under them (ACCESS)."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import TYPE_CHECKING

from msgspec.structs import replace

from newswire.core.access import EVERYBODY, Principal
from newswire.core.model.commands import (
    AddGrant,
    AddUser,
    CreateToken,
    EndSession,
    Publish,
    RemoveUser,
    Request,
    RevokeGrant,
    RevokeToken,
    SetPassword,
    Subscribe,
    Unsubscribe,
)
from newswire.core.model.event_ids import parse
from newswire.core.model.names import matches
from newswire.core.model.ops import (
    OpId,
    PasswordSet,
    TokenCreated,
    Verb,
)
from newswire.core.model.results import Receipt
from tests.simulation.clients import TOPICS, Client, Result, Session
from tests.simulation.truth import Text
from tests.simulation.world import WALL, Violation

if TYPE_CHECKING:
    from tests.simulation.schedule import Cluster

NAMES = ("m0", "m1")
GRANTS = ("a.x", "a.y", "b", "a.*", ">")
LATER = WALL + 3_600_000  # ms: when tokens expire that do, if no clock jumps


class Registrar(Client):
    """Adds and removes users, tokens, grants and passwords, at whatever broker; nobody asks who that is."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster, "registrar")
        self.grants: list[tuple[str, Verb, str]] = []
        self.number = 0
        self.tickets = Random(f"tickets {self.world.seed}")
        self.world.after(self.world.between(0.0, 1.0), self._loop)

    def _loop(self) -> None:
        if self.cluster.healing:
            return
        if self.world.chance(0.5):
            self.elsewhere()
        request = self._choose()
        if request is not None:
            self.ask([request], lambda machine, result: self._answered(request, result))
        self.world.after(self.world.between(0.1, 0.4 if len(self.grants) < 3 else 0.9), self._loop)

    def _choose(self) -> Request | None:
        rng, name = self.world.rng, self.world.rng.choice(NAMES)
        member = self.cluster.members[name]
        self.number += 1
        if not member.principals or rng.random() < 0.1:
            is_admin = rng.random() < 0.1 or self.tickets.random() < 0.2  # who makes tickets for others
            return AddUser(name, admin=is_admin, password=f"${self.number}")
        what = rng.random()
        if what < 0.06:
            return RemoveUser(name)
        if len(self.grants) < 3 or (what < 0.4 and len(self.grants) < 7):
            who, verb = rng.choice((name, name, EVERYBODY)), rng.choice(("publish", "subscribe", "subscribe"))
            self.grants.append((who, verb, rng.choice(GRANTS)))
            return AddGrant(*self.grants[-1])
        if what < 0.58:
            return RevokeGrant(*self.grants.pop(rng.randrange(len(self.grants))))
        if what < 0.7:
            narrower = rng.choice((None, None, ("a.*",), ("b",), ()))
            expires = LATER if self.tickets.random() < 0.5 else 0
            return CreateToken(name, f"{self.number:064x}", expires=expires, subscribe=narrower)
        if what < 0.8:
            tokens = [member.by.token] if member.by.token else [by.token for by in member.principals if by.token]
            return RevokeToken(rng.choice(tokens)) if tokens else None  # that of its stream, if it has one
        if what < 0.85:
            return EndSession(f"s{rng.randint(1, 3)}", member.principals[-1].account)
        return SetPassword(name, f"${self.number}")

    def _answered(self, request: Request, result: Result) -> None:
        if not isinstance(result, Receipt):
            return
        if isinstance(request, AddUser):
            self.cluster.members[request.name].learn(Principal(result.first), Principal(result.first, password=result.ids[1]))
            for one in self.cluster.members.values():
                one.show(result.first, request.name)
        elif isinstance(request, CreateToken):
            op = self.ledger.ops[result.first]
            assert isinstance(op, TokenCreated)
            self.cluster.members[request.name].learn(Principal(op.account, token=result.first))
        elif isinstance(request, SetPassword):
            op = self.ledger.ops[result.first]
            assert isinstance(op, PasswordSet)
            self.cluster.members[request.name].learn(Principal(op.account, password=result.first))


class Member(Client):
    """Reads, subscribes and publishes under a user's name, with whatever it ever was given for that, good or not."""

    auto = True

    def __init__(self, cluster: Cluster, name: str) -> None:
        super().__init__(cluster, name)
        self.principals: list[Principal] = []
        self.got: set[str] = set()
        self.session: Session | None = None
        self.by = Principal("")
        self.ids: list[str] = [""]  # shown before
        self.number = 0
        self.tickets = Random(f"tickets {self.world.seed} {name}")
        self.world.after(self.world.between(0.5, 1.5), self._loop)

    def show(self, account: OpId, name: str) -> None:
        """Make a ticket for the feed of `account`, which has the name: one's own, or as an admin another's. "": nobody's."""
        feed = [replace(by, feed=account) for by in self.principals[-3:] if not by.feed]
        if account and feed and self.tickets.random() < 0.6:
            self.cluster.members[name].principals.append(self.tickets.choice(feed))

    def learn(self, *principals: Principal) -> None:
        """What it may ask with from here on."""
        self.principals += principals
        if self.tickets.random() < 0.4:
            for other in self.cluster.members.values():
                self.show(*other.account)
        sessions = [Principal(by.account, by.token, by.password, f"s{self.world.rng.randint(1, 3)}") for by in principals]
        self.principals += sessions if self.world.chance(0.3) else ()

    def _loop(self) -> None:
        self.world.after(self.world.between(0.1, 0.5), self._loop)
        rng = self.world.rng
        if not self.principals:
            return
        if self.session is not None:
            self._read(self.session)
        if not self.cluster.healing and rng.random() < 0.4:
            self._ask()
        if self.session is None:
            self._connect()

    def _choose(self) -> Principal:
        rng = self.world.rng
        tokens = [by for by in self.principals if by.token]
        if tokens and rng.random() < 0.4:
            return rng.choice(tokens[-2:])
        return rng.choice(self.principals[-3:] if rng.random() < 0.6 else self.principals)

    @property
    def account(self) -> tuple[OpId, str]:
        """What it was last, "" for nothing yet, and its name."""
        return next((by.account for by in reversed(self.principals) if not by.feed), ""), self.name

    def _ask(self) -> None:
        if self.tickets.random() < 0.15:
            self._make_token()
        rng, by = self.world.rng, self._choose()
        pattern = rng.choice(GRANTS)
        what = rng.random()
        if what < 0.6:
            account = by.feed or by.account
            self.ask([Subscribe(self.name, pattern, account=account)], lambda machine, result: _check(by, result), by=by)
        elif what < 0.7:
            account = by.feed or by.account
            self.ask([Unsubscribe(self.name, pattern, account=account)], lambda machine, result: _check(by, result), by=by)
        else:
            self.number += 1
            text, topic = f"{self.name}.{self.number}", rng.choice(TOPICS)
            self.ledger.texts[text] = Text(text, topic, self.world.now)
            publish = Publish(topic, text, publisher=self.name)
            self.ask([publish], lambda machine, result: self._published(by, text, result), by=by)
        if rng.random() < 0.3:
            self.elsewhere()

    def _make_token(self) -> None:
        """Make a token for oneself, with whatever one has: one that is made with a token ends with that at the latest."""
        if not self.principals:
            return
        tokens = [by for by in self.principals if by.token]
        by = self.tickets.choice(tokens if tokens and self.tickets.random() < 0.7 else self.principals)
        ends = self.tickets.choice((0, LATER - 1_000, LATER + 1_000))
        self.number += 1
        digest = f"{self.name}{self.number}".encode().hex().rjust(64, "f")
        self.ask([CreateToken(self.name, digest, expires=ends)], lambda machine, result: self._got_token(by, result), by=by)

    def _got_token(self, by: Principal, result: Result) -> None:
        _check(by, result)
        if isinstance(result, Receipt):
            op = self.ledger.ops[result.first]
            assert isinstance(op, TokenCreated)
            maker = self.ledger.ops.get(by.token)
            ends = maker.expires if isinstance(maker, TokenCreated) and op.account == by.account else 0
            if ends and not 0 < op.expires <= ends:
                raise Violation(f"{op} was made with {by.token}, which ends before")
            self.learn(Principal(op.account, token=result.first))

    def _published(self, by: Principal, text: str, result: Result) -> None:
        _check(by, result)
        if isinstance(result, Receipt):
            self.ledger.texts[text].published.append(result.first)

    def _connect(self) -> None:
        by, machine = self._choose(), self.machine
        feeds = [by for by in self.principals if by.feed]
        if feeds and self.tickets.random() < 0.4:
            by = self.tickets.choice(feeds[-3:])
        event_id = parse(self.world.rng.choice(self.ids[-8:]))
        session = self.session = Session(self, machine)
        self.by = by
        if self.world.tracing:
            self.world.say(self.name, f"opens a stream at {machine.id} as {by} with {event_id or 'no id'}")
        self.world.reach(machine.id, lambda: machine.open(session, self.name, event_id, by), session.broke)

    def _read(self, session: Session) -> None:
        self.ids += [text for _, text in session.arrived if text]
        session.arrived.clear()
        leaves = not self.cluster.quiet and self.world.chance(0.05)
        if leaves:
            session.leave()
        if session.over:
            self.session = None
            if self.world.chance(0.6):
                self.elsewhere()

    def lacks(self, texts: Iterable[Text]) -> list[str]:
        """Which of these it did not get, though it has a stream and may read them there: for the end, when all is settled."""
        if self.session is None or self.session.over or self.session.outlet is None:
            return []
        fold = self.ledger.applied(self.session.machine)
        account = self.by.feed or self.by.account
        patterns = [sub.pattern for _, sub in fold.alive(self.name) if sub.account == account]
        return [
            text.name
            for text in texts
            if any(matches(pattern, text.topic) for pattern in patterns)
            and fold.access.may(self.by, "subscribe", text.topic)
            and text.name not in self.got
        ]


def _check(by: Principal, result: Result) -> None:
    """A ticket reads, and nothing is stored for it."""
    if by.feed and isinstance(result, Receipt):
        raise Violation(f"{by}, which is for one feed, had {result} stored")
