"""`GET /metrics`: the names of the contract, and that each moves with what it counts."""

from __future__ import annotations

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from newswire.engine.seam import DiskFacts
from tests.kit.web_fakes import Web

CONTRACT = {  # the names of samples, as users' queries have them
    "messages_published_total", "messages_delivered_total", "publish_seconds_bucket", "commit_seconds_bucket",
    "http_requests_total", "streams", "subscriptions", "topics", "peer_up", "peer_lag_ops", "peer_heartbeat_age_seconds",
    "copies", "ops_file_bytes", "disk_free_bytes", "compactions_total", "compacting", "degraded",
}  # fmt: skip


@pytest.fixture
def web() -> Web:
    return Web()


def numbers(web: Web) -> dict[tuple[str, tuple[str, ...]], float]:
    answer = web.client.get("/metrics")
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.get_data(as_text=True))
    return {
        (sample.name.removeprefix("newswire_"), tuple(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def test_each_name_of_the_contract_is_there(web: Web) -> None:
    web.engine.change_view(disk=DiskFacts(free_bytes=5, reserve_bytes=3, log_bytes=9))
    web.get("/livez")
    assert {name for name, _ in numbers(web)} >= CONTRACT


def test_a_compaction_shows_while_it_runs(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    assert numbers(web)["compacting", ()] == 0
    monkeypatch.setattr(web.engine.shell.broker.compaction, "job", object())
    assert numbers(web)["compacting", ()] == 1


def test_numbers_move_with_what_they_count(web: Web) -> None:
    before = numbers(web)
    web.post("/publish?topic=news&data=x&key=k")
    web.post("/publish?topic=news&data=x&key=k")
    web.post("/subscribe?username=ann&topic=news")
    web.client.post("/publish?topic=news")
    after = numbers(web)

    def moved(name: str, *labels: str) -> float:
        return after.get((name, labels), 0) - before.get((name, labels), 0)

    assert moved("messages_published_total") == 1, "what was there already is not published again"
    assert moved("publish_seconds_count") == 2
    assert moved("commit_seconds_count") >= 2
    assert moved("topics") == 1
    assert moved("subscriptions") == 1
    assert moved("http_requests_total", "/publish", "200") == 2
    assert moved("http_requests_total", "/publish", "400") == 1
    assert moved("http_requests_total", "/subscribe", "200") == 1


def test_a_peer_that_is_gone_is_down(web: Web) -> None:
    assert numbers(web)["peer_up", ("1002",)] == 1
    assert numbers(web)["copies", ()] == 2
    web.engine.change_view(serves=False)
    assert numbers(web)["copies", ()] == 0


def test_the_streams_of_a_peer_are_counted_where_it_says_how_many(web: Web) -> None:
    assert ("peer_streams", ("1002",)) not in numbers(web)
    rows = [msgspec.structs.replace(row, streams=3, streams_limit=9) for row in web.engine.describe().rows]
    web.engine.change_view(rows=tuple(rows))
    assert numbers(web)["peer_streams", ("1002",)] == 3
    assert numbers(web)["streams_sent_elsewhere_total", ()] == 0


def test_addresses_that_are_none_are_one_route(web: Web) -> None:
    """Else a stranger would make a series a request."""
    for path in ("/nope", "/nope/again"):
        web.client.get(path)
    assert numbers(web)["http_requests_total", ("", "404")] == 2
