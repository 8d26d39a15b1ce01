"""Live news for an organisation over plain HTTP: brokers that never lose a message they acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from newswire.client import (
        AsyncMessageStream,
        AsyncSubscriber,
        BatchReceipt,
        Gap,
        Message,
        MessagePage,
        MessageReceipt,
        MessageStream,
        NewswireHandler,
        Publisher,
        Subscriber,
        UserSubscription,
        Withdrawal,
    )
    from newswire.errors import (
        BadRequest,
        FewerCopies,
        Forbidden,
        KeyReused,
        NewswireError,
        NoBroker,
        NotEnoughCopies,
        NotFound,
        NotRegistered,
        NotStored,
        Refused,
        StorageFull,
        TooLarge,
        Unauthenticated,
        Unavailable,
        Unknown,
    )

__version__ = "0.2.0.dev0"

__all__ = [
    "AsyncMessageStream",
    "AsyncSubscriber",
    "BadRequest",
    "BatchReceipt",
    "FewerCopies",
    "Forbidden",
    "Gap",
    "KeyReused",
    "Message",
    "MessagePage",
    "MessageReceipt",
    "MessageStream",
    "NewswireError",
    "NewswireHandler",
    "NoBroker",
    "NotEnoughCopies",
    "NotFound",
    "NotRegistered",
    "NotStored",
    "Publisher",
    "Refused",
    "StorageFull",
    "Subscriber",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
    "Unknown",
    "UserSubscription",
    "Withdrawal",
    "__version__",
]


def __getattr__(name: str) -> object:
    """Import the client library on first use, so that a broker does not load it."""
    if name not in __all__:
        raise AttributeError(f"module 'newswire' has no attribute {name!r}")
    from newswire import errors

    if hasattr(errors, name):
        return getattr(errors, name)
    from newswire import client

    return getattr(client, name)


def __dir__() -> list[str]:
    """What there is to import, for whoever looks or presses Tab."""
    return sorted({*globals(), *__all__})
