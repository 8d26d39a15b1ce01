"""Each code of an error, from the one table of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from newswire.errors import TABLE, from_problem
from newswire.web.openapi import codes_of
from reference.application import AUTH
from reference.page import Page, code, plain
from reference.requests import declared

_ABOUT: Final = """\
A refusal over HTTP is an RFC 9457 object (`application/problem+json`) with `title`, `status`, `detail` and one of these
as `code`. A code does not change: programs match on it. `detail` says what to do. The library raises a class of
`newswire.errors` for each, with `code` and `detail`. A status of 500 or more means *perhaps done*: do it again with the
same `key`, and it is one message.
"""


def text() -> str:
    """The page."""
    return "\n".join(("# Errors\n", _ABOUT, *_codes()))


def _codes() -> Iterator[str]:
    answers = {route: set(codes_of(route, AUTH)) for route in declared()}
    for name, (status, title) in TABLE.items():
        routes = [route for route, codes in answers.items() if name in codes]
        names = ", ".join(code(f"{route.method} {route.path}") for route in routes)
        where = (
            "Any request."
            if len(routes) == len(answers)
            else f"{names}."
            if names
            else "The command line, or an address that does not take the method."
        )
        if len(answers) > len(routes) > len(answers) // 3:
            where = f"{len(routes)} of {len(answers)} [requests](requests.md)."
        raised = type(from_problem({"code": name}, status)).__name__
        yield f"## {name}\n\n{plain(title)}: status {status}, `{raised}` in the library. {where}\n"


PAGE = Page(name="errors", title="Errors", about="each code, its status, and what answers it", text=text)
