"""Which broker to try next. Pure: `now` and `chance` (0 to 1) are arguments, nothing here waits or connects.

The theory. Any broker may take any request, so choosing is about speed, not about correctness: a wrong
choice costs one try. What may be wrong is what we know: a row of `/list_replicas` is another's opinion and some seconds
old; a failure of our own is a fact, but only about our way to that broker. So rows only *sort* the candidates (those
that are up before those that are not, the primary first, then the order in which they were named), and only our own
failures exclude one, for a while: it *rests*, longer with each failure in a row, with jitter, so that a thousand clients
do not come back in the same millisecond. No address is ever dropped for good while it is configured or listed.

A broker may be known under two names (`localhost:5053` in the settings, `10.0.0.7:5053` in the rows). The row marked
`self` in an answer tells that they are one; ours is kept, because we know that it is reachable from here.

Who names brokers by https alone is served in TLS alone: what other brokers say of one that speaks plain HTTP is shown, and
nobody goes there with news and credentials.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from enum import Enum
from typing import Final

from newswire.client.answers import ClusterSnapshot, Row
from newswire.core import limits
from newswire.core.model.addresses import is_tls
from newswire.core.model.balance import Load, are_few, are_many, choose_seat
from newswire.core.model.names import check_broker
from newswire.errors import BadRequest

_NOT_DONE: Final = frozenset(
    {"not-ready", "unavailable", "unreachable", "not-enough-copies", "storage-full", "peer-auth-failed"}
)


class Verdict(Enum):
    """What an answer means for the request that it answers."""

    DONE = "done"
    FINAL = "final"  # refused: every broker would say the same
    ELSEWHERE = "elsewhere"  # this broker cannot now: another may
    SHORT = "short"  # this broker is well, but lacks copies or room: one round of the others, then it is an error
    LATER = "later"  # over a rate: wait, and do not go round it at the other broker


def verdict(status: int, code: str) -> Verdict:
    """Judge an answer by its status and its error code ("" if it has none)."""
    if 200 <= status < 300:
        return Verdict.DONE
    if code in ("not-enough-copies", "storage-full"):
        return Verdict.SHORT
    if status == 429:
        return Verdict.LATER
    if code in ("fewer-copies-than-asked", "peer-auth-failed") or (status < 500 and status != 408):
        return Verdict.FINAL
    return Verdict.ELSEWHERE


def perhaps_done(status: int, code: str) -> bool:
    """Say whether a request that was answered so may have been carried out all the same."""
    return status >= 500 and code not in _NOT_DONE


def pause(failures: int, chance: float, most: float = limits.BACKOFF_MOST_SECONDS) -> float:
    """Seconds to rest after so many failures in a row: doubling up to `most`, of which `chance` takes up to half."""
    full = min(most, limits.BACKOFF_FIRST_SECONDS * 2.0 ** min(failures - 1, 32))
    return full * (1 - chance / 2)


def split(brokers: str | Sequence[str]) -> tuple[str, ...]:
    """The addresses named in the settings: a sequence, or text with commas or spaces between them.

    Raises BadRequest when there is none, and for what is no address.
    """
    text = brokers if isinstance(brokers, str) else ",".join(brokers)
    addresses = [check_broker(b.rstrip("/")) for b in text.replace(",", " ").split()]
    unique = tuple(dict.fromkeys(addresses))
    if not unique:
        raise BadRequest("no broker is named: give at least one as HOST:PORT, for example 127.0.0.1:5053", code="bad-address")
    return unique


class Brokers:
    """What one client knows of the brokers. Any thread: each step reads or replaces one value of a dict or attribute.

    Two that take note at once may lose one of two failures in a row, which makes a rest shorter, once.
    """

    def __init__(self, configured: str | Sequence[str]) -> None:
        self.configured = split(configured)
        self.tls_only = all(map(is_tls, self.configured))
        self.rows: tuple[Row, ...] = ()
        self._looked: float | None = None  # when the rows were told; None: never, or since then a broker failed
        self._named: dict[str, str] = {}  # address in the rows -> address that we use
        self._failures: dict[str, int] = {}
        self._rest: dict[str, float] = {}  # until when
        self._answered: set[str] = set()
        self._held = float("-inf")

    # -- what happened

    def learn(self, source: str, rows: Sequence[Row], now: float) -> None:
        """Take the rows that `source` told. That ends no rest: who tells rows may still refuse streams.

        What is known of failures of those who are named no more goes: they stand in the way of others (`may_move_to`).
        """
        self._answered.add(source)
        self.rows = rows = tuple(rows[: limits.CLIENT_BROKERS_COUNT])
        self._looked = now
        ips = {row.ip for row in rows}
        named = {ip: ours for ip, ours in self._named.items() if ip in ips}
        self._named = named | {row.ip: source for row in rows if row.itself and row.ip != source}
        for gone in set(self._failures).difference(self.addresses()):
            self._failures.pop(gone, None)
            self._rest.pop(gone, None)

    def looked(self, now: float) -> None:
        """Take note that somebody was asked for the rows and told nothing new."""
        self._looked = now

    def answered(self, address: str) -> None:
        """Take note that `address` answered: whatever it said, it is there."""
        self._answered.add(address)
        self._failures.pop(address, None)
        self._rest.pop(address, None)

    def failed(self, address: str, now: float, chance: float, least: float = 0.0) -> None:
        """Take note that `address` failed: it rests, `least` seconds or more, and the rows are no news any more."""
        count = self._failures[address] = self._failures.get(address, 0) + 1
        most = limits.BACKOFF_MOST_SECONDS if self._is_known(address) else limits.CLIENT_STRANGER_SECONDS
        self._rest[address] = now + max(pause(count, chance, most), least * (1 + chance / 2))
        self._looked = None

    def hold(self, until: float) -> None:
        """Try nobody before `until`: the service asked us to slow down."""
        self._held = max(self._held, until)

    # -- what to do

    def choose(self, now: float, avoid: Set[str] = frozenset()) -> str | None:
        """The broker to try now; None while all rest (or are to be avoided)."""
        if now < self._held:
            return None
        return min((a for a in self.addresses() if a not in avoid and not self._rests(a, now)), key=self._rank, default=None)

    def seat(self, now: float, chance: float) -> str | None:
        """The broker to open a stream at now, of many streams one with room (SHARE); None while all rest."""
        usual, loads = self.choose(now), self._loads()
        if usual is None or not are_many(loads.values()):
            return usual
        return choose_seat({a: load for a, load in loads.items() if self.may_move_to(a, now)}, chance) or usual

    def may_move_to(self, address: str, now: float) -> bool:
        """Say whether a stream that is served goes there. Where one that was only named was not reached, none of these is:

        what brokers call each other is then no name that counts here.
        """
        if self._rests(address, now) or not self.may_ask(address):
            return False
        return self._is_known(address) or all(map(self._is_known, self._failures))

    def wait(self, now: float) -> float:
        """Seconds until `choose` has an answer again; 0 if it has one."""
        first = min(self._rest.get(a, now) for a in self.addresses())
        return max(0.0, self._held - now, first - now)

    def better(self, current: str, now: float) -> str | None:
        """The broker that a stream at `current` should go home to; None to stay."""
        home = min(self.addresses(), key=self._rank)
        row = self.row(home)
        if home == self.ours(current) or row is None or not (row.is_primary and row.state == "up") or self._rests(home, now):
            return None
        return home if are_few(self._loads().values()) else None

    def stale(self, current: str, now: float, chance: float) -> bool:
        """Say whether somebody should be asked for the rows again, by a client that is served by `current`."""
        looked = self._looked
        if looked is None:
            return True
        first, here = self.row(self.configured[0]), self.row(current)
        may_stay = here is not None and (here.is_primary or not are_few(self._loads().values()))
        is_home = first is not None and first.state == "up" and may_stay
        every = limits.CLIENT_LOOK_HOME_SECONDS if is_home else limits.CLIENT_LOOK_AWAY_SECONDS
        return now - looked >= every * (1 + chance)

    # -- what is known

    def addresses(self) -> list[str]:
        """Every address known, in the order in which they were named, each broker once."""
        learned = (self.ours(row.ip) for row in self.rows)
        return list(dict.fromkeys([*map(self.ours, self.configured), *filter(self.may_ask, learned)]))

    def may_ask(self, address: str) -> bool:
        """Say whether anything may be sent to the broker at `address`."""
        return not self.tls_only or is_tls(address)

    def ours(self, address: str) -> str:
        """The address that we use for the broker that calls itself `address`."""
        return self._named.get(address, address)

    def row(self, address: str) -> Row | None:
        """What is known of the broker at `address`."""
        return next((row for row in self.rows if self.ours(row.ip) == self.ours(address)), None)

    def id_of(self, address: str) -> str:
        """The id of the broker at `address`, "" if nobody told it yet."""
        row = self.row(address)
        return row.id if row else ""

    def look(self, now: float) -> ClusterSnapshot:
        """The cluster as menus tell it: from the rows, less the brokers that just failed here."""
        alive = [r for r in self.rows if r.state != "down" and not self._rests(self.ours(r.ip), now)]
        nodes = tuple(r.ip for r in sorted(alive, key=lambda r: not r.is_primary))  # sorted() keeps the order of equals
        first = self.row(self.configured[0])
        gone = self._rests(self.ours(self.configured[0]), now) or (first is not None and first.state == "down")
        primary = nodes[0] if nodes else (self.choose(now) or self.configured[0])
        return ClusterSnapshot(nodes=nodes, primary=primary, moved=gone, rows=self.rows)

    def _loads(self) -> dict[str, Load]:
        """How many streams brokers serve that are up and say so. Of those behind one address together."""
        loads: dict[str, Load] = {}
        for row in self.rows:
            if row.state == "up" and row.streams_limit:
                before = loads.get(self.ours(row.ip), Load())
                loads[self.ours(row.ip)] = Load(before.streams + row.streams, before.limit + row.streams_limit)
        return loads

    def _is_known(self, address: str) -> bool:
        """Whether it was named in the settings or has answered, and is not only known from other brokers."""
        return address in self.configured or address in self._answered

    def _rests(self, address: str, now: float) -> bool:
        return now < self._rest.get(address, now)

    def _rank(self, address: str) -> tuple[int, bool]:
        row = self.row(address)
        state = 0 if row is None or row.state == "up" else 1 if row.state == "catching-up" else 2
        return state, not (row and row.is_primary)  # of equals the first that was named
