"""`GET /cluster/trends`: what this broker measured, foresees, and saw happen, for the cluster page and for programs."""

from __future__ import annotations

from typing import Final, Protocol

from flask import Blueprint, Response, request

from newswire.core import limits
from newswire.core.model.forecasts import Outlook, Series, Trends
from newswire.web.responses import answer
from newswire.web.route import ADMIN, Route, Success
from newswire.web.usual_fields import whole_field


class Measured(Protocol):
    """Who measures. Any thread."""

    @property
    def outlook(self) -> Outlook:
        """What is foreseen."""
        ...

    def trends(self, after: int) -> Trends:
        """What was measured later than `after` (ms since 1970; 0: all), what is foreseen and happened."""
        ...


class Nothing:
    """Nobody measures: tests of single routes."""

    outlook = Outlook()

    def trends(self, after: int) -> Trends:
        """Nothing."""
        return Trends(recent=Series(step=1, times=(), columns={}), day=None, outlook=self.outlook)


AFTER: Final = whole_field(
    "after",
    0,
    limits.TIME_MILLISECONDS,
    "Only samples later than this, in milliseconds since 1970. Left out: all of them, and the last day in minutes.",
)
TRENDS: Final = Route(
    method="GET",
    path="/cluster/trends",
    words="What this broker measured in the last hour and day, what it foresees, and what happened.",
    rights=(ADMIN,),
    fields=(AFTER,),
    answers=(Success(Trends),),
)


def routes(measured: Measured) -> Blueprint:
    """The route."""
    blueprint = Blueprint("trends", __name__)

    @TRENDS.on(blueprint)
    def trends() -> Response:
        return answer(measured.trends(TRENDS.read(request.environ).get(AFTER, 0)))

    return blueprint
