"""`GET /audit`: who signed in, changed users, tokens, grants and members, and published what where; never a text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from flask import Blueprint, Response, request

from newswire.core import limits
from newswire.core.model.times import rfc3339
from newswire.engine.seam import AuditRow, Engine
from newswire.errors import BadRequest
from newswire.web import times
from newswire.web.auth import Authenticator
from newswire.web.responses import answer
from newswire.web.route import ADMIN, Route, Success, text_field
from newswire.web.routes.sign_in import authenticator, check_is_on
from newswire.web.usual_fields import whole_field


class ShownAudit(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that was done, as JSON: what, when, by whom, about whom or what. What is not known is left out."""

    id: str
    time: str
    what: str
    by: str = ""
    who: str = ""
    verb: str = ""
    topic: str = ""
    detail: str = ""


SINCE: Final = text_field(
    "since",
    str,
    Annotated[str, msgspec.Meta(max_length=limits.TIME_CHARS, examples=["7d", "earliest"])],
    "From when on: a time. Left out: the newest rows.",
    codes=("bad-time",),
)
LIMIT: Final = whole_field("limit", 1, limits.AUDIT_ROWS, "How many rows at most, 100 if it is left out.")
AUDIT: Final = Route(
    method="GET",
    path="/audit",
    words="What was done by whom, the newest last.",
    rights=(ADMIN,),
    fields=(SINCE, LIMIT),
    answers=(Success(list[ShownAudit]),),
    codes=("auth-is-off",),
)


def routes(engine: Engine, auth: Authenticator | None, clock: Callable[[], float]) -> Blueprint:
    """The route of the audit trail. `clock`: seconds since 1970."""
    blueprint = Blueprint("audit", __name__)
    blueprint.before_request(lambda: check_is_on(auth))

    @AUDIT.on(blueprint)
    def audit() -> Response:
        fields = AUDIT.read(request.environ)
        authenticator(auth).tell_failures()
        since = _since(fields[SINCE], clock()) if SINCE in fields else None
        return answer([_shown(row) for row in engine.audit(since, fields.get(LIMIT, limits.AUDIT_DEFAULT_ROWS))])

    return blueprint


def _since(text: str, now: float) -> int:
    at = times.moment(text, now)
    if at is None:
        raise BadRequest(f"`since` must be {times.FORMS}", code="bad-time")
    return at


def _shown(row: AuditRow) -> ShownAudit:
    return ShownAudit(
        id=row.id,
        time=rfc3339(row.time),
        what=row.what,
        by=row.by,
        who=row.who,
        verb=row.verb,
        topic=row.topic,
        detail=row.detail,
    )
