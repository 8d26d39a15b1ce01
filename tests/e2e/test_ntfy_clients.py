"""ntfy's wire, spoken by what nobody here wrote: curl as ntfy's documentation has it, its Python clients, Apprise, webhooks."""

from __future__ import annotations

import asyncio
import base64
import json
import shlex
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apprise
import ntfpy
import pytest
import requests
from python_ntfy import MessagePriority, NtfyClient

from newswire.config import Settings
from newswire.core.model.commands import AddGrant, AddUser, RevokeGrant
from newswire.server import Server
from tests.kit.access import PASSWORD, password_hash
from tests.kit.waiting import PATIENCE_SECONDS, wait_until

PATIENT = f"&cto={PATIENCE_SECONDS:g}&rto={PATIENCE_SECONDS:g}"  # seconds for which Apprise waits: to connect, to read


def started(folder: Path, **settings: Any) -> Iterator[Server]:
    server = Server(Settings(port=0, ops_dir=folder, **settings))
    server.start()
    wait_until(lambda: server.engine.describe().serves)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def open_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a broker that lets anybody publish and read."""
    for server in started(tmp_path_factory.mktemp("open"), open_reading=True):
        yield server.address


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A broker that asks; ann may publish and read what begins with `news`."""
    for server in started(tmp_path_factory.mktemp("guarded"), auth="required"):
        server.engine.submit([AddUser("ann", password=password_hash())])
        for pattern in ("news", "news.>", "apprise"):
            server.engine.submit([AddGrant("ann", "publish", pattern)])
            server.engine.submit([AddGrant("ann", "subscribe", pattern)])
        yield server


def curl(line: str, body: bytes = b"") -> str:
    """What a command line of ntfy's documentation prints, with its address replaced."""
    command = [*shlex.split(line), "--silent", "--show-error", "--max-time", f"{PATIENCE_SECONDS:g}", "--noproxy", "*"]
    return subprocess.run(command, input=body, capture_output=True, check=True).stdout.decode()


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_curl_publishes_as_the_documentation_says(open_broker: str) -> None:
    answer = json.loads(curl(f'curl -d "Backup successful 😀" {open_broker}/docs_1'))
    assert (answer["event"], answer["topic"], answer["message"]) == ("message", "docs_1", "Backup successful 😀")
    assert abs(answer["time"] - time.time()) < 60
    curl(
        'curl -H "Title: Unauthorized access detected" -H "Priority: urgent" -H "Tags: warning,skull"'
        f' -d "Remote access to phils-laptop detected. Act right away." {open_broker}/docs_1'
    )
    curl(f'curl -H "t: =?UTF-8?B?8J+agCBMYXVuY2g=?=" -H "p:min" -H "ta:a, b" -d "short" {open_broker}/docs_1')
    curl(f'curl -H "Click: https://home.nest.com/" -T - {open_broker}/docs_1', b"  There's someone at the door.\n")
    curl(f'curl -X POST "{open_broker}/docs_1?title=by+query&message=line%5Cnline&priority=4&tags=x"')
    curl(f"curl -X PUT {open_broker}/docs_1")
    got = lines(curl(f'curl "{open_broker}/docs_1/json?poll=1"'))
    shown = [{name: one[name] for name in ("title", "message", "priority", "tags", "click") if name in one} for one in got]
    assert shown == [
        {"message": "Backup successful 😀"},
        {
            "title": "Unauthorized access detected",
            "message": "Remote access to phils-laptop detected. Act right away.",
            "priority": 5,
            "tags": ["warning", "skull"],
        },
        {"title": "🚀 Launch", "message": "short", "priority": 1, "tags": ["a", "b"]},
        {"message": "There's someone at the door.", "click": "https://home.nest.com/"},
        {"title": "by query", "message": "line\nline", "priority": 4, "tags": ["x"]},
        {"message": "triggered"},
    ]
    assert answer["id"] == got[0]["id"]


def test_curl_publishes_json(open_broker: str) -> None:
    message = {
        "topic": "docs_2",
        "message": "Disk space is low at 5.1 GB",
        "title": "Low disk space alert",
        "tags": ["warning", "cd"],
        "priority": 4,
        "click": "https://homecamera.lan/xasds1h2xsSsa/",
        "actions": [],
        "markdown": False,
    }
    answer = json.loads(curl(f"curl {open_broker} -d @-", json.dumps(message).encode()))
    assert {**message, **answer} == {**answer, "actions": [], "markdown": False}
    later = json.loads(curl(f"curl {open_broker} -d @-", json.dumps(message | {"delay": "30min"}).encode()))
    assert later["time"] >= answer["time"] + 30 * 60  # when it is delivered
    refusal = json.loads(curl(f"curl {open_broker} -d @-", json.dumps(message | {"delay": "tomorrow, 10am"}).encode()))
    assert (refusal["http"], refusal["code"]) == (400, 40004)
    assert "a delay is a duration" in refusal["error"]


