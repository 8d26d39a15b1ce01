"""The scripts of deploy/: shellcheck finds nothing, wrong arguments change nothing, and what is installed is pinned."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement

DEPLOY: Final = Path(__file__).resolve().parents[2] / "deploy"
INSTALL: Final = DEPLOY / "install.sh"
SCRIPTS: Final = sorted(DEPLOY.rglob("*.sh"))


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing() -> None:
    done = subprocess.run(["shellcheck", *SCRIPTS], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_they_are_for_any_posix_shell(script: Path) -> None:
    assert script.read_text().startswith("#!/bin/sh\n")
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "say what to do"),
        (("shine",), "say what to do"),
        (("install", "--frobnicate"), "no option --frobnicate"),
        (("install", "--port"), "--port needs a value"),
        (("install", "--port", "http"), "--port is a number"),
        (("install", "--auth", "maybe"), "--auth is required or none"),
        (("install", "--advertise", 'a"b'), "quotation marks"),
        (("install", "--secret-file", "/nowhere/secret"), "/nowhere/secret is not there"),
        (("upgrade", "--wait", "long"), "--wait is a number of seconds"),
    ],
)
def test_wrong_arguments_are_told_and_change_nothing(arguments: tuple[str, ...], words: str) -> None:
    done = subprocess.run(["sh", INSTALL, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert words in done.stderr


@pytest.mark.parametrize("runs", [True, False])
def test_a_release_is_made_anew_where_it_does_not_run_any_more(runs: bool, tmp_path: Path) -> None:
    """The Python that it was made with goes with an upgrade of the system, and no other release is to be had then."""
    function = re.search(r"^make_release\(\) \{.*?^\}$", INSTALL.read_text(), re.MULTILINE | re.DOTALL)
    assert function is not None
    program = tmp_path / "releases" / "abc" / "bin" / "newswire"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho newswire 1.0\n" if runs else "#!/usr/bin/python3.0\n")
    program.chmod(0o755)
    (program.parents[1] / "complete").write_text("newswire 1.0\n")
    python = tmp_path / "python"  # makes a virtual environment whose pip installs nothing
    python.write_text(
        '#!/bin/sh\nmkdir -p "$3/bin"\nprintf "#!/bin/sh\\necho newswire 2.0\\n" | tee "$3/bin/newswire" > "$3/bin/pip"\n'
        'chmod 755 "$3/bin/newswire" "$3/bin/pip"\n'
    )
    python.chmod(0o755)
    script = f"""set -eu
        HOME_FOLDER={tmp_path} package=newswire wheels= here=.
        say() {{ :; }}; digest() {{ echo abc; }}; find_python() {{ echo {python}; }}
        {function[0]}
        make_release; echo "$made"; cat "$release/complete" """
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[-3:] == (["false", "newswire 1.0", ""] if runs else ["true", "newswire 2.0", ""])


def test_help_names_each_option() -> None:
    done = subprocess.run(["sh", INSTALL, "--help"], capture_output=True, text=True, check=True)
    taken = re.search(r"^    (--id \| .+)\) ;;$", INSTALL.read_text(), re.MULTILINE)
    assert taken is not None
    options = {*taken[1].split(" | "), "--primary", "--no-start", "--force", "--purge"}
    assert [option for option in options if option not in done.stdout] == []


def test_all_that_a_release_needs_is_pinned() -> None:
    lines = (DEPLOY / "constraints.txt").read_text().splitlines()
    pinned = {line.partition("==")[0] for line in lines if line and not line.startswith("#")}
    assert needed("newswire", set()) - {"newswire"} == pinned


def needed(name: str, seen: set[str]) -> set[str]:
    """`name`, and all that it needs, and so on."""
    plain = re.sub(r"[-_.]+", "-", name).lower()
    if plain not in seen:
        seen.add(plain)
        for text in importlib.metadata.requires(name) or ():
            wish = Requirement(text)
            if wish.marker is None or wish.marker.evaluate({"extra": "jetstream" if plain == "newswire" else ""}):
                needed(wish.name, seen)
    return seen
