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


@pytest.mark.parametrize("line", ["0", "3", "-1", "one", "1.0", "²", "99999999999999999999999999"])
def test_a_wrong_choice_is_told_and_the_menu_comes_again(line: str) -> None:
    assert step(menus.PUBLISHER, START, line) == Step(START, f"There is no choice {line!r}: enter a number from 1 to 2.")


def test_further_choices_have_the_numbers_behind_the_list_and_a_line_of_their_own() -> None:
    line = "Further choices: Unsubscribe User (4), List Subscriptions (5), List Topics (6)."
    assert menus.further_line(menus.SUBSCRIBER, START) == line
    assert walk(menus.SUBSCRIBER, "4", "Alice", "Google")[1].action == menus.UnsubscribeUser("Alice", "Google")
    assert walk(menus.SUBSCRIBER, "5", "Alice")[1].action == menus.ListSubscriptions("Alice")
    assert walk(menus.SUBSCRIBER, "6")[1].action == menus.ListTopics()
    assert step(menus.SUBSCRIBER, START, "7").text.endswith("enter a number from 1 to 6.")
    before = walk(menus.SUBSCRIBER, "4", "Alice")[1].state
    assert menus.further_line(menus.SUBSCRIBER, before) == "", "not between the questions of a choice"
    assert menus.kept_line(menus.kept_after(before, "Google")).startswith("What you typed is kept: choose 4 again")
    assert [menus.further_line(menu, START) for menu in ALL if menu is not menus.SUBSCRIBER] == [""] * 4


def test_who_is_signed_in_and_no_admin_is_not_asked_for_a_name() -> None:
    menu = menus.SUBSCRIBER
    for number, action in (("1", menus.SubscribeUser("ann", "a.>")), ("4", menus.UnsubscribeUser("ann", "a.>"))):
        before = step(menu, START, number, "ann").state
        assert prompt(menu, before).startswith("Enter topic to ")
        assert step(menu, before, "a.>", "ann").action == action
        again = step(menu, menus.kept_after(before, "a.>"), number, "ann").state
        assert step(menu, again, "", "ann").action == action
    assert step(menu, START, "2", "ann") == Step(START, action=menus.StreamMessages("ann"))
    assert step(menu, START, "5", "ann") == Step(START, action=menus.ListSubscriptions("ann"))
    assert prompt(menus.BROKERS, step(menus.BROKERS, START, "1", "ann").state) == "Enter broker id, for example 1001: "


def test_brokers_are_asked_by_some_choices_only() -> None:
    asking = {
        choice.label
        for menu in ALL
        for number, choice in enumerate((*menu.choices, *menu.further), 1)
        if menus.asks_brokers(menu, START, f" {number} ")
    }
    assert asking == {
        *("Publish Topic", "Subscribe User", "Stream Messages", "Unsubscribe User", "List Subscriptions", "List Topics"),
        *("Add Replica", "Remove Replica", "List Replicas", "Status"),
    }
    assert not menus.asks_brokers(menus.PUBLISHER, START, "3")
    assert not menus.asks_brokers(menus.PUBLISHER, walk(menus.PUBLISHER, "1")[1].state, "1"), "an answer is no choice"


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
    st.sampled_from(["", "ann"]),
)
def test_any_lines_keep_the_menu_going(menu: Menu, lines: list[str], username: str) -> None:
    state = START
    for line in lines:
        assert prompt(menu, state).endswith(": ")
        taken = step(menu, state, line, username)
        assert taken.action is None or taken.state == START
        assert "\x1b" not in taken.text
        state = taken.state
