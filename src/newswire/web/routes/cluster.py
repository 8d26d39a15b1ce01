"""The cluster for people and clients: `/list_replicas`, and adding and removing brokers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Blueprint, Response, request

from newswire.core import limits
from newswire.core.model.names import check_address, check_broker_id
from newswire.core.model.times import rfc3339
from newswire.engine.seam import BrokerStatus, ClusterAdmin, Engine
from newswire.errors import NewswireError, Unknown
from newswire.web import request_fields
from newswire.web.deferred import DeferredResponse
from newswire.web.responses import answer


def routes(engine: Engine, cluster: ClusterAdmin | None) -> Blueprint:
    """The routes of the cluster; those that change it only where there is one."""
    blueprint = Blueprint("cluster", __name__)

    @blueprint.get("/list_replicas")
    def list_replicas() -> Response:
        request_fields.only(request_fields.query(request.environ), ())
        return answer([shown(row) for row in engine.describe().rows])

    if cluster is not None:
        _add_changes(blueprint, cluster)
    return blueprint


def shown(row: BrokerStatus) -> dict[str, Any]:
    """A broker as docs/http.md, Brokers, shows it; what is not known of it is left out."""
    fields: dict[str, Any] = {
        "id": row.id,
        "ip": row.ip,
        "is_primary": row.is_primary,
        "state": row.state,
        "lag": row.lag,
        "self": row.self,
    }
    if row.detail:
        fields["detail"] = row.detail
    if row.seconds is not None:
        fields["seconds"] = row.seconds
    if row.down_since is not None:
        fields["down_since"] = rfc3339(row.down_since)
    return fields


def _add_changes(blueprint: Blueprint, cluster: ClusterAdmin) -> None:
    @blueprint.post("/add_replica")
    def add_replica() -> Response:
        return _changed("Added", partial(cluster.join_later, check_address(_broker()), timeout=limits.RECEIPT_SECONDS))

    @blueprint.post("/remove_replica")
    def remove_replica() -> Response:
        address = _broker()
        return _changed(
            "Removed", partial(cluster.leave_later, check_address(address) if ":" in address else check_broker_id(address))
        )


def _changed(
    verb: str, begin: Callable[[Callable[[BrokerStatus | NewswireError], None]], None]
) -> DeferredResponse[BrokerStatus]:
    return DeferredResponse(
        begin,
        lambda row: answer({"message": f"{verb} broker {row.ip} ({row.id})", "broker": shown(row)}),
        seconds=limits.RECEIPT_SECONDS + limits.RECEIPT_GRACE_SECONDS,
        late=Unknown("no answer in time: look at the list of replicas"),
    )


def _broker() -> str:
    return request_fields.text(request_fields.fields(request.environ), "broker_ip")["broker_ip"]
