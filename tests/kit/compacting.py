"""Brokers that compact: what leaves something out, who is asked to, and what a crash left of it."""

from __future__ import annotations

from brokers import UNREACHABLE, ask, post, until
from newswire.cli.commands.ops_file import look
from newswire.engine.embedded.layout import left_over
from newswire.engine.embedded.scan import read_layout
from tests.kit.processes import Node


def churn(node: Node, count: int = 3) -> None:
    """Store what the next compaction leaves out: subscriptions that end."""
    for _ in range(count):
        for path in ("/subscribe", "/unsubscribe"):
            post(node.address, path, username="Passer-by", topic="news.>")


def compact(node: Node, *, even_if_away: bool = False) -> int:
    """Ask for a compaction and wait for it: the status of the answer; 0 where the broker dies meanwhile."""
    try:
        return ask(node.address, "POST", "/compact", {"even_if_away": "1"} if even_if_away else {}).status
    except UNREACHABLE:
        return 0


def wait_compacted(*nodes: Node) -> None:
    """Have each compact, as soon as it may, and wait until only the new files are there."""
    for node in nodes:
        until(f"{node.id} compacts", lambda node=node: compact(node) == 200)
    for node in nodes:
        until(f"{node.id} has removed what was replaced", lambda node=node: not leftovers(node))
        assert read_layout(node.folder) is not None


def leftovers(node: Node) -> list[str]:
    """The files in its folder that make up nothing."""
    names = [path.name for path in node.folder.iterdir()]
    return [*map(str, left_over(names, read_layout(node.folder))), *(name for name in names if name.endswith(".tmp"))]


def check_files(*nodes: Node) -> None:
    """Read each log to its end, as `newswire opsfile check` does: whole, whatever ended its broker."""
    for node in nodes:
        report = look(node.folder)
        assert report.whole, f"the log of {node.id} is not whole: {report}"
