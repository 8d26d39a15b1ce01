"""Whose word a request is: of a program or a page of ours, of a page of another site, or of nobody knows whom.

A browser sends requests for any page that it shows, from inside the reader's network. It says where they come from, in
`Origin`, `Sec-Fetch-Site` (to HTTPS and to its own machine only) or `Referer` (which the page may forbid), and no page can
make it say otherwise. A program may say what it likes; it acts for nobody but itself. (docs/rules.md, WHO MAY ACT)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Final
from urllib.parse import urlsplit

Environ = dict[str, Any]
IsOurs = Callable[[str], bool]


class Asker(Enum):
    """Who asks."""

    OURS = auto()  # a program, a page of this cluster, or a person who typed the address
    FOREIGN = auto()  # a page of another site
    UNKNOWN = auto()  # a browser that does not say for which page


_NO_PAGE: Final = frozenset({"same-origin", "none"})  # of Sec-Fetch-Site: our own page; no page at all
_READS: Final = frozenset({"", "empty", "document"})  # of Sec-Fetch-Dest: what shows or takes news; an image takes none
_AHEAD: Final = ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_PURPOSE", "HTTP_X_MOZ")  # of prefetch and prerender, new and old
_BROWSER: Final = "Mozilla/"
_PREVIEW: Final = re.compile(  # what fetches an address because somebody wrote it into a chat; others say they are Mozilla
    r"facebookexternalhit|facebookcatalog|facebot|twitterbot|slackbot|slack-imgproxy|telegrambot|whatsapp|discordbot"
    r"|linkedinbot|skypeuripreview|mattermost|rocket\.chat|redditbot|pinterest|iframely|embedly|\bsynapse\b|viber|mastodon"
    r"|googlebot|bingbot|applebot|duckduckbot|yandexbot|baiduspider",
    re.IGNORECASE,
)


def who_asks(environ: Environ, is_ours: IsOurs) -> Asker:
    """Say whose word this request is. `is_ours`: whether an origin is this broker's or another member's."""
    origin, site = environ.get("HTTP_ORIGIN"), environ.get("HTTP_SEC_FETCH_SITE")
    if site == "same-origin":  # also behind a proxy that names this broker by another name
        return Asker.OURS
    if origin is not None:
        return Asker.OURS if is_ours(origin) else Asker.FOREIGN
    if site is not None:
        return Asker.OURS if site in _NO_PAGE else Asker.FOREIGN
    referer = environ.get("HTTP_REFERER")
    if referer:
        try:
            parts = urlsplit(referer)
            page = f"{parts.scheme}://{parts.netloc}"
        except ValueError:
            page = ""
        return Asker.OURS if is_ours(page) else Asker.FOREIGN
    return Asker.UNKNOWN if environ.get("HTTP_USER_AGENT", "").startswith(_BROWSER) else Asker.OURS


def is_reader(environ: Environ) -> bool:
    """Say whether what asks may be what shows or takes the news: no image, no frame, nothing that only looks ahead."""
    return (
        environ.get("HTTP_SEC_FETCH_DEST", "") in _READS
        and not any(environ.get(name) for name in _AHEAD)
        and not _PREVIEW.search(environ.get("HTTP_USER_AGENT", ""))
    )


def is_navigation(environ: Environ) -> bool:
    """Say whether a browser's user went to this address, rather than a program or a page's EventSource."""
    return environ["REQUEST_METHOD"] == "GET" and accepts_page(environ)


def accepts_page(environ: Environ) -> bool:
    """Say whether a page is an answer to this request, as it is for a browser that goes there or sends a form."""
    accept = environ.get("HTTP_ACCEPT", "").lower()
    return "text/html" in accept and "text/event-stream" not in accept


def is_in_background(environ: Environ) -> bool:
    """Say whether a page asks by itself, rather than by a person who followed a link to here."""
    mode = environ.get("HTTP_SEC_FETCH_MODE")
    if mode is not None:
        return mode != "navigate" or environ.get("HTTP_SEC_FETCH_DEST") != "document"
    return "text/html" not in environ.get("HTTP_ACCEPT", "").lower()
