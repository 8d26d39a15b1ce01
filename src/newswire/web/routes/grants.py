"""Grants: who may publish or subscribe to what. `/grants`."""

from __future__ import annotations

from typing import Annotated, Final, Literal, cast

import msgspec
from flask import Blueprint, Response, request

from newswire.core.access import EVERYBODY
from newswire.core.model.commands import AddGrant, RevokeGrant
from newswire.core.model.names import check_username
from newswire.engine.seam import Engine
from newswire.errors import BadRequest
from newswire.web.auth import Authenticator, check_is_whole, subject_of
from newswire.web.deferred import STORE_CODES, stored
from newswire.web.entrance import caller_now
from newswire.web.responses import Confirmation, answer
from newswire.web.route import ADMIN, WHOLE, Right, Route, Success, text_field
from newswire.web.routes.sign_in import check_is_on
from newswire.web.usual_fields import PATTERN, optional

Verb = Literal["publish", "subscribe"]


class GrantAnswer(msgspec.Struct, frozen=True):
    """A grant as JSON; `who` is `*` for everybody who is signed in."""

    who: str
    verb: Verb
    topic: str


def _who(text: str) -> str:
    return text if text == EVERYBODY else check_username(text)


def _verb(text: str) -> Verb:
    if text not in ("publish", "subscribe"):
        raise BadRequest("`verb` must be publish or subscribe", code="bad-field")
    return cast(Verb, text)


WHO: Final = text_field(
    "who",
    _who,
    Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^(?:\*|[A-Za-z0-9_.@-]+)$", examples=["ann", "*"])],
    "A username, or `*` for everybody who is signed in.",
    is_required=True,
    codes=("bad-username",),
)
VERB: Final = text_field("verb", _verb, Verb, "`publish` or `subscribe`.", is_required=True)
WHOSE: Final = optional(WHO)
ADD: Final = Route(
    method="POST",
    path="/grants",
    words="Grants a right.",
    rights=(ADMIN,),
    fields=(WHO, VERB, PATTERN),
    answers=(Success(Confirmation),),
    codes=("auth-is-off", "no-user", "too-many", *STORE_CODES),
)
REVOKE: Final = Route(
    method="DELETE",
    path="/grants",
    words="Ends a right, and what streams bring by it.",
    rights=(ADMIN,),
    fields=(WHO, VERB, PATTERN),
    answers=(Success(Confirmation),),
    codes=("auth-is-off", "no-user", "no-grant", *STORE_CODES),
)
LIST: Final = Route(
    method="GET",
    path="/grants",
    words="The grants of a user with those of everybody; for an admin who names nobody, all.",
    rights=(Right("self-or-admin", field="who"), WHOLE),
    fields=(WHOSE,),
    answers=(Success(list[GrantAnswer]),),
    codes=("auth-is-off", "no-user"),
)


def routes(engine: Engine, auth: Authenticator | None) -> Blueprint:
    """The routes of grants."""
    blueprint = Blueprint("grants", __name__)
    blueprint.before_request(lambda: check_is_on(auth))

    @ADD.on(blueprint)
    def add() -> Response:
        fields = ADD.read(request.environ)
        who, verb, pattern = fields[WHO], fields[VERB], fields[PATTERN]
        confirmation = Confirmation(f"Granted {who} {verb} on {pattern}")
        command = AddGrant(who=who, verb=verb, pattern=pattern)
        return stored(engine, (command,), lambda receipt: answer(confirmation), by=caller_now().principal)

    @REVOKE.on(blueprint)
    def revoke() -> Response:
        fields = REVOKE.read(request.environ)
        who, verb, pattern = fields[WHO], fields[VERB], fields[PATTERN]
        confirmation = Confirmation(f"Revoked {who} {verb} on {pattern}")
        command = RevokeGrant(who=who, verb=verb, pattern=pattern)
        return stored(engine, (command,), lambda receipt: answer(confirmation), by=caller_now().principal)

    @LIST.on(blueprint)
    def grants() -> Response:
        fields = LIST.read(request.environ)
        caller = caller_now()
        check_is_whole(engine, caller)
        whose = fields.get(WHOSE, None)
        if caller.admin and whose is None:
            rows = engine.grants(None)
        elif whose == EVERYBODY:
            rows = engine.grants(EVERYBODY)
        else:
            rows = [*engine.grants(subject_of(engine, caller, whose).username), *engine.grants(EVERYBODY)]
        return answer([GrantAnswer(who=row.who, verb=row.verb, topic=row.topic) for row in rows])

    return blueprint
