#!/opt/awscli/bin/python
"""Tell CloudWatch how the broker of this machine is, and what its journal has since the last time: once a minute, by a timer.

It runs on what `awscli` brings (botocore), and asks the broker what everybody may ask: `/readyz`.
"""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ENVIRONMENT = Path("/etc/newswire/aws.env")
CURSOR = Path("/var/lib/newswire-watch/cursor")
NAMESPACE = "newswire"
READYZ = "http://127.0.0.1:5053/readyz"
EVENTS_AT_ONCE = 1_000  # CloudWatch takes 10,000, and 1 MiB
EVENT_CHARS = 1_000


def settings(text: str) -> dict[str, str]:
    """NAME=value lines."""
    lines = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name: value.strip("'") for name, _, value in lines}


def readiness(url: str = READYZ) -> dict[str, Any]:
    """What `/readyz` says; {} if nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            facts: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as error:  # 503: not ready, and why
        facts = json.load(error)
    except (OSError, ValueError):
        facts = {}
    return facts


def metrics(facts: Mapping[str, Any], broker: str) -> list[dict[str, Any]]:
    """The numbers of a broker as CloudWatch takes them."""
    values = {
        "Ready": (float(bool(facts.get("ready"))), "Count"),
        "Copies": (float(facts.get("copies", 0)), "Count"),
        "Degraded": (float(len(facts.get("degraded", ()))), "Count"),
    }
    if "streams" in facts:
        values["Streams"] = (float(facts["streams"]), "Count")
    for name, field in (("DiskFree", "disk_free_bytes"), ("OpsFile", "ops_file_bytes")):
        if field in facts:
            values[name] = (float(facts[field]), "Bytes")
    dimensions = [{"Name": "Broker", "Value": broker}]
    return [
        {"MetricName": name, "Dimensions": dimensions, "Value": value, "Unit": unit} for name, (value, unit) in values.items()
    ]


def events(journal: str) -> list[dict[str, Any]]:
    """What `journalctl --output=json` printed, as log events in the order of their times."""
    found = []
    for line in journal.splitlines():
        entry = json.loads(line)
        message = entry.get("MESSAGE")
        if isinstance(message, list):  # bytes that are no text
            message = bytes(message).decode(errors="replace")
        if message:
            found.append({"timestamp": int(entry["__REALTIME_TIMESTAMP"]) // 1000, "message": message[:EVENT_CHARS]})
    return sorted(found, key=lambda event: event["timestamp"])


def parts(all_events: Sequence[dict[str, Any]]) -> Iterator[Sequence[dict[str, Any]]]:
    """As many at once as one request takes."""
    for at in range(0, len(all_events), EVENTS_AT_ONCE):
        yield all_events[at : at + EVENTS_AT_ONCE]


def send(given: Mapping[str, str], facts: Mapping[str, Any], journal: str) -> None:
    """Put both into CloudWatch."""
    from botocore.session import get_session

    session, region, broker = get_session(), given["REGION"], given["ID"]
    cloudwatch = session.create_client("cloudwatch", region_name=region)
    cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=metrics(facts, broker))
    logs = session.create_client("logs", region_name=region)
    name = {"logGroupName": given["LOG_GROUP"], "logStreamName": broker}
    try:
        logs.create_log_stream(**name)
    except logs.exceptions.ResourceAlreadyExistsException:
        pass
    for part in parts(events(journal)):
        logs.put_log_events(**name, logEvents=part)


def main() -> None:
    """One round."""
    CURSOR.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["journalctl", "--unit=newswire.service", "--output=json", "--no-pager", f"--cursor-file={CURSOR}"],
        capture_output=True,
        text=True,
        check=True,
    )
    send(settings(ENVIRONMENT.read_text()), readiness(), done.stdout)


if __name__ == "__main__":
    main()
