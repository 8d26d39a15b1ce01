"""scripts/python, scripts/venv.py and scripts/test: on a machine made of a few fake programs, and with a real .venv.

The tree that they run in holds a `newswire` without dependencies and a build backend of its own, so that nothing is
fetched, and lies in a path with a space.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

from brokers import until
from tests.kit.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parent.parent
BASE_PYTHON = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"

SECONDS = PATIENCE_SECONDS
PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "newswire"
version = "1"
[project.optional-dependencies]
test = []
"""
BACKEND = """\
import time, pathlib, zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
    here = pathlib.Path(__file__).parent
    (here / "building").touch()
    while (here / "hold").exists():
        time.sleep(0.02)
    with zipfile.ZipFile(pathlib.Path(folder) / "newswire-1-py3-none-any.whl", "w") as wheel:
        info = "newswire-1.dist-info/"
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: newswire\\nVersion: 1\\nProvides-Extra: test\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    with open(here / "built", "a") as built:
        built.write("x")
    return "newswire-1-py3-none-any.whl"
build_wheel = build_editable
"""


class Tree:
    """A checkout in which scripts/demo and scripts/test only print that they run, and with what."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a path with a space"
        self.bin = folder / "bin"
        scripts = self.root / "scripts"
        scripts.mkdir(parents=True)
        self.bin.mkdir()
        for name in ("python", "venv.py", "test", "demo"):
            shutil.copy(ROOT / "scripts" / name, scripts / name)
        for name in ("test", "demo"):
            (scripts / f"{name}.py").write_text(f"import sys; print('{name}', sys.prefix, *sys.argv[1:])\n")
        (self.root / "pyproject.toml").write_text(PYPROJECT)
        (self.root / "backend.py").write_text(BACKEND)
        for tool in ("sh", "cksum", "dirname"):
            found = shutil.which(tool)
            assert found
            (self.bin / tool).symlink_to(found)

    def program(self, name: str, text: str) -> None:
        """Put a program on this machine."""
        file = self.bin / name
        file.unlink(missing_ok=True)
        file.write_text("#!/bin/sh\n" + textwrap.dedent(text))
        file.chmod(0o755)

    def has_python(self, name: str = "python3.11") -> None:
        """Put a real Python on this machine."""
        self.program(name, f'exec "{BASE_PYTHON}" "$@"\n')

    def command(self, script: str, *arguments: str) -> list[str]:
        """What starts a script."""
        return [str(self.root / "scripts" / script), *arguments]

    def environment(self, **more: str) -> dict[str, str]:
        """Only this machine's programs."""
        return {"PATH": str(self.bin), "HOME": str(self.root), "PIP_NO_INDEX": "1", **more}

    def run(self, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a script to its end."""
        return subprocess.run(
            self.command(script, *arguments),
            capture_output=True,
            text=True,
            check=False,
            env=self.environment(**environment),
            cwd=self.root.parent,
        )

    def start(self, script: str) -> subprocess.Popen[str]:
        """Start a script in a process group of its own."""
        return subprocess.Popen(
            self.command(script), env=self.environment(), stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    @property
    def stamp(self) -> str:
        """The kind that .venv has been stamped with."""
        file = self.root / ".venv" / "stamp"
        return file.read_text().split()[0] if file.exists() else ""

    @property
    def installs(self) -> int:
        """How often newswire has been installed."""
        file = self.root / "built"
        return len(file.read_text()) if file.exists() else 0


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


needs_base_python = pytest.mark.skipif(not BASE_PYTHON.exists(), reason=f"no {BASE_PYTHON} to make a .venv with")


# -- which Python -------------------------------------------------------------------------------------------------


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The only line that was said before status 1."""
    assert done.returncode == 1, done
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_no_python(tree: Tree) -> None:
    assert "No Python of version 3.11 or later was found" in sentence(tree.run("demo"))


def test_only_an_old_python_and_a_shim_that_fails(tree: Tree) -> None:
    tree.program("python3", "exit 3")
    tree.program("python3.12", "echo 'pyenv: python3.12: command not found' >&2; exit 127")
    assert "No Python of version 3.11 or later was found" in sentence(tree.run("test"))


def test_no_venv_module(tree: Tree) -> None:
    tree.program("python3.13", 'case "$2" in *print*) echo 3.13;; *) exit 4;; esac')
    assert "Python 3.13 has no venv module: install it" in sentence(tree.run("demo"))
    assert "python3.13-venv" in sentence(tree.run("demo"))


def test_named_python_does_not_fit(tree: Tree) -> None:
    tree.has_python()
    assert "PYTHON=/no/such python is not a Python" in sentence(tree.run("demo", PYTHON="/no/such python"))


# -- a real .venv -------------------------------------------------------------------------------------------------


@needs_base_python
@pytest.mark.timeout(600)
def test_made_once_then_quick_and_remade_when_pyproject_changes(tree: Tree) -> None:
    tree.program("python3.12", "echo 'pyenv: python3.12: command not found' >&2; exit 127")
    tree.has_python("python3.11")
    first = tree.run("demo", "one", "and two")
    assert first.stdout == f"demo {tree.root}/.venv one and two\n", first
    assert (tree.stamp, tree.installs) == ("run", 1)
    (tree.bin / "python3.11").unlink()  # the second run needs no search
    second = tree.run("demo")
    assert (second.returncode, second.stderr, tree.installs) == (0, "", 1)

    tree.has_python("python3")
    assert tree.run("test").returncode == 0
    assert (tree.stamp, tree.installs) == ("test", 2)
    assert tree.run("demo").stderr == ""  # what the tests need holds what the demo needs
    with open(tree.root / "pyproject.toml", "a") as pyproject:
        pyproject.write("# changed\n")
    assert tree.run("demo").returncode == 0
    assert (tree.stamp, tree.installs) == ("run", 3)

    held = (tree.root / "pyproject.toml").read_text()
    (tree.root / "pyproject.toml").write_text(held.replace('"backend"', '"no_such_backend"'))
    failed = tree.run("test")
    assert failed.returncode == 1
    assert "pip could not install all" in failed.stderr.splitlines()[-1]
    (tree.root / "pyproject.toml").write_text(held)
    assert tree.run("demo").stderr == ""  # what was there before still is


@needs_base_python
@pytest.mark.timeout(600)
def test_killed_while_it_is_made_then_two_at_once(tree: Tree) -> None:
    tree.has_python()
    (tree.root / "hold").touch()
    killed = tree.start("demo")
    until("pip builds", (tree.root / "building").exists, SECONDS)
    os_killpg(killed, signal.SIGKILL)
    assert tree.stamp == "unfinished"

    (tree.root / "building").unlink()
    both = [tree.start("demo")]
    until("pip builds again", (tree.root / "building").exists, SECONDS)
    both.append(tree.start("demo"))
    (tree.root / "hold").unlink()
    for process in both:
        out, _ = process.communicate(timeout=SECONDS)
        assert (process.returncode, out) == (0, f"demo {tree.root}/.venv\n")
    assert (tree.stamp, tree.installs) == ("run", 1)


@needs_base_python
@pytest.mark.timeout(600)
def test_interrupted_while_it_is_made(tree: Tree) -> None:
    tree.has_python()
    (tree.root / "hold").touch()
    interrupted = tree.start("demo")
    until("pip builds", (tree.root / "building").exists, SECONDS)
    os_killpg(interrupted, signal.SIGINT)
    assert interrupted.returncode != 0
    assert tree.stamp == "unfinished"


def os_killpg(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Send a signal to the group that `start` made, and wait until its first process is gone."""

    os.killpg(process.pid, number)
    process.communicate(timeout=PATIENCE_SECONDS)


# -- the closing line of scripts/test -----------------------------------------------------------------------------


def closing_line(tmp_path: Path, tests: str, **environment: str) -> tuple[int, str]:
    """Status and last line of scripts/test over one file of tests."""
    file = tmp_path / "test_it.py"
    file.write_text(textwrap.dedent(tests))
    done = subprocess.run(
        [
            sys.executable,
            ROOT / "scripts" / "test.py",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            tmp_path,
            "-c",
            "/dev/null",
            file,
        ],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", **environment},
    )
    return done.returncode, done.stdout.splitlines()[-1]


SOME_SKIPPED = """
    import pytest
    def test_good(): pass
    @pytest.mark.parametrize("x", [1, 2])
    def test_skipped(x): pytest.skip("no chromium here")
"""


def load_test_script() -> ModuleType:
    """scripts/test.py as a module, under a name that is not one of the standard library."""
    spec = importlib.util.spec_from_file_location("scripts_test", ROOT / "scripts" / "test.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("user", "apt", "installs"), [(0, "/usr/bin/apt-get", True), (1000, "/usr/bin/apt-get", False), (0, None, False)]
)
def test_what_is_missing_is_installed(monkeypatch: pytest.MonkeyPatch, user: int, apt: str | None, installs: bool) -> None:
    module = load_test_script()
    there = {"apt-get": apt, "curl": "/usr/bin/curl"}
    commands: list[list[str]] = []
    monkeypatch.setattr(module.shutil, "which", there.get)
    monkeypatch.setattr(module.os, "geteuid", lambda: user)
    monkeypatch.setattr(module.subprocess, "run", lambda command, **_: commands.append(command))
    module.install_programs()
    update = ["apt-get", "-qq", "update"]
    missing = [package for program, package in module.PROGRAMS.items() if program != "curl"]
    install = ["apt-get", "-qq", "install", "-y", "--no-install-recommends", *missing]
    assert commands == ([update, install] if installs else [])
    assert "chromium" in missing


def test_the_lanes_hold_every_test_file_once() -> None:
    module = load_test_script()
    quick = set(module.quick_files())
    real = {
        str(f.relative_to(ROOT))
        for r in (path for paths in module.WAITING.values() for path in paths if not path.startswith("--"))
        for f in ([ROOT / r] if r.endswith(".py") else (ROOT / r).glob("**/test_*.py"))
    }
    assert quick & real == set()
    assert quick | real == {str(f.relative_to(ROOT)) for f in (ROOT / "tests").glob("**/test_*.py")}
    short = [file for files in module.lanes_of(quick=True).values() for file in files]
    assert set(short) == quick - module.LONG
    assert len(short) == len(set(short))
    assert quick >= module.LONG
    whole = module.lanes_of(quick=False)
    assert sorted([*whole["quick"], *whole["long"]]) == sorted(quick)


def test_skips_are_named(tmp_path: Path) -> None:
    assert closing_line(tmp_path, SOME_SKIPPED) == (0, "1 passed, 0 failed, 2 skipped: no chromium here (2)")


def test_skips_fail_under_ci(tmp_path: Path) -> None:
    status, line = closing_line(tmp_path, SOME_SKIPPED, CI="1")
    assert (status, line) == (1, "1 passed, 0 failed, 2 skipped: no chromium here (2)")


def test_failures_and_errors_count_once(tmp_path: Path) -> None:
    tests = """
        import pytest
        @pytest.fixture
        def bad():
            yield
            raise ValueError
        def test_bad(bad): assert False
        def test_bad_teardown(bad): pass
        def test_good(): pass
    """
    assert closing_line(tmp_path, tests) == (1, "1 passed, 2 failed, 0 skipped")


def test_nothing_to_run_is_a_failure(tmp_path: Path) -> None:
    assert closing_line(tmp_path, "")[0] == 1


def test_a_file_that_cannot_be_read_is_a_failure(tmp_path: Path) -> None:
    assert closing_line(tmp_path, "import no_such_module")[0] == 1
