"""Both brokers behind one name: deploy/nginx.conf in a real nginx."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import Stream, ask, get, newswire, post, rows, until, wait_in_sync
from tests.kit.asking import delivered
from tests.kit.nginx import NAME, Nginx, needs_nginx
from tests.kit.processes import Pair

pytestmark = needs_nginx


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Two brokers that know their name and their proxy."""
    made = Pair(tmp_path, "--allow-host", NAME, "--trusted-proxy", "127.0.0.1")
    try:
        made.start()
        wait_in_sync(made.brokers)
        yield made
    finally:
        made.end()
        for broker in made.brokers:
            print(f"-- log of broker {broker.id}\n{broker.last_words(40)}")


@pytest.fixture
def nginx(pair: Pair, tmp_path: Path) -> Iterator[Nginx]:
    """nginx with the file of deploy/."""
    with Nginx.deployed(tmp_path / "nginx", pair) as made:
        yield made


def from_page(origin: str) -> dict[str, str]:
    """What a browser adds to what a page of `origin` sends to the name of the service."""
    return {"Host": NAME, "Origin": origin, "User-Agent": "Mozilla/5.0"}


def test_one_name_publishes_streams_and_outlives_either_broker(pair: Pair, nginx: Nginx) -> None:
    post(nginx.address, "/subscribe", username="Ann", topic="news")
    with Stream("Ann", [nginx.address]) as ann:
        ann.wait_open()
        assert post(nginx.address, "/publish", topic="news", data="one")["copies"] == 2
        ann.wait_texts("one")  # while the stream is open: nothing is held back
        pair.first.kill9()
        until(
            "the other broker answers",
            lambda: ask(nginx.address, "POST", "/publish", {"topic": "news", "data": "two"}).status == 200,
        )
        ann.wait_texts("one", "two")
        pair.first.start()
        wait_in_sync(pair.brokers)
        pair.second.kill9()
        until(
            "the first again", lambda: ask(nginx.address, "POST", "/publish", {"topic": "news", "data": "three"}).status == 200
        )
        ann.wait_texts("one", "two", "three")
    delivered("Ann", pair.first)


def test_the_page_under_that_name_may_act_and_no_other(pair: Pair, nginx: Nginx) -> None:
    fields = {"topic": "news", "data": "x"}
    for origin, status in ((f"http://{NAME}", 200), (f"https://{NAME}", 200), ("http://evil.example", 403), ("null", 403)):
        answer = ask(nginx.address, "POST", "/publish", fields, headers=from_page(origin))
        assert (answer.status, answer.json().get("code")) == (status, "cross-site" if status == 403 else None), origin
    answer = ask(nginx.address, "GET", "/", headers=from_page("") | {"Host": "evil.example"})
    assert (answer.status, answer.json()["code"]) == (421, "misdirected")


def test_who_is_no_trusted_proxy_is_not_believed(pair: Pair) -> None:
    """Straight at a broker, from an address that no option names: here the other end of the loopback network."""
    one = pair.first
    claims = {"X-Forwarded-Host": "evil.example", "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}
    assert ask(one.address, "GET", "/topics", headers=claims).status == 421  # 127.0.0.1 is trusted: its word counts
    one.options[one.options.index("127.0.0.1")] = "127.0.0.2"
    one.stop()
    one.start()
    assert ask(one.address, "GET", "/topics", headers=claims).status == 200


def test_brokers_do_not_meet_through_it(nginx: Nginx) -> None:
    for path in ("/replicate", "/heartbeat/receive"):
        assert ask(nginx.address, "POST", path, body=b"x").status == 404


def test_a_batch_of_the_largest_size_passes(nginx: Nginx) -> None:
    line = b'{"topic": "t", "data": "' + b"x" * 60_000 + b'"}\n'
    body = line * (8 * 1024 * 1024 // len(line))
    assert ask(nginx.address, "POST", "/publish", body=body, headers={"Content-Type": "application/x-ndjson"}).status == 200


def test_the_command_line_takes_it_for_a_broker(pair: Pair, nginx: Nginx) -> None:
    import subprocess

    done = subprocess.run(
        newswire("publish", "--brokers", nginx.address, "news", "hello"),
        capture_output=True,
        text=True,
        check=False,
        cwd=pair.first.home,
    )
    assert done.returncode == 0, done.stderr
    assert get(nginx.address, "/topics")[0]["messages"] == 1
    assert set(rows(nginx.address)) == {"1001", "1002"}
