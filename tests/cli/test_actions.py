"""The menus over a pipe and a pty against a scripted broker: whole transcripts, to the letter."""

from __future__ import annotations

import base64
import io
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from newswire.cli import actions, menus, phrases
from newswire.cli.children import Children
from newswire.cli.credentials import Signature
from newswire.cli.terminal import Lines, Terminal
from newswire.errors import NotRegistered, Refused, Unknown
from tests.kit.fake_broker import DOWN, PUBLISHED, Fake, message
from tests.kit.menu_programs import AS_IT_IS, Pty, piped
from tests.kit.waiting import wait_until

# -- menus over a pipe and a pty -------------------------------------------------------------------------------------


def test_the_publisher_menu_reads_to_the_letter(fake: Fake) -> None:
    fake.answers["/publish"] = (200, PUBLISHED)
    both = [fake.row(), {"id": "1002", "ip": "127.0.0.1:5054", "is_primary": False, "state": "up", "lag": 0, "self": False}]
    fake.answers["/list_replicas"] = (200, both)
    assert piped("publisher", ["1", "Google", "Hello Google", "2"]) == (
        "Menu:\n1. Publish Topic\n2. Exit\nEnter your choice: 1\nEnter topic: Google\nEnter data: Hello Google\n"
        f"List of available nodes: ['{fake.address}', '127.0.0.1:5054']\n"
        f"Connecting to the primary broker... {fake.address}\n"
        "{'message': 'Published topic Google data Hello Google'}\n"
        "Stored on 2 brokers.\n"
        "Menu:\n1. Publish Topic\n2. Exit\nEnter your choice: 2\n"
    )


def test_both_menus_with_the_primary_dead(fake: Fake) -> None:
    down = {"id": "1001", "ip": DOWN, "is_primary": False, "state": "down", "lag": 0, "self": False}
    fake.answers["/list_replicas"] = (200, [down, fake.row(id="1002")])
    fake.answers["/publish"] = (200, {**PUBLISHED, "message": "Published topic Google data Family Event"})
    fake.answers["/subscribe"] = (200, {"message": "Successfully subscribed Carlos to topic Tiktok"})
    brokers = f"{DOWN},{fake.address}"
    moved = (
        f"List of available nodes: ['{fake.address}']\n"
        f"Primary broker is down ,updating the broker the primary broker to {fake.address}\n"
    )
    shown = piped("publisher", ["1", "Google", "Family Event"], NEWSWIRE_BROKERS=brokers)
    assert moved + "{'message': 'Published topic Google data Family Event'}\n" in shown
    shown = piped("subscriber", ["1", "Carlos", "Tiktok"], NEWSWIRE_BROKERS=brokers)
    assert (
        f"{moved}http://{fake.address}/subscribe?username=Carlos&topic=Tiktok\n"
        "{'message': 'Successfully subscribed Carlos to topic Tiktok'}\n"
    ) in shown


def test_the_subscriber_menu_reads_to_the_letter(fake: Fake, tmp_path: Path) -> None:
    fake.answers["/subscribe"] = (200, {"message": "Successfully subscribed Alice to topic Google"})
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >{opened}.new && mv {opened}.new {opened}\n')
    browser.chmod(0o755)
    menu = "Menu:\n1. Subscribe User\n2. Stream Messages\n3. Exit\nEnter your choice: "
    further = "Further choices: Unsubscribe User (4), List Subscriptions (5), List Topics (6).\n"
    assert piped("subscriber", ["1", "Alice", "Google", "2", "Alice", "3"], BROWSER=str(browser)) == (
        f"{further}{menu}1\nEnter username: Alice\nEnter topic to subscribe: Google\n"
        f"Connecting to the primary broker... {fake.address}\n"
        f"http://{fake.address}/subscribe?username=Alice&topic=Google\n"
        "{'message': 'Successfully subscribed Alice to topic Google'}\n"
        f"{further}{menu}2\nEnter username to stream messages: Alice\n"
        f"Connecting to the primary broker... {fake.address}\n"
        f"http://{fake.address}/stream?username=Alice\n"
        "Opening window for streaming Alice's messages..\n"
        f"{further}{menu}3\n"
    )
    wait_until(opened.exists)
    assert opened.read_text() == f"http://{fake.address}/stream?username=Alice\n"


