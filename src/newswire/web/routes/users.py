"""Users: `/users`, for admins; and `/users/<name>/password`, one's own included."""

from __future__ import annotations

from typing import Final

import msgspec
from flask import Blueprint, Response, request

from newswire.core import limits
from newswire.core.model.commands import AddUser, RemoveUser, SetPassword
from newswire.core.model.names import check_username
from newswire.core.model.times import rfc3339
from newswire.engine.seam import Engine
from newswire.errors import Refused
from newswire.web.auth import Authenticator, subject_of
from newswire.web.deferred import STORE_CODES, stored
from newswire.web.entrance import caller_now
from newswire.web.responses import Confirmation, Rows, answer
from newswire.web.route import ADMIN, PASSWORD, WHOLE, Field, Right, Route, Success
from newswire.web.routes.sign_in import NEW_PASSWORD, WHO, authenticator, check_is_on, with_cookie
from newswire.web.usual_fields import Username, flag_field, optional


class ShownUser(msgspec.Struct, frozen=True):
    """A user as JSON."""

    username: str
    admin: bool
    since: str


FIRST_PASSWORD: Final = optional(NEW_PASSWORD)
IS_ADMIN: Final = flag_field("admin", "Whether the user may do everything.")
NAME: Final = Field(
    name="name", read=check_username, type=Username, words="The user.", place="path", codes=("bad-username", "no-user")
)
ADD: Final = Route(
    method="POST",
    path="/users",
    words="Adds a user: a person or a program.",
    rights=(ADMIN,),
    fields=(WHO, FIRST_PASSWORD, IS_ADMIN),
    answers=(Success(Confirmation),),
    codes=("auth-is-off", "user-exists", "too-many", *STORE_CODES),
)
LIST: Final = Route(
    method="GET",
    path="/users",
    words="All users.",
    rights=(ADMIN,),
    answers=(Success(list[ShownUser]),),
    codes=("auth-is-off",),
)
REMOVE: Final = Route(
    method="DELETE",
    path="/users/<name>",
    words="Removes a user with all tokens, grants, subscriptions, sessions and streams.",
    rights=(ADMIN,),
    fields=(NAME,),
    answers=(Success(Confirmation),),
    codes=("auth-is-off", "last-admin", *STORE_CODES),
)
SET_PASSWORD: Final = Route(
    method="POST",
    path="/users/<name>/password",
    words="Sets a user's password, and ends the sessions that were begun with another; one's own not by a token.",
    rights=(Right("self-or-admin", field="name"), WHOLE, PASSWORD),
    fields=(NAME, NEW_PASSWORD),
    answers=(Success(Confirmation),),
    codes=("auth-is-off", "too-many", *STORE_CODES),
)


def routes(engine: Engine, auth: Authenticator | None) -> Blueprint:
    """The routes of users."""
    blueprint = Blueprint("users", __name__)
    blueprint.before_request(lambda: check_is_on(auth))

    @ADD.on(blueprint)
    def add() -> Response:
        fields = ADD.read(request.environ)
        mine, username = authenticator(auth), fields[WHO]
        password = fields.get(FIRST_PASSWORD, "")
        if engine.account(username) is not None:  # before a hash is made; the engine checks it again where it is stored
            raise Refused(f"there is a user {username}: remove the user first, or take another name", code="user-exists")
        request_ = AddUser(
            name=username, admin=fields.get(IS_ADMIN, False), password=mine.passwords.hash(password) if password else ""
        )
        confirmation = Confirmation(f"Added user {username}")
        return stored(engine, (request_,), lambda receipt: answer(confirmation), by=caller_now().principal)

    @LIST.on(blueprint)
    def users() -> Response:
        LIST.read(request.environ)
        rows = Rows()
        accounts = engine.accounts()
        for at in range(0, len(accounts), limits.STEP_MESSAGES):
            part = accounts[at : at + limits.STEP_MESSAGES]
            rows.add([ShownUser(username=row.username, admin=row.admin, since=rfc3339(row.since)) for row in part])
        return rows.answer()

    @REMOVE.on(blueprint)
    def remove(name: str) -> Response:
        REMOVE.read(request.environ)
        username = NAME.read(name)
        confirmation = Confirmation(f"Removed user {username}")
        return stored(engine, (RemoveUser(name=username),), lambda receipt: answer(confirmation), by=caller_now().principal)

    @SET_PASSWORD.on(blueprint)
    def set_password(name: str) -> Response:
        fields = SET_PASSWORD.read(request.environ)
        mine, caller = authenticator(auth), caller_now()
        username = subject_of(engine, caller, NAME.read(name)).username
        command = SetPassword(name=username, password=mine.passwords.hash(fields[NEW_PASSWORD]))
        engine.submit([command], by=caller.principal)
        response = answer(Confirmation(f"Set the password of {username}"))
        if caller.by == "session" and username == caller.username:  # who changes it stays signed in, and nobody else does
            response = with_cookie(response, mine.new_session(mine.with_new_password(caller)))
        return response

    return blueprint
