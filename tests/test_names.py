"""One thing, one name; one name, one thing (docs/decisions.md, One name, one thing)."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

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


# A value that is called after what was done with it does not say what it is. Some are left: names on the wire and on the disk.
PARTICIPLES = frozenset(
    """found given told said shown kept held known made wanted asked left taken planned done named heard met looked settled
    began begun lacking ended opened sent brought proved counted served restored fresh""".split()
)
MOST = {"core": 0.02, "engine": 0.02}  # of the names that are bound; elsewhere 0.01


def names_bound(room: str) -> list[str]:
    """The variables and parameters of a room: what is assigned, and what is handed in."""
    paths = SOURCE.glob("*.py") if room == "" else (SOURCE / room).rglob("*.py")
    nodes = [node for path in paths for node in ast.walk(ast.parse(path.read_text()))]
    stored = [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return stored + [node.arg for node in nodes if isinstance(node, ast.arg)]


@pytest.mark.parametrize("room", ["", "cli", "client", "core", "engine", "listener", "quotas", "streams", "web"])
def test_values_are_nouns(room: str) -> None:
    bound = names_bound(room)
    bad = [name for name in bound if name.strip("_") in PARTICIPLES]
    assert len(bad) <= MOST.get(room, 0.01) * len(bound), sorted(bad)


def base_names(node: ast.ClassDef) -> list[str]:
    """What a class is derived from."""
    return [
        base.attr if isinstance(base, ast.Attribute) else base.id
        for base in node.bases
        if isinstance(base, ast.Name | ast.Attribute)
    ]


def structs() -> set[str]:
    """The names of all classes of the package that are built from their fields: structs, named tuples and dataclasses."""
    classes = [
        node
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    ]
    names = {"Struct", "NamedTuple"}
    names |= {node.name for node in classes if any("dataclass" in ast.dump(one) for one in node.decorator_list)}
    while more := {node.name for node in classes if names & set(base_names(node))} - names:
        names |= more
    return names


def test_what_has_many_fields_is_built_by_keyword() -> None:
    """More than three values in a row do not say which is which; a keyword costs some nanoseconds."""
    names, bad = structs(), list[str]()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and len(node.args) > 3:
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if name in names:
                    bad.append(f"{path.relative_to(SOURCE)}:{node.lineno} {name}")
    assert not bad


ONCE_MOST = 0.15  # of all functions: those of nine other packages are 1 to 13 %


def test_a_private_function_earns_its_call() -> None:
    """What is called once, and whose name says no more than its lines, stands where it is called."""
    count, once = 0, list[str]()
    for path in SOURCE.rglob("*.py"):
        text = path.read_text()
        functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        count += len(functions)
        names = [node.name for node in functions if node.name.startswith("_") and not node.name.startswith("__")]
        once += [f"{path.relative_to(SOURCE)} {name}" for name in names if len(re.findall(rf"\b{name}\b", text)) == 2]
    assert len(once) <= ONCE_MOST * count, f"{len(once)} of {count}: {sorted(once)}"


def test_a_long_room_says_why_it_is_one() -> None:
    """Over 400 lines: is it two? One that is not says so in its first words."""
    reason = "Longer than other rooms"
    texts = {path: path.read_text() for path in SOURCE.rglob("*.py")}
    long = [path for path, text in texts.items() if text.count("\n") > 400]
    assert not [path for path in long if reason not in (ast.get_docstring(ast.parse(texts[path])) or "")]
