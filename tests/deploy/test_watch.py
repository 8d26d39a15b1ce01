"""deploy/aws/watch.py: what CloudWatch is told of a broker."""

from __future__ import annotations

import importlib.util
import json
import time
from pathlib import Path
from types import ModuleType
from typing import Final

import boto3
import pytest
from moto import mock_aws

from tests.deploy.test_stack import REGION

FILE: Final = Path(__file__).resolve().parents[2] / "deploy" / "aws" / "watch.py"
FACTS: Final = {"ready": True, "copies": 2, "degraded": ["disk-low"], "streams": 7, "disk_free_bytes": 5, "ops_file_bytes": 3}


@pytest.fixture(scope="module")
def watch() -> ModuleType:
    spec = importlib.util.spec_from_file_location("watch", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entry(message: object, at: int) -> str:
    return json.dumps({"MESSAGE": message, "__REALTIME_TIMESTAMP": str(at * 1_000_000)})


def test_settings_are_read_as_the_shell_reads_them(watch: ModuleType) -> None:
    assert watch.settings("ID=1001\nREADY_URL='https://a/?b=c'\n# a word\nEMPTY=\n") == {
        "ID": "1001", "READY_URL": "https://a/?b=c", "EMPTY": "",
    }  # fmt: skip


def test_who_does_not_answer_is_not_ready_and_keeps_nothing(watch: ModuleType) -> None:
    values = {one["MetricName"]: one["Value"] for one in watch.metrics(watch.readiness("http://127.0.0.1:9/readyz"), "1001")}
    assert values == {"Ready": 0.0, "Copies": 0.0, "Degraded": 0.0}


def test_the_journal_is_in_order_and_in_parts(watch: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = "\n".join([entry("two", 2), entry(list(b"one\xff"), 1), entry("", 3), entry("x" * 5_000, 4)])
    events = watch.events(journal)
    assert [one["message"][:5] for one in events] == ["one\N{REPLACEMENT CHARACTER}", "two", "xxxxx"]
    assert [one["timestamp"] for one in events] == [1_000, 2_000, 4_000]
    assert len(events[2]["message"]) == watch.EVENT_CHARS
    monkeypatch.setattr(watch, "EVENTS_AT_ONCE", 2)
    assert [len(part) for part in watch.parts(events)] == [2, 1]


def test_both_arrive(watch: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        logs, cloudwatch = boto3.client("logs", region_name=REGION), boto3.client("cloudwatch", region_name=REGION)
        logs.create_log_group(logGroupName="news")
        now = int(time.time())  # CloudWatch takes no old ones
        for _ in range(2):
            watch.send({"REGION": REGION, "ID": "1001", "LOG_GROUP": "news"}, FACTS, entry("up", now))
        events = logs.get_log_events(logGroupName="news", logStreamName="1001")["events"]
        assert [one["message"] for one in events] == ["up", "up"]
        names = {one["MetricName"] for one in cloudwatch.list_metrics(Namespace=watch.NAMESPACE)["Metrics"]}
        assert names == {"Ready", "Copies", "Degraded", "Streams", "DiskFree", "OpsFile"}
