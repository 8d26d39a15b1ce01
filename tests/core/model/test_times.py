"""Time stamps: as people and programs read them, whatever a stranger stamped."""

from __future__ import annotations

import pytest

from newswire.core.model.times import rfc3339, span


def test_a_stamp_shows_milliseconds() -> None:
    assert rfc3339(1_764_021_252_345) == "2025-11-24T21:54:12.345Z"
    assert rfc3339(1_764_021_252_005) == "2025-11-24T21:54:12.005Z"


@pytest.mark.parametrize("stamp", [2**53, 10**30, -(10**30)])
def test_a_stamp_that_no_calendar_has_is_shown_as_the_first_second(stamp: int) -> None:
    assert rfc3339(stamp).startswith("1970-01-01T00:00:00.")


@pytest.mark.parametrize("stamp", [0, 1, 999, -1])
def test_any_stamp_can_be_shown(stamp: int) -> None:
    assert rfc3339(stamp).endswith("Z")


def test_spans_are_said_in_one_unit() -> None:
    hour = 3_600_000
    assert span(179_990) == span(-180_010) == "3 minutes", "two that look at one difference say the same"
    spans = [61_000, -hour, 47 * hour, 10 * 24 * hour, 10 * 365 * 24 * hour]
    assert [span(ms) for ms in spans] == ["61 seconds", "60 minutes", "47 hours", "10 days", "10 years"]
