"""Holes for operators: `/readyz` shows them, `POST /accept_loss` gives up what no broker can bring."""

from __future__ import annotations

import re
from typing import Any, Final

from flask import Blueprint, Response, request

from newswire.core import limits
from newswire.core.model.ops import SEQUENCE_MOST
from newswire.engine.seam import ClusterAdmin, HoleRow, Receipt
from newswire.errors import BadRequest, Unknown
from newswire.web import message_fields, request_fields
from newswire.web.deferred import DeferredResponse
from newswire.web.responses import answer

_ORIGIN: Final = re.compile(r"[A-Za-z0-9]{1,16}-[a-z0-9]{1,16}")


def routes(cluster: ClusterAdmin) -> Blueprint:
    """The routes of losses."""
    blueprint = Blueprint("losses", __name__)

    @blueprint.post("/accept_loss")
    def accept() -> Response:
        fields = dict(request_fields.fields(request.environ))
        request_fields.only(fields, ("origin", "first", "last", "even_if_away"))
        origin = fields.get("origin", "")
        if origin and not (isinstance(origin, str) and _ORIGIN.fullmatch(origin)):
            raise BadRequest("`origin` is one of those that GET /readyz lists", code="bad-field")
        first, last = (
            message_fields.whole_of_text(name, fields[name], 1, SEQUENCE_MOST) if name in fields else 0
            for name in ("first", "last")
        )
        if (first or last) and not origin:
            raise BadRequest("`first` and `last` are of an `origin`: name it too", code="missing-field")
        even_if_away = _flag(fields.get("even_if_away", "0"))
        return DeferredResponse(
            lambda then: cluster.accept_loss_later(
                then, origin, first, last, even_if_away=even_if_away, timeout=limits.RECEIPT_SECONDS
            ),
            _gave_up,
            seconds=limits.RECEIPT_SECONDS + limits.RECEIPT_GRACE_SECONDS,
            late=Unknown("no answer in time: perhaps done, look at GET /readyz"),
        )

    return blueprint


def _gave_up(receipt: Receipt) -> Response:
    count = f"{receipt.count} operation{'' if receipt.count == 1 else 's'}"
    return answer(
        {"message": f"Gave up {count}; what waited behind is there now", "count": receipt.count, "copies": receipt.copies}
    )


def shown(hole: HoleRow) -> dict[str, Any]:
    """A hole as docs/http.md, Health, shows it."""
    return {
        "broker": hole.broker,
        "origin": hole.origin,
        "first": hole.first,
        "last": hole.last,
        "waiting": hole.waiting,
        "unreadable": hole.unreadable,
    }


def _flag(value: Any) -> bool:
    if value in ("0", "1", True, False):
        return value in ("1", True)
    raise BadRequest("`even_if_away` is 1 or 0", code="bad-field")
