"""Who one is: `/login`, `/logout`, `/me`, and `/tickets`, which open one stream each.

Forms of the page work without a script: a browser that navigates is answered with a page, a program with JSON.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from flask import Blueprint, Response, request

from newswire.config import ServiceSettings
from newswire.core import limits
from newswire.core.model.commands import Audit, EndSession
from newswire.core.model.names import SIGN_IN
from newswire.core.model.passwords import check_new_password
from newswire.engine.seam import Engine, Rights
from newswire.errors import NewswireError, Refused
from newswire.web import devices, request_fields, sessions
from newswire.web.askers import accepts_page
from newswire.web.auth import Authenticator, subject_of
from newswire.web.deferred import STORE_CODES, stored
from newswire.web.entrance import caller_now, is_local
from newswire.web.passwords import check_password
from newswire.web.responses import Confirmation, answer, see_other
from newswire.web.route import PUBLIC, SELF_OR_ADMIN, SIGNED_IN, Route, Success, text_field
from newswire.web.routes import pages
from newswire.web.usual_fields import USERNAME, required

IS_OFF: Final = "this broker asks nobody who he is (--auth none), so there is nobody to sign in and no right to give"


class ShownGrant(msgspec.Struct, frozen=True):
    """A right as JSON."""

    verb: Literal["publish", "subscribe"]
    topic: str


class Me(msgspec.Struct, frozen=True):
    """Who asks, and what that may do. `by`: what was shown."""

    username: str
    admin: bool
    auth: Literal["none", "required"]
    by: Literal["none", "token", "password", "session", "ticket"]
    grants: list[ShownGrant]


class TicketAnswer(msgspec.Struct, frozen=True):
    """A ticket."""

    ticket: str


WHO: Final = required(USERNAME)
PASSWORD: Final = text_field(
    "password",
    check_password,
    Annotated[str, msgspec.Meta(min_length=1, max_length=limits.PASSWORD_BYTES)],
    "The password: any text of up to 1,024 bytes.",
    is_required=True,
    codes=("too-large",),
)
NEW_PASSWORD: Final = text_field(
    "password",
    lambda text: check_new_password(check_password(text)),
    Annotated[str, msgspec.Meta(min_length=limits.PASSWORD_CHARS, max_length=limits.PASSWORD_BYTES)],
    f"The new password: any text of {limits.PASSWORD_CHARS} characters or more, of up to 1,024 bytes.",
    is_required=True,
    codes=("too-large",),
)
NEXT: Final = text_field("next", str, str, "Where a browser goes on: a path of this broker.")
LOGIN: Final = Route(
    method="POST",
    path="/login",
    words="Signs in, and sets the cookie of a session.",
    rights=(PUBLIC,),
    fields=(WHO, PASSWORD, NEXT),
    answers=(Success(Confirmation), Success(media="text/html", status=303)),
    codes=("auth-is-off", "unauthenticated", "too-many", "cross-site", *STORE_CODES),
)
LOGOUT: Final = Route(
    method="POST",
    path="/logout",
    words="Ends the session.",
    rights=(SIGNED_IN,),
    answers=(Success(Confirmation), Success(media="text/html", status=303)),
    codes=("auth-is-off", "cross-site", *STORE_CODES),
)
ME: Final = Route(
    method="GET",
    path="/me",
    words="Who asks, and what that may do.",
    rights=(SIGNED_IN,),
    answers=(Success(Me),),
    is_shared=True,
)
TICKETS: Final = Route(
    method="POST",
    path="/tickets",
    words="A ticket for one `GET /stream?ticket=` within 30 seconds.",
    rights=(SELF_OR_ADMIN,),
    fields=(USERNAME,),
    answers=(Success(TicketAnswer),),
    codes=("auth-is-off", "cross-site", "no-user"),
    is_shared=True,
)


def routes(engine: Engine, settings: ServiceSettings, auth: Authenticator | None) -> Blueprint:
    """The routes of signing in."""
    blueprint = Blueprint("sign_in", __name__)
    _add_sessions(blueprint, engine, auth)

    @ME.on(blueprint)
    def me() -> Response:
        ME.read(request.environ)
        caller = caller_now()
        grants = [] if caller.rights is None else shown_rights(caller.rights)
        return answer(
            Me(username=caller.username, admin=caller.admin, auth=settings.auth, by=caller.by, grants=grants)  # type: ignore[arg-type]
        )

    @TICKETS.on(blueprint)
    def tickets() -> Response:
        mine, caller = authenticator(auth), caller_now()
        fields = TICKETS.read(request.environ)
        subject = subject_of(engine, caller, fields.get(USERNAME, None))
        return answer(TicketAnswer(mine.new_ticket(caller, subject)))

    return blueprint


def _add_sessions(blueprint: Blueprint, engine: Engine, auth: Authenticator | None) -> None:
    @LOGIN.on(blueprint)
    def login() -> Response:
        mine = authenticator(auth)
        raw = request_fields.fields(request.environ)
        place = str(raw.get(NEXT.name, "/"))
        place = place if is_local(place) else "/"
        address = request.environ.get("REMOTE_ADDR", "")
        try:
            fields = LOGIN.values(raw)
            device = mine.devices.source_of(request.environ, fields[WHO])
            caller = mine.sign_in(fields[WHO], fields[PASSWORD], address, device)
        except NewswireError as error:
            if not accepts_page(request.environ):
                raise
            return pages.sign_in(engine, place, typed=str(raw.get(WHO.name, "")), refusal=error)
        engine.post([Audit(what=SIGN_IN, who=caller.username, at=address)])
        if accepts_page(request.environ):
            response = see_other(place)
        else:
            response = answer(Confirmation(f"Signed in as {caller.username}"))
        with_cookie(response, mine.new_session(caller))
        if not device:
            secure = sessions.is_secure(request.environ)
            response.headers.add(*devices.set_cookie(mine.devices.write(caller.username), secure=secure))
        return response

    @LOGOUT.on(blueprint)
    def logout() -> Response:
        check_is_on(auth)
        LOGOUT.read(request.environ)
        caller = caller_now()
        principal, confirmation = caller.principal, Confirmation(f"Signed out {caller.username}")
        is_page = accepts_page(request.environ)
        if principal is None or not principal.session:
            return with_cookie(see_other("/login") if is_page else answer(confirmation), "")
        command = EndSession(session=principal.session, account=principal.account)
        response = stored(
            engine, (command,), lambda receipt: see_other("/login") if is_page else answer(confirmation), by=principal
        )
        if is_page:
            response.headers["Location"] = "/login"
        return with_cookie(response, "")


def check_is_on(auth: Authenticator | None) -> None:
    """Raise `auth-is-off` where nobody is asked."""
    authenticator(auth)


def authenticator(auth: Authenticator | None) -> Authenticator:
    """What makes callers. Raises `auth-is-off` where nobody is asked."""
    if auth is None:
        raise Refused(IS_OFF, code="auth-is-off")
    return auth


def with_cookie(response: Response, value: str) -> Response:
    """`response`, which has the browser keep this cookie; with "", forget it."""
    response.headers.add(*sessions.set_cookie(value, secure=sessions.is_secure(request.environ)))
    return response


def shown_rights(rights: Rights) -> list[ShownGrant]:
    """What somebody may do, as JSON: an admin everything."""
    if rights.admin:
        return [ShownGrant(verb="publish", topic=">"), ShownGrant(verb="subscribe", topic=">")]
    rows = [ShownGrant(verb="publish", topic=pattern) for pattern in rights.publish]
    return rows + [ShownGrant(verb="subscribe", topic=pattern) for pattern in rights.subscribe]
