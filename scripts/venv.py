"""Make .venv, or bring it up to date: `venv.py KIND STAMP`, called by scripts/python with any Python >= 3.11.

The stamp (.venv/stamp) says what .venv holds: its kind (`run` or `test`) and what scripts/python gave. It is written
last. While .venv is being made it says `unfinished`: such a one is made again from nothing. One that somebody made by
hand has none and is brought up to date in place, as is one whose pyproject.toml has changed. Two runs at the same time
wait for each other on a lock that the kernel ends with the last process that holds it: nothing is left behind by a kill,
and a pip that has survived its parent is waited for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
VENV: Final = ROOT / ".venv"
PYTHON: Final = VENV / "bin" / "python"
STAMP: Final = VENV / "stamp"
UNFINISHED: Final = "unfinished\n"
EXTRAS: Final = {"run": "", "test": "[test]"}


def main(kind: str, stamp: str) -> int:
    """Bring .venv to `kind`; 0 when it is there."""
    with open(ROOT / ".venv.lock", "w") as lock:
        wait_for(lock.fileno())
        os.set_inheritable(lock.fileno(), True)
        held = STAMP.read_text() if STAMP.is_file() else ""
        if held in (f"test {stamp}\n", f"{kind} {stamp}\n") and same_python():
            return 0  # another run made it meanwhile
        if held == UNFINISHED or not (same_python() and has_pip()):
            print("Making .venv (once, about a minute) ...", file=sys.stderr)
            make()
            held = UNFINISHED
        else:
            print("Bringing .venv up to date ...", file=sys.stderr)
        return install(kind, stamp, held)


def wait_for(lock: int) -> None:
    """Take the lock; say so if another run has it."""
    try:
        import fcntl
    except ImportError:  # not on this system: two runs at once are the user's affair
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print("Another run is making .venv: waiting for it ...", file=sys.stderr)
        fcntl.flock(lock, fcntl.LOCK_EX)


def same_python() -> bool:
    """Say whether .venv has a working Python of the version that runs this."""
    return ask("import sys; print(sys.version)") == sys.version


def has_pip() -> bool:
    """Say whether .venv can install anything."""
    return ask("import pip; print(1)") == "1"


def ask(program: str) -> str | None:
    """What .venv's Python prints, None if it can't."""
    try:
        done = subprocess.run([PYTHON, "-c", program], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def make() -> None:
    """Make an empty .venv that is marked unfinished from its first moment."""
    if VENV.is_symlink() or VENV.is_file():
        VENV.unlink()
    elif VENV.exists():
        STAMP.write_text(UNFINISHED)
        shutil.rmtree(VENV)
    VENV.mkdir()
    STAMP.write_text(UNFINISHED)
    subprocess.run([sys.executable, "-m", "venv", VENV], check=True, close_fds=False)


def install(kind: str, stamp: str, held: str) -> int:
    """Install newswire and what it needs, then write the stamp."""
    STAMP.write_text(UNFINISHED)
    pip = [str(PYTHON), "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-input"]
    done = subprocess.run([*pip, "--editable", f".{EXTRAS[kind]}"], cwd=ROOT, check=False, close_fds=False)
    if done.returncode != 0:
        if held != UNFINISHED:
            STAMP.write_text(held)  # what pip could not fetch it did not touch
        print("pip could not install all (its message is above): see to that, then run this again.", file=sys.stderr)
        return 1
    STAMP.write_text(f"{kind} {stamp}\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        print("\nInterrupted: .venv is unfinished, the next run makes it again.", file=sys.stderr)
        sys.exit(130)
    except subprocess.CalledProcessError as error:
        print(f"The virtual environment could not be made (status {error.returncode}): its message is above.", file=sys.stderr)
        sys.exit(1)
