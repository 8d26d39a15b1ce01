"""What a route says of itself, where it is defined: method, path, fields, right, answers, codes.

A route is declared once and everything else reads it there: views read their fields through it, so that what is read is what
is declared; the listener learns what is light, `web.origins` what pages of other members may use, access control who may,
and `/openapi.json` all of it. A rule without a declaration is refused when the application is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Generic, Literal, TypeVar

from flask import Blueprint, Flask
from werkzeug.routing import BaseConverter, Rule

from newswire.core.model.names import OP_ID_FORM, ROUTES
from newswire.errors import TABLE
from newswire.web import request_fields
from newswire.web.request_fields import Environ

T = TypeVar("T")
D = TypeVar("D")
View = TypeVar("View", bound=Callable[..., Any])

_ARGUMENT: Final = re.compile(r"<(\w+)>")
_SAFE: Final = frozenset({"GET", "HEAD"})


@dataclass(frozen=True)
class Right:
    """What a caller needs. `field`: the one whose value names the user or topic that it is about; `verb`: of a topic.

    A `topic` right without a field is needed for something of what is read. `whole`: no token that is narrower than its user,
    and no ticket. `password`: for what is one's own, no token.
    """

    kind: Literal["public", "signed-in", "self-or-admin", "admin", "peer", "topic", "whole", "password"]
    field: str = ""
    verb: Literal["", "publish", "subscribe"] = ""


PUBLIC: Final = Right("public")
SIGNED_IN: Final = Right("signed-in")
SELF_OR_ADMIN: Final = Right("self-or-admin", field="username")
ADMIN: Final = Right("admin")
PEER: Final = Right("peer")  # the cluster's own signature
MAY_PUBLISH: Final = Right("topic", field="topic", verb="publish")
MAY_SUBSCRIBE: Final = Right("topic", field="topic", verb="subscribe")
MAY_READ: Final = Right("topic", verb="subscribe")
WHOLE: Final = Right("whole")
PASSWORD: Final = Right("password")


@dataclass(frozen=True, kw_only=True)
class Field(Generic[T]):
    """A field of a request. `read` makes the value of what JSON, a form or a query has, and raises NewswireError.

    `type` is the type of its value in JSON with its bounds, as msgspec declares them; in a query it is the text of that.
    `codes`: what `read` raises beside `bad-field`. `is_repeatable`: a list, whose items may stand in a query or form each by
    itself, or with commas between.
    """

    name: str
    read: Callable[[Any], T]
    type: Any
    words: str
    is_required: bool = False
    is_repeatable: bool = False
    place: Literal["field", "header", "path"] = "field"
    codes: tuple[str, ...] = ()


def text_field(
    name: str,
    check: Callable[[str], T],
    type: Any,
    words: str,
    *,
    is_required: bool = False,
    codes: tuple[str, ...] = (),
) -> Field[T]:
    """A field that is text. `check` returns its value, or raises one of `codes` or `bad-field`."""

    def read(value: Any) -> T:
        return check(request_fields.as_text(name, value))

    return Field(name=name, read=read, type=type, words=words, is_required=is_required, codes=codes)


@dataclass(frozen=True)
class Success:
    """What went well: JSON of the type `shape`, or a body of another media type."""

    shape: Any = None
    media: str = "application/json"
    status: int = 200


class Values:
    """What one request gave, checked. A field that it left out is not there."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getitem__(self, field: Field[T]) -> T:
        value: T = self._values[field.name]
        return value

    def __contains__(self, field: Field[Any]) -> bool:
        return field.name in self._values

    def get(self, field: Field[T], default: D) -> T | D:
        """The value of a field that may be left out."""
        value: T | D = self._values.get(field.name, default)
        return value


