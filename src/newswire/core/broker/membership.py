"""Brokers join and leave at run time, by `joined` and `left` ops that tell all others (docs/rules.md, LEAVE and REMOVE)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from newswire.core import limits
from newswire.core.broker.events import Join, Leave, Now, Reply
from newswire.core.broker.values import Greet, Identity, ReplyTo, Stamp, TellStatus, Unlink
from newswire.core.model.ops import NO_PLACE, Joined, Left
from newswire.core.state.members import Members
from newswire.errors import TABLE, BadRequest, NewswireError, NotFound, Refused

Fact = Reply | Stamp | TellStatus | Greet | Unlink


class Membership:
    """Who belongs and who is to: turns an operator's wish, or a first meeting, into ops, and says to whom links are wanted.

    Commit thread only; reads the members, changes nothing of them. `sources`, here: addresses from which this broker fetches.
    """

    def __init__(self, identity: Identity, members: Members) -> None:
        self._me, self._members = identity, members
        self._own_addresses = {identity.address}
        self._joins: dict[str, list[tuple[ReplyTo, float]]] = {}  # by address: operators' `Join`s that wait for an answer
        self.leaving = False  # an operator asked this broker to leave

    def become(self, members: Members) -> None:
        """Go on with other members."""
        self._members = members

    @property
    def belongs(self) -> bool:
        """Whether this broker was not removed, and is not leaving."""
        return not self.leaving and not self._is_removed()

    def why_not(self) -> str:
        """Why this broker serves nobody, in a sentence; "" where it may."""
        if self.leaving:
            return "this broker is leaving the cluster: use another one"
        if self._is_removed():
            return "this broker was removed from the cluster: use another one, or add it again"
        return ""

    def _is_removed(self) -> bool:
        """Say whether this broker was a member, and is none while others are."""
        members, me = self._members, self._me.id
        return me not in members and members.ever(me) and members.anybody()

    @property
    def is_stranger(self) -> bool:
        """Whether this broker never was a member."""
        return not self._members.ever(self._me.id)

    @property
    def has_left(self) -> bool:
        """Whether this broker is leaving, and its `left` is stored."""
        return self.leaving and self._me.id not in self._members

    def only_asks(self, address: str, sources: Collection[str]) -> bool:
        """Say whether nothing is known of `address` but that an operator asked for it: it may be anybody's, or nobody's."""
        return address in self._joins and not (self._members.whose(address) or address in self._me.peers or address in sources)

    def name_others(self, ids: Mapping[str, str]) -> dict[str, str]:
        """The others that this broker was told of, configured ones and members: address -> id, the address if that is unknown.

        `ids`: those of the peers that were met, by address.
        """
        addresses = {*self._me.peers, *self._joined()} - self._own_addresses
        return {address: ids.get(address) or self._members.whose(address) or address for address in addresses}

    # -- operators ----------------------------------------------------------------------------------------------

    def join(self, event: Join, links: Collection[str], sources: Collection[str]) -> list[Fact]:
        """ADD: say hello to the broker first; what it answers decides (`meet`, `refuse`)."""
        if event.address in self._own_addresses:
            if self._me.id in self._members or not self._members.anybody():
                return [Reply(event.reply_to, self._is_own_address())]
            back = self._joined_op(self._me.id, self._me.address)  # it was removed
            return [Stamp(ops=[back], reply_to=event.reply_to, until=event.until, broker=self._me.id)]
        if event.address not in links and len(self._needed_links(sources)) >= limits.PEERS_COUNT:
            return [
                Reply(event.reply_to, Refused(f"{limits.PEERS_COUNT} peers are the most: remove one first", code="too-many"))
            ]
        self._joins.setdefault(event.address, []).append((event.reply_to, event.until))
        return [Greet(event.address)]

    def leave(self, event: Leave, in_sync: Collection[str], waiting: Collection[str]) -> Fact:
        """REMOVE, or LEAVE where it is this broker.

        `in_sync`: the others whose copies count; `waiting`: the origins of which something waits here behind damage.
        """
        broker = self._resolve(event.broker)
        if broker is None:
            detail = f"{event.broker} is no broker of this cluster: GET /list_replicas lists them, with their addresses"
            return Reply(event.reply_to, NotFound(detail, code="no-broker"))
        if broker == self._me.id:
            if not in_sync:
                detail = "no other broker is in sync, so this one may not leave: its messages would be nowhere else"
                return Reply(event.reply_to, Refused(detail, code="last-broker"))
            if waiting:
                detail = "what waits behind damage here may be nowhere else, so this broker may not leave: close its hole first"
                return Reply(event.reply_to, Refused(detail, code="last-broker"))
            self.leaving = True
        return Stamp([Left(**NO_PLACE, broker=broker, seen=self._members.ids(broker))], event.reply_to, broker=broker)

    def _resolve(self, name: str) -> str | None:
        """The broker id of the member called `name`, an id or an address; None for no member."""
        members = self._members
        if name in members:
            return name
        if name == self._me.address and self._me.id in members:
            return self._me.id
        return next((one for one, address in members.addresses.items() if address == name and one in members), None)

    def settle(self) -> None:
        """What was staged is stored, or is not: this broker stays if its `left` found no room, or if it was added again."""
        self.leaving = self.has_left

    # -- what links find ----------------------------------------------------------------------------------------

    def meet(self, address: str, broker: str) -> list[Fact]:
        """The broker at `address` answered: whoever waits for it to join gets it."""
        me, members = self._me, self._members
        facts: list[Fact] = []
        for reply_to, until in self._joins.pop(address, ()):
            if broker in members and members.addresses[broker] == address and me.id in members:
                facts.append(TellStatus(reply_to, broker))
                continue
            if not members.ever(me.id) or not members.anybody():  # while nobody is a member all serve; who is asked stays
                facts.append(Stamp([self._joined_op(me.id, me.address)]))
            facts.append(Stamp(ops=[self._joined_op(broker, address)], reply_to=reply_to, until=until, broker=broker))
        return facts

    def refuse(self, address: str, error: NewswireError, sources: Collection[str]) -> list[Fact]:
        """The broker at `address` cannot join, for this reason; a link that only this needed is closed."""
        joins = self._joins.pop(address, [])
        facts: list[Fact] = [Reply(reply_to, error) for reply_to, _ in joins]
        if joins and address not in self.choose_links(sources):
            facts.append(Unlink(address))
        return facts

    def fail(self, address: str, code: str, detail: str, sources: Collection[str]) -> list[Fact]:
        """A push to `address` failed; `code` says how: one of `errors.TABLE`, or of a later version."""
        if code == "unreachable":
            detail += ": is a broker running there, and is this the address that it gives others (--advertise)?"
        error = Refused(f"{address}: {detail}", code=code if code in TABLE else "unreachable")
        return self.refuse(address, error, sources)

    def meet_myself(self, address: str, sources: Collection[str]) -> list[Fact]:
        """A configured peer is this very broker under another name."""
        self._own_addresses.add(address)
        return [*self.refuse(address, self._is_own_address(), sources), Unlink(address)]

    def give_up(self, sources: Collection[str], now: Now) -> list[Fact]:
        """Refuse those that nobody could be met for in time: who only drips must not keep a link, nor others out."""
        facts: list[Fact] = []
        for address, joins in list(self._joins.items()):
            if any(until and now.clock >= until for _, until in joins):
                detail = f"{address}: no whole answer in time: is a broker running there?"
                facts += self.refuse(address, Refused(detail, code="unreachable"), sources)
        return facts

    def introduce(self, *, met: bool) -> list[Fact]:
        """Become a member: once a peer has been met (`met`), if this broker never was one, or where its address changed."""
        me, members = self._me, self._members
        moved = me.id in members and members.addresses[me.id] != me.address
        if moved or (met and self.is_stranger):
            return [Stamp([self._joined_op(me.id, me.address)])]
        return []

    # -- links --------------------------------------------------------------------------------------------------

    def choose_links(self, sources: Collection[str]) -> list[str]:
        """Where to push to, at most `PEERS_COUNT`: who is needed, then who was removed, the last that joined first.

        A removed broker may come back with ops that nobody else has, so it is pushed to as well, while there is room.
        """
        members, me = self._members, self._me.id
        removed = (address for broker, address in reversed(members.addresses.items()) if broker not in members and broker != me)
        return list(dict.fromkeys((*self._needed_links(sources), *self._without_own(removed))))[: limits.PEERS_COUNT]

    def _needed_links(self, sources: Collection[str]) -> list[str]:
        """Configured peers, whom this broker fetches from or is to add, and members."""
        return self._without_own((*self._me.peers, *sorted(sources), *self._joins, *self._joined()))

    def _joined(self) -> Iterable[str]:
        members, me = self._members, self._me.id
        return (address for broker, address in members.addresses.items() if broker in members and broker != me)

    def _without_own(self, addresses: Iterable[str]) -> list[str]:
        return [address for address in dict.fromkeys(addresses) if address not in self._own_addresses]

    def arrange_links(self, links: Collection[str], sources: Collection[str]) -> list[Fact]:
        """Open links to brokers that joined, close those to addresses that nobody has any more."""
        chosen = self.choose_links(sources)
        close = [Unlink(address) for address in links if address not in chosen and address not in self._joins]
        return [*close, *(Greet(address) for address in chosen if address not in links)]

    # -- words --------------------------------------------------------------------------------------------------

    def _joined_op(self, broker: str, address: str) -> Joined:
        return Joined(**NO_PLACE, broker=broker, address=address, seen=self._members.ids(broker))

    @staticmethod
    def _is_own_address() -> BadRequest:
        return BadRequest("this address is the broker's own: name another one", code="bad-address")
