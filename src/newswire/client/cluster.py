"""The brokers and topics of a cluster, at whichever broker serves: what the command line and menus are made of."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Unpack

from newswire.client import checks
from newswire.client.answers import MessageReport, Row, ScheduledBody, ScheduledList, TopicCount, scheduled_list_of
from newswire.client.pool import BrokerPool, PoolOptions
from newswire.client.transport import Call, form
from newswire.client.unreached import Unreached
from newswire.core import limits
from newswire.core.model import names
from newswire.errors import NoBroker, Unknown


class ClusterClient:
    """Lists brokers and topics, adds and removes brokers. One thread.

    `options`: `timeout`, seconds for all tries of a call, `absent`, `token`, `user`, `password` and `verify`.
    """

    def __init__(self, brokers: str | Sequence[str], **options: Unpack[PoolOptions]) -> None:
        self.pool = BrokerPool(brokers, **options)

    def nodes(self) -> list[Row]:
        """A row a broker, primary first. Raises NoBroker."""
        return self.pool.nodes()

    def topics(self) -> list[TopicCount]:
        """The topics that hold messages and may be seen, by name."""
        rows: list[TopicCount] = self.pool.request(Call("GET", "/topics")).read(list[TopicCount])
        return rows

    def scheduled(
        self, username: str | None = None, limit: int = limits.PAGE_MESSAGES, since: str | None = None
    ) -> ScheduledList:
        """What waits to be published, what is due first: of the caller, of another one for admins; None: of all, for them.

        `since`: the `next` of the list before, to go on there.
        """
        params: dict[str, str | int] = {"scheduled": 1, "limit": checks.whole("limit", limit)}
        if username is not None:
            params["username"] = checks.text("username", username)
        if since is not None:
            params["since"] = checks.text("since", since)
        return scheduled_list_of(self.pool.request(Call("GET", "/messages", params)).read(ScheduledBody))

    def receipts(self, message_id: str) -> MessageReport:
        """Who has got a message, and who has confirmed it. Raises NotFound, also where it is another's."""
        call = Call("GET", "/receipts", {"id": checks.text("message_id", message_id)})
        report: MessageReport = self.pool.request(call).read(MessageReport)
        return report

    def add(self, address: str) -> str:
        """Make the broker at `address` a member. Returns the broker's sentence. Raises BadRequest, NoBroker, Unknown."""
        return self._change("/add_replica", names.check_broker(checks.text("address", address)))

    def remove(self, broker: str) -> str:
        """End the membership of `broker`, an id or an address. Returns the broker's sentence.

        Raises NotFound, NoBroker, Unknown.
        """
        return self._change("/remove_replica", checks.text("broker", broker))

    def close(self) -> None:
        """Close idle connections."""
        self.pool.close()

    def __enter__(self) -> ClusterClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _change(self, path: str, broker: str) -> str:
        """Ask the primary once: what it answers is final, and no other broker knows better whether `broker` is there."""
        primary = self.pool.look(try_seconds=limits.MENU_TRY_SECONDS).primary
        body, kind = form({"broker_ip": broker})
        call = Call("POST", path, params={}, body=body, type=kind)
        try:
            answer = self.pool.transport.send(self.pool.brokers.ours(primary), call, limits.MENU_CHANGE_SECONDS)
        except Unreached as error:
            kind_of = Unknown if error.perhaps else NoBroker
            raise kind_of(f"{primary} gave no answer ({error.reason}): list the replicas to see what came of it") from None
        if answer.status >= 300:
            raise answer.error()
        return answer.sentence()
