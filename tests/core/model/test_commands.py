"""What is said of requests."""

from __future__ import annotations

import pytest

from newswire.core.model.commands import batch_sentence


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ((1, 0, 0, 0, 0), "Published 1 message"),
        ((3, 1, 0, 0, 0), "Published 2 messages, scheduled 1"),
        ((2, 2, 0, 0, 0), "Scheduled 2 messages"),
        ((0, 0, 2, 2, 0), "Published 0 messages, 2 were published before, 2 wait already"),
        (
            (1, 0, 1, 1, 1),
            "Published 1 message, 1 was published before, 1 waits already, 1 not published, withdrawn before or over",
        ),
    ],
)
def test_what_became_of_a_batch_is_one_sentence(numbers: tuple[int, int, int, int, int], sentence: str) -> None:
    assert batch_sentence(*numbers) == sentence
