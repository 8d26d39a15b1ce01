"""Rules of the code base as tests: who may import what (docs/architecture.md, Rooms), what is exported, what nobody may do."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import newswire

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
)
# room (longest prefix counts): what of newswire it may import directly; "" is the package itself (its version)
MAY_IMPORT = {
    "newswire": ("newswire.client",),  # exports the client library, on first use
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


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """Each import of a file, anywhere in it: (line, dotted name); `from a import b` gives `a.b` and stands for `a` too."""
    for node in ast.walk(ast.parse(file.read_text())):
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


@pytest.mark.parametrize("file", FILES, ids=module_name)
def test_arrows(file: Path) -> None:
    room = room_of(module_name(file))
    assert room != "newswire" or module_name(file) == "newswire", f"{file.name} is in no room: give it a row in MAY_IMPORT"
    wrong = [
        f"line {line}: {name}"
        for line, name in imports(file)
        if under(name, "newswire")
        and not name.startswith("newswire.__")
        and not any(under(name, allowed) for allowed in MAY_IMPORT[room])
    ]
    assert not wrong, f"{room} may not import {wrong}"


@pytest.mark.parametrize(
    "file",
    [f for f in FILES if under(module_name(f), "newswire.core") or under(module_name(f), "newswire.quotas")],
    ids=module_name,
)
def test_core_is_pure(file: Path) -> None:
    for line, name in imports(file):
        top = name.split(".")[0]
        assert top not in NOT_IN_CORE or name in PURE_NAMES, f"line {line} imports {top}: hand in what it gives"
        assert top in {*sys.stdlib_module_names, "newswire", *CORE_MAY_USE}, f"line {line} imports {top}"
    calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)}
    assert not calls & {"open", "print", "input", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}


@pytest.mark.parametrize("file", FILES, ids=module_name)
def test_waitress_is_in_listener_alone(file: Path) -> None:
    if not under(module_name(file), "newswire.listener"):
        assert not [name for _, name in imports(file) if under(name, "waitress")]


@pytest.mark.parametrize("file", FILES, ids=module_name)
def test_nothing_happens_at_import(file: Path) -> None:
    """No call at module level that touches the world; `if __name__` and function bodies are not module level."""
    for statement in ast.parse(file.read_text()).body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.If):
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in CALLS_AT_IMPORT, f"line {node.lineno} calls {called}"
                assert called.split(".")[0] not in MODULES_AT_IMPORT or called.endswith("getLogger"), (
                    f"line {node.lineno} calls {called} at import"
                )


@pytest.mark.parametrize("file", FILES, ids=module_name)
def test_no_mutable_globals(file: Path) -> None:
    """Two brokers in one process share nothing: module-level names are constants, classes and functions."""
    for node in ast.walk(ast.parse(file.read_text())):
        assert not isinstance(node, ast.Global), f"line {node.lineno}: global {node.names}"


def test_exports() -> None:
    assert sorted(newswire.__all__) == [
        "AsyncSubscriber",
        "Gap",
        "Message",
        "NewswireHandler",
        "Publisher",
        "Subscriber",
        "__version__",
    ]
    for name in newswire.__all__:
        assert getattr(newswire, name)


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


@pytest.mark.parametrize("file", TESTS, ids=lambda f: str(f.relative_to(ROOT)))
def test_no_sleep_in_tests(file: Path) -> None:
    """Tests wait for a condition with a limit, never for a time: a sleep stands only in a loop that polls."""
    tree = ast.parse(file.read_text())
    allowed = {id(node) for loop in ast.walk(tree) if polls(loop) for node in ast.walk(loop)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("time.sleep", "sleep") and id(node) not in allowed:
            pytest.fail(f"{file.name}:{node.lineno} sleeps: wait for what you wait for")


@pytest.mark.parametrize("file", TESTS, ids=lambda f: str(f.relative_to(ROOT)))
def test_no_test_is_named_twice(file: Path) -> None:
    """A second function of the same name would hide the first."""
    names = [node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert len(names) == len(set(names)), sorted({n for n in names if names.count(n) > 1})
