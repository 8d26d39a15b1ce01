"""`newswire accept-loss`: what is shown, whether it asks, and what it ends with."""

from __future__ import annotations

import json
from typing import Any

import pytest

from newswire.cli import main, output
from newswire.cli.commands.losses import MissingRange
from newswire.core import limits
from tests.kit.fake_broker import Fake

Capture = pytest.CaptureFixture[str]
HOLE = {"broker": "1001", "origin": "1002-b", "first": 3, "last": 4, "waiting": 1500, "unreadable": False}
WHOLE: tuple[int, dict[str, Any]] = (200, {"ready": True, "holes": [], "away": []})


@pytest.fixture
def torn(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """A broker that lacks two operations until they are given up."""
    monkeypatch.setattr(limits, "LOSS_SETTLE_SECONDS", 0.0)
    fake.answers["/list_replicas"] = (200, [fake.row()])
    fake.answers["/readyz"] = [(200, {"ready": True, "holes": [HOLE], "away": []}), WHOLE]
    fake.answers["/accept_loss"] = (200, {"message": "gave up", "count": 2})
    return fake


def test_nothing_is_missing(fake: Fake, capsys: Capture) -> None:
    fake.answers["/readyz"] = WHOLE
    assert main.run(["accept-loss", "--yes"]) == output.DONE
    assert capsys.readouterr().out == "Nothing is missing.\n"
    assert not fake.sent("/accept_loss")


def test_what_is_given_up_is_shown_first(torn: Fake, capsys: Capture) -> None:
    assert main.run(["accept-loss", "--yes"]) == output.DONE
    assert capsys.readouterr().out.splitlines() == [
        "This would be given up for good:",
        "  2 operations of 1002-b (3 to 4), missing at broker 1001; 1,500 more wait behind",
        "What waits behind is delivered then. Readers are told how many messages may be missing.",
        "Gave up 1002-b 3 to 4.",
        "Nothing is missing any more.",
    ]
    assert torn.sent("/accept_loss") == [{"origin": "1002-b", "first": "3", "last": "4"}]


def test_for_programs_each_step_is_a_line_of_json(torn: Fake, capsys: Capture) -> None:
    assert main.run(["accept-loss", "--yes", "--json"]) == output.DONE
    told = capsys.readouterr()
    assert [json.loads(line) for line in told.out.splitlines()] == [
        {"holes": [HOLE], "away": []},
        {"message": "Gave up 1002-b 3 to 4.", "origin": "1002-b", "first": 3, "last": 4, "count": 2},
        {"message": "Nothing is missing any more.", "count": 2, "holes": []},
    ]
    assert told.err.startswith("This would be given up for good:")


@pytest.mark.parametrize("meanwhile", [([HOLE], []), ([{**HOLE, "waiting": 7}], []), ([], ["1001"]), ([], ["1001", "1002"])])
def test_brokers_are_waited_for_that_have_not_told_each_other_yet(
    torn: Fake, capsys: Capture, meanwhile: tuple[list[Any], list[str]]
) -> None:
    holes, away = meanwhile
    answers = torn.answers["/readyz"]
    assert isinstance(answers, list)
    answers[1:1] = [(200, {"holes": holes, "away": away})] * 2
    assert main.run(["accept-loss", "--yes"]) == output.DONE
    assert capsys.readouterr().out.splitlines()[-2:] == ["Gave up 1002-b 3 to 4.", "Nothing is missing any more."]
    assert len(torn.sent("/accept_loss")) == 1


def test_without_a_terminal_nobody_is_asked(torn: Fake, capsys: Capture) -> None:
    assert main.run(["accept-loss"]) == output.FAILED
    assert "say --yes, or answer at a terminal" in capsys.readouterr().err
    assert not torn.sent("/accept_loss")


def test_a_broker_that_is_away_may_hold_it(torn: Fake, capsys: Capture) -> None:
    torn.answers["/readyz"] = [(200, {"holes": [HOLE], "away": ["1002"]})] * 2 + [WHOLE]
    assert main.run(["accept-loss", "--yes"]) == output.FAILED
    assert "broker 1002 may hold it and cannot be reached" in capsys.readouterr().err
    assert not torn.sent("/accept_loss")
    assert main.run(["accept-loss", "--yes", "--even-if-away"]) == output.DONE
    (sent,) = torn.sent("/accept_loss")
    assert sent["even_if_away"] == "1"


def test_a_refusal_is_a_sentence_and_no_success(torn: Fake, capsys: Capture) -> None:
    torn.answers["/readyz"] = (200, {"holes": [HOLE], "away": []})
    torn.answers["/accept_loss"] = (409, {"code": "may-be-elsewhere", "detail": "broker 1002 may hold it"})
    assert main.run(["accept-loss", "--yes"]) == output.FAILED
    assert capsys.readouterr().err == "newswire: Broker 1002 may hold it.\n"


@pytest.mark.parametrize(
    ("hole", "text"),
    [
        (MissingRange("1001", "o", 7, 7), "1 operation of o (7), missing at broker 1001"),
        (
            MissingRange("1001", "o", 1, 1200, unreadable=True),
            "1,200 operations of o (1 to 1200), cannot be read at broker 1001",
        ),
    ],
)
def test_a_range_in_words(hole: MissingRange, text: str) -> None:
    assert str(hole) == text


def test_what_a_broker_lacks_that_is_away_is_not_taken_for_nothing(fake: Fake, capsys: Capture) -> None:
    fake.answers["/list_replicas"] = (200, [fake.row()])
    fake.answers["/readyz"] = (200, {"ready": True, "holes": [], "away": ["1002"]})
    assert main.run(["accept-loss", "--yes"]) == output.FAILED
    said = "Nothing is missing at the brokers that are there; what broker 1002, which cannot be reached, lacks is not known."
    assert capsys.readouterr().out == f"{said}\n"
    assert main.run(["accept-loss", "--yes", "--json"]) == output.FAILED
    assert json.loads(capsys.readouterr().out) == {"message": said, "count": 0, "holes": [], "away": ["1002"]}
    assert main.run(["accept-loss", "--yes", "--even-if-away"]) == output.DONE


@pytest.mark.parametrize("strange", [{}, [], {"ready": True}, {"holes": 3}])
def test_who_does_not_say_what_it_lacks_lacks_perhaps_something(fake: Fake, capsys: Capture, strange: Any) -> None:
    fake.answers["/list_replicas"] = (200, [fake.row()])
    fake.answers["/readyz"] = (200, strange)
    assert main.run(["accept-loss", "--yes"]) == output.NO_BROKER
    assert "No broker says whether something is missing" in capsys.readouterr().err
