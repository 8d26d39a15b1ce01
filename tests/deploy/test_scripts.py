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
