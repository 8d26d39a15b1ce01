"""`newswire compact`: whom it asks, and what it says of each."""

from __future__ import annotations

import pytest

from newswire.cli import main, output
from newswire.client.pool import BrokerPool
from newswire.client.unreached import Unreached
from tests.kit.fake_broker import Fake

Capture = pytest.CaptureFixture[str]
DONE = (
    200,
    {
        "message": "Compacted",
        "bytes_before": 31_000_000,
        "bytes_after": 3_000_000,
        "operations_before": 105_000,
        "operations_after": 10_500,
    },
)


def test_each_broker_is_asked_and_what_it_did_is_said(fake: Fake, capsys: Capture) -> None:
    fake.answers["/list_replicas"] = (200, [fake.row(), fake.row(id="1002")])
    fake.answers["/compact"] = DONE
    assert main.run(["compact"]) == output.DONE
    assert capsys.readouterr().out.splitlines() == [
        f"Broker {broker}: 31,000,000 became 3,000,000 bytes, 105,000 became 10,500 operations." for broker in ("1001", "1002")
    ]
    assert fake.sent("/compact") == [{}, {}]


def test_one_that_did_not_is_named_with_its_reason(fake: Fake, capsys: Capture) -> None:
    fake.answers["/list_replicas"] = (200, [fake.row(), fake.row(id="1002")])
    refusal = {"title": "Not compacted", "status": 409, "code": "not-compacted", "detail": "broker 1003 is away"}
    fake.answers["/compact"] = [(409, refusal), DONE]
    assert main.run(["compact", "--even-if-away"]) == output.FAILED
    said = capsys.readouterr()
    assert "Broker 1001: Broker 1003 is away" in said.err
    assert said.out.startswith("Broker 1002: ")
    assert fake.sent("/compact") == [{"even_if_away": "1"}] * 2


def test_a_broker_that_hangs_is_not_waited_for_as_one_that_compacts(
    fake: Fake, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def answers_once(pool: BrokerPool, address: str) -> None:
        asked.append(address)
        if len(asked) > 1:
            raise Unreached("no answer in time")

    monkeypatch.setattr(BrokerPool, "check_answers", answers_once)
    fake.answers["/list_replicas"] = (200, [fake.row(), fake.row(id="1002")])
    fake.answers["/compact"] = DONE
    assert main.run(["compact"]) == output.FAILED
    told = capsys.readouterr()
    assert "Broker 1001: 31,000,000" in told.out
    assert "Broker 1002: no answer in time" in told.err
    assert fake.sent("/compact") == [{}]


@pytest.mark.parametrize("strange", [{}, [], {"bytes_before": "many"}])
def test_who_answers_something_else_has_compacted_nothing(fake: Fake, capsys: Capture, strange: object) -> None:
    fake.answers["/list_replicas"] = (200, [fake.row()])
    fake.answers["/compact"] = (200, strange)
    assert main.run(["compact"]) == output.FAILED
    assert "is no newswire broker" in capsys.readouterr().err


def test_where_no_broker_lists_itself_nothing_is_compacted(fake: Fake, capsys: Capture) -> None:
    fake.answers["/list_replicas"] = (200, [])
    assert main.run(["compact"]) == output.FAILED
    assert "is no newswire broker" in capsys.readouterr().err
