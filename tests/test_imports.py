"""Rules of the code base as tests: who may import what (docs/architecture.md, Rooms), what is exported, what nobody may do."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import pydoc
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import newswire
from newswire import errors

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "newswire"
FILES = sorted(SOURCE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

# What the rooms above the seam see of the core: what is said, its bounds, and the format of streams. Never the state.
CORE_ABOVE_THE_SEAM = (
    "newswire.core.access",
    "newswire.core.limits",
    "newswire.core.model.addresses",
    "newswire.core.model.balance",
    "newswire.core.model.commands",
    "newswire.core.model.conditions",  # what may be wrong: for the doctor
    "newswire.core.model.forecasts",
    "newswire.core.model.event_ids",  # text; what it says is `coverage`, and below
    "newswire.core.model.matching",
    "newswire.core.model.message",
    "newswire.core.model.names",
    "newswire.core.model.offers",
    "newswire.core.model.ops",
    "newswire.core.model.passwords",
    "newswire.core.model.results",
    "newswire.core.model.times",
    "newswire.core.model.words",
)
# room (longest prefix counts): what of newswire it may import directly; "" is the package itself (its version)
MAY_IMPORT = {
    "newswire": ("newswire.client", "newswire.errors"),  # exports the client library, on first use
    "newswire.__main__": ("newswire.cli",),
    "newswire.errors": (),
    "newswire.hkdf": (),
    "newswire.first_admin": (
        "newswire.core.limits",
        "newswire.core.model.commands",
        "newswire.core.model.conditions",
        "newswire.core.model.passwords",
        "newswire.engine.seam",
        "newswire.errors",
        "newswire.threads",
        "newswire.web",
    ),
    "newswire.own_secret": ("newswire.errors",),
    "newswire.escape": (),
    "newswire.text": (),
    "newswire.threads": (),
    "newswire.tls": (),
    "newswire.metrics": (),
    "newswire.sse": ("newswire.core.model",),
    "newswire.ntfy": ("newswire.core.model", "newswire.errors"),
    "newswire.stream_order": ("newswire.core.access", "newswire.core.model", "newswire.ntfy"),
    "newswire.config": ("newswire.core", "newswire.errors"),
    "newswire.core": ("newswire.core", "newswire.errors"),
    "newswire.quotas": ("newswire.core.limits",),
    "newswire.engine": (
        "newswire.engine",
        "newswire.core",
        "newswire.config",
        "newswire.errors",
        "newswire.escape",
        "newswire.threads",
        "newswire.metrics",
        "newswire.tls",
    ),
    "newswire.streams": (
        "newswire.streams",
        "newswire.quotas",
        "newswire.engine.seam",
        *CORE_ABOVE_THE_SEAM,
        "newswire.config",
        "newswire.errors",
        "newswire.ntfy",
        "newswire.sse",
        "newswire.stream_order",
        "newswire.threads",
    ),
    "newswire.web": (
        "newswire.web",
        "newswire.quotas",
        "newswire.engine.seam",
        *CORE_ABOVE_THE_SEAM,
        "newswire.config",
        "newswire.errors",
        "newswire.escape",
        "newswire.ntfy",
        "newswire.sse",
        "newswire.stream_order",
        "newswire.text",
        "newswire.threads",
        "newswire.metrics",
    ),
    "newswire.listener": (
        "newswire.listener",
        "newswire.quotas",
        *CORE_ABOVE_THE_SEAM,
        "newswire.config",
        "newswire.errors",
        "newswire.escape",
        "newswire.ntfy",
        "newswire.threads",
    ),
    "newswire.client": (
        "newswire.client",
        "newswire.text",
        "newswire.sse",
        "newswire.tls",
        "newswire.core.model.addresses",
        "newswire.core.model.balance",
        "newswire.core.model.names",
        "newswire.core.limits",
        "newswire.core.model.commands",
        "newswire.core.model.event_ids",
        "newswire.core.model.bad_json",
        "newswire.core.model.message",
        "newswire.core.model.times",
        "newswire.errors",
    ),
    "newswire.sampler": (
        "newswire.core.foresight",
        "newswire.core.model.forecasts",
        "newswire.engine.seam",
        "newswire.threads",
    ),
    "newswire.server": (
        "newswire.sampler",
        "newswire.listener",
        "newswire.quotas",
        "newswire.web",
        "newswire.streams",
        "newswire.engine",
        *CORE_ABOVE_THE_SEAM,
        "newswire.config",
        "newswire.errors",
        "newswire.escape",
        "newswire.first_admin",
        "newswire.hkdf",
        "newswire.own_secret",
        "newswire.stream_order",
        "newswire.text",
    ),
    "newswire.cli": (
        "newswire.cli",
        "newswire.server",
        "newswire.client",
        "newswire.engine.embedded.archive",
        "newswire.engine.embedded.log_file",
        "newswire.engine.embedded.ops_file",
        "newswire.engine.embedded.restore",
        "newswire.engine.jetstream.move",
        "newswire.engine.seam",
        *CORE_ABOVE_THE_SEAM,
        "newswire.config",
        "newswire.errors",
        "newswire.escape",
        "newswire.sse",
        "newswire.text",
        "newswire.tls",
    ),
}
# Time, chance and the world outside are arguments of the core (docs/decisions.md, The core is fed events and returns actions).
NOT_IN_CORE = {
    "asyncio", "concurrent", "ctypes", "glob", "http", "io", "logging", "mmap", "multiprocessing", "os", "pathlib", "queue",
    "random", "secrets", "select", "selectors", "shutil", "signal", "socket", "ssl", "subprocess", "sys", "tempfile",
    "threading", "time", "urllib", "uuid", "weakref",
}  # fmt: skip
CORE_MAY_USE = {"msgspec"}  # beside the standard library
# A table of equal values, each one object for as long as it is in use: it saves memory and decides nothing.
PURE_NAMES = {"weakref.WeakValueDictionary"}
CALLS_AT_IMPORT = {"open", "print", "input", "exec", "eval", "__import__"}
MODULES_AT_IMPORT = {"os", "socket", "threading", "subprocess", "random", "secrets", "time", "logging", "signal", "requests"}


def module_name(file: Path) -> str:
    """`newswire.core.model.names` of its file."""
    parts = file.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(file: Path) -> ast.Module:
    """A file as a tree: read once, as several tests look at it."""
    return ast.parse(file.read_text())


@cache
def nodes_of(file: Path) -> tuple[ast.AST, ...]:
    """All nodes of that tree."""
    return tuple(ast.walk(tree_of(file)))


def called(call: ast.Call) -> str:
    """The dotted name of what is called; of what a call or an index gives, the names behind it."""
    names, node = [], call.func
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        names.append(node.id)
    return ".".join(reversed(names))


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """Each import of a file, anywhere in it: (line, dotted name); `from a import b` gives `a.b` and stands for `a` too."""
    for node in nodes_of(file):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:  # relative
                package = module_name(file).split(".")
                package = package if file.name == "__init__.py" else package[:-1]
                base = ".".join([*package[: len(package) - node.level + 1], *([base] if base else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def under(name: str, room: str) -> bool:
    """Say whether `name` is `room` or in it."""
    return name == room or name.startswith(room + ".")


def room_of(module: str) -> str:
    """The row of MAY_IMPORT that counts for `module`."""
    rows = [room for room in MAY_IMPORT if under(module, room)]
    return max(rows, key=len)


# A test a rule, over all files: a test for each file of each rule would cost more than looking.


def test_each_file_is_in_a_room() -> None:
    homeless = [file.name for file in FILES if room_of(module_name(file)) == "newswire" != module_name(file)]
    assert homeless == [], "give it a row in MAY_IMPORT"


def test_arrows() -> None:
    wrong = [
        f"{file}:{line}: {room_of(module_name(file))} may not import {name}"
        for file in FILES
        for line, name in imports(file)
        if under(name, "newswire")
        and not name.startswith("newswire.__")
        and not any(under(name, allowed) for allowed in MAY_IMPORT[room_of(module_name(file))])
    ]
    assert wrong == []


def test_core_is_pure() -> None:
    wrong = []
    for file in (f for f in FILES if under(module_name(f), "newswire.core") or under(module_name(f), "newswire.quotas")):
        for line, name in imports(file):
            top = name.split(".")[0]
            if top in NOT_IN_CORE and name not in PURE_NAMES:
                wrong.append(f"{file}:{line} imports {top}: hand in what it gives")
            if top not in {*sys.stdlib_module_names, "newswire", *CORE_MAY_USE}:
                wrong.append(f"{file}:{line} imports {top}")
        calls = {called(node) for node in nodes_of(file) if isinstance(node, ast.Call)}
        impure = calls & {"open", "print", "input", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
        wrong += [f"{file} calls {name}" for name in impure]
    assert wrong == []


def test_waitress_is_in_listener_alone() -> None:
    outside = [file for file in FILES if not under(module_name(file), "newswire.listener")]
    assert [(file, line) for file in outside for line, name in imports(file) if under(name, "waitress")] == []


def test_nothing_happens_at_import() -> None:
    """No call at module level that touches the world; `if __name__` and function bodies are not module level."""
    wrong = [
        f"{file}:{node.lineno} calls {name} at import"
        for file in FILES
        for statement in tree_of(file).body
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.If)
        for node in ast.walk(statement)
        if isinstance(node, ast.Call)
        and ((name := called(node)) in CALLS_AT_IMPORT or (is_of_the_world(name) and not name.endswith("getLogger")))
    ]
    assert wrong == []


def is_of_the_world(name: str) -> bool:
    """Say whether what is called is of a module that does things."""
    return name.split(".")[0] in MODULES_AT_IMPORT


def test_no_mutable_globals() -> None:
    """Two brokers in one process share nothing: module-level names are constants, classes and functions."""
    assert [(file, node.names) for file in FILES for node in nodes_of(file) if isinstance(node, ast.Global)] == []


def test_exports() -> None:
    assert sorted(newswire.__all__) == newswire.__all__
    assert {"AsyncSubscriber", "Gap", "Message", "NewswireError", "NewswireHandler", "Publisher", "Subscriber"} <= {
        *dir(newswire)
    }
    for name in newswire.__all__:
        assert getattr(newswire, name)


def test_what_a_client_may_meet_is_exported() -> None:
    """Each error that the library raises of an answer: who handles one imports it from where the rest comes from."""
    raised = {kind.__name__ for kind in errors._CLASS_OF.values()} - {"LinkRefused"}  # between brokers
    assert raised < set(newswire.__all__)


@pytest.mark.parametrize("kind", ["Publisher", "Subscriber", "AsyncSubscriber", "NewswireHandler"])
def test_the_help_of_the_library_shows_what_programs_use(kind: str) -> None:
    text = pydoc.plain(pydoc.render_doc(getattr(newswire, kind)))
    assert not re.search(r"\b(clock|sleep|chance|new_key)\b", text)


def test_a_broker_does_not_load_the_client_library() -> None:
    program = "import newswire, sys; sys.exit(any(m.startswith(('newswire.client', 'requests')) for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_every_module_can_be_imported() -> None:
    for module in pkgutil.walk_packages(newswire.__path__, "newswire."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def polls(loop: ast.AST) -> bool:
    """Say whether a loop looks at a condition again and again and raises at a limit."""
    return isinstance(loop, ast.While) and any(isinstance(node, ast.Raise) for node in ast.walk(loop))


def test_no_sleep_in_tests() -> None:
    """Tests wait for a condition with a limit, never for a time: a sleep stands only in a loop that polls."""
    wrong = []
    for file in TESTS:
        sleeps = [node for node in nodes_of(file) if isinstance(node, ast.Call) and called(node) in ("time.sleep", "sleep")]
        allowed = {id(node) for loop in nodes_of(file) if sleeps and polls(loop) for node in ast.walk(loop)}
        wrong += [f"{file}:{node.lineno} sleeps: wait for what you wait for" for node in sleeps if id(node) not in allowed]
    assert wrong == []


def test_no_test_is_named_twice() -> None:
    """A second function of the same name would hide the first."""
    for file in TESTS:
        names = [node.name for node in tree_of(file).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        assert len(names) == len(set(names)), (file, sorted({n for n in names if names.count(n) > 1}))