def test_what_is_refused_before_it_is_taken_has_the_shape_of_there(open_broker: str) -> None:
    """A photograph, which is over what any body may have."""
    refusal = json.loads(curl(f"curl -T - {open_broker}/docs_3", b"x" * 700_000))
    assert refusal == {"code": 41301, "http": 413, "error": refusal["error"]}
    assert json.loads(curl(f"curl -d @- {open_broker}/docs_3", b"x" * 100_000))["code"] == 41301


def test_curl_polls_with_since_and_filters(open_broker: str) -> None:
    for number in range(1, 5):
        curl(f'curl -H "Tags: n{number},all" -H "Priority: {number}" -H "Title: T{number}" -d "{number}" {open_broker}/polls')
    curl(f'curl -d "else" {open_broker}/polls2')

    def poll(query: str, topics: str = "polls") -> list[str]:
        return [one["message"] for one in lines(curl(f'curl "{open_broker}/{topics}/json?poll=1&{query}"'))]

    ids = [one["id"] for one in lines(curl(f'curl "{open_broker}/polls/json?poll=1&since=all"'))]
    assert poll("since=10m") == ["1", "2", "3", "4"]
    assert poll("since=none") == []
    assert poll("since=latest", "polls,polls2") == ["4", "else"]
    assert poll(f"since={ids[1]}") == ["3", "4"]
    assert poll(f"since={int(time.time()) - 600}") == ["1", "2", "3", "4"]
    assert poll(f"since={int(time.time()) + 3600}") == []
    assert poll("priority=high") == ["4"]
    assert poll("priority=1,low") == ["1", "2"]
    assert poll("tags=all,n3") == ["3"]
    assert poll("title=T2") == ["2"]
    assert poll("message=1") == ["1"]
    assert poll(f"id={ids[2]}") == ["3"]
    assert curl(f'curl "{open_broker}/polls/raw?poll=1"') == "1\n2\n3\n4\n"
    assert curl(f'curl "{open_broker}/polls/json?poll=1" -H "X-Since: latest"').count("\n") == 1
    assert json.loads(curl(f'curl "{open_broker}/polls/json?since=yesteryear"'))["code"] == 40008


def test_streams_open_and_bring_what_comes(open_broker: str) -> None:
    for shape, first, later in (
        ("json", b'"event":"open","topic":"live.json,more"', b'"message":"json"'),
        ("sse", b"event: open\ndata: ", b'"message":"sse"'),
        ("raw", b"\n", b"raw\n"),
    ):
        with requests.get(f"http://{open_broker}/live.{shape},more/{shape}", stream=True, timeout=PATIENCE_SECONDS) as response:
            parts = response.iter_content(None)
            assert first in next(parts)
            requests.post(f"http://{open_broker}/live.{shape}", data=shape, timeout=PATIENCE_SECONDS)
            assert later in next(parts)