def test_what_one_is_subscribed_to_is_shown_and_ended(fake: Fake) -> None:
    fake.answers["/unsubscribe"] = (200, {"message": "Successfully unsubscribed Alice from topic Google"})
    fake.answers["/subscriptions"] = [(200, [{"topic": "Google", "index": 7, "unread": 1234}]), (200, [])]
    fake.answers["/topics"] = [(200, [{"topic": "Google", "messages": 8, "last": None}]), (200, [])]
    shown = piped("subscriber", ["5", "Alice", "4", "Alice", "Google", "5", "Alice", "6", "6", "3"])
    assert "Enter username: Alice\nTopic   Unread\nGoogle   1,234\nFurther choices: " in shown
    assert (
        f"Enter topic to unsubscribe: Google\nConnecting to the primary broker... {fake.address}\n"
        "{'message': 'Successfully unsubscribed Alice from topic Google'}\nFurther"
    ) in shown
    assert "\nAlice is not subscribed to any topic.\n" in shown
    assert "your choice: 6\nTopic   Messages\nGoogle         8\nFurther" in shown
    assert "\nThere are no topics yet: the first message to one makes it.\n" in shown
    assert fake.sent("/unsubscribe") == [{"username": "Alice", "topic": "Google"}]


def test_an_error_is_a_sentence_and_the_menu_goes_on(fake: Fake) -> None:
    fake.answers["/publish"] = (507, {"code": "storage-full", "detail": "the disk is full"})
    shown = piped("publisher", ["1", "Google", "Hi", "7", "2"])
    assert "\nThe disk is full.\n" in shown.replace("the disk", "The disk")
    assert "There is no choice '7': enter a number from 1 to 2.\n" in shown
    assert shown.count("Menu:") == 3


def test_a_sentence_of_a_menu_has_no_flags() -> None:
    gita = NotRegistered("Gita is not registered for any topic: subscribe first, POST /subscribe?username=Gita&topic=...")
    assert actions.sentence(gita) == "Gita is not registered for any topic: choose Subscribe User first."
    for said, meant in (
        ("port 1 at x is taken: stop the other program or choose another port with --port", "choose another port."),
        ("x is no address to listen at: choose another with --host", "choose another."),
        ("Stop that one, or give this one another --id or --ops-dir", "give this one another id."),
        ("is this the address that it gives others (--advertise)?", "Is this the address that it gives others?"),
        (
            "a:1 is no broker of this cluster: GET /list_replicas lists them, with their addresses",
            "List Replicas shows them, with their addresses.",
        ),
        (
            "Al has no subscription to x: GET /subscriptions?username=Al lists what there is",
            "x: List Subscriptions shows what there is.",
        ),
        ("start the other one with another --id", "with another id."),
        ("raise --subscriptions-per-user", "Raise subscriptions per user."),
    ):
        shown = actions.sentence(Refused(said))
        assert "--" not in shown
        assert shown.endswith(meant)
    assert actions.sentence(Unknown("no broker answered in time (a:1: x): perhaps it was done; ...")) == (
        "No broker answered in time (a:1: x): perhaps it was done. Do it again: it will not be done twice."
    )


@pytest.mark.parametrize(
    "menu", [["publisher", "1", "Google", "Hi"], ["subscriber", "1", "Alice", "Google"], ["subscriber", "2", "Alice"]]
)
def test_that_nobody_is_there_is_told_at_once(menu: list[str]) -> None:
    shown = piped(menu[0], menu[1:], NEWSWIRE_BROKERS=f"{DOWN},127.0.0.1:2")
    assert "No broker is there (127.0.0.1:1: no connection (nobody listens there); 127.0.0.1:2: no connection" in shown
    assert f"\nWhat you typed is kept: choose {menu[1]} again" in shown
    assert "--" not in shown


