"""What a menu says of what it does, to the letter."""

from __future__ import annotations

import pytest

from newswire.cli import phrases


def test_what_is_said_of_the_brokers() -> None:
    both = ("18.217.232.220:5053", "3.131.241.161:5054")
    assert phrases.connecting_lines(both, both[0], moved=False, always_list=True) == [
        "List of available nodes: ['18.217.232.220:5053', '3.131.241.161:5054']",
        "Connecting to the primary broker... 18.217.232.220:5053",
    ]
    assert phrases.connecting_lines(both, both[0], moved=False, always_list=False) == [
        "Connecting to the primary broker... 18.217.232.220:5053"
    ]


@pytest.mark.parametrize("always_list", [True, False])
def test_what_is_said_when_the_primary_is_down(always_list: bool) -> None:
    assert phrases.connecting_lines(("3.131.241.161:5054",), "3.131.241.161:5054", moved=True, always_list=always_list) == [
        "List of available nodes: ['3.131.241.161:5054']",
        "Primary broker is down ,updating the broker the primary broker to 3.131.241.161:5054",
    ]


def test_answers_and_windows() -> None:
    assert (
        phrases.answer_line("Published topic Google data Hello Google")
        == "{'message': 'Published topic Google data Hello Google'}"
    )
    assert [phrases.copies_line(copies) for copies in (1, 2)] == ["Stored on 1 broker.", "Stored on 2 brokers."]
    assert phrases.answer_line("a\x1b\u202eb") == "{'message': 'a\\x1b\\u202eb'}"
    assert phrases.opening_line("Alice") == "Opening window for streaming Alice's messages.."
