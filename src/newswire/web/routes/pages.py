"""The pages for people: the feed at `/` (and at `/stream`, for a browser that navigates there), and their static files.

`templates/feed.html` gets
  `static`    where the page's files are: the address names what they hold, so that a page is never made of two versions;
  `username`  whose feed, "" when it must ask for the name;
  `typed`     what was typed there, where it is no name;
  `notice`    a sentence to show first, "" for none (the name in the address is not one);
  `broker`    the id of the broker that answered;
  `address`   the address (`core.model.addresses`) of the broker that answered, as the cluster knows it ("" while unknown);
  `brokers`   that of every broker of the cluster, primary first, the answering one included: where to go on when this one
              is gone. `origins.py` lets a page of one broker ask the others, and the policy below lets it connect there.
Scripts and styles come from `/static/` only: the policy forbids inline ones and `style` attributes. Data goes to the script as
`<script type="application/json">{{ ... | tojson }}</script>` (never run, so allowed) or as data attributes.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

from flask import Blueprint, Response, render_template, request, send_from_directory
from msgspec import Meta

from newswire.config import ServiceSettings
from newswire.core import limits
from newswire.core.model.addresses import is_address, url_of
from newswire.core.model.names import check_username
from newswire.engine.seam import ClusterStatus, Engine
from newswire.errors import BadRequest
from newswire.web.route import PUBLIC, SIGNED_IN, Field, Route, Success, text_field

_STATIC: Final = Path(__file__).parent.parent / "static"
_VERSION: Final = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(_STATIC.iterdir()))).hexdigest()[:12]

# whatever was typed: the page says what is wrong with it
READER: Final = text_field("username", str, str, "Whose feed; without one the page asks for it.")
HOME: Final = Route(
    method="GET",
    path="/",
    words="The feed page.",
    rights=(SIGNED_IN,),
    fields=(READER,),
    answers=(Success(media="text/html"),),
    takes_head=True,
    is_lenient=True,
)
NAME: Final = Field(name="name", read=str, type=Annotated[str, Meta(examples=["feed.js"])], words="The file.", place="path")
VERSION: Final = Field(name="version", read=str, type=str, words="Of the page's files.", place="path")
STATIC: Final = Route(
    method="GET",
    path="/static/<version>/<name>",
    words="A file of the page.",
    rights=(PUBLIC,),
    fields=(VERSION, NAME),
    answers=(Success(media="*/*"), Success(media="*/*", status=206), Success(media="", status=304)),
    codes=("not-found",),
    takes_head=True,
    is_lenient=True,
)
STATIC_ANY: Final = replace(STATIC, path="/static/<name>", words="A file of the page, of any version.", fields=(NAME,))


def routes(engine: Engine, settings: ServiceSettings) -> Blueprint:
    """The routes of pages."""
    blueprint = Blueprint("pages", __name__)

    @HOME.on(blueprint)
    def home() -> Response:
        return feed(engine, settings, HOME.read(request.environ).get(READER, ""))

    @STATIC_ANY.on(blueprint)
    @STATIC.on(blueprint)
    def static(name: str, version: str = "") -> Response:
        return send_from_directory(_STATIC, name, max_age=limits.STATIC_CACHE_SECONDS)

    return blueprint


def feed(engine: Engine, settings: ServiceSettings, username: str) -> Response:
    """The page with the news of `username`; without one, or with one that cannot be, it asks for it."""
    view = engine.describe()
    notice = _notice(username)
    html = render_template(
        "feed.html",
        static=f"/static/{_VERSION}",
        username="" if notice else username,
        typed=username if notice else "",
        notice=notice,
        broker=settings.id,
        address=next((row.ip for row in view.rows if row.self), ""),
        brokers=[row.ip for row in sorted(view.rows, key=lambda row: (not row.is_primary, row.id)) if is_address(row.ip)],
    )
    headers = {
        "Content-Security-Policy": policy(view),
        "Referrer-Policy": "same-origin",  # the address holds the username; `no-referrer` would make forms' Origin null
        "Vary": "Accept",
        "Cache-Control": "no-cache",
    }
    return Response(html, 200, headers, content_type="text/html; charset=utf-8")


def policy(view: ClusterStatus) -> str:
    """What the page may load: its own files, and connections to the brokers it may have to move to.

    Brokers tell each other their addresses: what is none (a `;` in it) would say more here.
    """
    reachable = " ".join(["'self'", *(url_of(row.ip) for row in view.rows if not row.self and is_address(row.ip))])
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src {reachable}; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def _notice(username: str) -> str:
    try:
        return "" if not username else check_username(username) and ""
    except BadRequest as error:
        return error.detail
