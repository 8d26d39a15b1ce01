"""Roll two brokers from a release to this version under load, with real processes of both, and see that nobody notices.

    scripts/upgrade                     from the last tag before this commit
    scripts/upgrade --release v0.1.0    from that one
    scripts/upgrade --messages 500      acknowledged in each of the steps

The release is built from its tag into a virtual environment of its own. Then, while publishers, a reader and probes go on: both
of the release; the second upgraded, back to the release, and upgraded again; each killed (kill -9) and started again as it was;
the first upgraded; both killed, one after the other, and started again.

The status is 1 if an acknowledged message is missing at a broker or was not read, if a key shows twice, or if there was a
second in which no broker was ready.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from brokers import Broker, Failed, free_ports, get, until, wait_in_sync
from rolling import Load

ROOT: Final = Path(__file__).resolve().parent.parent


class Release:
    """A version of newswire that is installed in a virtual environment of its own."""

    def __init__(self, tag: str, home: Path) -> None:
        self.tag, self.python = tag, home / "venv" / "bin" / "python"
        source = home / "source"
        source.mkdir(parents=True)
        archive = subprocess.run(["git", "archive", tag], cwd=ROOT, stdout=subprocess.PIPE, check=True)
        subprocess.run(["tar", "-x", "-C", source], input=archive.stdout, check=True)
        subprocess.run([sys.executable, "-m", "venv", home / "venv"], check=True)
        pinned = next(p for p in (source / "deploy/constraints.txt", ROOT / "deploy/constraints.txt") if p.exists())
        pip: list[str | Path] = [self.python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-input"]
        subprocess.run([*pip, "--constraint", pinned, source], check=True)


class Upgradable(Broker):
    """A broker that may be of another version at each start."""

    python = Path(sys.executable)

    def command(self) -> list[str]:
        """What starts it."""
        return [str(self.python), *super().command()[1:]]

    def restart(self, python: Path, *, in_order: bool = True) -> None:
        """Stop it (`in_order`) or kill it, and start it with another Python."""
        if in_order:
            self.stop()
        else:
            self.kill9()
        self.python = python
        self.start()


def main() -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--release", help="a tag of this repository [the last one]")
    parser.add_argument("--messages", type=int, default=300, help="acknowledged in each step [%(default)s]")
    options = parser.parse_args()
    tag = options.release or last_tag()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        print(f"Installing {tag} ...", flush=True)
        release = Release(tag, home / "release")
        try:
            roll(release, home, options.messages)
        except Failed as error:
            print(f"FAILED: {error}")
            return 1
    return 0


def last_tag() -> str:
    """The last release before this commit."""
    done = subprocess.run(["git", "describe", "--tags", "--abbrev=0"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit("This copy has no tags: fetch them (git fetch --tags), or name a commit with --release.")
    return done.stdout.strip()


def roll(release: Release, home: Path, messages: int) -> None:
    """The rolling upgrade; prints its steps and figures. Raises Failed."""
    one, two = free_ports(2)
    first = Upgradable("1001", one, home / "one", peers=[two], primary=True)
    second = Upgradable("1002", two, home / "two", peers=[one])
    pair, this = [first, second], Path(sys.executable)
    steps: list[tuple[str, Upgradable, Path, bool]] = [
        ("1002 is upgraded", second, this, True),
        ("1002 goes back", second, release.python, True),
        ("1002 is upgraded again", second, this, True),
        ("1002, new, is killed beside the old one", second, this, False),
        ("1001, old, is killed beside the new one", first, release.python, False),
        ("1001 is upgraded", first, this, True),
        ("1001 is killed", first, this, False),
        ("1002 is killed", second, this, False),
    ]
    try:
        for broker in pair:
            broker.python = release.python
            broker.start()
        wait_in_sync(pair)
        with Load([broker.address for broker in pair]) as load:
            load.wait_more(messages)
            for words, broker, python, in_order in steps:
                broker.restart(python, in_order=in_order)
                wait_caught_up(pair)
                load.wait_more(messages)
                print(f"{words}: {versions(pair)}, {len(load.acknowledged)} acknowledged", flush=True)
        wait_in_sync(pair)
        for name, value in load.check().items():
            print(f"  {name}: {value}")
    finally:
        for broker in pair:
            broker.kill9()


def wait_caught_up(brokers: list[Upgradable]) -> None:
    """Wait until each says that a publish gets as many copies as there are brokers: only then the next one may be stopped."""

    def whole() -> bool:
        return all(get(broker.address, "/readyz")["copies"] == len(brokers) for broker in brokers)

    until("every broker has all that the others have", whole, 60.0)


def versions(brokers: list[Upgradable]) -> str:
    """What each of them runs."""
    return " and ".join(get(broker.address, "/readyz")["version"] for broker in brokers)


if __name__ == "__main__":
    sys.exit(main())
