"""What a menu says of what it does: lines made of values. Some are given, spelling included (docs/decisions.md, The menus)."""

from __future__ import annotations

from collections.abc import Sequence


def nodes_line(nodes: Sequence[str]) -> str:
    """The living brokers, primary first."""
    return f"List of available nodes: {list(nodes)}"


def connecting_lines(nodes: Sequence[str], primary: str, *, moved: bool, always_list: bool, seat: str = "") -> list[str]:
    """Say which broker is used; `moved`: the configured primary is down and `primary` acts as it.

    The publisher always lists the living nodes, the subscriber only when the primary is down. `seat`: where a stream is
    opened instead, as it has more room.
    """
    if seat and seat != primary:
        return [f"Connecting to a broker with more room... {seat}"]
    listed = [nodes_line(nodes)] if always_list or moved else []
    if moved:
        return [*listed, f"Primary broker is down ,updating the broker the primary broker to {primary}"]
    return [*listed, f"Connecting to the primary broker... {primary}"]


def answer_line(message: str) -> str:
    """An answer as the menus print it: a dictionary with the message alone."""
    return str({"message": message})


def copies_line(copies: int) -> str:
    """What stands below the answer to a publish, in plain words."""
    return f"Stored on {copies} {'broker' if copies == 1 else 'brokers'}."


def opening_line(username: str) -> str:
    """What stands before the stream's window opens."""
    return f"Opening window for streaming {username}'s messages.."
