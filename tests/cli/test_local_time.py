"""Times in the reader's zone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timezone

import pytest

from newswire.cli import local_time

NOW = datetime(2026, 11, 28, 8, 40, tzinfo=timezone.utc)


@pytest.fixture(autouse=True)
def vienna(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_stamp_is_shown_in_the_zone_of_its_day() -> None:
    assert local_time.in_words("2026-11-24T21:54:12.345Z") == "2026-11-24 22:54:12 CET"
    assert local_time.in_words("2026-07-24T23:54:12Z") == "2026-07-25 01:54:12 CEST"
    assert local_time.in_words("earliest") == "earliest"
    assert local_time.in_words("2026-13-24T23:54:12Z") == "2026-13-24T23:54:12Z"


def test_stamps_in_a_sentence() -> None:
    text = "down since 2026-11-24T21:54:12.345Z; its disk is full"
    assert local_time.in_sentence(text) == "down since 2026-11-24 22:54:12 CET; its disk is full"


def test_a_message_of_today_has_no_date() -> None:
    assert local_time.on_a_line("2026-11-27T23:00:01.000Z", NOW) == "00:00:01 CET"
    assert local_time.on_a_line("2026-11-27T22:59:59.000Z", NOW) == "2026-11-27 23:59:59 CET"
    assert local_time.on_a_line("", NOW) == ""


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("all", "earliest"),
        ("90m", "90m"),
        ("2026-11-28T08:00:00Z", "2026-11-28T08:00:00Z"),
        ("2026-11-28 08:00", "2026-11-28T08:00:00+01:00"),
        ("2026-07-01T08:00:30", "2026-07-01T08:00:30+02:00"),
        ("2026-11-28", "2026-11-28T00:00:00+01:00"),
        ("09:40", "2026-11-28T09:40:00+01:00"),
        ("09:41", "2026-11-27T09:41:00+01:00"),
        ("25:00", "25:00"),
        ("e~1001-k3b9.7~~", "e~1001-k3b9.7~~"),
    ],
)
def test_a_moment_as_people_type_it(text: str, moment: str) -> None:
    assert local_time.to_moment(text, NOW) == moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("09:40", "2026-11-29T09:40:00+01:00"),
        ("09:42", "2026-11-28T09:42:00+01:00"),
        ("2026-11-28 12:00", "2026-11-28T12:00:00+01:00"),
        ("2026-11-28T12:00:00Z", "2026-11-28T12:00:00Z"),
        ("25:00", "25:00"),
        ("soon", "soon"),
    ],
)
def test_a_moment_to_come_as_people_type_it(text: str, moment: str) -> None:
    assert local_time.to_moment_to_come(text, NOW) == moment


@pytest.mark.parametrize(
    ("text", "now", "moment", "to_come"),
    [
        ("07:00", "2026-10-24T20:00:00+02:00", "2026-10-24T07:00:00+02:00", "2026-10-25T07:00:00+01:00"),
        ("22:00", "2026-10-25T08:00:00+01:00", "2026-10-24T22:00:00+02:00", "2026-10-25T22:00:00+01:00"),
        ("07:00", "2026-03-28T20:00:00+01:00", "2026-03-28T07:00:00+01:00", "2026-03-29T07:00:00+02:00"),
        ("22:00", "2026-03-29T08:00:00+02:00", "2026-03-28T22:00:00+01:00", "2026-03-29T22:00:00+02:00"),
        ("12:00", "2028-02-28T13:00:00+01:00", "2028-02-28T12:00:00+01:00", "2028-02-29T12:00:00+01:00"),
        ("12:00", "2026-12-31T13:00:00+01:00", "2026-12-31T12:00:00+01:00", "2027-01-01T12:00:00+01:00"),
        ("14:00", "2027-01-01T13:00:00+01:00", "2026-12-31T14:00:00+01:00", "2027-01-01T14:00:00+01:00"),
    ],
)
def test_a_time_of_another_day_is_of_the_zone_of_that_day(text: str, now: str, moment: str, to_come: str) -> None:
    assert local_time.to_moment(text, datetime.fromisoformat(now)) == moment
    assert local_time.to_moment_to_come(text, datetime.fromisoformat(now)) == to_come
