"""All checks and all tests: style, types, import layers, and pytest in six lanes, all at once.

scripts/test             everything; ends with one line such as `412 passed, 0 failed, 3 skipped: no chromium here (3)`
scripts/test --quick     the checks, and the tests that neither start processes nor play long schedules: within a minute
scripts/test ARGUMENTS   pytest with these arguments, and the same last line
CI=1 scripts/test        what this machine lacks is installed where that is possible; a skipped test is a failure

Two lanes hold what runs in pytest's own process, the pure first, and of that what takes long; the others, which mostly
wait, what starts processes and browsers. A lane that computes beside many that start processes gets little of the
processor, so no lane computes for much longer than the others. Each check counts as one test. The status is 0 only if
nothing failed (and, with CI set, nothing was skipped).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
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
MAKES_INTERFACES: Final = ("tests/scenarios/test_partition.py", "tests/scenarios/test_several.py")
WAITING: Final = {  # what starts processes, and mostly waits for them, or takes long: in lanes that take about as long
    "cases": ["tests/e2e", "tests/test_scripts.py"],
    "faults": ["tests/scenarios", "tests/test_docs.py", *(f"--ignore={file}" for file in MAKES_INTERFACES)],
    "simulation": ["tests/simulation"],  # computes all the time: behind the scenarios it would end alone, long after the rest
    # where a network interface comes or goes Chromium drops what it asks for: what makes some waits until the pages are done
    "pages": ["tests/browser", *MAKES_INTERFACES],
}
COMPUTING: Final = frozenset({"simulation"})
LONG: Final = {  # of the others, what takes seconds: logs, terminals, disks and clients that wait
    "tests/core/model/test_ancestry.py",
    "tests/client/test_gathering.py",
    "tests/core/broker/test_cluster_id.py",
    "tests/core/state/test_fusion.py",
    "tests/engine/embedded/test_base.py",
    "tests/engine/embedded/test_compactor.py",
    "tests/streams/test_hub.py",
    "tests/listener/test_connection.py",
    "tests/listener/test_loop.py",
    "tests/engine/embedded/test_ops_file.py",
    "tests/engine/jetstream/test_link.py",
    "tests/engine/jetstream/test_move.py",
    "tests/engine/jetstream/test_shell.py",
    "tests/cli/test_output.py",
    "tests/test_page_modules.py",
    "tests/test_site.py",
    "tests/cli/test_actions.py",
}
PROGRAMS: Final = {  # what tests use beyond Python: program, Debian's package
    "caddy": "caddy",
    "chromium": "chromium",
    "curl": "curl",
    "ip": "iproute2",
    "mkfs.ext4": "e2fsprogs",
    "mount": "mount",
    "nft": "nftables",
    "nginx": "nginx",
    "node": "nodejs",
    "promtool": "prometheus",
    "shellcheck": "shellcheck",
    "strace": "strace",
    "systemd-analyze": "systemd",
}


def main(arguments: list[str]) -> int:
    """Run it all; the exit status."""
    os.chdir(ROOT)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever starts this in the background ignores it for all below
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # tests start a thousand processes: compiling anew is half of each start
    quick = arguments == ["--quick"]
    if arguments and not quick:
        with tempfile.TemporaryDirectory() as folder:
            return close(*run_lanes([Lane(Path(folder), "only", arguments)], {}))
    if CI:
        install_programs()
    with tempfile.TemporaryDirectory() as folder:
        lanes = [Lane(Path(folder), name, files) for name, files in lanes_of(quick=quick).items()]
        passed, failed, reasons, failed_checks = run_lanes(lanes, CHECKS)
    passed += len(CHECKS) - len(failed_checks)
    return close(passed, failed + len(failed_checks), reasons, failed_checks)


def install_programs() -> None:
    """Install what tests need from Debian, where this is root on Debian; elsewhere such tests skip and say why."""
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if not missing or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    print(f"Installing {', '.join(missing)} ...", flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
        subprocess.run(["apt-get", "-qq", *command], check=False, stdout=subprocess.DEVNULL, env=environment)


def start_check(command: list[str]) -> subprocess.Popen[str]:
    """Start a check. It ends by itself, in a minute at most."""
    program = Path(sys.executable).parent / command[0]
    return subprocess.Popen([program, *command[1:]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def end_checks(running: dict[str, subprocess.Popen[str]]) -> list[str]:
    """Wait for checks; the names of those that failed. A check's output is shown only then."""
    failed = []
    for name, process in running.items():
        output, _ = process.communicate()
        print(f"{name}: {'passed' if process.returncode == 0 else 'FAILED'}", flush=True)
        if process.returncode != 0:
            failed.append(name)
            print(output, flush=True)
    return failed


