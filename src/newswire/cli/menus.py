"""The menus, as pure machines: `step(menu, state, line)` gives the next state, a text to show, and an action to perform.

A menu is a table of choices; a choice asks its questions in turn and then makes an action of the answers. An answer that is
refused is asked for again; nothing that was typed before it is lost, nor when the action fails for now (`kept_after`).
Who is signed in and acts for nobody else is not asked for a username: `step` is told it.
Nothing here reads, prints or connects: `cli.actions` does. The texts are given, spelling
included (docs/decisions.md, The menus).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from newswire import errors
from newswire.core.model import names, offers
from newswire.errors import BadRequest, NewswireError


# -- actions: what a menu asks its shell to do --------------------------------------------------------------------
@dataclass(frozen=True)
class LeaveMenu:
    """Leave this menu."""


@dataclass(frozen=True)
class Open:
    """Run another menu, then come back."""

    menu: Menu


@dataclass(frozen=True)
class PublishTopic:
    """Publish `data` to `topic`."""

    topic: str
    data: str


@dataclass(frozen=True)
class SubscribeUser:
    """Subscribe `username` to `topic`."""

    username: str
    topic: str


@dataclass(frozen=True)
class UnsubscribeUser:
    """End the subscription of `username` to exactly `topic`."""

    username: str
    topic: str


@dataclass(frozen=True)
class ListSubscriptions:
    """Show what `username` is subscribed to."""

    username: str


@dataclass(frozen=True)
class ListTopics:
    """Show the topics that there are."""


@dataclass(frozen=True)
class StreamMessages:
    """Open the stream of `username`."""

    username: str


@dataclass(frozen=True)
class StartBroker:
    """Start a broker on this machine as a child process. `peer` may be empty."""

    id: str
    port: int
    primary: bool
    peer: str


@dataclass(frozen=True)
class StopBroker:
    """Stop a broker that this menu started."""

    id: str


@dataclass(frozen=True)
class AddReplica:
    """Make the broker at `address` a member."""

    address: str


@dataclass(frozen=True)
class RemoveReplica:
    """End the membership of the broker at `address`."""

    address: str


@dataclass(frozen=True)
class ListReplicas:
    """Show the members, one a line."""


@dataclass(frozen=True)
class ShowStatus:
    """Show the status table."""


Action = (
    LeaveMenu | Open | PublishTopic | SubscribeUser | UnsubscribeUser | ListSubscriptions | ListTopics | StreamMessages
    | StartBroker | StopBroker | AddReplica | RemoveReplica | ListReplicas | ShowStatus
)  # fmt: skip


# -- machines ---------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Question:
    """One line asked of the user. `take` makes a value of it and raises NewswireError (with the rule) if it can't.

    `is_for_user`: it asks for a name, which is known of who is signed in and acts for nobody else.
    """

    prompt: str
    take: Callable[[str], Any] = str
    is_for_user: bool = False


@dataclass(frozen=True)
class Choice:
    """A numbered line of a menu: its questions, and the action made of their answers. `is_local`: it asks no broker."""

    label: str
    make: Callable[..., Action]
    questions: tuple[Question, ...] = ()
    is_local: bool = False


@dataclass(frozen=True)
class Menu:
    """The choices of one menu, numbered from 1; the last leaves it.

    `further` ones have the numbers behind that. A line of their own names them, as the list of the others is given.
    """

    choices: tuple[Choice, ...]
    title: str = "Menu:"
    further: tuple[Choice, ...] = ()

    def choice(self, at: int) -> Choice:
        """The one with the number `at` + 1."""
        return (*self.choices, *self.further)[at]

    def count(self) -> int:
        """How many there are to choose from."""
        return len(self.choices) + len(self.further)


@dataclass(frozen=True)
class MenuState:
    """Where a menu stands: at its list (`choice` None) or `len(answers)` questions into a choice.

    `lines` are what the answers were made of. `kept` are the lines of a choice that came to nothing: there an empty line
    stands for the one that was typed then.
    """

    choice: int | None = None
    answers: tuple[Any, ...] = ()
    lines: tuple[str, ...] = ()
    kept: tuple[int, tuple[str, ...]] | None = None


@dataclass(frozen=True)
class Step:
    """What a line led to: show `text` (if any), then perform `action` (if any), then go on in `state`."""

    state: MenuState
    text: str = ""
    action: Action | None = None


START = MenuState()


BACK = "Press Enter alone to go back to the menu."
NOTHING_ENTERED = "Nothing was entered, so nothing is done."


def prompt(menu: Menu, state: MenuState) -> str:
    """What to show before the next line is read."""
    if state.choice is not None:
        return menu.choice(state.choice).questions[len(state.answers)].prompt
    lines = [f"{number}. {choice.label}" for number, choice in enumerate(menu.choices, 1)]
    return "\n".join([menu.title, *lines, "Enter your choice: "])


def further_line(menu: Menu, state: MenuState) -> str:
    """What to show before the list: the choices that are not in it, "" if there are none or a question follows."""
    if state.choice is not None or not menu.further:
        return ""
    numbered = [f"{choice.label} ({number})" for number, choice in enumerate(menu.further, len(menu.choices) + 1)]
    return f"Further choices: {', '.join(numbered)}."


def asks_brokers(menu: Menu, state: MenuState, line: str) -> bool:
    """Whether `line` makes a choice that brokers will be asked for: then it counts who that is."""
    at = _number(menu, line.strip()) if state.choice is None else None
    return at is not None and not menu.choice(at).is_local


def step(menu: Menu, state: MenuState, line: str, username: str = "") -> Step:
    """Take a line, without its line end. `username`: who is signed in and acts for nobody else, "" if that is not so."""
    if state.choice is None:
        return _choose(menu, state, line.strip(), username)
    choice = menu.choice(state.choice)
    at = len(state.answers)
    if not line.strip() and state.kept is not None and state.kept[0] == state.choice:
        line = state.kept[1][at]
    try:
        answer = choice.questions[at].take(line)
    except NewswireError as error:
        if not line.strip():
            return Step(replace(START, kept=state.kept), NOTHING_ENTERED)
        return Step(state, f"{errors.as_sentence(error.detail, 'menu')} {BACK}")
    return _advance(choice, replace(state, answers=(*state.answers, answer), lines=(*state.lines, line)), username)


def kept_after(before: MenuState, line: str) -> MenuState:
    """The list again, when what the last `line` led to has come to nothing for now: all lines of the choice are kept."""
    if before.choice is None:
        return START
    if not line.strip() and before.kept is not None and before.kept[0] == before.choice:
        line = before.kept[1][len(before.lines)]
    return MenuState(kept=(before.choice, (*before.lines, line)))


def kept_line(state: MenuState) -> str:
    """Say how to use what is kept, "" if nothing is."""
    return (
        f"What you typed is kept: choose {state.kept[0] + 1} again, and press Enter alone for each answer that stays."
        if state.kept
        else ""
    )


def _choose(menu: Menu, state: MenuState, line: str, username: str) -> Step:
    if not line:
        return Step(state)
    at = _number(menu, line)
    if at is None:
        return Step(state, f"There is no choice {line[:40]!r}: enter a number from 1 to {menu.count()}.")
    return _advance(menu.choice(at), replace(state, choice=at), username)


def _number(menu: Menu, line: str) -> int | None:
    """Where the choice of this number stands, None if there is none."""
    if not (line.isascii() and line.isdigit() and len(line) < 10):
        return None
    return int(line) - 1 if 0 < int(line) <= menu.count() else None


def _advance(choice: Choice, state: MenuState, username: str) -> Step:
    while len(state.answers) < len(choice.questions):
        if not (username and choice.questions[len(state.answers)].is_for_user):
            return Step(state)
        state = replace(state, answers=(*state.answers, username), lines=(*state.lines, username))
    return Step(START, action=choice.make(*state.answers))


def _name(check: Callable[[str], str]) -> Callable[[str], str]:
    return lambda line: check(line.strip())


def _data(line: str) -> str:
    if not line:
        raise BadRequest("the data is empty: enter what is to be published")
    return line


def _port(line: str) -> int:
    """A port, or HOST:PORT where HOST is this machine."""
    text = line.strip()
    if not text:
        raise BadRequest("the port is empty: enter a number, for example 5053")
    host, _, port = offers.address_like(text, 0).rpartition(":")
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        raise BadRequest("a port is a number from 1 to 65535, for example 5053")
    if host not in ("127.0.0.1", "localhost", "[::1]"):
        raise BadRequest("a broker that is started here listens on this machine alone: enter its port, for example 5053")
    return int(port)


def _address(line: str) -> str:
    """HOST:PORT, also as a URL; a port alone is one of this machine."""
    text = line.strip()
    return names.check_address(offers.address_like(text, 0) if "://" in text or text.lstrip(":").isdigit() else text)


def _yes(line: str) -> bool:
    word = line.strip().lower()
    if word in ("y", "yes", "1", "true"):
        return True
    if word in ("", "n", "no", "0", "false"):
        return False
    raise BadRequest("answer y or n")


_TOPIC = _name(names.check_topic)
_PATTERN = _name(names.check_pattern)
_USERNAME = _name(names.check_username)
_ID = _name(names.check_broker_id)

PUBLISHER = Menu(
    (
        Choice("Publish Topic", PublishTopic, (Question("Enter topic: ", _TOPIC), Question("Enter data: ", _data))),
        Choice("Exit", LeaveMenu, is_local=True),
    )
)

_WHOSE = Question("Enter username: ", _USERNAME, is_for_user=True)
_WHOSE_STREAM = Question("Enter username to stream messages: ", _USERNAME, is_for_user=True)

SUBSCRIBER = Menu(
    (
        Choice("Subscribe User", SubscribeUser, (_WHOSE, Question("Enter topic to subscribe: ", _PATTERN))),
        Choice("Stream Messages", StreamMessages, (_WHOSE_STREAM,)),
        Choice("Exit", LeaveMenu, is_local=True),
    ),
    further=(
        Choice("Unsubscribe User", UnsubscribeUser, (_WHOSE, Question("Enter topic to unsubscribe: ", _PATTERN))),
        Choice("List Subscriptions", ListSubscriptions, (_WHOSE,)),
        Choice("List Topics", ListTopics),
    ),
)

_REPLICAS = (
    Choice("Add Replica", AddReplica, (Question("Enter address of the broker to add (HOST:PORT): ", _address),)),
    Choice("Remove Replica", RemoveReplica, (Question("Enter address of the broker to remove (HOST:PORT): ", _address),)),
    Choice("List Replicas", ListReplicas),
    Choice("Status", ShowStatus),
)

BROKER = Menu((*_REPLICAS, Choice("Exit", LeaveMenu, is_local=True)))  # `newswire broker --menu`

BROKERS = Menu(
    (
        Choice(
            "Start Broker",
            StartBroker,
            (
                Question("Enter broker id, for example 1001: ", _ID),
                Question("Enter port, for example 5053: ", _port),
                Question("Is it the primary? (y/n): ", _yes),
                Question(
                    "Enter address of another broker (HOST:PORT, empty for none): ",
                    lambda line: _address(line) if line.strip() else "",
                ),
            ),
            is_local=True,
        ),
        *_REPLICAS,
        Choice("Stop Broker", StopBroker, (Question("Enter id of the broker to stop: ", _ID),), is_local=True),
        Choice("Back", LeaveMenu, is_local=True),
    ),
    title="Brokers:",
)

EVERYTHING = Menu(
    (
        Choice("Manage Brokers", lambda: Open(BROKERS), is_local=True),
        Choice("Publisher", lambda: Open(PUBLISHER), is_local=True),
        Choice("Subscriber", lambda: Open(SUBSCRIBER), is_local=True),
        Choice("Exit", LeaveMenu, is_local=True),
    )
)  # `newswire menu`
