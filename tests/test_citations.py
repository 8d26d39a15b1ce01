"""What code, tests and docs cite is in the repository: headings, rules, hazards, tests, files and rooms."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
PAGES: Final = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "deploy/README.md"]
HEADINGS: Final = {
    page.relative_to(ROOT).as_posix(): re.findall(r"^#{2,4} (.+)$", page.read_text(), re.MULTILINE) for page in PAGES
}
RULES: Final = set(HEADINGS["docs/rules.md"])
HAZARDS: Final = re.findall(r"^\| (H\d+) \|", (ROOT / "docs/hazards.md").read_text(), re.MULTILINE)
HEADINGS["docs/hazards.md"] += HAZARDS
TESTS: Final = re.compile(r"`(tests/[\w/.]+\.(?:py|js))(?:::(\w+))?`")
MODULES: Final = re.compile(r"`((?:core|engine|streams|web|listener|client|cli)/[\w/.]+\.\w+|\w+\.py)`")
PAGE: Final = re.compile(r"`?([\w./-]*\b[\w-]+\.md)\b`?")
CITED: Final = re.compile(r"`?(docs/[\w-]+\.md|README\.md)`?, (?=[A-Z])")
FURTHER: Final = re.compile(r"(?:,| and) ([A-Z][A-Z-]{2,}(?: [A-Z][A-Z-]+)*)\b")
HAZARD: Final = re.compile(r"\bH\d{1,2}\b")
DOCUMENT: Final = re.compile(r"\b([A-Z]{4,}) (?:H?\d)|(?:\(|; )([A-Z]{4,})(?=[,;:)])|^([A-Z]{4,}), [A-Z][a-z]")
SUFFIXES: Final = (".py", ".js", ".html", ".css", ".toml", ".conf", ".service", ".md", "")
STANDARDS: Final = {"WCAG", "RHEL"}


def _files() -> Iterator[Path]:
    for folder in ("src", "tests", "scripts", "deploy"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix in SUFFIXES and path != Path(__file__):
                yield path
    yield ROOT / "pyproject.toml"


def _said(path: Path) -> list[str]:
    """What a file says to its readers, each comment and docstring on one line; of what is no Python, all of it."""
    text = path.read_text()
    if path.suffix != ".py":
        return [re.sub(r"\s*\n\s*(?:#|//|\*)?\s*", " ", text)]
    said = [ast.get_docstring(node) or "" for node in ast.walk(ast.parse(text)) if isinstance(node, _WITH_DOCSTRING)]
    comments = ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comments += " " + token.string.lstrip("# ")
        elif token.type not in (tokenize.NL, tokenize.INDENT):
            said.append(comments.strip())
            comments = ""
    return [re.sub(r"\s+", " ", part) for part in said if part]


_WITH_DOCSTRING: Final = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
SAID: Final = {path: _said(path) for path in _files()}


def _heading_at(page: str, text: str) -> str | None:
    """The heading of `page` that `text` begins with."""
    fits = [name for name in HEADINGS[page] if re.match(re.escape(name) + r"(?![\w-])", text)]
    return max(fits, key=len, default=None)


def unresolved(text: str) -> list[str]:
    """The citations in `text` that lead nowhere."""
    wrong = [f"no page {name}" for name in PAGE.findall(text) if not _is_page(name)]
    for found in CITED.finditer(text):
        page, rest = found[1], text[found.end() :]
        heading = _heading_at(page, rest) if page in HEADINGS else None
        if heading is None:
            wrong.append(f"no heading {rest[:40]!r} in {page}")
            continue
        rest = rest[len(heading) :]
        while page == "docs/rules.md" and (more := FURTHER.match(rest)):
            wrong += [] if more[1] in RULES else [f"no rule {more[1]}"]
            rest = rest[more.end() :]
    wrong += [f"no hazard {number}" for number in HAZARD.findall(text) if number not in HAZARDS]
    return wrong


def _is_page(name: str) -> bool:
    return any((ROOT / folder / name).exists() for folder in ("", "docs")) or name.startswith("/")


def test_each_citation_leads_to_a_heading_that_is_there() -> None:
    for path, said in SAID.items():
        for part in said:
            assert unresolved(part) == [], path.relative_to(ROOT)


def test_no_document_is_cited_that_is_not_here() -> None:
    """A word in capitals before a number, or first in brackets, names a rule, a standard, a signal or a thing of that file."""
    rules = {word for rule in RULES for word in rule.split()}
    cited = set()
    for path, said in SAID.items():
        if path.suffix != ".py":
            continue
        code = path.read_text()
        for part in said:
            for found in DOCUMENT.finditer(part):
                word = found[1] or found[2] or found[3]
                known = word in rules | STANDARDS or word.startswith("SIG")
                if not known and not re.search(rf"\b{word}\b *[:=.]|[.:\"'/_]{word}\b", code):
                    cited.add(f"{path.relative_to(ROOT)}: {found[0]}")
    assert not cited


@pytest.mark.parametrize(
    "text",
    [
        "as it should be (docs/rules.md, NOWHERE)",
        "(docs/rules.md, PUSH and NOWHERE)",
        "see docs/nowhere.md",
        "see docs/nowhere.md, Names",
        "(docs/http.md, Namesakes)",
        "what closes H99",
        "as the PLAN.md says",
    ],
)
def test_a_citation_that_leads_nowhere_is_found(text: str) -> None:
    assert unresolved(text)


@pytest.mark.parametrize(
    "text", ["as DRAFT 4 says", "(DRAFT 5, the disk)", "what (DRAFT, Parts) says", "DRAFT, Parts", "DRAFT H3"]
)
def test_a_document_that_is_not_here_is_found(text: str) -> None:
    assert DOCUMENT.search(text)


def test_each_hazard_is_numbered_once() -> None:
    assert len(HAZARDS) == len(set(HAZARDS))


def test_the_index_of_rules_names_each_once() -> None:
    index = (ROOT / "docs/rules.md").read_text().partition("\n## ")[0]
    assert sorted(re.findall(r"\[([A-Z -]+)\]\(#", re.sub(r"\s+", " ", index))) == sorted(RULES)


def test_each_decision_has_a_reason_and_a_price() -> None:
    for decision in re.split(r"^### ", (ROOT / "docs/decisions.md").read_text(), flags=re.MULTILINE)[1:]:
        reason, _, price = decision.partition("\n*Price:* ")
        assert price.strip(), reason
        assert len(reason.splitlines()) > 1, reason


def test_each_planted_bug_belongs_to_a_hazard() -> None:
    from tests.simulation.planted import BUGS

    names = re.findall(r"\bsimulator \(([^)]*)\)", (ROOT / "docs/hazards.md").read_text())
    assert {name for part in names for name in part.split(", ")} == set(BUGS)


def test_a_hazard_has_a_test_or_is_open() -> None:
    for row in re.findall(r"^\| H\d+ \|.*\|$", (ROOT / "docs/hazards.md").read_text(), re.MULTILINE):
        shown = row.rstrip("| ").rsplit(" | ", 1)[1]
        assert "`tests/" in shown or "`scripts/" in shown or "simulator (" in shown or "**Open**" in row, row


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_each_test_and_module_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text()
    for name, function in TESTS.findall(text):
        assert (ROOT / name).exists(), name
        assert not function or f"def {function}(" in (ROOT / name).read_text(), f"{name}::{function}"
    for name in MODULES.findall(text):
        assert any((ROOT / folder / name).exists() for folder in ("src/newswire", "tests/simulation", "tests")), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_each_rule_and_heading_that_a_page_names_is_there(page: Path) -> None:
    text = re.sub(r"\s+", " ", page.read_text())
    for name in re.findall(r"(?:\[rules\]\(rules\.md\)|\brules|docs/rules\.md), ([A-Z][A-Z-]+(?: [A-Z][A-Z-]+)*)", text):
        assert name in RULES, name
    for target, anchor in re.findall(r"\]\(([\w./-]*)#([\w-]+)\)", text):
        linked = (page.parent / target).resolve() if target else page
        anchors = {re.sub(r"[^\w -]", "", name.lower()).replace(" ", "-") for name in HEADINGS[_name(linked)]}
        assert anchor in anchors, f"{target}#{anchor}"


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def test_the_map_of_rooms_shows_each_module_once() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    block = text.partition("## Rooms")[2].partition("```\n")[2].partition("```")[0]
    shown: dict[str, list[str]] = {}
    for line in block.splitlines():
        if folder := re.match(r"([\w/]+)/ ", line):
            room = folder[1]
        else:
            shown.setdefault(room, []).extend(re.split(r" {2,}", line.strip())[0].split())
    package = ROOT / "src/newswire"
    for room, names in shown.items():
        folder_of = package if room == "newswire" else package / room
        there = sorted(path.stem for path in folder_of.glob("*.py") if not path.stem.startswith("__"))
        assert sorted(names) == there, room
    rooms = {path.parent.relative_to(package).as_posix() for path in package.rglob("*/__init__.py")}
    assert rooms | {"newswire"} == set(shown)
