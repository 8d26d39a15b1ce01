"""What code and docs cite is there: rules and hazards by their headings, tests by their names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
RULES: Final = set(re.findall(r"^## (.+)$", (ROOT / "docs/rules.md").read_text(), re.MULTILINE))
HAZARDS: Final = set(re.findall(r"^\| (H\d+) \|", (ROOT / "docs/hazards.md").read_text(), re.MULTILINE))
TESTS: Final = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
RULE: Final = re.compile(r"docs/rules\.md, ((?:[A-Z][\w-]*)(?: [A-Z][A-Z-]*)*)")
HAZARD: Final = re.compile(r"\bH\d{1,2}\b")


def _sources() -> Iterator[Path]:
    for folder in ("src", "tests", "scripts"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def test_each_hazard_is_numbered_once() -> None:
    numbers = re.findall(r"^\| (H\d+) \|", (ROOT / "docs/hazards.md").read_text(), re.MULTILINE)
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_each_test_that_a_page_names_is_there(page: str) -> None:
    for path, name in TESTS.findall((ROOT / "docs" / page).read_text()):
        assert (ROOT / path).exists(), path
        assert not name or f"def {name}(" in (ROOT / path).read_text(), f"{path}::{name}"


def test_each_rule_and_hazard_that_code_cites_is_there() -> None:
    for source in _sources():
        text = source.read_text()
        for rule in RULE.findall(text):
            assert rule in RULES, f"{source.relative_to(ROOT)} cites the rule {rule}"
        if source.name != "test_citations.py":
            for hazard in HAZARD.findall(text):
                assert hazard in HAZARDS, f"{source.relative_to(ROOT)} cites {hazard}"
