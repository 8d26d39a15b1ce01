"""The cluster for people and clients: `/list_replicas`, and adding and removing brokers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec
from flask import Blueprint, Response, request

from newswire.core import limits
from newswire.core.model.times import rfc3339
from newswire.engine.seam import BrokerStatus, ClusterAdmin, Engine
from newswire.errors import NewswireError, Unknown
from newswire.web.deferred import STORE_CODES, DeferredResponse
from newswire.web.responses import answer
from newswire.web.route import ADMIN, SIGNED_IN, Route, Success
from newswire.web.usual_fields import BROKER, BROKER_ADDRESS


class ShownBroker(msgspec.Struct, frozen=True, omit_defaults=True):
    """A broker as docs/http.md, Brokers, shows it; what is not known of it is left out."""

    id: str
    ip: str
    is_primary: bool
    state: str
    lag: int
    self: bool
    detail: str = ""
    seconds: float | None = None
    down_since: str = ""
    streams: int | None = None
    streams_limit: int = 0
    phi: float | None = None


class ChangeAnswer(msgspec.Struct, frozen=True):
    """A broker that was added or removed."""

    message: str
    broker: ShownBroker


LIST_REPLICAS: Final = Route(
    method="GET",
    path="/list_replicas",
    words="The brokers, and how they are.",
    rights=(SIGNED_IN,),
    answers=(Success(list[ShownBroker]),),
    is_shared=True,
)
ADD_REPLICA: Final = Route(
    method="POST",
    path="/add_replica",
    words="Adds a broker to the cluster.",
    rights=(ADMIN,),
    audited="asked-to-add-broker",
    fields=(BROKER_ADDRESS,),
    answers=(Success(ChangeAnswer),),
    codes=("unreachable", "other-cluster", "other-version", "id-in-use", "peer-auth-failed", "too-many", *STORE_CODES),
)
REMOVE_REPLICA: Final = Route(
    method="POST",
    path="/remove_replica",
    words="Removes a broker from the cluster.",
    rights=(ADMIN,),
    audited="asked-to-remove-broker",
    fields=(BROKER,),
    answers=(Success(ChangeAnswer),),
    codes=("no-broker", "last-broker", *STORE_CODES),
)


def routes(engine: Engine, cluster: ClusterAdmin | None) -> Blueprint:
    """The routes of the cluster; those that change it only where there is one."""
    blueprint = Blueprint("cluster", __name__)

    @LIST_REPLICAS.on(blueprint)
    def list_replicas() -> Response:
        LIST_REPLICAS.read(request.environ)
        return answer([shown(row) for row in engine.describe().rows])

    if cluster is not None:
        _add_changes(blueprint, cluster)
    return blueprint


def shown(row: BrokerStatus) -> ShownBroker:
    """What of a broker people see."""
    return ShownBroker(
        id=row.id,
        ip=row.ip,
        is_primary=row.is_primary,
        state=row.state,
        lag=row.lag,
        self=row.self,
        detail=row.detail,
        seconds=row.seconds,
        down_since="" if row.down_since is None else rfc3339(row.down_since),
        streams=row.streams if row.streams_limit else None,
        streams_limit=row.streams_limit,
        phi=row.phi or None,
    )


def _add_changes(blueprint: Blueprint, cluster: ClusterAdmin) -> None:
    @ADD_REPLICA.on(blueprint)
    def add_replica() -> Response:
        address = ADD_REPLICA.read(request.environ)[BROKER_ADDRESS]
        return _changed("Added", partial(cluster.join_later, address, timeout=limits.RECEIPT_SECONDS))

    @REMOVE_REPLICA.on(blueprint)
    def remove_replica() -> Response:
        return _changed("Removed", partial(cluster.leave_later, REMOVE_REPLICA.read(request.environ)[BROKER]))


def _changed(
    verb: str, begin: Callable[[Callable[[BrokerStatus | NewswireError], None]], None]
) -> DeferredResponse[BrokerStatus]:
    return DeferredResponse(
        begin,
        lambda row: answer(ChangeAnswer(f"{verb} broker {row.ip} ({row.id})", shown(row))),
        seconds=limits.RECEIPT_SECONDS + limits.RECEIPT_GRACE_SECONDS,
        late=lambda: Unknown("no answer in time: look at the list of replicas"),
    )
