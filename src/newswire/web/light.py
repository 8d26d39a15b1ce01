"""Light views: they never wait, read no disk, and take a fraction of a millisecond. The listener runs them in its loop.

What they need of the engine they ask for and answer later (`deferred`). A view is marked where it is defined, so that
whoever changes it sees what it may not do; a call that waits raises there (`threads`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from flask import Flask

View = TypeVar("View", bound=Callable[..., Any])

_MARK: Final = "is_light"


def light(view: View) -> View:
    """Mark a view as light. It raises `threads.NeedsThread`, before it has changed anything, for a request that is not."""
    setattr(view, _MARK, True)
    return view


def light_routes(app: Flask) -> frozenset[tuple[str, str]]:
    """Method and path of what light views of `app` answer."""
    return frozenset(
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        if getattr(app.view_functions[rule.endpoint], _MARK, False)
        for method in rule.methods or ()
        if method != "OPTIONS"
    )