def test_that_nobody_answers_is_told_before_it_is_certain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two that hang: the kernel takes the connections and nobody answers."""
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        brokers = ",".join(f"127.0.0.1:{server.getsockname()[1]}" for server in (one, two))
        shown = piped("publisher", ["1", "Google", "Hi"], program=AS_IT_IS, NEWSWIRE_BROKERS=brokers)
    waiting = shown.index(f"No broker has answered yet, still asking {brokers.replace(',', ', ')}")
    assert waiting < shown.index("No broker could serve this")
    assert "What you typed is kept" in shown


@pytest.mark.usefixtures("hurried")
def test_done_again_it_is_the_same_message(fake: Fake) -> None:
    unknown = (503, {"code": "unknown-outcome", "detail": "no answer in time", "status": 503, "title": "T"})
    fake.answers["/publish"] = unknown
    here = Terminal(Lines(0), io.StringIO())
    desk = actions.MenuActions(here, [fake.address], Children(Path()), {})
    action = menus.PublishTopic("Google", "Hi")
    with pytest.raises(Unknown):
        desk.perform(action)
    fake.answers["/publish"] = (200, PUBLISHED)
    desk.perform(action)
    desk.perform(action)  # on purpose: another one
    keys = [sent["key"] for sent in fake.sent("/publish")]
    assert len(set(keys)) == 2
    assert keys[-2] == keys[0] != keys[-1]


def test_brokers_are_managed_from_the_one_menu(fake: Fake) -> None:
    fake.answers["/add_replica"] = (200, {"message": "Added broker 127.0.0.1:5054 (1002)"})
    fake.answers["/remove_replica"] = (404, {"code": "no-broker", "detail": "no member 127.0.0.1:9"})
    fake.answers["/readyz"] = (200, {"ready": True, "degraded": []})
    fake.answers["/topics"] = (200, [])
    shown = piped("menu", ["1", "2", "127.0.0.1:5054", "3", "127.0.0.1:9", "4", "5", "6", "1001", "7", "2", "2", "4"])
    assert "\n{'message': 'Added broker 127.0.0.1:5054 (1002)'}\nBrokers:" in shown
    assert "\nNo member 127.0.0.1:9.\nBrokers:" in shown
    assert f"List of available nodes: ['{fake.address}']\n{fake.address}  broker 1001, primary, up\n" in shown
    assert "1 broker would hold a message published now.\n\nNo topics yet.\nBrokers:" in shown
    assert "\nBroker 1001 was not started from this menu: stop it where it runs.\nBrokers:" in shown
    assert fake.sent("/add_replica") == [{"broker_ip": "127.0.0.1:5054"}]


def test_a_menu_on_a_terminal(fake: Fake, terminal: Callable[[str], Pty]) -> None:
    fake.answers["/publish"] = (200, PUBLISHED)
    menu = terminal("publisher")
    menu.expect("Enter your choice: ")
    menu.type("1\n")
    menu.expect("Enter topic: ")
    menu.type("Google\n")
    menu.expect("Enter data: ")
    menu.type("Hello Google\n")
    menu.expect("{'message': 'Published topic Google data Hello Google'}\nStored on 2 brokers.\nMenu:")
    menu.expect("Enter your choice: ", after="'}\n")
    menu.type("\x04")
    assert menu.close() == 0


def test_ctrl_c_ends_what_takes_too_long_and_not_the_menu(
    fake: Fake, terminal: Callable[[str], Pty], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hung:
        monkeypatch.setenv("NEWSWIRE_BROKERS", f"127.0.0.1:{hung.getsockname()[1]}")
        menu = terminal("publisher")
        menu.expect("Enter your choice: ")
        for line, asked in (("1", "Enter topic: "), ("Google", "Enter data: "), ("Hi", "No broker has answered yet")):
            menu.type(f"{line}\n")
            menu.expect(asked)
        os.kill(menu.child.pid, signal.SIGINT)
        menu.expect("Interrupted: perhaps it was done.")
        menu.expect("Enter your choice: ", after="Interrupted")
        menu.type("2\n")
        assert menu.close() == 0


def test_ctrl_c_returns_from_a_stream_and_leaves_a_menu(fake: Fake, terminal: Callable[[str], Pty]) -> None:
    fake.events = [message(1)]
    menu = terminal("subscriber")
    menu.expect("Enter your choice: ")
    menu.type("2\n")
    menu.expect("stream messages: ")
    menu.type("Alice\n")
    menu.expect("data: Hello Google\n")
    os.kill(menu.child.pid, signal.SIGINT)
    menu.expect("Enter your choice: ", after="data: Hello Google")
    os.kill(menu.child.pid, signal.SIGINT)
    assert menu.close() == 0


# -- brokers that ask who that is


def ask_who(fake: Fake, name: str = "ann", password: str = "secret", *, admin: bool = False) -> str:
    """Make the fake refuse whoever does not show this name and password. Returns what shows them."""
    header = f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"
    fake.let_in = lambda path, shown: shown == header
    fake.answers["/me"] = (200, {"username": name, "admin": admin, "auth": "required", "grants": []})
    fake.answers["/publish"] = (200, PUBLISHED)
    return header


def test_name_and_password_are_asked_for_once_and_first(fake: Fake) -> None:
    ask_who(fake)
    shown = piped("publisher", ["1", "ann", "secret", "Google", "Hello Google", "1", "Google", "Hello Google", "2"])
    assert shown.startswith(
        "Menu:\n1. Publish Topic\n2. Exit\nEnter your choice: 1\n"
        "The brokers ask who you are: sign in, or press Enter alone to go back to the menu.\n"
        "Enter your name: ann\nEnter your password: \nEnter topic: Google\nEnter data: Hello Google\n"
        f"List of available nodes: ['{fake.address}']\nConnecting to the primary broker... {fake.address}\n"
    )
    assert shown.count("{'message': 'Published topic Google data Hello Google'}") == 2
    assert shown.count("Enter your name") == 1
    assert len(fake.sent("/me")) == 2, "without a name, and with it"
    assert "secret" not in shown


@pytest.mark.parametrize("admin", [False, True])
def test_who_signs_in_subscribes_himself_and_an_admin_says_whom(fake: Fake, admin: bool) -> None:
    ask_who(fake, admin=admin)
    fake.answers["/subscribe"] = (200, {"message": "Successfully subscribed"})
    name = ["bob"] if admin else []
    shown = piped("subscriber", ["1", "ann", "secret", *name, "Google", "1", *name, "Meta", "3"])
    whom = "bob" if admin else "ann"
    assert fake.sent("/subscribe") == [{"username": whom, "topic": "Google"}, {"username": whom, "topic": "Meta"}]
    assert shown.count("Enter username: ") == 2 * admin
    assert f"http://{fake.address}/subscribe?username={whom}&topic=Meta\n" in shown


def test_where_nobody_is_asked_who_he_is_everybody_says_whom(fake: Fake) -> None:
    fake.answers["/me"] = (200, {"username": None, "admin": True, "auth": "none", "grants": []})
    fake.answers["/subscribe"] = (200, {"message": "Successfully subscribed"})
    piped("subscriber", ["1", "Alice", "Google", "1", "Bob", "Meta", "3"])
    assert [sent["username"] for sent in fake.sent("/subscribe")] == ["Alice", "Bob"]
    assert len(fake.sent("/me")) == 1


def test_a_wrong_password_is_a_sentence_before_anything_is_typed(fake: Fake) -> None:
    ask_who(fake)
    shown = piped("publisher", ["1", "ann", "wrong", "1", "ann", "secret", "Google", "Hello Google", "2"])
    assert "\nThe name or the password is wrong.\nMenu:" in shown
    assert "{'message': 'Published topic Google data Hello Google'}" in shown
    assert "wrong\n" not in shown.replace("password is wrong.\n", "")


def test_what_was_typed_when_a_sign_in_ends_is_kept(fake: Fake) -> None:
    header = ask_who(fake)
    fake.let_in = lambda path, shown: shown == header or (path == "/me" and not shown)  # it ends after the choice
    shown = piped("publisher", ["1", "Google", "Hello Google", "ann", "wrong", "1", "", "", "ann", "secret", "2"])
    assert "\nThe name or the password is wrong.\nWhat you typed is kept" in shown
    assert "{'message': 'Published topic Google data Hello Google'}" in shown


def test_nothing_entered_goes_back_to_the_menu(fake: Fake) -> None:
    ask_who(fake)
    shown = piped("publisher", ["1", "", "2"])
    assert f"\nEnter your name: \n{menus.NOTHING_ENTERED}\nMenu:" in shown
    assert fake.sent("/publish") == []


def test_a_password_is_not_shown_on_a_terminal(fake: Fake, terminal: Callable[[str], Pty]) -> None:
    ask_who(fake)
    menu = terminal("publisher")
    for prompt, line in (
        ("your choice: ", "1"),
        ("name: ", "ann"),
        ("password: ", "secret"),
        ("topic: ", "Google"),
        ("data: ", "Hi"),
    ):
        menu.expect(prompt)
        menu.type(f"{line}\n")
    menu.expect("{'message': 'Published topic Google data Hello Google'}\n")
    menu.type("\x04")
    assert menu.close() == 0
    assert "secret" not in menu.seen


def test_ctrl_c_at_the_question_goes_back_to_the_menu(fake: Fake, terminal: Callable[[str], Pty]) -> None:
    ask_who(fake)
    menu = terminal("publisher")
    for prompt, line in (("your choice: ", "1"), ("name: ", "ann")):
        menu.expect(prompt)
        menu.type(f"{line}\n")
    menu.expect("password: ")
    menu.child.send_signal(signal.SIGINT)
    menu.expect("your choice: ", after=menus.NOTHING_ENTERED)
    menu.type("\x04")
    assert menu.close() == 0
    assert fake.sent("/publish") == []


def desk_of(fake: Fake, opened: list[str], who: Signature) -> actions.MenuActions:
    def open_window(url: str) -> bool:
        opened.append(url)
        return True

    here = Terminal(Lines(0), io.StringIO())
    return actions.MenuActions(here, [fake.address], Children(Path()), who, open_window)


def test_a_window_opens_with_a_ticket_that_is_not_shown(fake: Fake) -> None:
    fake.answers["/tickets"] = (200, {"ticket": "a+b"})
    opened: list[str] = []
    desk = desk_of(fake, opened, {"token": "nw_1"})
    desk.perform(menus.StreamMessages("Ann"))
    assert opened == [f"http://{fake.address}/stream?username=Ann&ticket=a%2Bb"]
    assert "ticket" not in desk._here.out.getvalue()  # type: ignore[attr-defined]
    assert "nw_1" not in opened[0]


def test_of_many_streams_a_window_opens_where_there_is_room(fake: Fake) -> None:
    me, other = {"streams": 1_000, "streams_limit": 1_000}, {"streams": 0, "streams_limit": 1_000}
    rows = [
        {"id": "1001", "ip": fake.address, "is_primary": True, "state": "up", "lag": 0, "self": True, **me},
        {"id": "1002", "ip": "127.0.0.1:9", "is_primary": False, "state": "up", "lag": 0, "self": False, **other},
    ]
    fake.answers["/list_replicas"] = (200, rows)
    opened: list[str] = []
    desk = desk_of(fake, opened, {})
    desk.perform(menus.StreamMessages("Ann"))
    assert opened == [f"http://{fake.address}/stream?username=Ann"], "the other one is not reached from here"
    assert phrases.connecting_lines((), "a:1", moved=False, always_list=False, seat="b:2") == [
        "Connecting to a broker with more room... b:2"
    ]


def test_where_nobody_is_asked_a_window_needs_no_ticket(fake: Fake) -> None:
    opened: list[str] = []
    desk_of(fake, opened, {}).perform(menus.StreamMessages("Ann"))
    assert fake.sent("/tickets") == []
    fake.answers["/tickets"] = (409, {"code": "auth-is-off", "detail": "nobody is asked"})
    desk_of(fake, opened, {"token": "nw_1"}).perform(menus.StreamMessages("Ann"))
    assert opened == [f"http://{fake.address}/stream?username=Ann"] * 2


def test_what_may_not_be_done_is_said_as_the_broker_says_it(fake: Fake) -> None:
    fake.answers["/publish"] = (403, {"code": "forbidden", "detail": "Ann may not publish to Google: an admin can grant it"})
    shown = piped("publisher", ["1", "Google", "Hi", "2"])
    assert "\nAnn may not publish to Google: an admin can grant it.\nMenu:" in shown
