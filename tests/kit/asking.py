"""What tests ask real brokers for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from brokers import (
    Answer,
    Broker,
    get,
    until,
)
from newswire.errors import NewswireError, from_problem


def pages(address: str, user: str) -> Iterator[dict[str, Any]]:
    """All messages that `user` finds at a broker from the earliest on, page by page."""
    since, more = "earliest", True
    while more:
        page = get(address, "/messages", username=user, since=since, limit="1000")
        yield from page["messages"]
        more = page["more"]
        since = page["messages"][-1]["event_id"] if more else since


def texts_at(broker: Broker, user: str) -> list[str]:
    """The texts of all that `user`, subscribed to everything from the earliest on, finds at a broker."""
    return [message["data"] for message in pages(broker.address, user)]


def delivered(user: str, broker: Broker) -> None:
    """Wait until `broker` counts nothing of `user` as undelivered."""

    def nothing_unread() -> bool:
        listed = get(broker.address, "/subscriptions", username=user)
        return bool(listed) and all(s["unread"] == 0 for s in listed)

    until(f"all is delivered to {user}, as broker {broker.id} sees it", nothing_unread)


def topics(broker: Broker) -> dict[str, int]:
    """How many messages a broker holds, by topic."""
    return {t["topic"]: t["messages"] for t in get(broker.address, "/topics")}


def problem(answer: Answer) -> NewswireError:
    """The error that an answer stands for."""
    return from_problem(answer.json(), answer.status)