@dataclass(frozen=True, kw_only=True)
class Route:
    """One method of one path. `rights`: all of them are needed; `codes`: what it raises beside what its fields do.

    `is_light`: its view never waits, reads no disk and takes a fraction of a millisecond, so the listener runs it in its loop.
    What it needs of the engine it asks for and answers later (`web.deferred`); it raises `threads.NeedsThread`, before it has
    changed anything, for a request that is not light.
    `is_shared`: pages of other members may use it. `reads_all`: pages of other sites may not, as where something would change.
    `is_lenient`: fields that nobody knows are let pass, as others add them to links.
    `wire`: `ntfy` for what is in its shapes: errors have them, and a body is its text, or its JSON (docs/ntfy.md).
    `takes_auth_field`: a credential may stand in the query, as `auth`.
    `audited`: as what the audit trail tells that an admin asked for it; "" for what it tells by itself, or not at all.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    words: str
    rights: tuple[Right, ...]
    fields: tuple[Field[Any], ...] = ()
    answers: tuple[Success, ...]
    codes: tuple[str, ...] = ()
    takes_head: bool = False
    takes_lines: bool = False  # also a batch, one JSON object a line
    is_light: bool = False
    is_shared: bool = False
    reads_all: bool = False
    is_lenient: bool = False
    wire: Literal["", "ntfy"] = ""
    takes_auth_field: bool = False
    audited: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError for a path, right or code that does not fit."""
        arguments = {field.name for field in self.fields if field.place == "path"}
        if set(_ARGUMENT.findall(self.path)) != arguments:
            raise ValueError(f"{self.path}: its fields of the path are {sorted(arguments)}")
        names = {field.name for field in self.fields}
        if missing := {right.field for right in self.rights if right.field} - names:
            raise ValueError(f"{self.path}: a right needs the fields {sorted(missing)}")
        if unknown := set(self.codes).union(*(field.codes for field in self.fields)) - TABLE.keys():
            raise ValueError(f"{self.path}: no codes are {sorted(unknown)}")
        if not self.rights:
            raise ValueError(f"{self.path}: say what right it needs")

    @property
    def is_safe(self) -> bool:
        """Whether it changes nothing (RFC 9110, 9.2.1)."""
        return self.method in _SAFE

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods of HTTP that it takes."""
        return (self.method, "HEAD") if self.takes_head else (self.method,)

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of the fields that may stand in a query or body."""
        return frozenset(field.name for field in self.fields if field.place == "field")

    @cached_property
    def _repeatable(self) -> frozenset[str]:
        return frozenset(field.name for field in self.fields if field.is_repeatable)

    def on(self, blueprint: Blueprint) -> Callable[[View], View]:
        """Make a view the one that answers it."""
        return blueprint.route(self.path, methods=list(self.methods), declared=self)

    def read(self, environ: Environ) -> Values:
        """The values of its fields in a request: of the query, and where something may change of the body.

        Raises `unknown-field`, `missing-field`, and what the fields raise.
        """
        if self.method == "POST":
            return self.values(request_fields.fields(environ, repeatable=self._repeatable))
        return self.values(request_fields.query(environ))

    def values(self, raw: Mapping[str, Any]) -> Values:
        """The values of its fields among those of a query or body. Raises as `read` does."""
        if not self.is_lenient:
            request_fields.only(raw, self.names)
        for field in self.fields:
            if field.is_required and field.name not in raw and field.place == "field":
                raise request_fields.missing(field.name, raw)
        return Values({field.name: field.read(raw[field.name]) for field in self.fields if field.name in raw})


class TopicConverter(BaseConverter):
    """What stands where a path has a topic, or several with commas between: anything but a word that routes begin with."""

    part_isolating = True  # it never reaches over a slash, though one stands in the pattern
    regex = rf"(?!(?:{'|'.join(map(re.escape, sorted(ROUTES)))})\Z)(?!\.{{1,2}}\Z)[^/]+"


class MessageConverter(BaseConverter):
    """What stands where a path has a message behind a topic: its id, and nothing that may be another address there."""

    regex = OP_ID_FORM


class DeclaredRule(Rule):
    """A rule with its declaration. It takes the methods that it names and no others: HEAD on a stream would open one."""

    def __init__(
        self, string: str, *, declared: Route | None = None, methods: Collection[str] | None = None, **options: Any
    ) -> None:
        if declared is None:
            raise ValueError(f"{string} is not declared (web/route.py)")
        super().__init__(string, methods=methods, **options)
        self.methods = set(declared.methods)
        self.declared = declared

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        """No address is made from a rule here (`url_for`): to compile how is most of what making an application takes."""
        return _make_no_address

    def get_converter(self, variable_name: str, converter_name: str, args: Any, kwargs: Mapping[str, Any]) -> BaseConverter:
        """How a part of a path is matched: a topic shadows no route, nor does a message behind it."""
        if variable_name in ("topic", "topics"):
            return TopicConverter(self.map)
        if variable_name == "id" and self.rule.startswith("/<topic>/"):
            return MessageConverter(self.map)
        return super().get_converter(variable_name, converter_name, args, kwargs)


def _make_no_address(*_: object) -> tuple[str, str]:
    raise NotImplementedError("an address is written where it is used: rules only match")


def routes_of(app: Flask) -> tuple[Route, ...]:
    """What the rules of `app` declare, in order of their paths."""
    rules = (rule.declared for rule in app.url_map.iter_rules() if isinstance(rule, DeclaredRule))
    return tuple(sorted(rules, key=lambda route: (route.path, route.method)))


def light_routes(app: Flask) -> frozenset[tuple[str, str]]:
    """Method and path of what light views of `app` answer."""
    return frozenset((method, route.path) for route in routes_of(app) if route.is_light for method in route.methods)
