"""Gateways over a log in memory, without threads, and schedules of chance for them: killed, cut off, on logs that roll back."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from newswire.core.broker.events import Event, Now, Submitted, Tick
from newswire.core.broker.values import Identity
from newswire.core.model.commands import Publish
from newswire.core.model.results import Receipt, TopicRow
from newswire.core.read.counts import topic_rows
from newswire.core.state.fold import State
from newswire.engine.group_commit import Outward
from newswire.engine.jetstream.checkpoint import write_checkpoint
from newswire.engine.jetstream.log import Log, OtherLog
from newswire.engine.jetstream.shell import GatewayShell
from tests.kit.fake_log import FakeJetStream, FakeServers


class Killed(BaseException):
    """The process ends here."""


class KillingServers(FakeServers):
    """One whose gateway may be killed right after its record stood in the log."""

    kills = False

    def append(self, incarnation: str, token: str, payload: bytes) -> tuple[int, bool]:
        result = super().append(incarnation, token, payload)
        if self.kills:
            self.kills = False
            raise Killed
        return result


class FakeGateway:
    """One gateway, its copy in `folder`."""

    def __init__(self, stream: FakeJetStream, folder: Path, broker: str) -> None:
        self.stream, self.folder, self.broker = stream, folder, broker
        self._runs = 0
        self.clock = 0.0
        self.start()

    def _mint(self) -> str:
        self._runs += 1
        return f"{self.broker}-r{self._runs:03}"

    def start(self) -> None:
        """Start on what is there."""
        self.servers = KillingServers(self.stream)
        log = Log(self.servers, self.folder)
        state, origin = State(), self._mint()
        if not self._recover(log, state, origin):
            state = log.fold_again(state)
        self.shell = GatewayShell(
            Identity(id=self.broker, address=f"127.0.0.1:{self.broker}", origin=origin, heartbeat=5.0),
            state,
            log,
            self._execute,
            lambda: Now(self.clock, 1_700_000_000_000 + int(self.clock * 1000)),
            0,
            self._mint,
            lambda: None,
            partial(write_checkpoint, self.servers, log.copy),
        )
        self.log = log
        self.servers.on_news(self.shell.hear)
        try:
            self.shell.begin()
        except OtherLog:
            self.shell.fold_again()

    def _recover(self, log: Log, state: State, origin: str) -> bool:
        if log.recover(state, "c", origin, None):
            try:
                log.catch_up(state)
                return True
            except OtherLog:
                pass
        return False

    def end(self) -> None:
        """Die: nothing is written down."""
        self.stream.views.remove(self.servers)
        self.log.copy.close()

    def _execute(self, action: Outward) -> None:
        reply_to = getattr(action, "reply_to", None)
        if reply_to is not None:
            reply_to(getattr(action, "result", None))

    def submit(self, *requests: Any) -> list[object]:
        """What became of it, if anything yet."""
        results: list[object] = []
        self._run(Submitted(results.append, requests, until=self.clock + 10))
        return results

    def _run(self, event: Event) -> None:
        """One that is killed meanwhile starts again."""
        try:
            self.shell.run([event])
            while self.shell.has_more:
                self.shell.run([])
        except Killed:
            self.end()
            self.start()

    def follow(self) -> None:
        """Take what others appended."""
        self.clock += 1
        self.log.grown.set()
        self._run(Tick())

    @property
    def state(self) -> State:
        return self.shell.broker.state

    def holds(self) -> dict[str, int]:
        """Every origin, with how far; those of which only a `began` is here are no matter."""
        return {origin: upto for origin, upto in dict(self.state.log.full).items() if upto > 1}

    def shown(self) -> dict[str, int]:
        """How many messages each topic shows."""
        taken: list[TopicRow] = []
        self.shell.query(lambda state: topic_rows(state, 2**50, taken.extend, None))
        return {row.topic: row.messages for row in taken}


class Schedule:
    """Random acts on some gateways of one log. What was acknowledged is in `acked`: topic -> how many keys."""

    def __init__(self, seed: int, folder: Path, count: int = 3, *, rolls_back: bool = True) -> None:
        self.chance = random.Random(seed)
        self.stream = FakeJetStream()
        self.folder = folder
        self.gateways = [FakeGateway(self.stream, folder / str(at), str(1001 + at)) for at in range(count)]
        self.acked: set[str] = set()
        self._old: FakeJetStream | None = None
        self._rolls_back = rolls_back
        self._number = 0
        publishes, others = (
            [self._publish, self._publish, self._say, self._say],
            [self._checkpoint, self._follow, self._lose, self._restart, self._kill, self._keep, self._lag],
        )
        self.acts: list[Callable[[FakeGateway], None]] = [*publishes, *others, self._break]
        if rolls_back:
            self.acts.append(self._roll_back)

    def run(self, steps: int) -> None:
        """Do so many acts, then let all settle."""
        for _ in range(steps):
            self.chance.choice(self.acts)(self.chance.choice(self.gateways))
        self.settle()

    def settle(self) -> None:
        """All is well again: everybody reads to the end."""
        for gateway in self.gateways:
            gateway.servers.reconnect()
            gateway.servers.loses_acks = gateway.servers.lags = 0
            gateway.servers.kills = False
        for _ in range(6):
            for gateway in self.gateways:
                gateway.follow()

    def end(self) -> None:
        for gateway in self.gateways:
            gateway.end()

    def _publish(self, gateway: FakeGateway) -> None:
        """A client that tries again at another gateway until it has a receipt; each message is a topic of its own."""
        self._number += 1
        topic = f"t{self._number}"
        others = [one for one in self.gateways if one is not gateway]
        for one in (gateway, *others, gateway):
            results = one.submit(Publish(topic, "x", key="k"))
            if results and isinstance(results[0], Receipt):
                self.acked.add(topic)
                return

    def _say(self, gateway: FakeGateway) -> None:
        """Without a key, once: what others appended is not read before."""
        self._number += 1
        topic = f"t{self._number}"
        results = gateway.submit(Publish(topic, "x"))
        if results and isinstance(results[0], Receipt):
            self.acked.add(topic)

    def _follow(self, gateway: FakeGateway) -> None:
        gateway.follow()

    def _lose(self, gateway: FakeGateway) -> None:
        gateway.servers.loses_acks = 1

    def _lag(self, gateway: FakeGateway) -> None:
        gateway.servers.lags = 2

    def _kill(self, gateway: FakeGateway) -> None:
        gateway.servers.kills = True

    def _restart(self, gateway: FakeGateway) -> None:
        gateway.end()
        gateway.start()

    def _break(self, gateway: FakeGateway) -> None:
        gateway.servers.reconnect()

    def _keep(self, gateway: FakeGateway) -> None:
        self._old = self.stream.keep()

    def _checkpoint(self, gateway: FakeGateway) -> None:
        """As after a compaction of its copy."""
        gateway.shell.wants_checkpoint = True
        gateway.follow()

    def _roll_back(self, gateway: FakeGateway) -> None:
        if self._old is not None:
            self.stream.restore(self._old)
            self._old = None

    def faults(self) -> list[str]:
        """What is wrong now that all has settled."""
        wrong = []
        first = self.gateways[0]
        for gateway in self.gateways:
            shown = gateway.shown()
            if missing := self.acked - shown.keys():
                wrong.append(f"{gateway.broker} lost {sorted(missing)}")
            if twice := {topic for topic, count in shown.items() if count > 1}:
                wrong.append(f"{gateway.broker} shows {sorted(twice)} twice")
            if gateway.holds() != first.holds():
                wrong.append(f"{gateway.broker} holds {gateway.holds()}, {first.broker} holds {first.holds()}")
        return wrong
