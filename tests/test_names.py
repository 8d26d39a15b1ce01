"""One thing, one name; one name, one thing (docs/decisions.md, One name, one thing)."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "src" / "newswire"


def public_classes() -> dict[str, set[str]]:
    """By name, the modules that define a public class of it."""
    homes = defaultdict[str, set[str]](set)
    for path in SOURCE.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].add(str(path.relative_to(SOURCE)))
    return homes


def test_no_public_class_name_has_two_meanings() -> None:
    twice = {name: sorted(homes) for name, homes in public_classes().items() if len(homes) > 1}
    assert not twice


def test_the_glossary_names_each_class_of_core_seam_and_client() -> None:
    """A line for whoever meets the name; none for a name that is gone."""
    text = (SOURCE.parent.parent / "docs" / "glossary.md").read_text()
    classes = public_classes()
    rooms = ("core/", "client/", "engine/seam.py")
    there = {name for name, homes in classes.items() if any(home.startswith(rooms) for home in homes)}
    named = set(re.findall(r"`([A-Z][a-z]\w*)`", text))
    assert there - named == set(), "no line in docs/glossary.md"
    assert named - classes.keys() == set(), "a line in docs/glossary.md, and no class"
