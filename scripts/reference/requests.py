"""Each request over HTTP, from what the routes declare: the same description as `GET /openapi.json`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final

import newswire
from newswire.errors import TABLE
from newswire.web import openapi
from newswire.web.route import Route, routes_of
from reference.application import AUTH, application
from reference.page import Page, code, plain, table

_FILE: Final = "openapi.json"
_PROBLEM: Final = "application/problem+json"
_SAID: Final = ("Done.", "A page.")  # by what is answered
_ABOUT: Final = f"""\
Each request, its fields and answers, from the description that each broker gives at `GET /openapi.json`; here it is [as
a file]({_FILE}). [HTTP](http.md) says in words what they do, with examples. Who may ask what counts with `--auth
required`; with `none` nobody is asked. A field stands in the query, in a form or in a JSON object. A [code](errors.md)
says why a request is refused.
"""

Json = Mapping[str, Any]


@cache
def declared() -> tuple[Route, ...]:
    """What all routes declare."""
    return routes_of(application())


@cache
def document() -> Json:
    """The description."""
    return openapi.document(declared(), version=newswire.__version__, auth=AUTH)


def text() -> str:
    """The page."""
    parts = ["# Requests\n", _ABOUT, f"Any request may be refused with {_links(code for code in TABLE if code in common())}.\n"]
    for path, operations in document()["paths"].items():
        parts += [
            _operation(path, method, one, has_head=method == "get" and "head" in operations)
            for method, one in operations.items()
            if method != "head"
        ]
    parts.append("## Objects\n\nWhat requests and answers are made of.\n")
    parts += [_object(name, schema) for name, schema in sorted(document()["components"]["schemas"].items())]
    return "\n".join(parts)


@cache
def common() -> frozenset[str]:
    """The codes of all requests: of their head and size above all."""
    return frozenset.intersection(*(frozenset(openapi.codes_of(route, AUTH)) for route in declared()))


def files() -> Mapping[str, str]:
    """The description, for programs."""
    return {_FILE: json.dumps(document(), indent=1, ensure_ascii=False) + "\n"}


def _operation(path: str, method: str, operation: Json, *, has_head: bool) -> str:
    body = operation.get("requestBody", {})
    also = " `HEAD` is answered, too, without a body." if has_head else ""
    parts = [
        f"## {method.upper()} {plain(path)}\n",
        f"{plain(operation['summary'])} {plain(operation.get('description', ''))}{also}\n",
        table(("field", "in", "is", "means"), _fields(operation, body)),
    ]
    if body and "properties" not in _schema(body):
        parts.append(f"Body: {plain(body.get('description', 'of another broker'))}\n")
    parts.append(table(("status", "answer"), _answers(operation["responses"])))
    return "\n".join(part for part in parts if part)


def _schema(body: Json) -> Json:
    """What a body in JSON is."""
    content = body.get("content", {})
    schema: Json = content.get("application/json", next(iter(content.values()), {})).get("schema", {})
    return schema


def _fields(operation: Json, body: Json) -> Iterator[tuple[str, str, str, str]]:
    in_body = _schema(body)
    required = set(in_body.get("required", ()))
    for field in operation.get("parameters", ()):
        name = field["name"]
        place = "query or body" if field["in"] == "query" and name in in_body.get("properties", {}) else field["in"]
        must = "**required.** " if field.get("required") or name in required else ""
        yield code(name), place, kind(field["schema"]), f"{must}{plain(field['description'])}"


def _answers(responses: Json) -> Iterator[tuple[str, str]]:
    for status, response in sorted(responses.items()):
        if answer := _answer(response):
            yield status, answer


def _answer(response: Json) -> str:
    """What a status means; nothing where it is said of any request."""
    if "$ref" in response:
        response = document()["components"]["responses"][response["$ref"].rpartition("/")[2]]
    content = response.get("content", {})
    medias = [f"`{media}`{_of(one.get('schema'))}" for media, one in content.items() if media != _PROBLEM]
    codes = content.get(_PROBLEM, {}).get("schema", {}).get("properties", {}).get("code", {}).get("enum", ())
    description = response["description"]
    words = "" if codes or (medias and description in _SAID) else plain(description)
    links = _links(code for code in codes if code not in common())
    return " ".join(part for part in (words, ", ".join(medias), links) if part)


def _links(codes: Iterable[str]) -> str:
    return ", ".join(f"[`{code}`](errors.md#{code})" for code in codes)


def _of(schema: Json | None) -> str:
    return f": {kind(schema)}" if schema else ""


def _object(name: str, schema: Json) -> str:
    required = set(schema.get("required", ()))
    rows = [
        (code(field), kind(one), f"{'' if field in required else 'not always there. '}{plain(one.get('description', ''))}")
        for field, one in schema.get("properties", {}).items()
    ]
    made = [f"### {name}\n", f"{plain(schema.get('description', ''))}\n", table(("member", "is", "means"), rows)]
    if not rows and "enum" in schema:
        made.append(f"One of {', '.join(map(code, schema['enum']))}.\n")
    return "\n".join(part for part in made if part)


def kind(schema: Json | bool) -> str:
    """What a value is, in few words."""
    if isinstance(schema, bool):
        return "any value"
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](requests.md#{name.lower()})"
    if "const" in schema:
        return code(json.dumps(schema["const"]))
    if "enum" in schema:
        return " or ".join(code(json.dumps(one) if not isinstance(one, str) else one) for one in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(kind(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        most = f", {schema['maxItems']} at most" if "maxItems" in schema else ""
        return f"list of {kind(schema.get('items', {}))}{most}"
    words = str(schema.get("format") or schema.get("type") or "any value")
    return f"{words}{_bounds(schema)}"


def _bounds(schema: Json) -> str:
    least, most = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum", schema.get("exclusiveMaximum"))
    unit = ""
    if "minLength" in schema or "maxLength" in schema:
        least, most, unit = schema.get("minLength"), schema.get("maxLength"), " characters"
    if least is not None and most is not None:
        return f", {least:,} to {most:,}{unit}"
    if most is not None:
        return f", up to {most:,}{unit}"
    return f", from {least:,}{unit}" if least is not None else ""


PAGE = Page(name="requests", title="Requests", about="each request over HTTP, its fields and answers", text=text, files=files)
