"""The description of the HTTP interface as OpenAPI 3.1, made of what the routes declare. Pure.

What a query or form has as text is described by its value, as OpenAPI means it. Fields of a `POST` may stand in the query too:
there none is required, as it may be in the body. Which status an error has is said by `errors.TABLE`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, get_args

import msgspec

from newswire.core import limits
from newswire.errors import TABLE
from newswire.web import request_fields
from newswire.web.route import Field, Right, Route

Json = dict[str, Any]

_REF: Final = "#/components/schemas/{name}"
_WIRE_ERROR: Final = "NtfyError"
_ARGUMENT: Final = re.compile(r"<(\w+)>")
_HALVES: Final = r"\ud800-\udfff"  # of characters: no UTF-8 text has any, and few engines know them in a pattern
_ANY_REQUEST: Final = (  # what the head or the size of any request is refused for
    *("bad-request", "timeout", "too-large", "misdirected", "too-many", "head-too-large", "internal", "unavailable"),
)
_SCHEMES: Final = {
    "token": {"type": "http", "scheme": "bearer", "description": "A token (`nw_...`)."},
    "password": {"type": "http", "scheme": "basic", "description": "User and password, or user and token."},
    "session": {"type": "apiKey", "in": "cookie", "name": "newswire_session", "description": "What `POST /login` sets."},
    "cluster": {
        "type": "apiKey",
        "in": "header",
        "name": "Newswire-Signature",
        "description": "HMAC-SHA-256 with the cluster secret: between brokers that have one.",
    },
}
_NEEDS: Final = {
    "public": "anybody",
    "signed-in": "whoever is signed in",
    "self-or-admin": "the user of `{field}`, or an administrator",
    "admin": "an administrator",
    "peer": "a broker of the cluster",
    "topic": "who may {verb} to what `{field}` names",
    "whole": "no token that is narrower than its user, and no ticket",
    "password": "for one's own no token",
}
_WORDS: Final = {206: "A part.", 303: "A browser goes on there.", 304: "Not changed.", 403: "A page.", 409: "A page."}
_ABOUT: Final = f"""Live news over plain HTTP. docs/http.md of newswire is this interface in words.

Names are ASCII. A time is `earliest`, a duration back from now (`90m`, `7d`), or RFC 3339. Text is UTF-8, and a slash
at the end of a path changes nothing. Fields may stand in the query, in a form or in a JSON object, each once. The body of
`POST /publish` may be compressed by gzip (`Content-Encoding`), and long answers are, for who accepts it.

A head has at most {limits.HEAD_BYTES >> 10} KiB and {limits.HEADERS_COUNT} headers, a request {limits.FIELDS_COUNT} fields.
A form or JSON object has at most {limits.FORM_BYTES >> 10} KiB; one that subscribes, acknowledges or changes the brokers
{limits.CHANGE_BYTES >> 10} KiB; a message {limits.MESSAGE_BYTES >> 10} KiB of `data`;
a batch {limits.BATCH_MESSAGES} messages, {limits.BATCH_LINES} lines and {limits.BATCH_BYTES >> 20} MiB.
A head takes at most {limits.HEAD_SECONDS:g} seconds, a request {limits.BODY_SECONDS:g}.

