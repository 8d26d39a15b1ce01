"""The history of a broker with an ops file of its own, appended to a log that servers keep (docs/growth.md)."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import msgspec

from newswire.config import NatsSettings
from newswire.core.state.fold import State
from newswire.engine.commit_engine import mint_origin, restored
from newswire.engine.embedded.ops_file import OpsFile, Progress
from newswire.engine.embedded.pieces import replay
from newswire.engine.jetstream.link import NatsLink
from newswire.engine.jetstream.log import Log, give_back
from newswire.engine.jetstream.servers import LogAway, LogRefused, LogServers
from newswire.errors import Refused, Unavailable


class MovedHistory(msgspec.Struct, frozen=True):
    """What was moved: `operations` that the log lacked; what the log holds now."""

    operations: int
    messages: int
    subscriptions: int
    damaged: int  # places of the ops file that cannot be read, so that what was there was not moved


def move(settings: NatsSettings, directory: Path, progress: Progress | None = None) -> MovedHistory:
    """Append all of an ops directory that the log lacks; done again it appends nothing. No broker runs on the directory.

    Raises Refused, Unavailable.
    """
    if not directory.is_dir():
        raise Refused(f"{directory} is not there: name the broker's --ops-dir and --id", code="ops-dir")

    def fail(error: BaseException) -> None:
        raise error

    source, state = OpsFile(directory), State()
    try:
        replay(state, source.pieces(progress), source.read_lines)
        state.revive(None)
        link = NatsLink(settings, fail)
        try:
            link.wait()
            return move_to(link, link.open(source.cluster), source, state)
        except LogRefused as error:
            raise Refused(str(error), code="other-cluster") from error
        except LogAway as error:
            raise Unavailable(f"the servers of the log cannot be reached: {error}") from error
        finally:
            link.close()
    finally:
        source.close()


def move_to(servers: LogServers, cluster: str, source: OpsFile, state: State) -> MovedHistory:
    """As `move`, of what `source` holds and `state` says. Raises LogAway."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="newswire-move-") as folder:
        log = Log(servers, Path(folder))
        try:
            log.recover(State(), cluster, mint_origin("move"), None)
            there = log.fold_again(State())
            count = 0
            for raws in give_back(state, there.extent, source.read_each):
                log.append(raws)
                count += len(raws)
            there = log.fold_again(State())  # what is there now is read, not believed
        finally:
            log.copy.close()
    if not source.damage and not there.log.holds(state.vector):
        raise Refused("the log does not hold all that was appended: do it again", code="damaged")
    summary = restored(there, began)
    return MovedHistory(
        operations=count,
        messages=summary.messages,
        subscriptions=summary.subscriptions,
        damaged=len(source.damage),
    )
