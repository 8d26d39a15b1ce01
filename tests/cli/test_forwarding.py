"""What `newswire forward` makes of a message, and how often it is tried."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from newswire.cli.forwarding import Forwarder, Notice, Template, notice_of, retry_seconds, without_secrets
from newswire.client import Message
from newswire.errors import BadRequest

MESSAGE = Message(
    "1001-a.7", "e", topic="news", data="text {id}", title="T", priority=4, tags=("a", "b"), click="https://x.org"
)
PLAIN = Message("1001-a.8", "e", topic="news", data="plain")


class FakeTarget:
    """Takes what its answers say: "" is taken."""

    def __init__(self, name: str, answers: Sequence[str]) -> None:
        self.name = name
        self.answers = list(answers)
        self.notices: list[Notice] = []

    def hand_over(self, notice: Notice) -> str:
        self.notices.append(notice)
        return self.answers.pop(0) if self.answers else ""


class Room:
    """A forwarder, and what it did."""

    def __init__(self, *targets: FakeTarget, tries: int = 0, pauses: int = 100) -> None:
        self.slept: list[float] = []
        self.buried: list[str] = []
        self.said: list[str] = []
        self.pauses = pauses
        self.forwarder = Forwarder(
            targets,
            tries=tries,
            bury=self._bury if tries else None,
            dead_letters="dead",
            goes_on=self._goes_on,
            say=self.said.append,
        )

    def _bury(self, message: Message) -> bool:
        self.buried.append(message.id)
        return True

    def _goes_on(self, seconds: float) -> bool:
        self.slept.append(seconds)
        return len(self.slept) < self.pauses


def test_a_notice_has_title_and_text() -> None:
    assert notice_of(MESSAGE, None) == Notice("T", "text {id}\nhttps://x.org", is_urgent=True)
    assert notice_of(PLAIN, None) == Notice("news", "plain")
    assert notice_of(Message("x", "e", topic="news", title="Only"), None) == Notice("Only", "Only")


def test_a_template_puts_fields_in_and_looks_at_them_once() -> None:
    template = Template(r"{topic}|{title}|{tags}|{priority}|{{x}}\n{data}")
    assert template.fill(MESSAGE) == "news|T|a, b|4|{x}\ntext {id}"
    assert notice_of(PLAIN, Template("{title}")).body == "news", "no text is no message"
    assert notice_of(PLAIN, template).body == "news||||{x}\nplain"


@pytest.mark.parametrize("text", ["{event}", "{}", "{data", "data}", "{data.__class__}", "{data!r}", "{data:>99999999}", "{0}"])
def test_a_template_holds_fields_alone(text: str) -> None:
    with pytest.raises(BadRequest, match="template"):
        Template(text)


def test_pauses_grow_to_a_minute() -> None:
    assert [retry_seconds(tries) for tries in (1, 2, 3, 7, 8, 5_000)] == [1.0, 2.0, 4.0, 60.0, 60.0, 60.0]


def test_what_a_target_says_holds_no_part_of_its_address() -> None:
    url = "mailto://ann:se%40cret@mail.example.org?to=ben@example.org"
    assert without_secrets("ann:se@cret at mail.example.org for ben: se%40cret", url) == "***:*** at *** for ***: ***"


def test_a_message_is_done_with_when_every_target_took_it() -> None:
    one, two = FakeTarget("one", []), FakeTarget("two", ["busy", "busy"])
    room = Room(one, two)
    assert room.forwarder.forward(MESSAGE)
    assert (len(one.notices), len(two.notices)) == (1, 3), "who took it is not handed it again"
    assert room.slept == [1.0, 2.0]
    assert "two: busy" in room.said[0]


def test_after_so_many_tries_it_is_a_dead_letter() -> None:
    room = Room(FakeTarget("one", ["no"] * 9), tries=3)
    assert room.forwarder.forward(PLAIN)
    assert (room.buried, room.slept) == (["1001-a.8"], [1.0, 2.0])
    assert "dead" in room.said[-1]


def test_a_dead_letter_that_nobody_takes_is_not_published_again() -> None:
    room = Room(FakeTarget("one", ["no"] * 9), tries=3)
    assert room.forwarder.forward(Message("x", "e", topic="dead", data="x"))
    assert room.buried == []


def test_without_a_topic_for_them_it_is_tried_for_ever() -> None:
    room = Room(FakeTarget("one", ["no"] * 40))
    assert room.forwarder.forward(PLAIN)
    assert len(room.slept) == 40


def test_who_is_told_to_stop_is_not_done_with_it() -> None:
    room = Room(FakeTarget("one", ["no"] * 9), pauses=2)
    assert not room.forwarder.forward(PLAIN)
    room = Room(FakeTarget("one", ["no"] * 9), tries=1)
    room.forwarder._bury = lambda message: False
    assert not room.forwarder.forward(PLAIN)