No answer, or a status of 500 or more, means *perhaps done*: publish again with the same `key`, and it is one message."""


def document(routes: Sequence[Route], *, version: str, auth: str) -> Json:
    """The description of `routes`. `version`: of newswire; `auth`: whether callers are asked who they are."""
    shapes = [answer.shape for route in routes for answer in route.answers if answer.shape is not None]
    types = [field.type for route in routes for field in route.fields]
    schemas, components = msgspec.json.schema_components([*shapes, *types], ref_template=_REF)
    for struct in _structs(shapes):
        _complete(components[struct.__name__], struct)
    of_type = {id(type): _portable(schema) for type, schema in zip((*shapes, *types), schemas, strict=True)}
    paths: dict[str, Json] = {}
    for route in routes:
        path = paths.setdefault(_ARGUMENT.sub(r"{\1}", route.path), {})
        path[route.method.lower()] = _operation(route, of_type, auth)
        if route.takes_head:
            path["head"] = _head(path["get"])
    refusals = {_name(*one): _refusal(*one) for route in routes if not route.wire for one in _by_status(codes_of(route, auth))}
    if any(route.wire for route in routes):
        refusals[_WIRE_ERROR] = _wire_refusal()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "newswire",
            "version": version or "0",
            "summary": "Live news for an organisation over plain HTTP.",
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": {**_portable(components), "Problem": _problem()},
            "responses": refusals,
            "securitySchemes": _SCHEMES,
        },
    }


def codes_of(route: Route, auth: str) -> tuple[str, ...]:
    """The codes of what `route` refuses: its own, those of its fields, and those that come from how it is asked."""
    codes = {*_ANY_REQUEST, *route.codes, *(code for field in route.fields for code in field.codes)}
    if any(field.place == "field" for field in route.fields):
        codes |= {"bad-field", "double-field", "bad-body"}
    if any(_is_required(route, field, auth) for field in route.fields):
        codes.add("missing-field")
    if not route.is_lenient and not _is_of_peers(route):
        codes |= {"unknown-field", "double-field", "bad-body"}
    if route.method == "POST" and not _is_of_peers(route):
        codes |= {"wrong-type", "bad-body"}
    if route.reads_all or not route.is_safe:
        codes.add("cross-site")
    if auth != "none":
        kinds = {right.kind for right in route.rights}
        codes |= {"unauthenticated"} if kinds != {"public"} else set()
        codes |= {"no-user"} if "self-or-admin" in kinds else set()  # an admin may name anybody
        codes |= {"forbidden"} if kinds - {"public", "signed-in"} else set()
    return tuple(code for code in TABLE if code in codes)


def _operation(route: Route, of_type: Mapping[int, Json], auth: str) -> Json:
    operation: Json = {
        "operationId": f"{route.method.lower()}{re.sub('[^A-Za-z0-9]+', '_', route.path).rstrip('_')}",
        "summary": route.words,
        "description": f"For {' and '.join(map(_need, route.rights))}." if auth != "none" else "",
        "parameters": [_parameter(route, field, of_type[id(field.type)], auth) for field in route.fields],
        "responses": _responses(route, of_type, auth),
        "security": _security(route, auth),
    }
    if route.wire and not route.is_safe:
        operation["requestBody"] = _text_body(route)
    elif route.method == "POST" and (route.names or _is_of_peers(route)):
        operation["requestBody"] = _body(route, of_type, auth)
    return {name: value for name, value in operation.items() if value or name == "security"}


def _head(get: Json) -> Json:
    """The same without bodies."""
    responses = {status: {"description": "No body."} for status in get["responses"]}
    return {**get, "operationId": get["operationId"].replace("get", "head", 1), "responses": responses}


def _need(right: Right) -> str:
    if right.kind == "topic" and not right.field:
        return "who may read some of it"
    return _NEEDS[right.kind].format(field=right.field, verb=right.verb)


def _security(route: Route, auth: str) -> list[Json]:
    if _is_of_peers(route):
        return [{"cluster": []}, {}]  # unsigned between brokers without a secret
    if auth == "none" or _is_public(route):
        return []
    return [{"token": []}, {"password": []}, {"session": []}]


def _is_public(route: Route) -> bool:
    return any(right.kind == "public" for right in route.rights)


def _is_of_peers(route: Route) -> bool:
    return any(right.kind == "peer" for right in route.rights)


# -- requests -----------------------------------------------------------------------------------------------------
def _is_required(route: Route, field: Field[Any], auth: str) -> bool:
    """Whose it is may be left out where callers are known: it is the caller then."""
    is_caller = any(right.kind == "self-or-admin" and right.field == field.name for right in route.rights)
    return field.is_required or (auth == "none" and is_caller and "auth-is-off" not in route.codes)


def _parameter(route: Route, field: Field[Any], schema: Json, auth: str) -> Json:
    place = "query" if field.place == "field" else field.place
    is_required = place == "path" or (_is_required(route, field, auth) and route.method != "POST")
    parameter = {
        "name": field.name,
        "in": place,
        "description": field.words,
        **({"required": True} if is_required else {}),
        "schema": schema,
    }
    if schema.get("type") == "array":
        parameter |= {"style": "form", "explode": False}  # with commas between
    return parameter


def _body(route: Route, of_type: Mapping[int, Json], auth: str) -> Json:
    if _is_of_peers(route):
        return {"content": {"application/octet-stream": {"schema": {}}}}
    fields = [field for field in route.fields if field.place == "field"]
    schema: Json = {
        "type": "object",
        "properties": {field.name: {**of_type[id(field.type)], "description": field.words} for field in fields},
        "additionalProperties": False,
    }
    required = [field for field in fields if _is_required(route, field, auth)]
    if required:
        schema["required"] = [field.name for field in required]
    examples = {field.name: of_type[id(field.type)].get("examples", ()) for field in required}
    example = {name: values[0] for name, values in examples.items() if values}
    content: dict[str, Json] = {
        request_fields.JSON: {"schema": schema, "example": example},
        request_fields.FORM: {"schema": schema, "example": example},
    }
    lists = [field.name for field in fields if of_type[id(field.type)].get("type") == "array"]
    if lists:
        content[request_fields.FORM]["encoding"] = {name: {"style": "form", "explode": False} for name in lists}
    if route.takes_lines:
        line = msgspec.json.encode(example).decode()
        content[request_fields.NDJSON] = {
            "schema": {
                "type": "string",
                "contentMediaType": request_fields.NDJSON,
                "description": "One JSON object a line. What the query gives stands for each.",
            },
            "example": f"{line}\n{line}\n",
        }
    return {"description": "The fields; those that stand in the query are left out here.", "content": content}


def _text_body(route: Route) -> Json:
    """The body of ntfy's wire: the text, whatever its type says, or the one object that describes a message."""
    if _ARGUMENT.search(route.path):
        return {"description": "The text.", "content": {"text/plain": {"schema": {}}}}
    example = {"topic": "kitchen", "message": "Soup is ready", "title": "Lunch", "tags": ["soup"], "priority": 4}
    return {"description": "ntfy's JSON.", "content": {"application/json; charset=utf-8": {"schema": {}, "example": example}}}


