"""The parts of a broker without peers, in place of `replication` and `membership`: for an engine that copies in its own way.

Such an engine hands in no event of a peer. Whatever the broker asks of these two has the answer of one that is alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final, NoReturn

from newswire.core.broker.events import Answer, Connect, Disconnect, Header, Join, Leave, Now, Reply, Send
from newswire.core.broker.values import Announcement, PeerFacts, ReplyTo
from newswire.core.model.vector import FullVector, Vector
from newswire.core.state.fold import State
from newswire.core.state.members import Members
from newswire.errors import NewswireError, Refused

_NO_PEERS: Final = "this broker has no peers: its engine hands in no event of one"


class NoReplication:
    """In place of `Replication`: no peer, no link, no copy elsewhere."""

    links: Collection[str] = ()
    sources: Collection[str] = ()
    owes_answers = False

    def become(self, state: State, now: Now, *, goes_on: bool) -> None:
        pass

    def facts(self, now: Now) -> tuple[PeerFacts, ...]:
        return ()

    def ids(self) -> dict[str, str]:
        return {}

    def in_sync(self) -> list[str]:
        return []

    def proofs(self) -> list[FullVector]:
        return []

    def copies(self) -> list[FullVector]:
        return self.proofs()

    def count_writable(self) -> int:
        return 0

    def is_held_elsewhere(self) -> bool:
        return False

    def has_met_anybody(self) -> bool:
        return False

    def why_not(self) -> str:
        return ""

    def serve(self) -> None:
        pass

    def has_clocks_apart(self) -> bool:
        return False

    def most_ahead(self) -> int:
        return 0

    def agreements(self, turn: int) -> dict[str, tuple[str, ...]]:
        return {}

    def start(self, addresses: Iterable[str], now: Now) -> list[Connect]:
        return []

    def greet(self, address: str, now: Now) -> list[Connect]:
        return []

    def greet_all(self, now: Now) -> None:
        pass

    def fetch_from(self, address: str, now: Now) -> list[Connect]:
        return []

    def unlink(self, address: str) -> list[Disconnect]:
        return []

    def answer(self, announcement: Announcement) -> list[Answer]:
        return []

    def fail_answers(self, error: NewswireError, announcement: Announcement) -> list[Answer]:
        return []

    def is_due(self, now: Now, batch: str) -> bool:
        return False

    def has_copied(self, batch: str, upto: int) -> bool:
        return True

    def push(self, announcement: Announcement, now: Now, batch: str) -> list[Send]:
        return []

    def ask_again(self, now: Now) -> None:
        pass

    def ask_for_proof(self, required: Vector, now: Now) -> None:
        pass

    def look_around(self, now: Now) -> None:
        pass

    def awaits(self, address: str, number: int) -> bool:
        return False

    def hang_up(self, address: str, now: Now) -> None:
        pass

    # -- of pushes and answers, which nobody hands in

    def check_sender(self, header: Header, now: Now) -> None:
        raise Refused(_NO_PEERS)

    def refuse(self, reply_to: ReplyTo, header: Header, error: NewswireError, announcement: Announcement) -> NoReturn:
        raise error

    def hear(self, reply_to: ReplyTo, header: Header, now: Now) -> NoReturn:
        raise RuntimeError(_NO_PEERS)

    def agree(self, address: str, header: Header, pair: tuple[str, int]) -> NoReturn:
        raise RuntimeError(_NO_PEERS)

    def take_answer(self, address: str, header: Header, now: Now, *, progress: bool) -> NoReturn:
        raise RuntimeError(_NO_PEERS)

    def fail(self, address: str, state: str, detail: str, now: Now) -> NoReturn:
        raise RuntimeError(_NO_PEERS)


class NoMembership:
    """In place of `Membership`: nobody joins, nobody leaves."""

    belongs = True
    leaving = False
    is_stranger = False
    has_left = False

    def become(self, members: Members) -> None:
        pass

    def why_not(self) -> str:
        return ""

    def only_asks(self, address: str, sources: Collection[str]) -> bool:
        return False

    def name_others(self, ids: Mapping[str, str]) -> dict[str, str]:
        return {}

    def choose_links(self, sources: Collection[str]) -> list[str]:
        return []

    def arrange_links(self, links: Collection[str], sources: Collection[str]) -> list[Reply]:
        return []

    def settle(self) -> None:
        pass

    def give_up(self, sources: Collection[str], now: Now) -> list[Reply]:
        return []

    def introduce(self, *, met: bool) -> list[Reply]:
        return []

    def join(self, event: Join, links: Collection[str], sources: Collection[str]) -> list[Reply]:
        return [Reply(event.reply_to, Refused("this broker has no peers, and takes none", code="too-many"))]

    def leave(self, event: Leave, in_sync: Collection[str], waiting: Collection[str]) -> Reply:
        return Reply(event.reply_to, Refused("this broker is the only one", code="last-broker"))

    def meet(self, address: str, broker: str) -> list[Reply]:
        return []

    def meet_myself(self, address: str, sources: Collection[str]) -> list[Reply]:
        return []

    def fail(self, address: str, code: str, detail: str, sources: Collection[str]) -> list[Reply]:
        return []
