"""The menus as pure machines: their texts to the letter, and what each line leads to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.cli import menus
from newswire.cli.menus import START, Menu, Step, prompt, step

ALL = [menus.PUBLISHER, menus.SUBSCRIBER, menus.BROKER, menus.BROKERS, menus.EVERYTHING]


def walk(menu: Menu, *lines: str) -> tuple[str, Step]:
    """Feed lines; return all that was asked (each prompt with its line) and the last step."""
    seen, state, last = "", START, Step(START)
    for line in lines:
        seen += f"{prompt(menu, state)}{line}\n"
        last = step(menu, state, line)
        state = last.state
    return seen, last


def test_publishing_reads_to_the_letter() -> None:
    seen, last = walk(menus.PUBLISHER, "1", "Google", "Hello Google")
    assert seen == ("Menu:\n1. Publish Topic\n2. Exit\nEnter your choice: 1\nEnter topic: Google\nEnter data: Hello Google\n")
    assert last == Step(START, action=menus.PublishTopic("Google", "Hello Google"))


def test_subscribing_reads_to_the_letter() -> None:
    seen, last = walk(menus.SUBSCRIBER, "1", "Alice", "Google")
    assert seen == (
        "Menu:\n1. Subscribe User\n2. Stream Messages\n3. Exit\nEnter your choice: 1\n"
        "Enter username: Alice\nEnter topic to subscribe: Google\n"
    )
    assert last == Step(START, action=menus.SubscribeUser("Alice", "Google"))


def test_streaming_reads_to_the_letter() -> None:
    seen, last = walk(menus.SUBSCRIBER, "2", "Alice")
    assert seen.endswith("Enter your choice: 2\nEnter username to stream messages: Alice\n")
    assert last.action == menus.StreamMessages("Alice")


@pytest.mark.parametrize("menu", ALL)
def test_the_last_choice_leaves(menu: Menu) -> None:
    assert step(menu, START, str(len(menu.choices))) == Step(START, action=menus.LeaveMenu())


def test_everything_opens_the_others() -> None:
    opened = [step(menus.EVERYTHING, START, number).action for number in "123"]
    assert opened == [menus.Open(menus.BROKERS), menus.Open(menus.PUBLISHER), menus.Open(menus.SUBSCRIBER)]


def test_a_broker_is_started_with_its_answers() -> None:
    _, last = walk(menus.BROKERS, "1", "1002", " 5054 ", "n", "")
    assert last.action == menus.StartBroker("1002", 5054, primary=False, peer="")
    _, last = walk(menus.BROKERS, "1", "1001", "5053", "y", "127.0.0.1:5054")
    assert last.action == menus.StartBroker("1001", 5053, primary=True, peer="127.0.0.1:5054")


def test_replicas_are_managed() -> None:
    assert walk(menus.BROKER, "1", "10.0.0.2:5054")[1].action == menus.AddReplica("10.0.0.2:5054")
    assert walk(menus.BROKER, "2", "10.0.0.2:5054")[1].action == menus.RemoveReplica("10.0.0.2:5054")
    assert walk(menus.BROKER, "3")[1].action == menus.ListReplicas()
    assert walk(menus.BROKER, "4")[1].action == menus.ShowStatus()


@pytest.mark.parametrize("line", ["0", "4", "-1", "one", "1.0", "²", "99999999999999999999999999"])
def test_a_wrong_choice_is_told_and_the_menu_comes_again(line: str) -> None:
    assert step(menus.SUBSCRIBER, START, line) == Step(START, f"There is no choice {line!r}: enter a number from 1 to 3.")


def test_an_empty_choice_shows_the_menu_again() -> None:
    assert step(menus.SUBSCRIBER, START, "  ") == Step(START)


@pytest.mark.parametrize(
    ("menu", "lines", "rule"),
    [
        (menus.PUBLISHER, ("1", "a b"), "A topic is 1 to 128 characters"),
        (menus.SUBSCRIBER, ("1", "Al/ice"), "A username is 1 to 64 characters"),
        (menus.SUBSCRIBER, ("1", "Alice", "a..b"), "A subscription names"),
        (menus.SUBSCRIBER, ("1", "Jörg Müller"), "A username is 1 to 64 characters"),
        (menus.BROKERS, ("1", "10/01"), "A broker id is 1 to 16 letters and digits"),
        (menus.BROKERS, ("1", "1001", "70000"), "A port is a number from 1 to 65535"),
        (menus.BROKERS, ("1", "1001", "many"), "A port is a number from 1 to 65535"),
        (menus.BROKERS, ("1", "1001", "10.0.0.5:5053"), "A broker that is started here listens on this machine alone"),
        (menus.BROKERS, ("1", "1001", "5053", "perhaps"), "Answer y or n"),
        (menus.BROKER, ("1", "nowhere"), "A broker address is HOST:PORT"),
    ],
)
def test_a_wrong_answer_names_the_rule_and_is_asked_for_again(menu: Menu, lines: tuple[str, ...], rule: str) -> None:
    _, before = walk(menu, *lines[:-1])
    _, last = walk(menu, *lines)
    assert last.state == before.state  # the same question, and all that was answered before it
    assert last.action is None
    assert last.text.startswith(rule)
    assert last.text.endswith("Press Enter alone to go back to the menu.")
    assert step(menu, last.state, "").state == START or lines[-1] == "perhaps"


@pytest.mark.parametrize(
    ("menu", "lines"),
    [
        (menus.PUBLISHER, ("1", "")),
        (menus.PUBLISHER, ("1", "Google", "")),
        (menus.PUBLISHER, ("1", "my topic", "")),
        (menus.SUBSCRIBER, ("2", " ")),
        (menus.BROKERS, ("1", "1001", "")),
    ],
)
def test_an_empty_answer_leads_back(menu: Menu, lines: tuple[str, ...]) -> None:
    _, last = walk(menu, *lines)
    assert (last.state, last.action) == (START, None)
    assert last.text == "Nothing was entered, so nothing is done."


def test_what_came_to_nothing_is_kept_and_an_empty_line_stands_for_it() -> None:
    before = walk(menus.PUBLISHER, "1", "Google")[1].state
    state = menus.kept_after(before, "Hello Google")
    assert menus.kept_line(state) == (
        "What you typed is kept: choose 1 again, and press Enter alone for each answer that stays."
    )
    assert prompt(menus.PUBLISHER, state) == prompt(menus.PUBLISHER, START)
    state = step(menus.PUBLISHER, state, "nonsense").state  # another line at the list loses nothing
    for line in ("1", ""):
        state = step(menus.PUBLISHER, state, line).state
    assert step(menus.PUBLISHER, state, "").action == menus.PublishTopic("Google", "Hello Google")
    assert step(menus.PUBLISHER, state, "Another").action == menus.PublishTopic("Google", "Another")
    again = menus.kept_after(state, "")  # and again
    assert again.kept == (0, ("Google", "Hello Google"))
    assert menus.kept_line(menus.kept_after(START, "4")) == ""


@pytest.mark.parametrize(
    "port", ["5054", " 5054 ", ":5054", "127.0.0.1:5054", "localhost:5054", "http://127.0.0.1:5054/", "[::1]:5054"]
)
def test_a_port_may_be_an_address_of_this_machine(port: str) -> None:
    assert walk(menus.BROKERS, "1", "1002", port, "n", "5053")[1].action == menus.StartBroker(
        "1002", 5054, primary=False, peer="127.0.0.1:5053"
    )


@pytest.mark.parametrize("address", ["10.0.0.2:5054", "http://10.0.0.2:5054/", " 10.0.0.2:5054"])
def test_an_address_may_be_a_url(address: str) -> None:
    assert walk(menus.BROKER, "1", address)[1].action == menus.AddReplica("10.0.0.2:5054")


@pytest.mark.parametrize("address", ["https://news2.example.org", "https://News2.example.org:443/stream"])
def test_an_address_may_be_one_in_tls(address: str) -> None:
    assert walk(menus.BROKER, "1", address)[1].action == menus.AddReplica("https://news2.example.org")


def test_a_subscription_may_be_a_pattern_and_a_publish_not() -> None:
    assert walk(menus.SUBSCRIBER, "1", "Alice", "finance.*")[1].action == menus.SubscribeUser("Alice", "finance.*")
    assert walk(menus.PUBLISHER, "1", "finance.*")[1].action is None


def test_data_is_taken_as_it_is() -> None:
    assert walk(menus.PUBLISHER, "1", " Google ", "  two  blanks ")[1].action == menus.PublishTopic("Google", "  two  blanks ")


@given(
    st.sampled_from(ALL),
    st.lists(st.sampled_from(["1", "2", "3", "4", "5", "", "x", "Alice", "127.0.0.1:1"]) | st.text(), max_size=12),
)
def test_any_lines_keep_the_menu_going(menu: Menu, lines: list[str]) -> None:
    state = START
    for line in lines:
        assert prompt(menu, state).endswith(": ")
        taken = step(menu, state, line)
        assert taken.action is None or taken.state == START
        assert "\x1b" not in taken.text
        state = taken.state


def test_what_is_said_of_the_brokers() -> None:
    both = ("18.217.232.220:5053", "3.131.241.161:5054")
    assert menus.connecting_lines(both, both[0], moved=False, always_list=True) == [
        "List of available nodes: ['18.217.232.220:5053', '3.131.241.161:5054']",
        "Connecting to the primary broker... 18.217.232.220:5053",
    ]
    assert menus.connecting_lines(both, both[0], moved=False, always_list=False) == [
        "Connecting to the primary broker... 18.217.232.220:5053"
    ]


@pytest.mark.parametrize("always_list", [True, False])
def test_what_is_said_when_the_primary_is_down(always_list: bool) -> None:
    assert menus.connecting_lines(("3.131.241.161:5054",), "3.131.241.161:5054", moved=True, always_list=always_list) == [
        "List of available nodes: ['3.131.241.161:5054']",
        "Primary broker is down ,updating the broker the primary broker to 3.131.241.161:5054",
    ]


def test_answers_and_windows() -> None:
    assert (
        menus.answer_line("Published topic Google data Hello Google")
        == "{'message': 'Published topic Google data Hello Google'}"
    )
    assert menus.answer_line("a\x1b\u202eb") == "{'message': 'a\\x1b\\u202eb'}"
    assert menus.opening_line("Alice") == "Opening window for streaming Alice's messages.."
