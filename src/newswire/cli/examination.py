"""Asks every broker, and those that brokers name, for what `cli/diagnosis.py` judges. It changes and acknowledges nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import msgspec
import requests

from newswire import tls
from newswire.cli import output
from newswire.cli.diagnosis import Certificate, Examined
from newswire.cli.summary import clock_ahead
from newswire.client import checks
from newswire.client.answers import Row
from newswire.client.credential import Credential
from newswire.client.transport import BrokerAnswer, Call, Transport
from newswire.client.unreached import Unreached
from newswire.core import limits
from newswire.core.model.addresses import is_tls, place_of
from newswire.errors import NewswireError, Unauthenticated, in_words

_BROKERS_MOST: Final = limits.CLIENT_BROKERS_COUNT
_STREAM_SECONDS: Final = 3.0  # in which the greeting of a stream arrives on any line that is worth using


def examine(brokers: Sequence[str], user: str | None, credential: Credential | None = None) -> Iterator[Examined]:
    """Ask the brokers named, and then those that they name, each once and all at the same time."""
    visits: set[str] = set()
    addresses = list(dict.fromkeys(brokers))
    new_transport = partial(Transport, credential=credential, tls_only=all(map(is_tls, brokers)))
    with ThreadPoolExecutor(_BROKERS_MOST, thread_name_prefix="ask") as pool:
        while addresses:
            visits.update(addresses)
            answers = list(pool.map(lambda address: examine_one(address, user, new_transport), addresses))
            visits.update(one.itself for one in answers if one.itself)
            yield from (one.examined for one in answers)
            rows = [row.ip for one in answers for row in one.examined.rows]
            addresses = [address for address in dict.fromkeys(rows) if address not in visits][: _BROKERS_MOST - len(visits)]


class _Visit(msgspec.Struct, frozen=True):
    """A broker, and the address that it calls its own, which may be another than the one it was asked at."""

    examined: Examined
    itself: str = ""


def examine_one(address: str, user: str | None, new_transport: Callable[[], Transport]) -> _Visit:
    """Ask one broker. Any thread."""
    transport = new_transport()
    try:
        before = time.time()
        condition = transport.send(address, Call("GET", "/readyz"), limits.CLIENT_SIDE_SECONDS).json()
        after = time.time()
        if not isinstance(condition, dict):
            return _Visit(Examined(address=address, refusal="what answers there is no newswire broker"))
        listed = transport.send(address, Call("GET", "/list_replicas"), limits.CLIENT_SIDE_SECONDS)
        if listed.status != 200:
            raise listed.error()
        rows = listed.read(tuple[Row, ...])
        own = next((row for row in rows if row.itself), None)
        return _Visit(
            Examined(
                address=address,
                id=own.id if own else "",
                condition=condition,
                rows=rows,
                clock_seconds=clock_ahead(condition.get("time"), before, after),
                stream=try_stream(transport, address, user) if user and condition.get("ready") else "",
                asks=asks_who(transport, address),
                certificate=certificate_of(address),
            ),
            own.ip if own else "",
        )
    except Unreached as error:
        return _Visit(Examined(address=address, refusal=error.reason))
    except Unauthenticated as error:
        return _Visit(Examined(address=address, refusal=output.sentence(error).removesuffix("."), is_stranger=True))
    except NewswireError as error:
        return _Visit(Examined(address=address, refusal=error.detail))
    finally:
        transport.close()


def asks_who(transport: Transport, address: str) -> bool:
    """Say whether clients must say who they are. A broker that does not tell is taken for one that asks nobody."""
    answer = transport.send(address, Call("GET", "/me"), limits.CLIENT_SIDE_SECONDS)
    return answer.status == 200 and answer.json().get("auth") == "required"


def certificate_of(address: str) -> Certificate | None:
    """How long the certificate that is shown there is good; None without TLS, and where that cannot be told."""
    if not is_tls(address):
        return None
    place, trust = place_of(address), checks.trust("verify", True)
    try:
        begin, end = tls.validity(
            place.host,
            place.port,
            trust if isinstance(trust, str) else requests.utils.DEFAULT_CA_BUNDLE_PATH,
            limits.CLIENT_SIDE_SECONDS,
        )
    except OSError:  # who cannot be reached is told as such
        return None
    return Certificate(seconds=end - begin, seconds_left=end - time.time())


def try_stream(transport: Transport, address: str, user: str) -> str:
    """Open a stream that acknowledges nothing; `opened` if its greeting arrives, else `held back`, or why it is refused."""
    call = Call("GET", "/stream", {"username": user, "ack": "client"})
    try:
        stream = transport.open(address, call, _STREAM_SECONDS)
    except Unreached as error:
        if error.silent:  # a proxy that waits for the end holds back the head, too
            return "held back"
        return error.reason
    if isinstance(stream, BrokerAnswer):
        return in_words(stream.error().detail, "command")
    try:
        return "opened" if stream.read() is not None else "held back"
    except Unreached:
        return "held back"
    finally:
        stream.close()
