"""In place of `replication` where brokers share one log that another system keeps (docs/rules.md, JETSTREAM).

There are no peers: a broker is a gateway, and any number of them append to the log and read it. What is known of the others
is what they say of themselves now and then, beside the log: it is shown, and says who decides what one decides for all; no
receipt waits for it. How many copies there are is what the keepers of the log have proved.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from newswire.core import limits
from newswire.core.broker.alone import NoReplication
from newswire.core.broker.events import Now
from newswire.core.broker.values import Identity, PeerFacts
from newswire.core.model.balance import Load
from newswire.core.model.ops import Address, BrokerId, Origin, VectorField
from newswire.core.model.vector import FullVector
from newswire.core.state.fold import State


class Beat(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a gateway says of itself. `vector`: what it holds, short; `streams`: open there; `ends`: it stops now."""

    broker: BrokerId
    address: Address
    origin: Origin
    primary: bool = False
    serves: bool = True
    writable: bool = True
    heartbeat: Annotated[float, Meta(ge=0, le=limits.HEARTBEAT_MOST_SECONDS)] = limits.HEARTBEAT_SECONDS
    vector: VectorField = {}
    wall: Annotated[int, Meta(ge=0, le=limits.TIME_MILLISECONDS)] = 0
    streams: Annotated[int, Meta(ge=0, le=2**53)] = 0
    streams_limit: Annotated[int, Meta(ge=0, le=2**53)] = 0
    ends: bool = False


class _Heard(msgspec.Struct, frozen=True):
    """The last beat of a gateway, when it came, and by how much its clock is ahead, ms."""

    beat: Beat
    at: float
    wall: int
    ahead: int


class SharedLog(NoReplication):
    """What is known of the log's keepers and of other gateways. Commit thread only."""

    def __init__(self, identity: Identity, state: State) -> None:
        self._me, self._state = identity, state
        self._copies = 1
        self._away = ""
        self._others: dict[tuple[str, str], _Heard] = {}  # by id and address

    def become(self, state: State, now: Now, *, goes_on: bool) -> None:
        self._state = state

    # -- what the shell says

    def prove(self, copies: int) -> None:
        """Note on how many disks of the log's keepers is what they acknowledge; what is proved on none counts as one."""
        self._copies = max(1, copies)

    def lose(self, why: str) -> None:
        """Note why the log cannot be reached, in a sentence; "" when it can."""
        self._away = why

    def note(self, beat: Beat, now: Now) -> None:
        """Note what another gateway says of itself."""
        if beat.origin == self._me.origin:
            return
        name = (beat.broker, beat.address)  # one that was started again is the same
        self._others.pop(name, None)
        if not beat.ends and len(self._others) < limits.GATEWAYS_COUNT:
            ahead = beat.wall - now.wall if beat.wall else 0
            self._others[name] = _Heard(beat=beat, at=now.clock, wall=now.wall, ahead=ahead)

    # -- what the broker asks

    def facts(self, now: Now) -> tuple[PeerFacts, ...]:
        """The other gateways; one that has been silent for long was taken away, and nobody misses it."""
        gone = [name for name, heard in self._others.items() if now.clock - heard.at > limits.GATEWAY_FORGET_SECONDS]
        for name in gone:
            del self._others[name]
        return tuple(self._facts_of(heard, now) for heard in self._others.values())

    def _facts_of(self, heard: _Heard, now: Now) -> PeerFacts:
        beat, silent = heard.beat, now.clock - heard.at
        is_up = silent <= beat.heartbeat + limits.HEARTBEAT_GRACE_SECONDS
        return PeerFacts(
            address=beat.address,
            id=beat.broker,
            state="up" if is_up else "down",
            detail="" if is_up else "silent",
            in_sync=is_up,
            counts=False,
            current=True,  # all that anybody has is in the log
            has_more=False,
            caught_up=True,
            untried=False,
            serves=beat.serves,
            primary=beat.primary,
            writable=beat.writable,
            load=Load(beat.streams, beat.streams_limit),
            holds=self._state.lineage.expand(beat.vector) if beat.vector else self._state.log.full,
            holes=(),
            waits={},
            knows_voids=True,
            lacks_void=False,
            ahead=heard.ahead,
            heard=heard.at,
            down_since=None if is_up else heard.wall,
            away_seconds=0.0 if is_up else silent,
        )

    def proofs(self) -> list[FullVector]:
        """Of each disk beside the first: what stands in the log stands on all of them."""
        return [self._state.log.full] * (self._copies - 1)

    def count_writable(self) -> int:
        """The disks beside the first."""
        return self._copies - 1

    def why_not(self) -> str:
        """Why this broker serves nobody now: it would not get what others take."""
        return why_away(self._away) if self._away else ""

    def has_clocks_apart(self) -> bool:
        apart = limits.CLOCK_APART_SECONDS * 1000
        return any(abs(heard.ahead) >= apart for heard in self._others.values())

    def most_ahead(self) -> int:
        return max([0, *(heard.ahead for heard in self._others.values())])


def why_away(why: str) -> str:
    """The sentence for a log that cannot be reached, for this reason."""
    return f"the log cannot be reached ({why}): use another broker, or look at its servers"
