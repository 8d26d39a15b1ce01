"""A stream in the menu's own terminal: what it shows, and how it is left."""

from __future__ import annotations

from collections.abc import Callable

from newswire.cli import viewing
from newswire.client import Gap, Message
from tests.kit.fake_broker import Fake, message
from tests.kit.menu_programs import Pty, piped


def test_without_a_window_the_stream_is_shown_in_the_terminal(fake: Fake) -> None:
    fake.events = [message(1), message(2, "two\n\x1blines")]
    shown = piped("subscriber", ["2", "Alice", "", "3"])
    assert "streaming in this terminal, press Enter" in shown
    assert (
        "data: Listening to new message for subscribed topics\n\ndata: Hello Google\n\ndata: two\ndata: \\x1blines\n\nFurther"
        in shown
    )
    assert fake.sent("/ack")[-1]["id"] == "e2"


def test_without_a_window_a_refusal_is_shown(fake: Fake) -> None:
    fake.answers["/stream"] = (403, {"code": "not-registered", "detail": "Gita is not registered for any topic"})
    shown = piped("subscriber", ["2", "Gita", "3"])
    assert "\nGita is not registered for any topic.\nFurther choices: " in shown


def test_enter_returns_from_a_stream_on_a_terminal(fake: Fake, terminal: Callable[[str], Pty]) -> None:
    fake.events = [message(1)]
    menu = terminal("subscriber")
    menu.expect("Enter your choice: ")
    menu.type("2\n")
    menu.expect("stream messages: ")
    menu.type("Alice\n")
    menu.expect("data: Hello Google\n")
    menu.type("\n")
    menu.expect("Menu:", after="data: Hello Google")
    menu.type("3\n")
    assert menu.close() == 0
    assert fake.sent("/ack")[-1]["id"] == "e1"


def test_an_item_is_shown_as_the_window_shows_it() -> None:
    message = Message("a-1", "e1", topic="Google", data="two\n\x1blines", time="2026-11-24T21:54:12.345Z", title="T")
    assert viewing.event_text(message) == "data: T\ndata: two\ndata: \\x1blines\n"
    gap = Gap(event_id="e2", topic="Go\x1bgle", dropped=7)
    assert viewing.event_text(gap) == ": 7 messages of topic Go\\x1bgle were removed by retention undelivered\n"
