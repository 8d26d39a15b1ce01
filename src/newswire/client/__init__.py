"""The client library: `from newswire import Publisher, Subscriber`.

Publisher("10.0.0.1:5053,10.0.0.2:5053").publish("finance.closing", "up 2 %")

with Subscriber(["10.0.0.1:5053"], "alice") as alice, alice.stream() as stream:
    for item in stream: ...
"""

from __future__ import annotations

from newswire.client.answers import (
    BatchReceipt,
    ClusterSnapshot,
    ConnectionState,
    MessagePage,
    MessageReceipt,
    Row,
    UserSubscription,
)
from newswire.client.asynchronous import AsyncMessageStream, AsyncSubscriber
from newswire.client.log_handler import NewswireHandler
from newswire.client.pool import BrokerPool
from newswire.client.publisher import Publisher
from newswire.client.stream import MessageStream
from newswire.client.subscriber import Subscriber
from newswire.core.model.message import Gap, Message, Withdrawal

__all__ = [
    "AsyncMessageStream",
    "AsyncSubscriber",
    "BatchReceipt",
    "BrokerPool",
    "ClusterSnapshot",
    "ConnectionState",
    "Gap",
    "Message",
    "MessagePage",
    "MessageReceipt",
    "MessageStream",
    "NewswireHandler",
    "Publisher",
    "Row",
    "Subscriber",
    "UserSubscription",
    "Withdrawal",
]
