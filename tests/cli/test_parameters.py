"""Numbers and lengths of time, as options take them."""

from __future__ import annotations

import click
import pytest

from newswire.cli.parameters import DURATION, Number, WholeNumber


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
