"""Tokens, by which programs and devices of a user sign in: `/tokens`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec
from flask import Blueprint, Response, request

from newswire.core import limits
from newswire.core.model import names
from newswire.core.model.commands import CreateToken, RevokeToken
from newswire.core.model.message import ONE_LINE
from newswire.core.model.names import check_pattern
from newswire.core.model.times import rfc3339
from newswire.engine.seam import Engine, Receipt, TokenRow
from newswire.errors import BadRequest, NotFound
from newswire.web import credentials
from newswire.web.auth import Authenticator, check_is_whole, subject_of
from newswire.web.deferred import STORE_CODES, stored
from newswire.web.entrance import caller_now
from newswire.web.responses import Confirmation, answer
from newswire.web.route import SELF_OR_ADMIN, SIGNED_IN, WHOLE, Field, Route, Success, text_field
from newswire.web.routes.sign_in import check_is_on
from newswire.web.usual_fields import USERNAME, whole_field

_is_line: Final = re.compile(ONE_LINE).match
_is_id: Final = re.compile(names.OP_ID_FORM).fullmatch


class TokenAnswer(msgspec.Struct, frozen=True):
    """A new token: the one time that it is shown. `expires`: null for never; with the token that made it, or before."""

    id: str
    token: str
    expires: str | None


class ShownToken(msgspec.Struct, frozen=True, omit_defaults=True):
    """A token as JSON, without its text. `publish`, `subscribe`: to what it is narrowed; left out: not."""

    id: str
    username: str
    label: str
    since: str
    expires: str | None
    publish: tuple[str, ...] | None = None
    subscribe: tuple[str, ...] | None = None


def _label(text: str) -> str:
    if len(text) > limits.TOKEN_LABEL_CHARS or not _is_line(text):
        raise BadRequest(f"`label` is a line of at most {limits.TOKEN_LABEL_CHARS} characters", code="bad-field")
    return text


_PatternOrBlank = Annotated[  # blanks are left out: in a form a list without a word is one blank
    str, msgspec.Meta(max_length=limits.TOPIC_CHARS, pattern=f"^(?:{names.PATTERN_FORM})?$", examples=["kitchen.>"])
]


def _patterns_field(verb: str) -> Field[tuple[str, ...]]:
    def read(value: Any) -> tuple[str, ...]:
        words = value.split(",") if isinstance(value, str) else value
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise BadRequest(f"`{verb}` is a list of topics and patterns", code="bad-field")
        if len(words) > limits.TOKEN_PATTERNS:
            raise BadRequest(f"`{verb}` has at most {limits.TOKEN_PATTERNS} patterns", code="bad-field")
        return tuple(check_pattern(word.strip()) for word in words if word.strip())

    return Field(
        name=verb,
        read=read,
        type=Annotated[list[_PatternOrBlank], msgspec.Meta(max_length=limits.TOKEN_PATTERNS)],
        words=f"Topics and patterns: the token may {verb} to no others; left out: to what its user may.",
        is_repeatable=True,
        codes=("bad-pattern",),
    )


LABEL: Final = text_field(
    "label", _label, Annotated[str, msgspec.Meta(max_length=limits.TOKEN_LABEL_CHARS, pattern=ONE_LINE)], "What it is for."
)
EXPIRES: Final = whole_field("expires", 1, limits.EXPIRES_SECONDS, "Seconds after which it is good no more.")
PUBLISH: Final = _patterns_field("publish")
SUBSCRIBE: Final = _patterns_field("subscribe")
ID: Final = Field(
    name="id",
    read=str,
    type=Annotated[str, msgspec.Meta(pattern=f"^{names.OP_ID_FORM}$", examples=["1001-k3b9.7"])],
    words="The token, as `GET /tokens` names it.",
    place="path",
    codes=("no-token",),
)
CREATE: Final = Route(
    method="POST",
    path="/tokens",
    words="Makes a token, which is shown this once.",
    rights=(SELF_OR_ADMIN, WHOLE),
    fields=(USERNAME, LABEL, EXPIRES, PUBLISH, SUBSCRIBE),
    answers=(Success(TokenAnswer),),
    codes=("auth-is-off", "no-user", "too-many", *STORE_CODES),
)
LIST: Final = Route(
    method="GET",
    path="/tokens",
    words="The tokens of a user, without their text.",
    rights=(SELF_OR_ADMIN, WHOLE),
    fields=(USERNAME,),
    answers=(Success(list[ShownToken]),),
    codes=("auth-is-off", "no-user"),
)
REVOKE: Final = Route(
    method="DELETE",
    path="/tokens/<id>",
    words="Ends a token, and the streams that were opened with it.",
    rights=(SIGNED_IN, WHOLE),
    fields=(ID,),
    answers=(Success(Confirmation),),
    codes=("auth-is-off", *STORE_CODES),
)


def routes(engine: Engine, auth: Authenticator | None, clock: Callable[[], float]) -> Blueprint:
    """The routes of tokens. `clock`: seconds since 1970."""
    blueprint = Blueprint("tokens", __name__)
    blueprint.before_request(lambda: check_is_on(auth))

    @CREATE.on(blueprint)
    def create() -> Response:
        fields = CREATE.read(request.environ)
        caller = caller_now()
        subject = subject_of(engine, caller, fields.get(USERNAME, None))
        token = credentials.new_token()
        digest = credentials.digest_of(token)
        seconds = fields.get(EXPIRES, 0)
        command = CreateToken(
            name=subject.username,
            digest=digest,
            label=fields.get(LABEL, ""),
            expires=int((clock() + seconds) * 1000) if seconds else 0,
            publish=fields.get(PUBLISH, None),
            subscribe=fields.get(SUBSCRIBE, None),
        )

        def created(receipt: Receipt) -> Response:
            row = engine.token(digest)
            return answer(TokenAnswer(id=receipt.first, token=token, expires=_expires(row) if row is not None else None))

        return stored(engine, (command,), created, by=caller.principal)

    @LIST.on(blueprint)
    def tokens() -> Response:
        fields = LIST.read(request.environ)
        caller = caller_now()
        check_is_whole(engine, caller)
        subject = subject_of(engine, caller, fields.get(USERNAME, None))
        return answer([_shown(row) for row in engine.tokens(subject.username)])

    @REVOKE.on(blueprint)
    def revoke(id: str) -> Response:
        REVOKE.read(request.environ)
        caller = caller_now()
        mine = None if caller.admin else {row.id for row in engine.tokens(caller.username)}
        if not _is_id(id) or (mine is not None and id not in mine):
            raise NotFound("there is no such token of yours: GET /tokens lists them", code="no-token")
        confirmation = Confirmation(f"Revoked token {id}")
        return stored(engine, (RevokeToken(token=id),), lambda receipt: answer(confirmation), by=caller.principal)

    return blueprint


def _shown(row: TokenRow) -> ShownToken:
    return ShownToken(
        id=row.id,
        username=row.username,
        label=row.label,
        since=rfc3339(row.since),
        expires=_expires(row),
        publish=row.publish,
        subscribe=row.subscribe,
    )


def _expires(row: TokenRow) -> str | None:
    return rfc3339(row.expires) if row.expires else None
