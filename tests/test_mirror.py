"""Tests mirror the modules: what tests `core/read/pages.py` is in `tests/core/read/test_pages.py`, and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = ROOT / "src" / "newswire"
MODULES: Final = sorted(file.relative_to(SOURCE) for file in SOURCE.rglob("*.py") if not file.name.startswith("__"))
FILES: Final = sorted(file.relative_to(ROOT / "tests") for file in (ROOT / "tests").rglob("test_*.py"))
ROOMS: Final = {module.parent for module in MODULES} - {Path()}

# Modules without a file of their own, and why. A row goes when its module gets one.
DECLARES: Final = "declares values and decides nothing"
WITHOUT: Final = {
    "core/broker/events.py": DECLARES,
    "core/broker/parts.py": "`Broker` is this with events: tests/core/broker/test_broker.py",
    "core/broker/values.py": DECLARES,
    "core/limits.py": DECLARES,
    "core/model/bad_json.py": "one tuple of errors: tests/core/model/test_ops.py meets each",
    "core/model/forecasts.py": DECLARES,
    "core/model/results.py": DECLARES,
    "engine/embedded/engine.py": "tests/contract tests all engines by what they promise",
    "engine/commit_engine.py": "tests/contract tests all engines by what they promise",
    "cli/bench_load.py": "tests/e2e/test_command_line.py: a load needs brokers",
    "cli/commands/move.py": "tests/engine/jetstream/test_move.py: the command over a real server",
    "engine/jetstream/engine.py": "tests/contract tests all engines by what they promise",
    "engine/jetstream/servers.py": DECLARES,
    "engine/seam.py": "the promise of all engines: tests/contract is its test",
    "stream_order.py": DECLARES,
    # not split from the tests of their neighbours yet
    "cli/command.py": "tests/cli/test_options.py",
    "cli/commands/menus.py": "tests/cli/test_actions.py: each menu as a program",
    "cli/examination.py": "tests/cli/commands/test_doctor.py",
    "cli/message_options.py": "tests/cli/test_options.py",
}  # fmt: skip
# Files in a room that are named for no module of it, and what they are about.
WIDER: Final = {
    "web/test_matrix.py": "every route with every credential",
    "client/test_processes.py": "the client in programs that fork and end",
    "core/broker/test_rounds.py": "what comes together in one round of a broker, and between two",
    "core/state/test_fusion.py": "what is left out of logs, and logs that are merged",
    "core/model/test_ancestry.py": "vectors, ops and names against a model of all histories",
    "engine/embedded/test_compaction.py": "a broker's engine whose log is compacted while it is used",
    "engine/embedded/test_compression.py": "a log whose complete files are compressed, for all who read it",
    "engine/embedded/test_secret.py": "the file of the cluster's secret",
    "streams/test_acknowledging.py": "streams and confirmations together",
    "streams/test_reopen.py": "streams, pages and the hub over a change below them",
    "streams/test_topics.py": "the same for who reads topics without a subscription",
    "streams/test_rights.py": "the same over a change of rights",
}


def place_of(module: Path) -> Path:
    """Where the test of a module is, below tests/."""
    return module.with_name(f"test_{module.name}")


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_each_module_has_its_file_or_a_reason(module: Path) -> None:
    file, reason = place_of(module), WITHOUT.get(module.as_posix())
    if reason is None:
        assert file in FILES, f"write tests/{file}, or the reason why not"
    else:
        assert file not in FILES, f"tests/{file} is there: its reason goes"


def test_no_reason_outlives_its_module() -> None:
    assert [name for name in WITHOUT if Path(name) not in MODULES] == []
    named = {word.rstrip(",.:") for reason in WITHOUT.values() for word in reason.split() if word.startswith("tests/")}
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_a_file_in_a_room_is_named_for_a_module_of_it_or_says_what_it_is_about() -> None:
    mirrored = {place_of(module) for module in MODULES}
    wide = {file.as_posix() for file in FILES if file.parent in ROOMS and file not in mirrored}
    assert wide == WIDER.keys()


def test_lanes_name_files_that_are_there() -> None:
    """A file that moved would run in another lane, and `--quick` would take longer."""
    named = re.findall(r'"(tests/[\w/.]+)"', (ROOT / "scripts" / "test.py").read_text())
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
