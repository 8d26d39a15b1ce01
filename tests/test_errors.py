"""The table of codes, and that an error comes out of its answer as it went in."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from newswire import errors
from newswire.errors import (
    TABLE,
    BadRequest,
    Forbidden,
    LinkRefused,
    NewswireError,
    NotFound,
    NotStored,
    Refused,
    TooLarge,
    Unauthenticated,
    Unavailable,
    Unknown,
    from_problem,
)

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, NewswireError)]


@pytest.mark.parametrize("code", sorted(TABLE))
def test_each_code_is_a_word_with_a_status_of_an_error_and_a_title(code: str) -> None:
    status, title = TABLE[code]
    assert 400 <= status < 600
    assert title
    assert code == code.lower().strip("-")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_class_has_a_code_of_the_table(kind: type[NewswireError]) -> None:
    assert kind("why").status == TABLE[kind.code][0]


def test_an_unknown_code_is_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="TABLE"):
        NewswireError("why", code="of-nobody")


def test_a_problem_has_what_the_rfc_names_and_its_extras() -> None:
    assert NotFound("no broker 1003", code="no-broker", id="1003").problem() == {
        "title": "No such broker", "status": 404, "detail": "no broker 1003", "code": "no-broker", "id": "1003"
    }  # fmt: skip


@pytest.mark.parametrize("code", sorted(TABLE))
def test_what_a_broker_answered_is_the_same_error_again(code: str) -> None:
    problem = NewswireError("do this", code=code, line=3).problem()
    error = from_problem({**problem, "type": "about:blank", "instance": "/x"}, problem["status"])
    assert error.problem() == problem


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("missing-field", BadRequest),
        ("unauthenticated", Unauthenticated),
        ("forbidden", Forbidden),
        ("no-subscription", NotFound),
        ("not-ready", Unavailable),
        ("unavailable", NotStored),
        ("too-large", TooLarge),
        ("unknown-outcome", Unknown),
        ("id-in-use", LinkRefused),
        ("internal", Refused),
    ],
)
def test_its_class_says_what_to_do(code: str, kind: type[NewswireError]) -> None:
    assert type(from_problem({"code": code}, TABLE[code][0])) is kind


@pytest.mark.parametrize(
    ("status", "kind"), [(400, BadRequest), (404, Refused), (413, TooLarge), (500, Unknown), (502, Unknown), (504, Unknown)]
)
def test_a_code_of_a_later_version_is_what_its_status_suggests(status: int, kind: type[NewswireError]) -> None:
    error = from_problem({"code": "of-later", "title": "Later"}, status)
    assert (type(error), error.detail) == (kind, "Later")
    assert str(status) in from_problem({}, status).detail


_REQUEST = re.compile(r"\b(?:GET|POST|DELETE) /\w+")
_DECLARATIONS = {"text_field", "Route", "Field", "Success", "_choice", "flag_field", "whole_field", "Right"}
# at an address where nothing is; of the interface; to who compresses by hand; to clients of ntfy
_FOR_HTTP = (
    "newswire/web/responses.py",
    "newswire/web/openapi.py",
    "newswire/web/content_coding.py",
    "newswire/web/ntfy_fields.py",
    "newswire/web/routes/ntfy.py",
)


def told(module: Path) -> Iterator[str]:
    """The texts of a module that a request stands in, without docstrings and what declares routes."""

    def walk(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue
            if isinstance(child, ast.Call) and isinstance(child.func, ast.Name) and child.func.id in _DECLARATIONS:
                continue
            if isinstance(child, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "x" for part in child.values]
                yield "".join(str(part) for part in parts)
            elif isinstance(child, ast.Constant) and isinstance(child.value, str):
                yield child.value
            else:
                yield from walk(child)

    return (text for text in walk(ast.parse(module.read_text())) if _REQUEST.search(text))


def test_nobody_at_a_command_line_or_in_a_menu_is_told_of_a_request() -> None:
    root = Path(errors.__file__).parent
    texts = [
        (module, text)
        for room in ("core", "web", "engine")
        for module in sorted((root / room).rglob("*.py"))
        if str(module.relative_to(root.parent)) not in _FOR_HTTP
        for text in told(module)
    ]
    assert len(texts) > 8
    for module, text in texts:
        for reader in ("command", "menu"):
            assert not _REQUEST.search(errors.as_sentence(text, reader)), f"{module}: add it to errors.REQUESTS"


@pytest.mark.parametrize(
    ("detail", "sentence"),
    [
        ("there is no user x: GET /users lists who there is", "There is no user x: newswire user list lists who there is."),
        ("is it there?", "Is it there?"),
        ("Already one.", "Already one."),
        ("`label` is a line", "`label` is a line."),
        ("ops_logs/1001 is in use", "ops_logs/1001 is in use."),
        ("127.0.0.1:1 is none", "127.0.0.1:1 is none."),
    ],
)
def test_a_detail_becomes_a_sentence(detail: str, sentence: str) -> None:
    assert errors.as_sentence(detail, "command") == sentence
