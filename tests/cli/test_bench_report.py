"""What `newswire bench` makes of figures: percentiles, shares, and what limits, in words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from newswire.cli.bench_report import (
    BrokerNumbers,
    BrokerUse,
    Measurement,
    SharedMachine,
    as_objects,
    as_table,
    limit,
    limits_in_words,
    numbers_of,
    percentile,
    use_of,
)

IDLE = BrokerUse("1001", cpu=0.1, disk=0.1, commit_milliseconds=0.5, refusals=0)
ONE = Measurement("publish", "messages", count=500, seconds=2.0, p50=4.0, p99=9.0, client_cpu=0.2, brokers=(IDLE,))


def test_percentiles() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([7.0], 0.99)) == (50.0, 99.0, 7.0)
    assert percentile([], 0.5) is None


def test_what_a_broker_did_is_read_of_its_metrics() -> None:
    text = """
# TYPE newswire_cpu_seconds_total counter
newswire_cpu_seconds_total 3.5
# TYPE newswire_commit_seconds histogram
newswire_commit_seconds_bucket{le="0.5"} 4
newswire_commit_seconds_bucket{le="+Inf"} 4
newswire_commit_seconds_count 4
newswire_commit_seconds_sum 0.5
# TYPE newswire_http_requests_total counter
newswire_http_requests_total{route="/publish",status="200"} 90
newswire_http_requests_total{route="/publish",status="429"} 2
newswire_http_requests_total{route="/stream",status="429"} 1
"""
    numbers = numbers_of(text_string_to_metric_families(text))
    assert numbers == BrokerNumbers(cpu_seconds=3.5, commit_seconds=0.5, commits=4, refusals=3)
    assert use_of("1001", BrokerNumbers(), numbers, 5.0) == BrokerUse("1001", 0.7, 0.1, 125.0, 3)
    assert use_of("1001", numbers, numbers, 5.0) == BrokerUse("1001", 0.0, 0.0, 0.0, 0)


@pytest.mark.parametrize(
    ("changes", "use", "here", "words"),
    [
        ({}, {"refusals": 3}, None, "a limit of the brokers: 3 requests were refused as too many (429)"),
        ({"client_cpu": 0.9}, {"cpu": 0.9}, SharedMachine(2, 2.0), "the 2 processors of this machine"),
        ({}, {"cpu": 0.9}, None, "the processor of broker 1001 (90% of a core)"),
        ({"client_cpu": 0.95}, {}, None, "this client (95% of a core): brokers can do more"),
        ({}, {"disk": 0.7, "commit_milliseconds": 3.25}, None, "the disk of broker 1001 (a commit takes 3.2 ms)"),
        ({}, {}, SharedMachine(2, 9.0), "other programs on this machine (load 9 on 2 processors)"),
        ({}, {"commit_milliseconds": 1.5}, None, "waiting: of 4.0 ms a commit to disk is 1.5 ms at each broker"),
        ({}, {}, SharedMachine(2, 1.0), "waiting: for the network and for each other"),
    ],
)
def test_what_limits_is_said_in_words(
    changes: dict[str, float], use: dict[str, float], here: SharedMachine | None, words: str
) -> None:
    broker = replace(IDLE, **use)  # type: ignore[arg-type]
    assert limit(replace(ONE, brokers=(broker,), **changes), here).startswith(words)  # type: ignore[arg-type]


def test_the_table_and_the_json() -> None:
    alone = replace(ONE, p50=None, p99=None, brokers=())
    table = as_table([ONE, alone])
    assert table.rows == [("publish", "250 messages/s", "4.0 ms", "9.0 ms"), ("publish", "250 messages/s", "-", "-")]
    waiting = "waiting: for the network and for each other"
    assert limits_in_words([ONE, alone], None) == [f"What limits all of it: {waiting}."]
    busy = replace(ONE, name="batches", client_cpu=0.9)
    assert limits_in_words([ONE, busy, replace(ONE, name="two")], None) == [
        f"What limits `publish` and `two`: {waiting}.",
        "What limits `batches`: this client (90% of a core): brokers can do more.",
    ]
    (row,) = as_objects([ONE], None)
    assert (row["rate"], row["p99"], row["brokers"][0]["id"]) == (250.0, 9.0, "1001")
    assert replace(ONE, seconds=0.0).rate == 0.0
