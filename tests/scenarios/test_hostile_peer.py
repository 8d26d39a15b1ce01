"""Whoever can push (a pair without a secret, a member that is broken) sends what no broker would send: nothing stops."""

from __future__ import annotations

import http.client
import os
import secrets
from typing import Any

import msgspec

from brokers import get, until
from newswire.core import limits
from tests.kit.ledger import Ledger
from tests.kit.processes import Cluster, Node
from tests.kit.waiting import PATIENCE_SECONDS

LINES = "127.0.0.2:1\r\nX-Evil: yes\x1b[2J"


class Stranger:
    """Pushes to a broker in the name of one that does not exist."""

    def __init__(self, node: Node) -> None:
        self.node, self.origin, self.cluster = node, f"6666-{secrets.token_hex(4)}", "unknown"
        self.cluster = self.push()["cluster"]

    def push(self, *ops: dict[str, Any], **changed: Any) -> dict[str, Any]:
        """The head of the answer, or the problem."""
        head = {
            "broker": "6666", "address": "127.0.0.1:9", "origin": self.origin, "cluster": self.cluster, "settled": False,
            "primary": False, "serves": True, "number": 1, "vector": {}, **changed,
        }  # fmt: skip
        body = b"\n".join(map(msgspec.json.encode, (head, *ops)))
        connection = http.client.HTTPConnection(self.node.address, timeout=PATIENCE_SECONDS)
        try:
            connection.request("POST", "/replicate", body, {"Content-Type": "application/octet-stream"})
            answer: dict[str, Any] = msgspec.json.decode(connection.getresponse().read().split(b"\n")[0])
            return answer
        finally:
            connection.close()


def began(origin: str, **vector: int) -> dict[str, Any]:
    return {"op": "began", "o": origin, "s": 1, "t": 1, "broker": "6666", "vector": vector}


def test_a_peer_that_sends_what_no_broker_sends_stops_nothing(pair: Cluster, ledger: Ledger) -> None:
    first, second = pair.nodes
    stranger = Stranger(first)
    assert stranger.cluster != "unknown"
    ledger.many(5, first, second, copies=2)
    own = next(origin for origin in stranger.push()["vector"] if origin.startswith("1001-"))
    sequence = stranger.push()["vector"][own]
    mine = stranger.origin

    for size in (400, 400):  # origins that have nothing to do with each other, whose ancestry took 21 s each
        stranger.push(*(began(f"77-{secrets.token_hex(6)}") for _ in range(size)))

    for odd in (
        {"op": "msg", "o": own, "s": sequence + 1, "t": 1, "topic": "news", "data": "forged"},
        began(mine),
        {"op": "join", "o": mine, "s": 2, "t": 1, "broker": "6666", "address": LINES},
        {"op": "join", "o": mine, "s": 3, "t": 1, "broker": LINES, "address": "127.0.0.2:1"},
        {"op": "msg", "o": mine, "s": 4, "t": 1, "topic": LINES, "data": "x"},
        {"op": "msg", "o": mine, "s": 5, "t": 2**50, "topic": "news", "data": "x"},
        {"op": "msg", "o": mine, "s": 5, "t": 1, "topic": "news", "data": "x", "click": "javascript:alert(1)"},
        {"op": "ack", "o": mine, "s": 6, "t": 1, "ids": [f"{own}.2"], "vector": {own: 2**53 + 1}},
        {"op": "sub", "o": mine, "s": 7, "t": 1, "user": LINES, "pattern": ">"},
        {"op": "later", "o": mine, "s": 8, "t": 1, "x": "y" * limits.RECORD_BYTES},
        *(
            {"op": "join", "o": mine, "s": 8 + n, "t": 1, "broker": f"h{n}", "address": f"127.0.0.2:{1000 + n}"}
            for n in range(100)
        ),
    ):
        stranger.push(odd)
    for wrong in ({"address": LINES}, {"broker": LINES}, {"vector": {LINES: 1}}, {"code": LINES}, {"number": -1}):
        assert stranger.push(**wrong)["code"] == "bad-body"
    stranger.push(detail=LINES)

    assert stranger.push()["vector"][mine] == 107, "an origin goes on behind what is of no effect"
    until("both hold it", lambda: Stranger(second).push()["vector"].get(mine) == 107)
    threads = len(os.listdir(f"/proc/{first.process.pid}/task")) if first.process else 0
    assert threads < 150
    ledger.many(5, first, second)
    ledger.check(first, second)
    shown = msgspec.json.encode(get(first.address, "/list_replicas")).decode()
    assert "Evil" not in shown
    for node in pair.nodes:
        node.stop()
    first.start()
    second.start()
    ledger.check(first, second)
    for node in pair.nodes:
        log = node.log.read_bytes()
        assert b"\x1b" not in log
        assert b"\r" not in log
