"""What an operator sees of brokers that come and go: /readyz, `newswire status`, the log; and of one removed, nothing."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

from brokers import Answer, Broker, ask, free_ports, get, newswire, post, rows, until, wait_in_sync
from newswire import __version__
from tests.kit.processes import Pair, lend
from tests.kit.waiting import PATIENCE_SECONDS

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d (INFO|WARNING) newswire\.(\w+) (.*)")


def said(broker: Broker) -> list[tuple[str, str]]:
    """The log of a broker: level and text of each line of the log proper."""
    return [(found[1], found[3]) for found in map(LINE.fullmatch, broker.log.read_text().splitlines()) if found]


def condition(broker: Broker) -> Any:
    """What /readyz says."""
    return ask(broker.address, "GET", "/readyz").json()


def wait_well(broker: Broker, copies: int = 2) -> None:
    """Wait until nothing is wrong: what a peer says of itself comes a moment later than that it is up."""
    until("nothing is wrong", lambda: [condition(broker).get(it) for it in ("copies", "degraded")] == [copies, []])


def plain(text: str) -> str:
    """A reason without its details in brackets, which may change while the log says it once."""
    return re.sub(r" \([^)]*\)", "", text)


def statuses(pair: Pair) -> Any:
    """`newswire status --json`."""
    command = newswire("status", "--json", "--brokers", ",".join(pair.addresses))
    return json.loads(subprocess.run(command, capture_output=True, check=True, cwd=pair.first.home).stdout)


def test_what_an_operator_needs(pair: Pair) -> None:
    first, second = pair.brokers
    wait_in_sync(pair.brokers)
    wait_well(first)
    told = condition(first)
    assert told["version"] == __version__
    assert told["disk_free_bytes"] > 0
    assert [(row["id"], row["state"]) for row in told["peers"]] == [("1002", "up")]
    second.kill9()
    until("it is down", lambda: condition(first)["copies"] == 1)
    told = condition(first)
    since = told["peers"][0]["down_since"]
    assert since < told["time"]
    (reason,) = told["degraded"]
    assert (second.address in reason, since in reason, "a publish gets 1 copy" in reason) == (True, True, True)
    seen = statuses(pair)
    assert seen["copies"] == 1
    one, two = seen["brokers"]
    assert (one["copies"], one["version"], one["ready"]) == (1, __version__, True)
    assert (two["state"], two["down_since"], two["ready"]) == ("down", since, None)
    second.start()
    wait_in_sync(pair.brokers)
    wait_well(first)
    assert "down_since" not in condition(first)["peers"][0]
    reason = plain(reason)
    until("the log says so", lambda: f"no longer: {reason}" in [plain(text) for _, text in said(first)])
    assert first.stop() == 0
    lines = [(level, plain(text)) for level, text in said(first)]
    texts = [text for _, text in lines]
    marks = [
        f"started: broker 1001, {first.address}, primary, version {__version__}",
        reason,
        f"no longer: {reason}",
        "stopping: SIGTERM",
        f"stopped: broker 1001, {first.address}",
    ]
    assert [text for text in texts if text in marks] == marks
    assert "serves clients" in texts
    assert texts.count(f"up: broker 1002, {second.address}") >= 2, "up at the start, and when it was back"
    assert ("WARNING", reason) in lines


def test_a_removed_broker_leaves_no_ghost(pair: Pair, tmp_path: Path) -> None:
    first, second = pair.brokers
    (port,) = free_ports(1)
    third = Broker("1003", port, tmp_path / "third", peers=[first.port])
    try:
        third.start()
        wait_in_sync([*pair.brokers, third])
        third.kill9()
        for broker in pair.brokers:
            until("it is missed", lambda broker=broker: any("1003" in reason for reason in condition(broker)["degraded"]))
        post(second.address, "/remove_replica", broker_ip=third.address)
        for broker in pair.brokers:
            until("it is gone", lambda broker=broker: set(rows(broker.address)) == {"1001", "1002"})
            until("nothing is wrong", lambda broker=broker: condition(broker)["degraded"] == [])
            assert third.address not in json.dumps([condition(broker), get(broker.address, "/list_replicas")])
            assert third.address not in ask(broker.address, "GET", "/?username=Ann").body.decode()
        first.stop()
        first.peers.append(third.address)  # and it is still among the peers that somebody wrote down
        first.start()
        wait_in_sync(pair.brokers)
        wait_well(first)
        assert third.address not in json.dumps([condition(first), get(first.address, "/list_replicas"), statuses(pair)])
        assert post(first.address, "/publish", topic="t", data="x")["copies"] == 2

        third.launch()  # it comes back, knows by and by that it was removed, and counts itself out
        until("it knows", lambda: rows(third.address).get("1003", {}).get("state") == "down")
        until("it says so", lambda: "removed" in condition(third).get("detail", ""))
        post(first.address, "/add_replica", broker_ip=third.address)
        wait_in_sync([*pair.brokers, third])
        until("it counts", lambda: post(first.address, "/publish", topic="t", data="x")["copies"] == 3)
    finally:
        third.kill9()
    for broker in pair.brokers:
        texts = [text for _, text in said(broker)]
        assert f"removed: broker 1003, {third.address}" in texts
        assert f"added: broker 1003, {third.address}" in texts
        assert broker.log.read_text().count(third.address) < 30, "nobody goes on about a broker that is gone"


def refusal(broker: Broker) -> Answer | None:
    """What somebody unknown is answered, once that is sure (docs/rules.md, OPEN)."""
    answer = ask(broker.address, "GET", "/stream?username=Nobody")
    return answer if answer.status != 200 else None


def test_a_broker_that_moved_leaves_no_ghost_where_it_was(pair: Pair) -> None:
    """The other one is still told of the old address, and starts anew: that is the same broker, not one that is away."""
    first, second = pair.brokers
    wait_in_sync(pair.brokers)
    before = second.address
    second.stop()
    (second.port,) = free_ports(1)
    second.address = f"127.0.0.1:{second.port}"
    second.start()
    wait_in_sync(pair.brokers)
    for _ in range(2):
        until("it is known by its new address", lambda: rows(first.address).get("1002", {}).get("ip") == second.address)
        until("nothing is wrong", lambda: condition(first)["degraded"] == [])
        assert set(rows(first.address)) == {"1001", "1002"}
        assert before not in json.dumps([condition(first), get(first.address, "/list_replicas"), statuses(pair)])
        unknown = until("nobody is away who may know better", lambda: refusal(first))
        assert (unknown.status, unknown.json()["code"]) == (403, "not-registered")
        first.stop()
        first.start()
        wait_in_sync(pair.brokers)
    assert f"moved: broker 1002, {second.address}, before at {before}" in [text for _, text in said(first)]


def test_no_log_has_what_people_say_ask_for_or_prove_themselves_with(tmp_path: Path) -> None:
    """At debug level: no query string, text, key, credential, secret; with whatever is refused, and with a broker that dies."""
    said_word, secret = "Xylophone", "a-cluster-secret-of-more-than-thirty-two-bytes"
    settings = tmp_path / "newswire.toml"
    settings.touch(mode=0o600)
    settings.write_text(f'log-level = "debug"\ncluster-secret = "{secret}"\n')
    signed = {"Authorization": f"Bearer {said_word}", "Cookie": f"session={said_word}", "Origin": f"http://{said_word}.example"}
    with lend(Pair(tmp_path)) as pair:
        first, second = pair.start().brokers
        wait_in_sync(pair.brokers)
        post(first.address, "/subscribe", username="Ann", topic="t")
        post(first.address, "/publish", topic="t", data=said_word, title=said_word, key=said_word, click=f"http://{said_word}/")
        for method, path, body in (
            ("POST", f"/publish?topic=t&data={said_word}", None),
            ("POST", f"/publish?topic=t&data={said_word}&priority={said_word}", None),
            ("POST", "/publish", json.dumps({"topic": "t", "data": said_word, said_word: 1})),
            ("POST", "/publish?topic=t", said_word * 20_000),
            ("GET", f"/stream?username=Nobody&last_event_id={said_word}", None),
            ("GET", f"/messages?username=Ann&since={said_word}", None),
            ("POST", f"/ack?username=Ann&id={said_word}", None),
            ("GET", f"/nowhere?{said_word}={said_word}", None),
            ("GET", f"/?username={said_word}", None),
            ("POST", "/replicate", said_word),
            (said_word, f"/publish?{said_word}", None),
        ):
            for headers in ({}, signed):
                ask(first.address, method, path, body=body, headers=headers)
        with socket.create_connection(("127.0.0.1", first.port), timeout=PATIENCE_SECONDS) as raw:
            raw.sendall(f"GET /livez?{said_word} HTTP/9\r\n{said_word}\r\n\r\n".encode())
            assert raw.recv(1_000)
        post(second.address, "/publish", topic="t", data="short", expires="1")
        second.kill9()
        until("it is down", lambda: condition(first)["copies"] == 1)
        second.start()
        wait_in_sync(pair.brokers)
        until("what expired is gone", lambda: [get(b.address, "/topics")[0]["messages"] for b in pair.brokers] == [2, 2])
        assert [broker.stop() for broker in pair.brokers] == [0, 0]
        logs = {broker.id: broker.log.read_text() for broker in pair.brokers}
    assert any("DEBUG" in log for log in logs.values()), "it is the whole log"
    lines = [line for log in logs.values() for line in log.splitlines()]
    assert [line for line in lines if said_word.lower() in line.lower() or secret in line] == []
