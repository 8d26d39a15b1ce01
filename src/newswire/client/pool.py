"""The brokers as one: a call goes to the primary, and on to the others until one has answered it (docs/rules.md, TRY)."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypedDict

from newswire.client import checks
from newswire.client.answers import ClusterSnapshot, Row
from newswire.client.credential import choose
from newswire.client.failover import Brokers, Verdict, perhaps_done, verdict
from newswire.client.transport import BrokerAnswer, Call, Transport
from newswire.client.unreached import Unreached
from newswire.core import limits
from newswire.errors import NewswireError, NoBroker, Refused, Unknown

_ROWS = Call("GET", "/list_replicas")


class PoolOptions(TypedDict, total=False):
    """What a BrokerPool may be told by name, and with it whatever holds one."""

    timeout: float
    absent: float | None
    token: str | None
    user: str | None
    password: str | None
    verify: bool | str


class BrokerPool:
    """The way to the brokers. Any thread; Publisher and Subscriber hold one each.

    `brokers`: HOST:PORT (or a URL without path), the one to try first first; others are learned from whoever answers.
    `timeout`: seconds for all tries of a call; `absent`: seconds after which a call ends while nobody is there at all (no
    broker listens at any address); None: `timeout`. `token`, or `user` and `password`: who asks; without them the token in
    NEWSWIRE_TOKEN, or in the file that NEWSWIRE_TOKEN_FILE names. `verify`: as of Transport, for https; brokers that were
    named by https alone are spoken to in no other way. `clock` is monotonic seconds, `sleep` waits, `chance` gives 0 to 1.
    """

    def __init__(
        self,
        brokers: str | Sequence[str],
        *,
        timeout: float = limits.CLIENT_DEADLINE_SECONDS,
        absent: float | None = None,
        token: str | None = None,
        user: str | None = None,
        password: str | None = None,
        verify: bool | str = True,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.brokers = Brokers(checks.addresses(brokers))
        self.timeout = checks.seconds("timeout", timeout)
        self._absent = self.timeout if absent is None else absent
        credential = choose(token, user, password, os.environ)
        self.is_anonymous = credential is None
        for name, value in (("clock", clock), ("sleep", sleep), ("chance", chance)):
            checks.called(name, value)
        self.clock, self.sleep, self.chance = clock, sleep, chance
        self.current = ""  # who answered last
        self.transport = Transport(credential=credential, verify=verify, tls_only=self.brokers.tls_only)

    # -- what menus show

    def look(self, try_seconds: float = limits.CLIENT_TRY_SECONDS) -> ClusterSnapshot:
        """Ask who is there; the first that is asked may take `try_seconds`. Raises NoBroker."""
        self._learn(self.request(_ROWS, try_seconds=try_seconds, refresh=False))
        for _ in self.brokers.addresses():
            primary = self.brokers.ours(self.brokers.look(self.clock()).primary)
            if primary == self.current or not self.brokers.may_ask(primary):
                break
            # another broker's word: its peers take some seconds to see that it is gone
            with suppress(Unreached):
                self.ask_rows(primary)
        return self.brokers.look(self.clock())

    def check_answers(self, address: str) -> None:
        """Ask something small before what may take minutes. Raises Unreached where nobody is, or somebody who hangs."""
        self.transport.send(address, Call("GET", "/livez"), limits.CLIENT_TRY_SECONDS)

    def nodes(self) -> list[Row]:
        """A row a broker, primary first. Raises NoBroker."""
        return sorted(self.look().rows, key=lambda row: (not row.is_primary, row.id))

    def primary(self) -> str:
        """The address of the primary. Raises NoBroker."""
        return self.look().primary

    def seat(self, usual: str) -> str:
        """The broker at which to open a stream: one with room that answers, if there are many streams, else `usual`."""
        seat = self.brokers.seat(self.clock(), self.chance()) or usual
        if seat == self.brokers.ours(usual):
            return usual
        try:
            self.ask_rows(seat)
        except Unreached:
            return usual
        return seat

    def url_for(self, path: str, params: Mapping[str, str | int] | None = None) -> str:
        """The URL of `path` at the broker that a call would go to now, as menus show it and browsers open it."""
        address = self.brokers.choose(self.clock()) or self.brokers.configured[0]
        return self.transport.url(address, path, params)

    # -- calls

    def request(
        self,
        call: Call,
        *,
        seconds: float | None = None,
        try_seconds: float = limits.CLIENT_TRY_SECONDS,
        done_code: str = "",
        refresh: bool = True,
    ) -> BrokerAnswer:
        """Send `call` until a broker has carried it out; the answer's status is 2xx.

        `done_code`: an error code that, after a try of unknown outcome, tells that this try did it. Raises what a broker
        refused with; NoBroker: no broker was reached, certainly nothing was done; Unknown: perhaps it was done.
        """
        if refresh:
            self.refresh()
        start = self.clock()
        return self.run(Tries(call, start, start + (self.timeout if seconds is None else seconds), done_code), try_seconds)

    def run(self, tries: Tries, try_seconds: float) -> BrokerAnswer:
        """Try until a broker has carried the call out, or the time of `tries` is over. Returns and raises as `request`."""
        while True:
            now = self.clock()
            address = self.brokers.choose(now, tries.short.keys())
            if address is None:
                self._rest(tries, now)
            elif now >= tries.end and tries.reasons:
                raise tries.gave_up()
            else:
                longest = try_seconds * 2**tries.silent  # all may be slow, instead of one dead: then hurry makes it worse
                untried = len([a for a in self.brokers.addresses() if a not in tries.reasons])
                # half, while a broker is there that was not tried at all
                share = (tries.end - now) / (1 if untried <= 1 else 2)
                answer = self._try(address, tries, min(longest, max(share, limits.BACKOFF_FIRST_SECONDS)))
                if answer is not None:
                    return answer

    def ask_rows(self, address: str) -> None:
        """Learn the rows from the broker at `address`. Raises Unreached, after taking note of it.

        A broker that refuses to tell them is taken as having told nothing new, so that it is not asked all the time.
        """
        try:
            answer = self.transport.send(address, _ROWS, limits.CLIENT_SIDE_SECONDS)
            if strange := answer.why_strange():
                raise Unreached(strange, perhaps=False)
            if verdict(answer.status, answer.code) is Verdict.ELSEWHERE:
                raise Unreached(answer.error().detail, perhaps=False)
            if answer.status == 200:
                self._learn(answer)
            else:
                self.brokers.looked(self.clock())
        except NewswireError as error:
            self.failed(address)
            raise Unreached(error.detail, perhaps=False) from None
        except Unreached as error:
            self.unreached(address, error)
            raise

    def refresh(self) -> None:
        """Ask who served us last for the rows, if they are old: so we come to know new brokers, and go home."""
        if self.current and self.brokers.stale(self.current, self.clock(), 0.0):
            with suppress(Unreached):
                self.ask_rows(self.current)

    def failed(self, address: str, least: float = 0.0) -> None:
        """Take note that a broker failed."""
        self.brokers.failed(address, self.clock(), self.chance(), least)

    def unreached(self, address: str, error: Unreached) -> None:
        """Take note that a broker failed by not answering."""
        self.failed(address, limits.CLIENT_HUNG_SECONDS if error.silent else 0.0)

    def close(self) -> None:
        """Close idle connections."""
        self.transport.close()

    def _try(self, address: str, tries: Tries, seconds: float) -> BrokerAnswer | None:
        tries.is_sent = True
        try:
            answer = self.transport.send(address, tries.call, seconds)
        except Unreached as error:
            self.unreached(address, error)
            tries.unreached(address, error)
            tries.is_sent = False
            return None
        result = self._judge(answer, tries)
        tries.is_sent = result is not None
        return result

    def _judge(self, answer: BrokerAnswer, tries: Tries) -> BrokerAnswer | None:
        """Return an answer that settles the call, raise one that refuses it; None: try on."""
        if strange := answer.why_strange():
            if 300 <= answer.status < 400:  # whoever set that up means another address, not another time
                raise Refused(f"{answer.broker}: {strange}", code="unreachable")
            self.failed(answer.broker)
            tries.reasons[answer.broker] = strange
            return None
        meant = verdict(answer.status, answer.code)
        if meant is Verdict.ELSEWHERE:
            self.failed(answer.broker, answer.retry_after or 0.0)
            tries.answered(answer)
            return None
        self.brokers.answered(answer.broker)
        self.current = answer.broker
        if meant is Verdict.DONE or (tries.perhaps and tries.done == answer.code != ""):
            return replace(answer, after_doubt=tries.perhaps)
        if meant is Verdict.FINAL:
            raise answer.error()
        tries.answered(answer)
        if meant is Verdict.SHORT:
            tries.short[answer.broker] = answer
        else:
            self._slow_down(answer, tries)
        return None

    def _slow_down(self, answer: BrokerAnswer, tries: Tries) -> None:
        until = self.clock() + (limits.BACKOFF_MOST_SECONDS if answer.retry_after is None else answer.retry_after)
        self.brokers.hold(until)
        if until >= tries.end:
            raise answer.error()

    def _rest(self, tries: Tries, now: float) -> None:
        """Wait until some broker may be tried again. Raises when that is too late, or when none is left to be asked."""
        if tries.short:
            raise [*tries.short.values()][-1].error()
        wait = self.brokers.wait(now)
        if now + wait >= tries.end or (not tries.somebody and now + wait >= tries.begun + self._absent):
            raise tries.gave_up()
        self.sleep(wait)

    def _learn(self, answer: BrokerAnswer) -> None:
        rows: list[Row] = answer.read(list[Row])
        if not rows:  # a broker lists itself at least
            raise answer.no_broker()
        self.current = answer.broker
        self.brokers.learn(answer.broker, rows, self.clock())


class Tries:
    """What came of the tries of one call so far; they end at `end`. One thread; any thread may ask why it `gave_up`."""

    def __init__(self, call: Call, start: float, end: float, done_code: str = "") -> None:
        self.call, self.begun, self.end, self.done = call, start, end, done_code
        self.reasons: dict[str, str] = {}
        self.somebody = False  # is there, as far as anybody can tell from here
        self.short: dict[str, BrokerAnswer] = {}
        self.perhaps = False
        self.is_sent = False  # a try is under way, or has settled the call
        self.silent = 0

    def unreached(self, address: str, error: Unreached) -> None:
        self.reasons[address] = error.reason
        self.somebody |= error.perhaps
        self.perhaps |= error.perhaps
        self.silent += error.silent

    def answered(self, answer: BrokerAnswer) -> None:
        self.reasons[answer.broker] = answer.error().detail
        self.somebody = True
        self.perhaps |= perhaps_done(answer.status, answer.code)

    def gave_up(self) -> NewswireError:
        """The error of a call that ends now."""
        why = "; ".join(f"{address}: {reason}" for address, reason in [*self.reasons.items()])
        why = why or ("no answer in time" if self.is_sent else "all are resting after failures")
        if (self.perhaps or self.is_sent) and self.call.method != "GET":
            return Unknown(f"no broker answered in time ({why}): perhaps it was done; to repeat it is safe")
        if self.somebody:
            return NoBroker(f"no broker could serve this ({why}): try again")
        return NoBroker(f"no broker is there ({why}): check that one runs there and try again")
