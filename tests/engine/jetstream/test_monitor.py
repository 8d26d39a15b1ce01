"""What the servers of a log say of their syncing, and what follows from it for `copies`."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from newswire.config import NatsSettings
from newswire.core.model.conditions import LOG_LATE, LOG_UNPROVED, condition_of
from newswire.engine.jetstream.monitor import Monitor, Varz, durability
from newswire.engine.jetstream.shell import Durability
from tests.kit.waiting import wait_until

ALWAYS = {"jetstream": {"config": {"sync_interval": 120_000_000_000, "sync_always": True}}}
LATE = {"jetstream": {"config": {"sync_interval": 120_000_000_000}}}


def answers(*said: dict[str, Any] | None) -> list[Varz | None]:
    import msgspec

    return [None if one is None else msgspec.convert(one, Varz) for one in said]


@pytest.mark.parametrize(
    ("replicas", "said", "copies", "code"),
    [
        (1, [ALWAYS], 1, None),
        (3, [ALWAYS] * 3, 2, None),
        (5, [ALWAYS] * 5, 3, None),
        (3, [ALWAYS, None, ALWAYS], 2, None),  # one is away: it acknowledges nothing
        (3, [ALWAYS, LATE, ALWAYS], 1, LOG_LATE.code),
        (3, [None, None, None], 1, LOG_UNPROVED.code),
        (3, [], 1, LOG_UNPROVED.code),
        (3, [{}, {"jetstream": {}}], 1, LOG_UNPROVED.code),
    ],
)
def test_copies_are_a_majority_that_syncs(replicas: int, said: list[Any], copies: int, code: str | None) -> None:
    result = durability(replicas, answers(*said))
    assert result.copies == copies
    assert [found.code for reason in result.reasons if (found := condition_of(reason))] == ([code] if code else [])


def test_the_sentence_says_how_much_a_power_failure_takes() -> None:
    (reason,) = durability(3, answers(LATE)).reasons
    assert "up to 2 minutes before" in reason


@pytest.fixture
def server() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(ALWAYS if self.path == "/varz" else {}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    listening = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()
    thread.join()
    listening.server_close()


def test_each_address_is_asked_at_once_and_one_that_is_not_there_is_no_matter(server: str) -> None:
    told: list[Durability] = []
    settings = NatsSettings(monitors=(server, "http://127.0.0.1:9", f"{server}/"))
    monitor = Monitor(settings, lambda: 3, lambda error: None, told.append)
    monitor.close()
    wait_until(lambda: told[-1].copies == 2)
    assert told[0].copies == 1