# -- answers ------------------------------------------------------------------------------------------------------
def _responses(route: Route, of_type: Mapping[int, Json], auth: str) -> Json:
    responses = _successes(route, of_type)
    if auth != "none" and not _is_public(route) and not _is_of_peers(route):
        responses.setdefault("303", {"description": "A browser that navigates is sent to the page where one signs in."})
    if route.wire:
        refusal = {"$ref": f"#/components/responses/{_WIRE_ERROR}"}
        return responses | dict.fromkeys(("4XX", "5XX"), refusal)
    for status, codes in _by_status(codes_of(route, auth)):
        page = responses.get(str(status))  # an error as a page
        if page is None:
            responses[str(status)] = {"$ref": f"#/components/responses/{_name(status, codes)}"}
        else:
            page["content"] |= _refusal(status, codes)["content"]
    return responses


def _successes(route: Route, of_type: Mapping[int, Json]) -> Json:
    responses: Json = {}
    for answer in route.answers:
        response = responses.setdefault(str(answer.status), {"description": _WORDS.get(answer.status, "Done.")})
        if not answer.media:
            continue
        content = response.setdefault("content", {}).setdefault(answer.media, {})
        if answer.shape is not None:
            shape = of_type[id(answer.shape)]
            content["schema"] = {"anyOf": [content["schema"], shape]} if "schema" in content else shape
    return responses


