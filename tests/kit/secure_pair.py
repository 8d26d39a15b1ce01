"""Two brokers that know themselves by https addresses alone, and sign with a secret in a file."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from brokers import clean_environment, newswire
from tests.kit.authority import Authority
from tests.kit.processes import Pair

GROUPS: Final = ("user", "token", "opsfile")  # of commands: their options stand behind the second word
SECRET: Final = "a-secret-of-more-than-thirty-two-bytes"


class SecurePair(Pair):
    """A pair that knows itself by https addresses alone. `urls` are these."""

    def __init__(self, home: Path, ports: Sequence[int], authority: Authority, *settings: str) -> None:
        """`settings`: further lines of their TOML file."""
        home.mkdir(parents=True, exist_ok=True)
        lines = (
            f'cluster-secret-file = "{private(home / "cluster-secret", SECRET)}"',
            f'ca-file = "{authority.file}"',
            *settings,
        )
        (home / "newswire.toml").write_text("\n".join(lines))
        super().__init__(home, "--config", str(home / "newswire.toml"), "--trusted-proxy", "127.0.0.1")
        self.authority = authority
        self.urls = [f"https://localhost:{ports[0]}", f"https://127.0.0.1:{ports[1]}"]
        self.one_name = f"https://localhost:{ports[2]}"  # of both, where the proxy is nginx
        for broker, url, peer in zip(self.brokers, self.urls, reversed(self.urls), strict=True):
            broker.peers = [peer]
            broker.options += ["--advertise", url]

    def command(self, *arguments: str, ca_file: str = "") -> list[str]:
        """A command of `newswire` towards the pair."""
        where = ["--brokers", ",".join(self.urls), "--ca-file", ca_file or self.authority.file]
        words = 2 if arguments[0] in GROUPS else 1
        return newswire(*arguments[:words], *where, *arguments[words:])

    def environment(self, **more: str) -> dict[str, str]:
        """That of its commands, whose home is a folder of the test."""
        return clean_environment(XDG_CONFIG_HOME=str(self.first.home / "config"), **more)

    def run(self, *arguments: str, ca_file: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """Run such a command."""
        return subprocess.run(
            self.command(*arguments, ca_file=ca_file),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd=self.first.home,
            env=self.environment(**environment),
        )  # fmt: skip


def private(path: Path, text: str) -> Path:
    """A file that nobody else reads."""
    path.touch(0o600)
    path.write_text(text)
    return path