def lanes_of(*, quick: bool) -> dict[str, list[str]]:
    """The files of each lane."""
    short = [file for file in quick_files() if file not in LONG]
    if quick:
        return {"quick": short[::2], "other": short[1::2]}
    return {"quick": short, "long": sorted(LONG), **WAITING}


def quick_files() -> list[str]:
    """The test files of no other lane, the folders behind the files of tests/ itself."""
    waiting = [path for paths in WAITING.values() for path in paths]
    files = sorted(file.relative_to(ROOT) for file in ROOT.glob("tests/**/test_*.py"))
    quick = [f for f in files if not any(f.as_posix() == real or f.as_posix().startswith(f"{real}/") for real in waiting)]
    return [str(file) for file in sorted(quick, key=lambda file: (len(file.parts), file))]


class Lane:
    """One pytest over some files, with a report that says how each test went."""

    def __init__(self, folder: Path, name: str, arguments: list[str]) -> None:
        self.report = folder / f"{name}.xml"
        self.output = folder / f"{name}.txt"
        unused = [word for plugin in ("cacheprovider", "schemathesis", "anyio") for word in ("-p", f"no:{plugin}")]
        quiet = ["--quiet", "--no-header", *unused, f"--junit-xml={self.report}"]
        # what computes all the time leaves the processor to those that wait for an answer
        ahead = ["nice", "-n", "10"] if name in COMPUTING else []
        self.command = [*ahead, sys.executable, "-m", "pytest", *quiet, *arguments]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, shown: bool) -> None:
        """Start it; what it prints is shown as it comes, or kept for later."""
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(self.command, stdout=None if shown else output, stderr=subprocess.STDOUT)

    def end(self) -> None:
        """Interrupt it if it runs, and wait until it has ended what it had started."""
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGINT)
            self.process.wait()

    def result(self) -> tuple[int, int, Counter[str]]:
        """Wait for its end: how many passed, how many failed, and why the others were skipped."""
        assert self.process is not None
        status = self.process.wait()
        if not self.report.exists():
            return 0, 1, Counter()
        passed, failed, reasons = read_report(self.report)
        # what the report can't say (nothing collected, an error of pytest's own) is a failure too
        return passed, failed or int(status != 0), reasons


def run_lanes(lanes: list[Lane], checks: dict[str, list[str]]) -> tuple[int, int, Counter[str], list[str]]:
    """Run lanes and checks at once, the first lane shown as it goes; the results of lanes together, and which checks failed.

    A core that waited for the types alone would be a tenth of the whole run.
    """
    passed, failed, reasons = 0, 0, Counter[str]()
    try:
        running = {name: start_check(command) for name, command in checks.items()}
        for lane in lanes:
            lane.start(shown=lane is lanes[0])
        failed_checks = end_checks(running)
        for lane in lanes:
            more = lane.result()
            print(lane.output.read_text(errors="replace"), end="", flush=True)
            passed, failed, reasons = passed + more[0], failed + more[1], reasons + more[2]
    finally:
        for lane in lanes:
            lane.end()
    return passed, failed, reasons, failed_checks


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
