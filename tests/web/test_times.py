"""Times as people give them."""

from __future__ import annotations

import pytest

from newswire.core import limits
from newswire.errors import BadRequest
from newswire.web.times import moment

NOW = 1_795_514_400.0  # 2026-11-24T10:00:00Z
DAY = 86_400


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10m", 600),
        ("1h30m", 5_400),
        ("2d", 2 * DAY),
        ("1w1d1h1m1s", 8 * DAY + 3_661),
        ("0s", 0),
        ("2026-11-24T09:59:00Z", 60),
        ("2026-11-24t09:59:00z", 60),
        ("2026-11-24 10:59:00 01:00", 60),
        ("2026-11-24T10:59:00+01:00", 60),
        ("2026-11-24T09:59:59.250Z", 0.75),
        ("2026-11-24T09:59:59.2509999999Z", 0.75),
    ],
)
def test_a_time_is_so_long_ago(text: str, seconds: float) -> None:
    assert moment(text, NOW) == int((NOW - seconds) * 1000)


def test_the_earliest_is_before_all_and_so_is_what_lies_before_1970() -> None:
    assert [moment(text, NOW) for text in ("earliest", "999999999w", "1969-12-31T23:59:59Z")] == [0, 0, 0]


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "10", "m", "10M", "1h 30m", "30m1h", "-10m", "١٠m", "2026-11-24", "2026-11-24T10:00:00",
     "2026-13-01T00:00:00Z", "2026-11-24T25:00:00Z", "2026-11-24T10:00:00Z" + " " * limits.TIME_CHARS],
)  # fmt: skip
def test_what_is_none_of_the_forms_is_none(text: str) -> None:
    assert moment(text, NOW) is None


def test_a_time_that_has_not_come_is_a_mistake_but_for_clocks_that_differ() -> None:
    assert moment("2026-11-24T10:04:00Z", NOW) == int((NOW + 240) * 1000)
    with pytest.raises(BadRequest) as caught:
        moment("2026-11-24T10:06:00Z", NOW)
    assert caught.value.code == "bad-time"
