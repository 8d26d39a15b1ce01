"""What is compressed, as foreign clients read it: curl, `requests`, and a browser's EventSource."""

from __future__ import annotations

import gzip
import json
import subprocess

import requests

from brokers import get, post, until
from tests.kit.processes import Pair
from tests.kit.waiting import PATIENCE_SECONDS
from tests.kit.windows import Desk

READ = """
url => new Promise(resolve => {
    const seen = [], source = new EventSource(url);
    source.onmessage = event => {
        seen.push(JSON.parse(event.data).data);
        if (seen.length === 301) { source.close(); resolve(seen); }
    };
})
"""


def curl(*arguments: str, seconds: float = PATIENCE_SECONDS) -> str:
    return subprocess.run(["curl", "-sS", *arguments], capture_output=True, text=True, timeout=seconds, check=True).stdout


def test_foreign_clients_send_and_read_what_is_compressed(pair: Pair, desk: Desk) -> None:
    url = f"http://{pair.first.address}"
    texts = [f"message {number}" for number in range(300)]
    for user in ("Alice", "Ben", "Cleo"):
        post(pair.first.address, "/subscribe", username=user, topic="news")
    lines = "".join(json.dumps({"topic": "news", "data": text}) + "\n" for text in texts).encode()
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
    batch = gzip.compress(lines[:999]) + gzip.compress(lines[999:])
    for body, status in ((b"\x1f\x8b\x08", 400), (gzip.compress(b"x" * 9_000_000), 413), (batch, 200)):
        told = requests.post(f"{url}/publish", data=body, headers=headers, timeout=PATIENCE_SECONDS)
        assert told.status_code == status
    assert (told.json()["count"], told.json()["copies"]) == (300, 2)

    page = json.loads(curl("--compressed", f"{url}/messages?username=Alice&limit=1000"))
    assert [one["data"] for one in page["messages"]] == texts
    head = curl("--compressed", "-o", "/dev/null", "-D", "-", f"{url}/messages?username=Alice&limit=1000").lower()
    assert "content-encoding: gzip" in head
    assert "transfer-encoding" not in head, "its length is known"

    def stream_of(user: str) -> str:
        return f"{url}/stream?username={user}&format=json&gzip=1&raw=1"

    with requests.get(stream_of("Ben"), stream=True, timeout=PATIENCE_SECONDS) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        news = (json.loads(line[6:]) for line in response.iter_lines() if line.startswith(b"data: {"))
        assert next(news)["broker"] == "1001"
        assert [next(news)["data"] for _ in texts] == texts
        post(pair.second.address, "/publish", topic="news", data="late")
        assert next(news)["data"] == "late", "as soon as it is sent: nothing has to come behind it"

    reader = subprocess.Popen(["curl", "-sSN", "--compressed", stream_of("Cleo")], stdout=subprocess.PIPE, text=True)
    assert reader.stdout is not None
    seen = [json.loads(line[6:])["data"] for line in _data_lines(reader, 301)]
    assert seen == [*texts, "late"]
    reader.kill()
    reader.wait()
    until("it is acknowledged", lambda: get(pair.first.address, "/subscriptions", username="Cleo")[0]["unread"] == 0)

    alice = desk.open(pair.first.address, "Nobody")
    assert alice.page.evaluate(READ, stream_of("Alice")) == [*texts, "late"]
    until("it is acknowledged", lambda: get(pair.first.address, "/subscriptions", username="Alice")[0]["unread"] == 0)


def _data_lines(reader: subprocess.Popen[str], count: int) -> list[str]:
    assert reader.stdout is not None
    lines = (line for line in reader.stdout if line.startswith("data: ") and '"broker"' not in line)
    return [next(lines) for _ in range(count)]
