"""`POST /compact`: frees now what retention dropped and what ended, on this broker's disk and in its memory."""

from __future__ import annotations

from typing import Final

import msgspec
from flask import Blueprint, Response, request

from newswire.core import limits
from newswire.engine.seam import ClusterAdmin, Compacted
from newswire.errors import Unknown
from newswire.web.deferred import DeferredResponse
from newswire.web.responses import answer
from newswire.web.route import ADMIN, Route, Success
from newswire.web.routes.losses import EVEN_IF_AWAY


class CompactAnswer(msgspec.Struct, frozen=True):
    """What it did to the ops file, in bytes and operations."""

    message: str
    bytes_before: int
    bytes_after: int
    operations_before: int
    operations_after: int


COMPACT: Final = Route(
    method="POST",
    path="/compact",
    words="Compacts the ops file of this broker now; the answer comes when that is done.",
    rights=(ADMIN,),
    audited="asked-to-compact",
    fields=(EVEN_IF_AWAY,),
    answers=(Success(CompactAnswer),),
    codes=("not-compacted", "not-ready", "unavailable", "unknown-outcome"),
)


def routes(cluster: ClusterAdmin) -> Blueprint:
    """The route of compaction."""
    blueprint = Blueprint("compaction", __name__)

    @COMPACT.on(blueprint)
    def compact() -> Response:
        even_if_away = COMPACT.read(request.environ).get(EVEN_IF_AWAY, False)
        return DeferredResponse(
            lambda then: cluster.compact_later(then, even_if_away=even_if_away),
            _compacted,
            seconds=limits.COMPACT_SECONDS,
            late=lambda: Unknown("it is still under way: the broker's log tells when it is done"),
        )

    return blueprint


def _compacted(result: Compacted) -> Response:
    message = f"Compacted: {result.bytes_before} bytes became {result.bytes_after}"
    return answer(
        CompactAnswer(
            message=message,
            bytes_before=result.bytes_before,
            bytes_after=result.bytes_after,
            operations_before=result.rows_before,
            operations_after=result.rows_after,
        )
    )
