"""The Flask application: what each request goes through, and the blueprints, one a matter.

Flask's own `request.form`, `get_json`, `jsonify` and sessions are not used: they cost as much again as the rest of a
request (61-80 µs against 42-49). What is answered to HEAD and OPTIONS is said by each route, never added to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from flask import Response
from werkzeug.routing import Rule

from newswire.config import ServiceSettings
from newswire.core import limits
from newswire.core.model.conditions import NO_ADMIN
from newswire.core.model.times import rfc3339
from newswire.engine.seam import ClusterAdmin, ClusterStatus, Engine
from newswire.stream_order import StreamOrder
from newswire.web import content_coding, entrance, origins, responses
from newswire.web.auth import Authenticator
from newswire.web.pace import REQUESTS, Pace
from newswire.web.route import DeclaredRule, routes_of
from newswire.web.routes import (
    audit,
    backup,
    compaction,
    grants,
    health,
    losses,
    messages,
    metrics,
    ntfy,
    openapi,
    pages,
    peers,
    publish,
    receipts,
    sign_in,
    streams,
    subscriptions,
    tokens,
    trends,
    users,
)
from newswire.web.routes import cluster as brokers
from newswire.web.routes.streams import HandOver
from newswire.web.slim import PlainFlask
from newswire.web.tally import Tally


class _App(PlainFlask):
    url_rule_class: type[Rule] = DeclaredRule


def create_app(
    engine: Engine,
    settings: ServiceSettings,
    *,
    auth: Authenticator | None = None,
    cluster: ClusterAdmin | None = None,
    hand_over: HandOver | None = None,
    streams_open: Callable[[], int] = lambda: 0,
    no_room: Callable[[StreamOrder], str] = lambda order: "",
    give_way: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.time,
    version: str = "",
    messages_delivered: Callable[[], int] = lambda: 0,
    streams_sent: Callable[[], int] = lambda: 0,
    streams_configured: int | None = None,
    download: backup.Download | None = None,
    is_downloading: Callable[[], bool] = lambda: False,
    measured: trends.Measured | None = None,
) -> PlainFlask:
    """The application over `engine`.

    `auth` finds out who asks, None: nobody is asked. `hand_over` makes what adopts a stream's socket, `streams_open` counts
    those, `no_room` says why there is none for another; `messages_delivered` counts what they were sent, `streams_sent` those
    that were sent to other brokers; `streams_configured`: how many an operator asked for, if it is more than `settings` allow;
    `download` makes what sends a backup, `is_downloading` says whether one is sent; `measured` has what is measured and
    foreseen; `clock`: seconds since 1970; `version`: of newswire, as `/readyz` tells it.
    """
    app = _App("newswire.web", static_folder=None, template_folder="templates")
    app.url_map.merge_slashes = False  # a redirect to the clean path would lose the body
    tally = Tally()
    pace = Pace(settings.requests_per_user, clock)
    measured = measured or trends.Nothing()

    def process() -> dict[str, Any]:
        now = rfc3339(int(clock() * 1000))
        configured = settings.streams if streams_configured is None else streams_configured
        numbers = {"streams": streams_open(), "streams_limit": settings.streams, "streams_configured": configured}
        return {**numbers, "time": now, "version": version}

    def degraded(view: ClusterStatus) -> list[str]:
        lacks_admin = auth is not None and view.serves and not engine.has_admin()
        return [*view.degraded, *([NO_ADMIN.say()] if lacks_admin else [])]

    def count() -> dict[str, Any]:
        counts = {"messages_delivered": messages_delivered(), "streams_sent": streams_sent()}
        return {**process(), **counts, "http_requests": tally.read()}

    app.register_blueprint(publish.routes(engine, settings, give_way))
    app.register_blueprint(subscriptions.routes(engine, settings, clock, pace))
    app.register_blueprint(messages.routes(engine, clock, pace, give_way))
    app.register_blueprint(receipts.routes(engine, pace))
    app.register_blueprint(streams.routes(engine, settings, hand_over, no_room, pace))
    app.register_blueprint(ntfy.routes(engine, settings, hand_over, no_room, clock))
    app.register_blueprint(brokers.routes(engine, cluster))
    app.register_blueprint(backup.routes(engine, download, is_downloading))
    app.register_blueprint(sign_in.routes(engine, settings, auth))
    app.register_blueprint(users.routes(engine, auth))
    app.register_blueprint(tokens.routes(engine, auth, clock))
    app.register_blueprint(grants.routes(engine, auth))
    app.register_blueprint(audit.routes(engine, auth, clock))
    app.register_blueprint(health.routes(engine, process, degraded, lambda: measured.outlook))
    app.register_blueprint(metrics.routes(engine, count, degraded, lambda: measured.outlook))
    app.register_blueprint(trends.routes(measured))
    app.register_blueprint(pages.routes(engine, settings))
    app.register_blueprint(openapi.routes(settings, version, lambda: routes_of(app)))
    if cluster is not None:
        app.register_blueprint(peers.routes(cluster))
        app.register_blueprint(losses.routes(cluster))
        app.register_blueprint(compaction.routes(cluster))
    origins.install(app, engine, settings)
    per_caller = limits.REQUESTS_PER_CALLER if settings.requests_per_address is None else settings.requests_per_address
    entrance.install(app, engine, auth, Pace(per_caller, clock, REQUESTS))
    responses.install(app)
    app.after_request(_protect)
    app.after_request(content_coding.compress_answer)
    app.after_request(tally.count)
    return app


def _protect(response: Response) -> Response:
    """What every answer says: take it for what it is, and keep no copy unless it says otherwise."""
    headers = response.headers
    if not isinstance(headers, responses.ReadyHeaders):  # which say so already
        headers["X-Content-Type-Options"] = "nosniff"
        headers.setdefault("Cache-Control", "no-store")
    return response
