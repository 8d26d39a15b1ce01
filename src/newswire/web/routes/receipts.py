"""Who has got a message and who has confirmed it: `GET /receipts`, `POST /confirm`, and whether one has: `GET /confirm`."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from flask import Blueprint, Response, request

from newswire.core.model import names
from newswire.core.model.commands import Confirm
from newswire.core.model.ops import Scheduled
from newswire.core.model.times import rfc3339
from newswire.engine.seam import Engine
from newswire.errors import NotFound
from newswire.web.auth import caller_of, subject_of
from newswire.web.availability import reading, serving
from newswire.web.deferred import STORE_CODES, stored
from newswire.web.pace import Pace
from newswire.web.responses import Confirmation, answer
from newswire.web.route import MAY_READ, SELF_OR_ADMIN, SIGNED_IN, Route, Success, text_field
from newswire.web.usual_fields import USERNAME, message_id


class ShownReader(msgspec.Struct, frozen=True):
    """A reader of a message as JSON; `at`: when it was confirmed (RFC 3339), None if it was not."""

    username: str
    state: Literal["pending", "delivered", "confirmed"]
    at: str | None


class ShownReport(msgspec.Struct, frozen=True):
    """What `/receipts` answers: each reader is counted once, by what is known of him."""

    id: str
    topic: str
    delivered: int
    pending: int
    confirmed: int
    subscribers: tuple[ShownReader, ...]


class OwnConfirmation(msgspec.Struct, frozen=True):
    """What `GET /confirm` answers; `at`: when it was confirmed (RFC 3339), None if it was not."""

    id: str
    confirmed: bool
    at: str | None


MESSAGE_ID: Final = text_field(
    "id",
    message_id,
    Annotated[str, msgspec.Meta(pattern=f"^{names.OP_ID_FORM}$", examples=["1001-k3b9.7"])],
    "The id of the message.",
    is_required=True,
    codes=("bad-field", "no-message"),
)
RECEIPTS: Final = Route(
    method="GET",
    path="/receipts",
    words="Who has got a message, and who has confirmed it: for its publisher, and for admins.",
    rights=(SIGNED_IN,),
    fields=(MESSAGE_ID,),
    answers=(Success(ShownReport),),
    codes=("not-ready", "too-many"),
)
CONFIRM: Final = Route(
    method="POST",
    path="/confirm",
    words="Confirms a message that asks for it.",
    rights=(SELF_OR_ADMIN, MAY_READ),
    fields=(USERNAME, MESSAGE_ID),
    answers=(Success(Confirmation),),
    codes=("confirm-not-asked", "not-registered", *STORE_CODES),
    is_light=True,
    is_shared=True,
)


CONFIRMED: Final = Route(
    method="GET",
    path="/confirm",
    words="Whether one has confirmed a message.",
    rights=(SELF_OR_ADMIN, MAY_READ),
    fields=(USERNAME, MESSAGE_ID),
    answers=(Success(OwnConfirmation),),
    codes=("not-ready", "too-many"),
    is_shared=True,
)


def routes(engine: Engine, pace: Pace) -> Blueprint:
    """The routes of delivery reports."""
    blueprint = Blueprint("receipts", __name__)

    @RECEIPTS.on(blueprint)
    def receipts() -> Response:
        reading(engine)()
        caller, name = caller_of(request.environ), RECEIPTS.read(request.environ)[MESSAGE_ID]
        pace.check(caller.username)
        report = engine.delivery_report(name, caller.principal)
        if report is None:
            if isinstance(engine.own_message(name, caller.principal), Scheduled):
                raise NotFound(f"the message {name} waits for its time, or is withdrawn: nobody has got it", code="no-message")
            who = "" if caller.principal is None else ", or it is another one's"
            raise NotFound(f"there is no message {name} (any more){who}", code="no-message")
        states = [row.state for row in report.readers]
        rows = (ShownReader(row.user, row.state, rfc3339(row.at) if row.at else None) for row in report.readers)
        return answer(
            ShownReport(
                id=report.id,
                topic=report.topic,
                delivered=states.count("delivered"),
                pending=states.count("pending"),
                confirmed=states.count("confirmed"),
                subscribers=tuple(rows),
            )
        )

    @CONFIRM.on(blueprint)
    def confirm() -> Response:
        serving(engine)()
        fields = CONFIRM.read(request.environ)
        caller = caller_of(request.environ)
        user, account = subject_of(engine, caller, fields.get(USERNAME, None))
        done = Confirmation(f"Confirmed by {user}")
        command = Confirm(user, fields[MESSAGE_ID], account)
        return stored(engine, (command,), lambda receipt: answer(done), by=caller.principal)

    @CONFIRMED.on(blueprint)
    def confirmed() -> Response:
        reading(engine)()
        fields = CONFIRMED.read(request.environ)
        caller, name = caller_of(request.environ), fields[MESSAGE_ID]
        user = subject_of(engine, caller, fields.get(USERNAME, None)).username
        pace.check(user)
        at = engine.confirmed_at(name, user, caller.principal)
        if at is None:
            raise NotFound(f"there is no message {name} (any more), or it is none for user {user}", code="no-message")
        return answer(OwnConfirmation(id=name, confirmed=bool(at), at=rfc3339(at) if at else None))

    return blueprint
