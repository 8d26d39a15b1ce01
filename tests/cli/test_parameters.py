"""Numbers and lengths of time, as options take them."""

from __future__ import annotations

import click
import pytest

from newswire.cli.parameters import DELAY, DURATION, MOMENT_TO_COME, Number, WholeNumber


@pytest.mark.parametrize(
    ("text", "seconds"), [("90d", 90 * 86_400), ("1d12h", 129_600), ("30m", 1_800), ("5s", 5), ("2w", 1_209_600)]
)
def test_a_length_of_time_is_seconds(text: str, seconds: int) -> None:
    assert DURATION.convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "soon", "5", "-1d", "1h1d", "1.5d"])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="say 90d, 12h or 30m"):
        DURATION.convert(text, None, None)


def test_bounds_in_words() -> None:
    with pytest.raises(click.BadParameter, match="1 to 5"):
        WholeNumber(1, 5).convert("9", None, None)
    with pytest.raises(click.BadParameter, match=r"0\.1 or more"):
        Number(0.1).convert("0", None, None)


def test_what_is_no_number_is_within_no_bounds() -> None:
    with pytest.raises(click.BadParameter, match="not a valid number"):
        Number(0.1, 60).convert("nan", None, None)


@pytest.mark.parametrize("text", ["yesterday", "10:61", "-5", "1795879249.5", "23:59:60", "all", "0001-01-01x"])
def test_what_is_no_time_to_come_is_refused_in_the_words_of_the_command_line(text: str) -> None:
    with pytest.raises(click.BadParameter, match="say 17:45"):
        MOMENT_TO_COME.convert(text, None, None)


@pytest.mark.parametrize("text", ["1795879249", "2026-12-05T00:00:00Z", "2026-12-05t00:00:00.5z", "2026-12-05T00:00:00+02:00"])
def test_a_time_to_come_with_a_zone_stays_as_it_is(text: str) -> None:
    assert MOMENT_TO_COME.convert(text, None, None) == text


def test_a_delay_is_a_length_of_time_or_seconds() -> None:
    assert [DELAY.convert(text, None, None) for text in ("30m", "90", "30d")] == ["30m", "90", "30d"]


@pytest.mark.parametrize(("text", "said"), [("soon", "say 90d"), ("0", "between"), ("31d", "30 days"), ("-1h", "say 90d")])
def test_what_is_no_delay_is_refused(text: str, said: str) -> None:
    with pytest.raises(click.BadParameter, match=said):
        DELAY.convert(text, None, None)
