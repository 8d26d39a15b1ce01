"""The cluster for people and clients: `/list_replicas`, and adding and removing brokers."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from newswire.core import limits
from newswire.core.model.names import check_address, check_broker_id
from newswire.core.model.times import rfc3339
from newswire.engine.seam import BrokerStatus, Cluster, Engine
from newswire.web import request_fields
from newswire.web.responses import answer


def routes(engine: Engine, cluster: Cluster | None) -> Blueprint:
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
    known: dict[str, Any] = {
        "id": row.id,
        "ip": row.ip,
        "is_primary": row.is_primary,
        "state": row.state,
        "lag": row.lag,
        "self": row.self,
    }
    if row.detail:
        known["detail"] = row.detail
    if row.seconds is not None:
        known["seconds"] = row.seconds
    if row.down_since is not None:
        known["down_since"] = rfc3339(row.down_since)
    return known


def _add_changes(blueprint: Blueprint, cluster: Cluster) -> None:
    @blueprint.post("/add_replica")
    def add_replica() -> Response:
        row = cluster.join(check_address(_broker()), timeout=limits.RECEIPT_SECONDS)
        return answer({"message": f"Added broker {row.ip} ({row.id})", "broker": shown(row)})

    @blueprint.post("/remove_replica")
    def remove_replica() -> Response:
        named = _broker()
        row = cluster.leave(check_address(named) if ":" in named else check_broker_id(named), timeout=limits.RECEIPT_SECONDS)
        return answer({"message": f"Removed broker {row.ip} ({row.id})", "broker": shown(row)})


def _broker() -> str:
    return request_fields.text(request_fields.fields(request.environ), "broker_ip")["broker_ip"]
