"""Topics and brokers for the Tab key: what the brokers know, asked for a moment; nothing where they do not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from newswire.errors import NewswireError

if TYPE_CHECKING:
    from newswire.client.cluster import ClusterClient

_SECONDS: Final = 1.0  # that somebody waits who has pressed Tab


def topics(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The topics that begin so."""
    try:
        with _client(ctx) as client:
            return [row.topic for row in client.topics() if row.topic.startswith(incomplete)]
    except (NewswireError, click.ClickException):
        return []


def broker_addresses(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The ids and addresses of brokers that begin so."""
    try:
        with _client(ctx) as client:
            return [word for row in client.nodes() for word in (row.id, row.ip) if word.startswith(incomplete)]
    except (NewswireError, click.ClickException):
        return []


def _client(ctx: click.Context) -> ClusterClient:
    from newswire.cli.credentials import signature
    from newswire.cli.options import DEFAULT_BROKERS
    from newswire.client.cluster import ClusterClient

    brokers = ctx.params.get("brokers") or DEFAULT_BROKERS
    with ctx:
        return ClusterClient(brokers, **signature(brokers), timeout=_SECONDS, absent=0)
