"""The description says what routes declare, and what docs/http.md says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from newswire.core.model.message import SHOWN_FIELDS
from newswire.errors import TABLE
from newswire.web import message_fields, openapi
from newswire.web.route import Route, routes_of
from tests.kit.web_fakes import Web

PAGE: Final = (Path(__file__).resolve().parents[2] / "docs/http.md").read_text()
ROUTES: Final = routes_of(Web().app)
DOCUMENT: Final = openapi.document(ROUTES, version="0.1", auth="required")
OF_NO_ROUTE: Final = {
    "wrong-method": "what an address does not take is no operation of it",
    "bad-backup": "of the command line",
    "ops-dir": "of the command line",
}


def operation(route: Route) -> Any:
    return DOCUMENT["paths"][re.sub(r"<(\w+)>", r"{\1}", route.path)][route.method.lower()]


def rows(route: Route) -> list[list[str]]:
    """The rows of the tables of the page that begin with this request: its other cells."""
    name = f"`{route.method} {route.path}`"
    lines = [line for line in PAGE.splitlines() if line.startswith("| ") and name in line.split(" | ")[0]]
    return [[cell.strip(" |") for cell in line.split(" | ")][1:] for line in lines]


def words(text: str) -> set[str]:
    return set(re.findall(r"`([\w-]+)(?:=\w+)?`", re.sub(r"\([^()]*\)", "", text)))


def test_it_is_json_and_small() -> None:
    assert 20_000 < len(msgspec.json.encode(DOCUMENT)) < 170_000


def test_each_reference_is_there() -> None:
    for name in re.findall(r'"\$ref":"#/components/(\w+/[^"]+)"', msgspec.json.encode(DOCUMENT).decode()):
        kind, _, name = name.partition("/")
        assert name in DOCUMENT["components"][kind]
    for name in DOCUMENT["components"]["schemas"]:
        assert f"/schemas/{name}" in str(DOCUMENT), f"{name} is of no use"


def test_each_operation_has_a_name_of_its_own() -> None:
    names = [one["operationId"] for path in DOCUMENT["paths"].values() for one in path.values()]
    assert len(set(names)) == len(names) == sum(len(route.methods) for route in ROUTES)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_the_page_names_its_fields_and_codes_and_no_others(route: Route) -> None:
    assert rows(route), "no row in docs/http.md"
    for cells in rows(route)[1:]:  # the first is that of the overview
        fields, answer = cells if len(cells) > 1 else ["", cells[0]]
        assert words(fields) == {field.name for field in route.fields}
        assert words(answer) & TABLE.keys() <= set(openapi.codes_of(route, "required"))
    for field in route.fields:
        place = {"field": "query", "header": "header", "path": "path"}[field.place]
        (parameter,) = [one for one in operation(route)["parameters"] if one["name"] == field.name and one["in"] == place]
        assert parameter["description"]
        assert f"`{field.name}`" in PAGE or f"`{field.name}=" in PAGE or f"<{field.name}>" in PAGE


def test_each_code_is_one_of_a_route() -> None:
    said = {code for route in ROUTES for code in openapi.codes_of(route, "required")}
    assert TABLE.keys() - said == OF_NO_ROUTE.keys()
    parts = [name.split(".") for name in DOCUMENT["components"]["responses"]]
    assert {(status, code) for status, *codes in parts for code in codes} == {(str(TABLE[code][0]), code) for code in said}


def test_a_message_is_shown_with_the_fields_that_it_has() -> None:
    assert DOCUMENT["components"]["schemas"]["Message"]["properties"].keys() == set(SHOWN_FIELDS)
    body = DOCUMENT["paths"]["/publish"]["post"]["requestBody"]["content"]
    assert body["application/json"]["schema"]["properties"].keys() == message_fields.FIELDS | {"copies", "ids"}
    assert body.keys() == {"application/json", "application/x-www-form-urlencoded", "application/x-ndjson"}


def test_what_is_always_written_is_required() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert set(schemas["HoleRow"]["required"]) == schemas["HoleRow"]["properties"].keys()
    assert schemas["BatchAnswer"]["required"] == ["message", "count", "first", "last", "copies"]
    assert "disk_free_bytes" not in schemas["Readiness"]["required"]


def test_patterns_are_those_of_json_schema() -> None:
    patterns = re.findall(r"'pattern': '([^']*)'", str(DOCUMENT))
    assert len(patterns) > 20
    for pattern in patterns:
        assert "(?i" not in pattern
        assert "\\Z" not in pattern


def test_examples_are_what_they_are_examples_of() -> None:
    """Each is taken by the field that it is of."""
    for route in ROUTES:
        for field in route.fields:
            schema = next(one["schema"] for one in operation(route)["parameters"] if one["name"] == field.name)
            for example in schema.get("examples", ()):
                field.read(example)
