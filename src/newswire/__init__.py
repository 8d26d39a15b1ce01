"""Live news for an organisation over plain HTTP: brokers that never lose a message they acknowledged."""

from __future__ import annotations

__version__ = "0.2.0.dev0"

__all__ = ["AsyncSubscriber", "Gap", "Message", "NewswireHandler", "Publisher", "Subscriber", "__version__"]


def __getattr__(name: str) -> object:
    """Import the client library on first use, so that a broker does not load it."""
    if name in __all__:
        from newswire import client

        return getattr(client, name)
    raise AttributeError(f"module 'newswire' has no attribute {name!r}")
