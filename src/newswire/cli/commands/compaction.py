"""`newswire compact`: has each broker free what retention dropped and what ended."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from newswire.cli import output
from newswire.cli.command import Command
from newswire.cli.options import brokers_option, config_option, json_option, option, times
from newswire.core import limits
from newswire.errors import NewswireError

if TYPE_CHECKING:
    from newswire.client.pool import BrokerPool


@dataclass(frozen=True)
class _Done:
    bytes_before: int
    bytes_after: int
    operations_before: int
    operations_after: int


@click.command(cls=Command, short_help="Free the disk of what was dropped.", epilog="Example: newswire compact")
@config_option
@brokers_option
@option("--even-if-away", is_flag=True, help="Also while a broker is away: it is handed everything when it comes back.")
@json_option
def compact(brokers: tuple[str, ...], even_if_away: bool, as_json: bool) -> int:
    """Have each broker compact its ops file now, one after the other. They do so by themselves when it is worth it.

    What stays is written anew, so a disk needs room for that; brokers serve meanwhile. Exit code 0: all have done it.
    """
    from newswire.cli.credentials import signature
    from newswire.client.pool import BrokerPool

    with closing(BrokerPool(brokers, **signature(brokers), **times(None))) as pool:
        pool.look()
        results = [_compact(pool, row.id, row.ip, even_if_away=even_if_away, as_json=as_json) for row in pool.nodes()]
    return output.DONE if all(results) else output.FAILED


def _compact(pool: BrokerPool, broker: str, address: str, *, even_if_away: bool, as_json: bool) -> bool:
    """Ask one broker, and say what it did; False: nothing."""
    from newswire.client.transport import Call, form
    from newswire.client.unreached import Unreached

    body, kind = form({"even_if_away": "1"} if even_if_away else {})
    try:
        pool.check_answers(pool.brokers.ours(address))
        call = Call("POST", "/compact", params={}, body=body, type=kind)
        answer = pool.transport.send(pool.brokers.ours(address), call, limits.COMPACT_SECONDS + limits.CLI_CALL_SECONDS)
        if answer.status != 200:
            raise answer.error()
        done = answer.read(_Done)
    except Unreached as error:
        output.warn(output.sentence_of(f"Broker {broker}: {error.reason}"))
        return False
    except NewswireError as error:
        output.warn(f"Broker {broker}: {output.sentence(error)}")
        return False
    size = f"{done.bytes_before:,} became {done.bytes_after:,} bytes"
    operations = f"{done.operations_before:,} became {done.operations_after:,} operations"
    output.print_answer(f"Broker {broker}: {size}, {operations}.", as_json=as_json, broker=broker, **asdict(done))
    return True
