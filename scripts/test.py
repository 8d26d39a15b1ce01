"""All checks and all tests: style, types, import layers, then pytest, the quick and pure first.

scripts/test             everything; ends with one line such as `412 passed, 0 failed, 3 skipped: no chromium here (3)`
scripts/test ARGUMENTS   pytest with these arguments, and the same last line
CI=1 scripts/test        what this machine lacks is installed where that is possible; a skipped test is a failure

Each check counts as one test. The status is 0 only if nothing failed (and, with CI set, nothing was skipped).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

ROOT: Final = Path(__file__).resolve().parent.parent
CI: Final = bool(os.environ.get("CI"))

CHECKS: Final = {
    "style": ["ruff", "check", "--quiet", "."],
    "format": ["ruff", "format", "--check", "--quiet", "."],
    "types": ["mypy"],
    "imports": ["lint-imports"],
}
# In this order: what is pure tells first what is wrong, what takes real processes and a browser comes last.
FOLDERS: Final = ["tests", "tests/contract", "tests/scenarios", "tests/simulation", "tests/browser", "tests/e2e"]
PROGRAMS: Final = {  # what tests use beyond Python: program, Debian's package
    "chromium": "chromium",
    "curl": "curl",
    "strace": "strace",
    "systemd-analyze": "systemd",
}


def main(arguments: list[str]) -> int:
    """Run it all; the exit status."""
    os.chdir(ROOT)
    if CI:
        install_programs()
    failed_checks = [] if arguments else [name for name, command in CHECKS.items() if not check(name, command)]
    passed, failed, reasons = run_pytest(arguments or in_order())
    if not arguments:
        passed += len(CHECKS) - len(failed_checks)
        failed += len(failed_checks)
    return close(passed, failed, reasons, failed_checks)


def install_programs() -> None:
    """Install what tests need from Debian, where this is root on Debian; elsewhere such tests skip and say why."""
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if not missing or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    print(f"Installing {', '.join(missing)} ...", flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
        subprocess.run(["apt-get", "-qq", *command], check=False, stdout=subprocess.DEVNULL, env=environment)


def check(name: str, command: list[str]) -> bool:
    """Run one check; its output is shown only when it fails."""
    tool = Path(sys.executable).with_name(command[0])
    done = subprocess.run([tool, *command[1:]], capture_output=True, text=True, check=False)
    print(f"{name}: {'passed' if done.returncode == 0 else 'FAILED'}", flush=True)
    if done.returncode != 0:
        print(done.stdout + done.stderr, flush=True)
    return done.returncode == 0


def in_order() -> list[str]:
    """The test files, folder by folder."""
    known = [file for folder in FOLDERS for file in sorted(ROOT.glob(f"{folder}/test_*.py"))]
    others = sorted(set(ROOT.glob("tests/**/test_*.py")) - set(known))
    return [str(file.relative_to(ROOT)) for file in [*known, *others]]


def run_pytest(arguments: list[str]) -> tuple[int, int, Counter[str]]:
    """Run pytest: how many passed, how many failed, and why the others were skipped."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "--quiet", "--no-header", f"--junit-xml={report}", *arguments]
        status = subprocess.run(command, check=False).returncode
        if not report.exists():
            return 0, 1, Counter()
        passed, failed, reasons = read_report(report)
    # what the report can't say (nothing collected, an error of pytest's own) is a failure too
    return passed, failed or int(status != 0), reasons


def read_report(report: Path) -> tuple[int, int, Counter[str]]:
    """Count the cases of a JUnit report. A case may have failed and then erred in its teardown: it counts once."""
    failed: set[tuple[str, str]] = set()
    seen: Counter[tuple[str, str]] = Counter()
    reasons: Counter[str] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        name = (case.get("classname", ""), case.get("name", ""))
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            failed.add(name)
        elif skipped is not None and skipped.get("type") != "pytest.xfail":
            reasons[skipped.get("message", "no reason given").removeprefix("Skipped: ")] += 1
        else:
            seen[name] += 1
    return sum(count for name, count in seen.items() if name not in failed), len(failed), reasons


def close(passed: int, failed: int, reasons: Counter[str], failed_checks: list[str]) -> int:
    """Print the last line; the exit status."""
    skipped = sum(reasons.values())
    why = ", ".join(f"{reason} ({count})" for reason, count in sorted(reasons.items()))
    if failed_checks:
        print(f"Failed checks: {', '.join(failed_checks)}")
    if CI and skipped:
        print("CI is set: a skipped test is a failure.")
    print(f"{passed} passed, {failed} failed, {skipped} skipped" + (f": {why}" if why else ""))
    return int(failed > 0 or (CI and skipped > 0))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        sys.exit(130)
