"""Makes what lies here, with another version of newswire: `PYTHONPATH=<its checkout>/src python make.py OUT`.

Two brokers live through something of everything that this version stores, and all that they say to each other is written down.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlencode

SECRET = "golden-secret-of-more-than-thirty-two-bytes"
BROKER = """
from newswire.core import limits
limits.BATCH_LONG_OPS = limits.BATCH_PIECE_OPS = 4  # a long batch of a few lines
limits.RETENTION_EVERY_SECONDS = 0.5
from newswire.cli.main import main
main()
"""
PORTS = {"1001": 6601, "1002": 6602}
WIRES = {"1001": 6611, "1002": 6612}  # where the other one reaches it
said: list[dict[str, Any]] = []


class Wire(BaseHTTPRequestHandler):
    """Passes on to a broker, and writes down."""

    protocol_version = "HTTP/1.1"
    broker = ""

    def do_POST(self) -> None:
        """Pass on one push and its answer."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        there = HTTPConnection("127.0.0.1", PORTS[self.broker], timeout=10)
        try:
            there.request("POST", self.path, body, dict(self.headers))
            answer = there.getresponse()
            text = answer.read()
        except OSError:
            self.close_connection = True
            return
        finally:
            there.close()
        said.append(
            {
                "to": self.broker,
                "path": self.path,
                "signature": self.headers["Newswire-Signature"],
                "body": body.decode(),
                "status": answer.status,
                "answer": text.decode(),
            }
        )
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


def ask(broker: str, method: str, path: str, body: str | None = None, kind: str = "", **fields: str) -> Any:
    """One request; its answer, None where there is none."""
    address = f"{path}?{urlencode(fields)}" if fields else path
    connection = HTTPConnection("127.0.0.1", PORTS[broker], timeout=10)
    try:
        connection.request(method, address, body, {"Content-Type": kind} if kind else {})
        return json.loads(connection.getresponse().read())
    except OSError:
        return None
    finally:
        connection.close()


def last_line(folder: Path) -> str:
    """Of the last segment of an ops file."""
    return max(folder.glob("*.ops")).read_text().splitlines()[-1]


def event_id(broker: str, user: str) -> str:
    """The id of the first message of a stream."""
    connection = HTTPConnection("127.0.0.1", PORTS[broker], timeout=10)
    connection.request("GET", f"/stream?username={user}&ack=client")
    stream = connection.getresponse()
    line = b""
    while not line.startswith(b"id:"):
        line = stream.readline()
    connection.close()
    return line.removeprefix(b"id:").strip().decode()


def until(condition: Any) -> None:
    """Wait; fail after 20 s."""
    end = time.monotonic() + 20
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("it did not come to that")
        time.sleep(0.05)


def start(home: Path, broker: str) -> subprocess.Popen[bytes]:
    """Start a broker."""
    other = "1002" if broker == "1001" else "1001"
    command = [
        sys.executable, "-c", BROKER, "broker", "--id", broker, "--port", str(PORTS[broker]), "--ops-dir", str(home / "ops"),
        "--primary" if broker == "1001" else "--secondary", "--peer", f"127.0.0.1:{WIRES[other]}",
        "--advertise", f"127.0.0.1:{WIRES[broker]}", "--retention-messages", "6", "--heartbeat", "0.5",
    ]  # fmt: skip
    environment = {**os.environ, "NEWSWIRE_CLUSTER_SECRET_FILE": str(home / "secret")}
    return subprocess.Popen(command, cwd=home, env=environment, stderr=(home / f"{broker}.log").open("ab"))


def in_sync(*brokers: str) -> bool:
    """Whether each sees all up."""
    rows = [ask(broker, "GET", "/list_replicas") for broker in brokers]
    return all(rows_ and len(rows_) == 2 and all(row["state"] == "up" and row["lag"] == 0 for row in rows_) for rows_ in rows)


def seen(broker: str) -> dict[str, Any]:
    """What clients see."""
    page = ask(broker, "GET", "/messages", username="Ann", since="earliest", limit="1000")
    return {
        "topics": [[row["topic"], row["messages"]] for row in ask(broker, "GET", "/topics")],
        "messages": sorted([one["id"], one["topic"], one["data"]] for one in page["messages"]),
        "subscriptions": {
            user: [[row["topic"], row["unread"]] for row in ask(broker, "GET", "/subscriptions", username=user)]
            for user in ("Ann", "Bob")
        },
    }


def main(out: Path) -> None:
    """Make it."""
    home = out / "home"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    (home / "secret").touch(mode=0o600)
    (home / "secret").write_text(SECRET)
    for broker, port in WIRES.items():
        handler = type(f"Wire{broker}", (Wire,), {"broker": broker})
        Thread(target=ThreadingHTTPServer(("127.0.0.1", port), handler).serve_forever, daemon=True).start()
    one, two = start(home, "1001"), start(home, "1002")
    try:
        until(lambda: in_sync("1001", "1002"))
        ask("1001", "POST", "/subscribe", username="Ann", topic=">", **{"from": "earliest"})
        ask("1002", "POST", "/subscribe", username="Bob", topic="team.*")
        ask("1001", "POST", "/subscribe", username="Carl", topic="news")
        ask("1002", "POST", "/unsubscribe", username="Carl", topic="news")
        whole = {"topic": "team.a", "data": "Grüße\nzwei Zeilen \u0001", "title": "T", "priority": 4, "tags": ["a", "b"],
                 "click": "https://example.org/", "key": "k1", "expires": 315_360_000}  # fmt: skip
        ask("1002", "POST", "/publish", json.dumps(whole), "application/json")
        ask("1001", "POST", "/publish", topic="news", data="over soon", expires="1")
        for number in range(10):
            ask("1001", "POST", "/publish", topic="many", data=f"number {number}")
        lines = "\n".join(json.dumps({"topic": "lines", "data": f"line {n}"}) for n in range(6))
        ask("1001", "POST", "/publish", lines, "application/x-ndjson")
        until(lambda: dict(map(tuple, seen("1002")["topics"])).get("many") == 6)  # type: ignore[arg-type]
        done = ask("1002", "POST", "/ack", username="Bob", id=event_id("1002", "Bob"))
        assert "code" not in done, done
        until(lambda: in_sync("1001", "1002"))
        two.kill()
        two.wait()
        ask("1001", "POST", "/publish", topic="news", data="twice", key="k2")
        one.kill()
        one.wait()
        two = start(home, "1002")
        until(lambda: (ask("1002", "GET", "/readyz") or {}).get("ready"))
        ask("1002", "POST", "/publish", topic="news", data="twice", key="k2")
        one = start(home, "1001")
        until(lambda: in_sync("1001", "1002"))
        until(lambda: seen("1001") == seen("1002"))
        expected = seen("1001")
        until(lambda: all('"op":"mark"' in last_line(home / "ops" / broker) for broker in PORTS))  # the closing ones
    finally:
        for process in (one, two):
            process.terminate()
            process.wait()
    for broker in PORTS:
        shutil.copytree(home / "ops" / broker, out / broker, dirs_exist_ok=True, ignore=shutil.ignore_patterns("LOCK"))
    shutil.rmtree(home)
    (out / "pushes.jsonl").write_text("".join(json.dumps(one_said, ensure_ascii=False) + "\n" for one_said in said))
    (out / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
