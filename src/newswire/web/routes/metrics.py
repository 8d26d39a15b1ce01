"""`GET /metrics`: the numbers of this broker in the text format of Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from flask import Blueprint, Response, request

from newswire.core.model.forecasts import Band, LoadForecast, Outlook
from newswire.engine.seam import BrokerStatus, ClusterStatus, Engine, EngineNumbers
from newswire.metrics import Distribution
from newswire.web.route import SIGNED_IN, Route, Success

METRICS: Final = Route(
    method="GET",
    path="/metrics",
    words="The numbers of this broker, for Prometheus.",
    rights=(SIGNED_IN,),
    answers=(Success(media="text/plain"),),
)


def routes(
    engine: Engine,
    process: Callable[[], Mapping[str, Any]],
    degraded: Callable[[ClusterStatus], list[str]],
    outlook: Callable[[], Outlook],
) -> Blueprint:
    """The route of metrics.

    `process`: what is told of this process beside the engine: its streams and answers; `degraded`: what is wrong; `outlook`:
    what is foreseen.
    """
    blueprint = Blueprint("metrics", __name__)

    @METRICS.on(blueprint)
    def metrics() -> Response:
        METRICS.read(request.environ)
        from prometheus_client import generate_latest  # on first use: half of a broker's start otherwise
        from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

        view = engine.describe()
        families = _Families(engine.numbers(), view, {**process(), "degraded": len(degraded(view))}, outlook())
        return Response(generate_latest(families), content_type=CONTENT_TYPE_PLAIN_0_0_4)

    return blueprint


class _Families:
    """What `generate_latest` collects from."""

    def __init__(self, numbers: EngineNumbers, view: ClusterStatus, process: Mapping[str, Any], outlook: Outlook) -> None:
        self._numbers, self._view, self._process, self._outlook = numbers, view, process, outlook

    def collect(self) -> Iterator[Any]:
        """Yield each metric with its samples."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        numbers, view, process = self._numbers, self._view, self._process
        for name, text, count in (
            ("messages_published", "Messages that clients published here; those that were there already are not counted.",
             numbers.messages_published),
            ("messages_delivered", "Messages that were sent to streams.", process.get("messages_delivered", 0)),
            ("streams_sent_elsewhere", "Streams that were sent to brokers with more room.", process.get("streams_sent", 0)),
            ("compactions", "Compactions of the ops file.", numbers.compactions),
            ("cpu_seconds", "Processor time of this process, user and system.", time.process_time()),
            ("slow_syncs", "Syncs of the disk that took a second or more.", view.disk.slow_syncs if view.disk else 0),
        ):  # fmt: skip
            yield CounterMetricFamily(f"newswire_{name}", text, value=count)
        for name, text, value in (
            ("streams", "Open streams.", process["streams"]),
            ("streams_limit", "Streams that there may be.", process["streams_limit"]),
            ("subscriptions", "Subscriptions of all users.", numbers.subscriptions),
            ("topics", "Topics that hold messages.", numbers.topics),
            ("copies", "Brokers that would hold a message published now.",
             view.most_copies if view.serves and view.writable else 0),
            ("ops_file_bytes", "Size of the ops file.", numbers.ops_file_bytes),
            ("disk_free_bytes", "Room on the disk of the ops file.", view.disk.free_bytes if view.disk else None),
            ("disk_reserve_bytes", "Room below which publishing is refused.", view.disk.reserve_bytes if view.disk else None),
            ("compacting", "Whether the ops file is being compacted.", int(numbers.compacting)),
            ("degraded", "How many things are wrong; /readyz says which.", process["degraded"]),
            ("warnings", "How many things may be wrong soon, or are unusual; /readyz says which.",
             len(view.warnings) + len(self._outlook.warnings)),
            ("topics_unusual", "Topics that are far busier or quieter than usual.", len(self._outlook.unusual)),
            ("serves", "Whether this broker serves clients.", int(view.serves)),
        ):  # fmt: skip
            if value is not None:
                yield GaugeMetricFamily(f"newswire_{name}", text, value=value)
        yield _histogram("publish_seconds", "From a publish to its receipt.", numbers.publish_seconds)
        yield _histogram("commit_seconds", "Writing and syncing a round of operations.", numbers.commit_seconds)
        yield from _forecasts(self._outlook)
        yield from _peers([row for row in view.rows if not row.self])
        answers = CounterMetricFamily("newswire_http_requests", "Answered requests.", labels=["route", "status"])
        for (route, status), count in process.get("http_requests", {}).items():
            answers.add_metric([route, str(status)], count)
        yield answers


def _peers(rows: list[BrokerStatus]) -> Iterator[Any]:
    from prometheus_client.core import GaugeMetricFamily

    up = GaugeMetricFamily("newswire_peer_up", "Whether the peer answers and is in sync.", labels=["peer"])
    lag = GaugeMetricFamily("newswire_peer_lag_ops", "Operations that the peer lacks.", labels=["peer"])
    age = GaugeMetricFamily("newswire_peer_heartbeat_age_seconds", "Since the peer was heard of.", labels=["peer"])
    streams = GaugeMetricFamily("newswire_peer_streams", "Open streams at the peer.", labels=["peer"])
    phi = GaugeMetricFamily("newswire_peer_phi", "How suspicious its silence was, the most of a minute.", labels=["peer"])
    for row in rows:
        name = [row.id or row.ip]
        if row.streams_limit:
            streams.add_metric(name, row.streams)
        phi.add_metric(name, row.phi)
        up.add_metric(name, int(row.state == "up"))
        lag.add_metric(name, row.lag)
        if row.seconds is not None:
            age.add_metric(name, row.seconds)
    yield from (up, lag, age, streams, phi)


def _forecasts(outlook: Outlook) -> Iterator[Any]:
    """What is foreseen, as far as it is."""
    from prometheus_client.core import GaugeMetricFamily

    full = outlook.disk_full_seconds
    if full is not None:
        family = GaugeMetricFamily("newswire_forecast_disk_full_seconds", "Until the disk is full.", labels=["bound"])
        for bound, seconds in zip(("earliest", "latest"), full, strict=True):
            if seconds is not None:
                family.add_metric([bound], seconds)
        yield family
    for name, text, load in (
        ("publish_rate", "Messages a second in the busiest minute of the next day.", outlook.publish),
        ("streams", "The most streams of the next day.", outlook.streams),
    ):
        yield from _load(f"newswire_forecast_{name}", text, load)
    if outlook.publish.limit is not None:
        text = "Messages a second that this broker takes, as they come now."
        yield GaugeMetricFamily("newswire_publish_rate_limit", text, value=outlook.publish.limit)


def _load(name: str, text: str, load: LoadForecast) -> Iterator[Any]:
    from prometheus_client.core import GaugeMetricFamily

    if load.peak is None:
        return
    family = GaugeMetricFamily(name, text, labels=["bound"])
    for bound in Band.__struct_fields__:
        family.add_metric([bound], getattr(load.peak, bound))
    yield family
    if load.error is not None:
        text = "By what share of what came forecasts of a day ahead were off."
        yield GaugeMetricFamily(f"{name}_error_ratio", text, value=load.error)


def _histogram(name: str, text: str, seen: Distribution) -> Any:
    from prometheus_client.core import HistogramMetricFamily

    buckets = [(f"{bound:g}", float(count)) for bound, count in zip(seen.bounds, seen.counts, strict=True)]
    return HistogramMetricFamily(
        f"newswire_{name}", text, buckets=[*buckets, ("+Inf", float(seen.count))], sum_value=seen.total
    )
