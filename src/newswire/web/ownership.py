"""Whose a message is: who may withdraw it, or have another one take its place (docs/rules.md, WITHDRAW)."""

from __future__ import annotations

from newswire.core.model.commands import Publish
from newswire.core.model.ops import OpId, Published, Scheduled
from newswire.engine.seam import Engine, Principal
from newswire.errors import NotFound
from newswire.threads import NeedsThread, must_not_wait


def own_message(engine: Engine, name: OpId, by: Principal | None) -> Published | Scheduled:
    """The message of this id, whose publisher is `by`, or who is an admin. Threads that may wait. Raises `no-message`."""
    message = engine.own_message(name, by)
    if message is None:
        who = "" if by is None else ", or it is another one's"
        raise NotFound(f"there is no message {name} (any more){who}", code="no-message")
    return message


def check_replaced(engine: Engine, message: Publish, by: Principal | None) -> None:
    """Check that `by` may replace what `message` replaces. Raises `no-message`, NeedsThread in a thread that never waits."""
    if message.replaces and by is not None:  # where nobody is asked it is everybody's, if it is there (`core.broker.drafts`)
        if must_not_wait():
            raise NeedsThread  # its record is read
        own_message(engine, message.replaces, by)
