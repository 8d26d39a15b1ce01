"""`GET /backup`: a copy of all that the broker holds, for `newswire backup`; checks who asks, and hands the connection over.

It reads everything, so a page of another site is refused as it is where something would change (`web/origins.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from flask import Blueprint, Response, request

from newswire.engine.seam import Engine
from newswire.errors import Refused
from newswire.web.route import ADMIN, Route, Success
from newswire.web.routes.streams import ENVIRON_KEY, Adopter

Download = Callable[[Iterator[bytes]], Adopter]

BACKUP: Final = Route(
    method="GET",
    path="/backup",
    words="A copy of all that the broker holds.",
    rights=(ADMIN,),
    audited="asked-for-backup",
    answers=(Success(media="application/gzip"),),
    codes=("backup-running",),
    reads_all=True,
)


def routes(engine: Engine, download: Download | None, is_busy: Callable[[], bool]) -> Blueprint:
    """The route of backups. `download` makes what sends one on a socket; without it the answer itself does, for tests.

    `is_busy`: whether one is sent now.
    """
    blueprint = Blueprint("backup", __name__)

    @BACKUP.on(blueprint)
    def backup() -> Response:
        environ = request.environ
        BACKUP.read(environ)
        if is_busy():
            raise Refused(
                "another backup is under way at this broker: try again later, or ask another one", code="backup-running"
            )
        copy = engine.backup()
        headers = {"Content-Disposition": f'attachment; filename="{copy.name}"', "X-Accel-Buffering": "no"}
        if download is None:
            return Response(copy.parts, 200, headers, content_type="application/gzip")
        environ[ENVIRON_KEY] = download(copy.parts)
        return Response(iter(()), 200, headers, content_type="application/gzip")

    return blueprint