def _by_status(codes: Iterable[str]) -> list[tuple[int, tuple[str, ...]]]:
    by_status: dict[int, tuple[str, ...]] = {}
    for code in codes:
        status = TABLE[code][0]
        by_status[status] = (*by_status.get(status, ()), code)
    return sorted(by_status.items())


def _name(status: int, codes: tuple[str, ...]) -> str:
    """The name of a component that several operations have."""
    return ".".join((str(status), *codes))


def _refusal(status: int, codes: tuple[str, ...]) -> Json:
    schema = {"$ref": _REF.format(name="Problem"), "properties": {"status": {"const": status}, "code": {"enum": list(codes)}}}
    response: Json = {
        "description": "; ".join(f"`{code}`: {TABLE[code][1]}" for code in codes),
        "content": {"application/problem+json": {"schema": schema}},
    }
    if status in (429, 503, 507):
        response["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}
    return response


def _wire_refusal() -> Json:
    """An error in ntfy's shape."""
    schema = {
        "type": "object",
        "properties": {
            "code": {"type": "integer", "description": "ntfy's number."},
            "http": {"type": "integer", "minimum": 400, "maximum": 599},
            "error": {"type": "string", "description": "What to do, for people."},
        },
        "required": ["code", "http", "error"],
    }
    # a problem where its head or size is refused, or what was meant as a topic is another address
    content = {
        "application/json": {"schema": schema},
        "application/problem+json": {"schema": {"$ref": _REF.format(name="Problem")}},
    }
    return {"description": "An error as ntfy's clients read it.", "content": content}


def _problem() -> Json:
    return {
        "type": "object",
        "description": "An error (RFC 9457). Some have more members, named with the code in docs/http.md.",
        "properties": {
            "title": {"type": "string"},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {"type": "string", "description": "What to do, for people."},
            "code": {"enum": list(TABLE), "description": "A word for programs, which does not change."},
        },
        "required": ["title", "status", "detail", "code"],
        "examples": [
            {
                "title": TABLE["missing-field"][1],
                "status": TABLE["missing-field"][0],
                "detail": "`topic` is missing: give it in the query, as a form field or in a JSON object",
                "code": "missing-field",
            }
        ],
    }


# -- schemas ------------------------------------------------------------------------------------------------------
def _structs(types: Iterable[Any]) -> Iterator[type[msgspec.Struct]]:
    """All structs that stand in `types`."""
    for one in types:
        if isinstance(one, type) and issubclass(one, msgspec.Struct):
            yield one
            yield from _structs(field.type for field in msgspec.structs.fields(one))
        else:
            yield from _structs(get_args(one))


def _complete(schema: Json, struct: type[msgspec.Struct]) -> None:
    """Leave out what is not shown, and require what is always written: msgspec requires only what has no default."""
    for field in msgspec.structs.fields(struct):
        if any((meta.extra or {}).get("shown") is False for meta in getattr(field.type, "__metadata__", ())):
            del schema["properties"][field.encode_name]
    omits = struct.__struct_config__.omit_defaults
    schema["required"] = [
        field.encode_name
        for field in msgspec.structs.fields(struct)
        if field.required or not (omits or field.default is msgspec.UNSET)
    ]
    for name in schema["required"]:
        schema["properties"][name].pop("default", None)


def _portable(value: Any) -> Any:
    """A schema with patterns as ECMA-262 has them, which JSON Schema asks for, and without Python's names for types."""
    if isinstance(value, dict):
        return {
            name: part.replace(r"\Z", "$").replace(_HALVES, "") if name == "pattern" else _portable(part)
            for name, part in value.items()
            if not (name == "title" and isinstance(part, str))
        }
    return [_portable(part) for part in value] if isinstance(value, list) else value
