"""Another version of newswire beside this one: the one whose source lies in tests/data/before."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Final

from brokers import clean_environment
from tests.kit.processes import Node
from tests.kit.waiting import PATIENCE_SECONDS

_SOURCE: Final = Path(__file__).resolve().parents[1] / "data" / "before" / "newswire.tar.xz"


class Before:
    """The version before, unpacked: brokers and commands of it. It runs on what this version has installed."""

    def __init__(self, home: Path) -> None:
        self.path = home / "before"
        with tarfile.open(_SOURCE) as source:
            source.extraction_filter = getattr(tarfile, "data_filter", None)  # Debian 12 has 3.11.2, which has none
            source.extractall(self.path)

    def start(self, node: Node) -> None:
        """Start a broker of it and wait until it is ready."""
        self.launch(node)
        node.wait_ready()

    def launch(self, node: Node) -> None:
        """Start a broker of it."""
        node.before = ["env", f"PYTHONPATH={self.path / 'src'}"]
        node.launch()
        node.before = []

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of it."""
        environment = clean_environment(PYTHONPATH=str(self.path / "src"))
        command = [sys.executable, "-m", "newswire", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
