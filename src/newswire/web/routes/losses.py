"""Holes for operators: `/readyz` shows them, `POST /accept_loss` gives up what no broker can bring."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import msgspec
from flask import Blueprint, Response, request

from newswire.core import limits
from newswire.core.model import names
from newswire.core.model.ops import SEQUENCE_MOST
from newswire.engine.seam import ClusterAdmin, Receipt
from newswire.errors import BadRequest, Unknown
from newswire.web.deferred import STORE_CODES, DeferredResponse
from newswire.web.responses import answer
from newswire.web.route import ADMIN, Field, Route, Success
from newswire.web.usual_fields import flag_field, whole_field

_is_origin: Final = re.compile(names.ORIGIN_FORM).fullmatch


class LossAnswer(msgspec.Struct, frozen=True):
    """How much was given up."""

    message: str
    count: int
    copies: int


def _origin(value: Any) -> str:
    if value != "" and not (isinstance(value, str) and _is_origin(value)):
        raise BadRequest("`origin` is one of those that GET /readyz lists", code="bad-field")
    return str(value)


ORIGIN: Final = Field(
    name="origin",
    read=_origin,
    type=Annotated[str, msgspec.Meta(pattern=f"^(?:{names.ORIGIN_FORM})?$", examples=["1001-k3b9"])],
    words="Of the hole, as `/readyz` lists it; without one all holes.",
)
FIRST: Final = whole_field("first", 1, SEQUENCE_MOST, "The first operation that is missing.")
LAST: Final = whole_field("last", 1, SEQUENCE_MOST, "The last operation that is missing.")
EVEN_IF_AWAY: Final = flag_field("even_if_away", "`1`: though a broker is away that may have it.")
ACCEPT_LOSS: Final = Route(
    method="POST",
    path="/accept_loss",
    words="Gives up what damage destroyed and no broker can bring.",
    rights=(ADMIN,),
    audited="asked-to-accept-loss",
    fields=(ORIGIN, FIRST, LAST, EVEN_IF_AWAY),
    answers=(Success(LossAnswer),),
    codes=("missing-field", "no-hole", "not-lost", "may-be-elsewhere", "restart-first", *STORE_CODES),
)


def routes(cluster: ClusterAdmin) -> Blueprint:
    """The routes of losses."""
    blueprint = Blueprint("losses", __name__)

    @ACCEPT_LOSS.on(blueprint)
    def accept() -> Response:
        fields = ACCEPT_LOSS.read(request.environ)
        origin, first, last = fields.get(ORIGIN, ""), fields.get(FIRST, 0), fields.get(LAST, 0)
        if (first or last) and not origin:
            raise BadRequest("`first` and `last` are of an `origin`: name it too", code="missing-field")
        even_if_away = fields.get(EVEN_IF_AWAY, False)
        return DeferredResponse(
            lambda then: cluster.accept_loss_later(
                then, origin, first, last, even_if_away=even_if_away, timeout=limits.RECEIPT_SECONDS
            ),
            _gave_up,
            seconds=limits.RECEIPT_SECONDS + limits.RECEIPT_GRACE_SECONDS,
            late=lambda: Unknown("no answer in time: perhaps done, look at GET /readyz"),
        )

    return blueprint


def _gave_up(receipt: Receipt) -> Response:
    count = f"{receipt.count} operation{'' if receipt.count == 1 else 's'}"
    return answer(LossAnswer(f"Gave up {count}; what waited behind is there now", receipt.count, receipt.copies))
