"""The pages for people: the feed at `/` (and at `/stream`, for a browser that navigates there), signing in, the account of
whoever is signed in, the admins' page, and their static files.

`templates/feed.html` gets
  `static`    where the page's files are: the address names what they hold, so that a page is never made of two versions;
  `username`  whose feed, "" when it must ask for the name;
  `typed`     what was typed there, where it is no name;
  `notice`    a sentence to show first, "" for none (the name in the address is not one);
  `broker`    the id of the broker that answered;
  `address`   the address (`core.model.addresses`) of the broker that answered, as the cluster knows it ("" while unknown);
  `brokers`   that of every broker of the cluster, primary first, the answering one included: where to go on when this one
              is gone. `origins.py` lets a page of one broker ask the others, and the policy below lets it connect there;
  `seat`      where its stream is opened, if that broker serves the page, too: one with more room; "" for this one;
  `few`       below so many streams of all brokers a page that moved goes home;
  `auth`      `required` where people sign in, else `none`; `caller` and `admin`: who is signed in, and whether he is one.
The other pages hold nothing but who is signed in: what they show comes from the routes that any program uses.

Scripts and styles come from `/static/` only: the policy forbids inline ones and `style` attributes. Data goes to the script as
`<script type="application/json">{{ ... | tojson }}</script>` (never run, so allowed) or as data attributes.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Annotated, Any, Final

from flask import Blueprint, Response, render_template, request, send_from_directory
from msgspec import Meta

from newswire.config import ServiceSettings
from newswire.core import limits
from newswire.core.model.addresses import is_address, url_of
from newswire.core.model.balance import are_many, choose_seat
from newswire.core.model.names import check_username
from newswire.engine.seam import ClusterStatus, Engine
from newswire.errors import BadRequest, NewswireError, as_sentence
from newswire.web import shell
from newswire.web.content_coding import accepts_gzip
from newswire.web.entrance import caller_now
from newswire.web.responses import problem, see_other
from newswire.web.route import PUBLIC, SIGNED_IN, Field, Route, Success, text_field

# whatever was typed: the page says what is wrong with it
READER: Final = text_field("username", str, str, "Whose feed; without one the page asks for it.")
HOME: Final = Route(
    method="GET",
    path="/",
    words="The feed page.",
    rights=(SIGNED_IN,),
    fields=(READER,),
    answers=(Success(media="text/html"), Success(media="text/html", status=403)),
    takes_head=True,
    is_lenient=True,
)
_FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$", examples=["feed.js"])]
NAME: Final = Field(name="name", read=str, type=_FileName, words="The file.", place="path")
VERSION: Final = Field(name="version", read=str, type=_FileName, words="Of the page's files.", place="path")
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


NEXT: Final = text_field("next", str, str, "Where to go on after signing in: a path of this broker.")
LOGIN: Final = Route(
    method="GET",
    path="/login",
    words="The page where one signs in.",
    rights=(PUBLIC,),
    fields=(NEXT,),
    answers=(Success(media="text/html"), Success(media="text/html", status=303)),
    takes_head=True,
    is_lenient=True,
)
ACCOUNT: Final = Route(
    method="GET",
    path="/account",
    words="The page with one's own password, tokens and rights.",
    rights=(SIGNED_IN,),
    answers=(Success(media="text/html"), Success(media="text/html", status=409)),
    codes=("auth-is-off",),
    takes_head=True,
    is_lenient=True,
)
ADMIN: Final = replace(
    ACCOUNT,
    path="/admin",
    words="The page where admins add users, grants and tokens.",
    answers=(*ACCOUNT.answers, Success(media="text/html", status=403)),
    codes=("auth-is-off", "forbidden"),
)
CLUSTER: Final = replace(
    ACCOUNT,
    path="/cluster",
    words="The page with the brokers, what they measure and foresee, and what happened.",
    answers=(Success(media="text/html"), Success(media="text/html", status=403)),
    codes=("forbidden",),
)
_NOBODY_IS_ASKED: Final = (
    "This broker asks nobody who he is, so there is nobody to sign in and no right to give: everybody may do everything."
)


def routes(engine: Engine, settings: ServiceSettings) -> Blueprint:
    """The routes of pages."""
    blueprint = Blueprint("pages", __name__)

    @HOME.on(blueprint)
    def home() -> Response:
        return feed(engine, settings, HOME.read(request.environ).get(READER, ""))

    @STATIC_ANY.on(blueprint)
    @STATIC.on(blueprint)
    def static(name: str, version: str = "") -> Response:
        environ = request.environ
        if name == shell.WORKER:  # a browser asks whether there is another before it takes this one again
            headers = {"Service-Worker-Allowed": "/", "Cache-Control": "no-cache"}
            return Response(shell.worker(), 200, headers, content_type="text/javascript; charset=utf-8")
        seconds = (
            limits.STATIC_CACHE_SECONDS if version in ("", shell.VERSION) else 0
        )  # a proxy may have the page of another broker
        if name in shell.FILES and "HTTP_RANGE" not in environ and accepts_gzip(environ):
            content_type, body = shell.compressed(name)
            response = Response(body, content_type=content_type, headers={"Content-Encoding": "gzip"})
            response.set_etag(f"{shell.VERSION}-{name}-gzip")  # another representation has another (RFC 9110, 8.8.3)
            response.cache_control.public, response.cache_control.max_age = True, seconds
            response.make_conditional(environ)
        else:
            media = shell.TYPES.get(f".{name.rpartition('.')[2]}")
            response = send_from_directory(shell.FOLDER, name, mimetype=media, max_age=seconds)
        response.headers["Vary"] = "Accept-Encoding"
        return response

    @LOGIN.on(blueprint)
    def login() -> Response:
        place = LOGIN.read(request.environ).get(NEXT, "/")
        if settings.auth == "none":
            return see_other("/")
        return sign_in(engine, place)

    @ACCOUNT.on(blueprint)
    def account() -> Response:
        return _own_page(engine, settings, "account")

    @ADMIN.on(blueprint)
    def admin() -> Response:
        return _own_page(engine, settings, "admin")

    @CLUSTER.on(blueprint)
    def cluster() -> Response:
        return _own_page(engine, settings, "cluster")

    return blueprint


def feed(engine: Engine, settings: ServiceSettings, username: str) -> Response:
    """The page with the news of `username`; without one, or with one that cannot be, it asks for it.

    Where people sign in, the news is that of whoever is signed in, unless another name is given, which is for admins.
    """
    view, caller = engine.describe(), caller_now()
    notice = ""
    try:
        if username:
            check_username(username)
    except BadRequest as error:
        notice = error.detail
    if not notice and not caller.admin and username not in ("", caller.username):
        words = f"You are signed in as {caller.username}, and read what {caller.username} is subscribed to."
        return _page(
            view, "words.html", 403, title=f"This is the news of {username}", words=words, username=caller.username, admin=False
        )
    whose = "" if notice else username or caller.username
    return _page(
        view,
        "feed.html",
        username=whose,
        typed=username if notice else "",
        notice=notice,
        broker=settings.id,
        address=next((row.ip for row in view.rows if row.self), ""),
        brokers=[row.ip for row in sorted(view.rows, key=lambda row: (not row.is_primary, row.id)) if is_address(row.ip)],
        seat=_seat(view),
        few=limits.SPREAD_STREAMS // 2,
        auth=settings.auth,
        caller=caller.username,
        acknowledges=caller.username in ("", whose),
        admin=caller.admin,
    )


def _seat(view: ClusterStatus) -> str:
    """The broker with room where the page of one more of many streams is served, "" for this one (SHARE)."""
    up = [row for row in view.rows if row.state == "up" and is_address(row.ip)]
    if not are_many([row.load for row in up]):
        return ""
    seat = choose_seat({row.ip: row.load for row in up}, random.random())
    return seat if seat in [row.ip for row in up if not row.self] else ""


def sign_in(engine: Engine, place: str, *, typed: str = "", refusal: NewswireError | None = None) -> Response:
    """The page where one signs in, and goes on to `place`; `refusal` is why that did not go well for the name `typed`."""
    values: dict[str, Any] = {"title": "Sign in", "next": place, "typed": typed}
    if refusal is None:
        return _page(engine.describe(), "login.html", notice="", **values)
    response = _page(engine.describe(), "login.html", refusal.status, notice=as_sentence(refusal.detail), **values)
    if (seconds := problem(refusal).headers.get("Retry-After")) is not None:
        response.headers["Retry-After"] = seconds
    return response


def _own_page(engine: Engine, settings: ServiceSettings, here: str) -> Response:
    """A page for whoever is signed in. What it shows comes from routes that check who asks; the page itself holds nothing."""
    view, caller = engine.describe(), caller_now()
    if caller.principal is not None and caller.principal.feed:  # who has a ticket's session signs in first
        return see_other(f"/login?next=/{here}")
    if settings.auth == "none" and here != "cluster":
        return _page(view, "words.html", 409, title="Nobody is asked who he is", words=_NOBODY_IS_ASKED)
    signed_in: dict[str, Any] = {"username": caller.username, "admin": caller.admin}
    if here == "cluster":
        signed_in |= {"auth": settings.auth, "broker": settings.id}
    if here != "account" and settings.auth == "required" and not caller.admin:
        words = f"You are signed in as {caller.username}, and {caller.username} is not an admin. Ask one for what you need."
        return _page(view, "words.html", 403, title="This page is for admins", words=words, **signed_in)
    title = {"account": caller.username, "admin": "Users", "cluster": "Cluster"}[here]
    return _page(view, f"{here}.html", title=title, here=here, **signed_in)


def _page(view: ClusterStatus, template: str, status: int = 200, **values: Any) -> Response:
    html = render_template(template, static=shell.PLACE, **values)
    headers = {
        "Content-Security-Policy": policy(view),
        "Referrer-Policy": "same-origin",  # the address holds the username; `no-referrer` would make forms' Origin null
        "Vary": "Accept, Cookie",
        "Cache-Control": "no-cache" if template == "feed.html" else "no-store",
    }
    return Response(html, status, headers, content_type="text/html; charset=utf-8")


def policy(view: ClusterStatus) -> str:
    """What the page may load: its own files, and connections to the brokers it may have to move to.

    Brokers tell each other their addresses: what is none (a `;` in it) would say more here.
    """
    reachable = " ".join(["'self'", *(url_of(row.ip) for row in view.rows if not row.self and is_address(row.ip))])
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src {reachable}; manifest-src 'self'; worker-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