def test_python_ntfy_publishes_and_reads(guarded: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    client = NtfyClient(topic="news.python", server=f"http://{guarded.address}", auth=("ann", PASSWORD))
    answer = client.send("Köln", title="Title", priority=MessagePriority.HIGH, tags=["fire"])
    assert (answer["message"], answer["priority"]) == ("Köln", 4)
    client.send("second")
    got = client.get_cached_messages()
    assert sorted(message["message"] for message in got) == ["Köln", "second"]
    with pytest.raises(Exception, match="400"):
        client.send("x", email="ann@example.org")
    other = NtfyClient(topic="secret", server=f"http://{guarded.address}", auth=("ann", PASSWORD))
    with pytest.raises(Exception, match="403"):
        other.send("x")


def test_ntfpy_publishes_and_subscribes(guarded: Server) -> None:
    client = ntfpy.NTFYClient(ntfpy.NTFYServer(f"http://{guarded.address}"), "news.ntfpy", ntfpy.NTFYUser("ann", PASSWORD))
    got: list[Any] = []

    class Enough(Exception):
        pass

    def take(message: Any) -> None:
        got.append(message)
        if len(got) == 2:
            raise Enough

    def subscribe() -> None:
        with pytest.raises(Enough):
            asyncio.run(client.subscribe(take))

    thread = threading.Thread(target=subscribe)
    thread.start()
    wait_until(lambda: guarded._parts and any(getattr(part, "count", 0) for part in guarded._parts))
    assert client.send("one", title="T", tags=["a"], priority=4).status_code == 200
    assert client.send("two").status_code == 200
    thread.join(PATIENCE_SECONDS)
    assert [(one.message, one.title, one.priority, one.tags) for one in got] == [
        ("one", "T", 4, ["a"]),
        ("two", None, None, None),
    ]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_apprise_notifies(guarded: Server) -> None:
    """Apprise takes topics without dots."""
    target = apprise.Apprise()
    assert target.add(f"ntfy://ann:{PASSWORD.replace(' ', '%20')}@{guarded.address}/apprise?priority=high&tags=a,b{PATIENT}")
    assert target.notify(title="Disk", body="It is full", notify_type=apprise.NotifyType.WARNING)
    poll = requests.get(f"http://{guarded.address}/apprise/json?poll=1", auth=("ann", PASSWORD), timeout=PATIENCE_SECONDS)
    (message,) = lines(poll.text)
    assert (message["title"], message["message"], message["priority"], message["tags"]) == ("Disk", "It is full", 4, ["a", "b"])
    nobody = apprise.Apprise()
    nobody.add(f"ntfy://ann:wrong@{guarded.address}/apprise")
    assert not nobody.notify(body="x")


def test_webhooks_of_alertmanager_and_grafana(open_broker: str) -> None:
    alertmanager = {
        "version": "4",
        "status": "firing",
        "receiver": "newswire",
        "alerts": [
            {
                "status": "firing",
                "labels": {"alertname": "HighLoad", "instance": "web1:9100", "severity": "critical"},
                "annotations": {"summary": "Load is 12"},
                "startsAt": "2026-11-28T04:00:00Z",
                "generatorURL": "http://prometheus:9090/graph",
            }
        ],
    }
    grafana = {"status": "resolved", "title": "[RESOLVED] Disk", "message": "All is well again", "alerts": []}
    for template, fields in (("alertmanager", alertmanager), ("grafana", grafana)):
        address = f"http://{open_broker}/hooks?template={template}"
        assert requests.post(address, json=fields, timeout=PATIENCE_SECONDS).status_code == 200
    one, two = lines(curl(f'curl "{open_broker}/hooks/json?poll=1"'))
    assert one["title"] == "🚨 Alert: HighLoad"
    assert "Severity: critical" in one["message"]
    assert "Summary: Load is 12" in one["message"]
    assert (two["title"], two["message"]) == ("✅ [RESOLVED] Disk", "All is well again")


def test_a_right_that_is_revoked_ends_the_stream(guarded: Server) -> None:
    guarded.engine.submit([AddUser("eve", password=password_hash())])
    guarded.engine.submit([AddGrant("eve", "subscribe", "news.>")])
    with requests.get(
        f"http://{guarded.address}/news.x/json", auth=("eve", PASSWORD), stream=True, timeout=PATIENCE_SECONDS
    ) as response:
        parts = response.iter_content(None)
        assert b'"open"' in next(parts)
        guarded.engine.submit([RevokeGrant("eve", "subscribe", "news.>")])
        assert list(parts) == []
    assert (
        requests.get(f"http://{guarded.address}/news.x/json", auth=("eve", PASSWORD), timeout=PATIENCE_SECONDS).json()["http"]
        == 403
    )


def test_a_credential_may_stand_in_the_address_of_a_reader_alone(guarded: Server) -> None:
    basic = "Basic " + base64.b64encode(f"ann:{PASSWORD}".encode()).decode()
    shown = base64.urlsafe_b64encode(basic.encode()).decode().rstrip("=")
    url = f"http://{guarded.address}/news"
    assert requests.get(f"{url}/auth?auth={shown}", timeout=PATIENCE_SECONDS).json() == {"success": True}
    assert requests.get(f"{url}/json?poll=1&auth={shown}", timeout=PATIENCE_SECONDS).status_code == 200
    assert requests.post(f"{url}?auth={shown}", data="x", timeout=PATIENCE_SECONDS).status_code == 401
    assert requests.get(f"{url}/publish?auth={shown}&message=x", timeout=PATIENCE_SECONDS).status_code == 401
    by_get = requests.get(f"{url}/trigger", params={"message": "by GET"}, auth=("ann", PASSWORD), timeout=PATIENCE_SECONDS)
    assert by_get.json()["message"] == "by GET"
