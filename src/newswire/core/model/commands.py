"""What clients ask a broker to take: op bodies, without id, vector or time. The core stamps and decides them at commit.

They are decided where they are stored, in one thread and in order, so that two that meet see each other.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from newswire.core import limits
from newswire.core.model import names
from newswire.core.model.event_ids import EventId
from newswire.core.model.message import MessageFields, rules_of
from newswire.core.model.ops import OpId, Verb


class Publish(MessageFields, frozen=True):
    """Publish a message. `key` makes a retry safe; `expires` is seconds from now, 0 for never.

    `at`: ms since 1970, or `delay`: ms from now, when it is published, from when on `expires` counts; both 0 for now.

    The bounds are those of what a client may give (`RULES`): no wider than those of what is stored.
    """

    topic: Annotated[str, Meta(description="a topic")]
    data: Annotated[str, Meta(description="text")] = ""
    key: Annotated[
        str,
        Meta(
            pattern=rf"^[\x20-\x7e]{{1,{limits.KEY_BYTES}}}\Z",
            description=f"1 to {limits.KEY_BYTES} printable ASCII characters, a UUID for example, or be left out",
            title="Publishing again with the same key publishes once; of a batch, what its lines' keys begin with.",
        ),
    ] = ""
    confirm: Annotated[
        int,
        Meta(
            ge=1,
            le=limits.EXPIRES_SECONDS,
            description=f"a whole number of seconds from 1 to {limits.EXPIRES_SECONDS}",
            title="Ask readers to confirm it within so many seconds.",
        ),
    ] = 0
    escalate: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=limits.TOPIC_CHARS,
            pattern=rf"^{names.TOPIC_FORM}\Z",
            description="a topic, beside `confirm`",
            title="The topic where those who have not confirmed it in time are named.",
        ),
    ] = ""
    replaces: Annotated[
        str,
        Meta(
            min_length=1,
            pattern=rf"^{names.OP_ID_FORM}\Z",
            description="the id of a message, as /publish answers it and a stream shows it",
            title="The message of the same topic, of yours, that this one takes the place of.",
        ),
    ] = ""
    expires: Annotated[
        int, Meta(ge=1, le=limits.EXPIRES_SECONDS, description=f"a whole number from 1 to {limits.EXPIRES_SECONDS}")
    ] = 0
    at: Annotated[int, Meta(ge=0, le=limits.TIME_MILLISECONDS)] = 0
    delay: Annotated[int, Meta(ge=0, le=limits.SCHEDULE_AHEAD_SECONDS * 1000)] = 0

    @property
    def is_scheduled(self) -> bool:
        """Whether it is to be delivered later."""
        return bool(self.at or self.delay)


RULES: Final = rules_of(Publish)


class Subscribe(msgspec.Struct, frozen=True):
    """Subscribe `user` to `pattern`: from now (`since` None), from the earliest (0), or from a time (ms since 1970).

    `account`, here and below: of that user, "" where nobody is asked who he is.
    """

    user: str
    pattern: str
    since: int | None = None
    account: OpId = ""


class Unsubscribe(msgspec.Struct, frozen=True):
    """End the subscriptions of `user` to exactly `pattern`. Refused with `no-subscription` when there is none."""

    user: str
    pattern: str
    account: OpId = ""


class Acknowledge(msgspec.Struct, frozen=True):
    """Move the cursors of `user` (of one `pattern`, or all) to `event_id`; never backwards.

    `token`: by which it was read, "" for none: it moves no cursor of what it may not read whole.
    """

    user: str
    event_id: EventId
    pattern: str | None = None
    account: OpId = ""
    token: OpId = ""


class Withdraw(msgspec.Struct, frozen=True):
    """Show the message of this id, which is on `topic`, no more. Again: nothing is stored. Refused with `no-message`.

    Whose it is does not change, so that is looked at before (`engine.seam.Engine.own_message`).
    """

    message: OpId
    topic: str


class Confirm(msgspec.Struct, frozen=True):
    """Say that `user` has seen the message of this id, which asks for it.

    Refused with `no-message`, `confirm-not-asked`, and `not-registered` for who is no reader of it.
    """

    user: str
    message: OpId
    account: OpId = ""


class AddUser(msgspec.Struct, frozen=True):
    """Add a user. `password`: its argon2id string, "" for none. Refused with `user-exists`.

    `first`: only while no admin is there; what a broker makes at its start.
    """

    name: str
    admin: bool = False
    password: str = ""
    first: bool = False


class RemoveUser(msgspec.Struct, frozen=True):
    """Remove a user and all that hangs on the account. Refused with `no-user`."""

    name: str


class SetPassword(msgspec.Struct, frozen=True):
    """Set the password of a user to this argon2id string, "" for none. Refused with `no-user`."""

    name: str
    password: str


class CreateToken(msgspec.Struct, frozen=True):
    """Give a user a token, whose text has the SHA-256 `digest` (hex); the receipt's `first` is its id. Refused with `no-user`.

    `expires`: ms since 1970, 0 for never. `publish`, `subscribe`: patterns that narrow it; None: as the user.
    """

    name: str
    digest: str
    label: str = ""
    expires: int = 0
    publish: tuple[str, ...] | None = None
    subscribe: tuple[str, ...] | None = None


class RevokeToken(msgspec.Struct, frozen=True):
    """End a token. Refused with `no-token`, also where it is somebody else's."""

    token: OpId


class AddGrant(msgspec.Struct, frozen=True):
    """Let a user, or `*`, publish or subscribe to what `pattern` matches. Refused with `no-user`."""

    who: str
    verb: Verb
    pattern: str


class RevokeGrant(msgspec.Struct, frozen=True):
    """End the grants of just that. Refused with `no-grant`."""

    who: str
    verb: Verb
    pattern: str


class EndSession(msgspec.Struct, frozen=True):
    """End a session of a user, as its cookie names it."""

    session: str
    account: OpId


class Audit(msgspec.Struct, frozen=True):
    """Note what is no operation otherwise: `what` happened (`signed-in`), to whom, from which address."""

    what: str
    who: str
    at: str = ""


AccessRequest = AddUser | RemoveUser | SetPassword | CreateToken | RevokeToken | AddGrant | RevokeGrant | EndSession | Audit
Request = Publish | Withdraw | Subscribe | Unsubscribe | Acknowledge | Confirm | AccessRequest


def batch_sentence(count: int, scheduled: int, before: int, waiting: int, withdrawn: int) -> str:
    """What became of a batch: `count` messages are stored, of which so many are `scheduled`.

    Others were stored before: so many were published `before`, are `waiting` for their time, and are `withdrawn` or over.
    """
    published = count - scheduled
    parts = [f"Published {published} message{'' if published == 1 else 's'}"] if published or not scheduled else []
    if scheduled:
        parts.append(f"scheduled {scheduled}" if parts else f"Scheduled {scheduled} message{'' if scheduled == 1 else 's'}")
    if before:
        parts.append(f"{before} {'was' if before == 1 else 'were'} published before")
    if waiting:
        parts.append(f"{waiting} {'waits' if waiting == 1 else 'wait'} already")
    if withdrawn:
        parts.append(f"{withdrawn} not published, withdrawn before or over")
    return ", ".join(parts)
