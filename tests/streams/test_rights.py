"""Rights that change while streams are open (docs/rules.md, ACCESS)."""

from __future__ import annotations

import pytest

from newswire.core.access import Principal
from newswire.core.model import event_ids
from newswire.core.model.commands import (
    AddGrant,
    AddUser,
    CreateToken,
    EndSession,
    RemoveUser,
    RevokeGrant,
    RevokeToken,
    SetPassword,
)
from newswire.streams import notices
from tests.kit.stream_fakes import Newsroom
from tests.kit.waiting import PATIENCE_SECONDS, wait_until

DIGEST = "ab" * 32


def signed_up(room: Newsroom, name: str, *patterns: str) -> Principal:
    """A user who may read these, and is subscribed to all."""
    room.desk.submit_access(AddUser(name), *(AddGrant(name, "subscribe", pattern) for pattern in patterns))
    account = room.desk.state.accounts.account_of(name)
    room.desk.subscribe(name, *patterns, account=account)
    return Principal(account)


def test_a_grant_that_is_revoked_takes_its_topics_out_of_the_open_stream(room: Newsroom) -> None:
    alice = signed_up(room, "Alice", "news", "sport.>")
    client = room.open(by=alice, asker="Alice")
    room.desk.publish("news", "one")
    room.desk.publish("sport.a", "goal")
    assert client.data(2) == ["one", "goal"]
    room.desk.submit_access(RevokeGrant("Alice", "subscribe", "news"))
    room.desk.publish("news", "not for Alice")
    room.desk.publish("sport.b", "match")
    assert client.data(1) == ["match"]
    room.desk.submit_access(AddGrant("Alice", "subscribe", "sport.a"), RevokeGrant("Alice", "subscribe", "sport.>"))
    room.desk.publish("sport.b", "not for Alice")
    room.desk.publish("sport.a", "second goal")
    assert client.data(1) == ["second goal"]
    room.desk.submit_access(RevokeGrant("Alice", "subscribe", "sport.a"))
    assert client.last_words() == notices.NO_RIGHTS


def test_a_stream_that_a_narrow_token_opened_acknowledges_what_that_may_read_whole(room: Newsroom) -> None:
    alice = signed_up(room, "Alice", "news", "pay", "sport.>")
    room.desk.submit_access(CreateToken("Alice", DIGEST, subscribe=("news", "sport.a")))
    (token,) = room.desk.state.accounts.tokens
    room.desk.publish("pay", "due")
    room.desk.publish("sport.b", "match")
    room.desk.publish("sport.a", "goal")
    room.desk.publish("news", "one")
    client = room.open(by=Principal(alice.account, token=token), asker="Alice")
    events = client.take(2)
    assert [event.data for event in events] == ["goal", "one"]

    def unread() -> dict[str, int]:
        return {row.topic: row.unread for row in room.desk.subscriptions_of("Alice", alice)}

    wait_until(lambda: unread() == {"news": 0, "pay": 1, "sport.>": 2})
    shown = event_ids.parse(events[-1].id)
    room.open(by=Principal(alice.account, token=token), asker="Alice", event_id=shown, ack="client")
    room.hub.stop(PATIENCE_SECONDS)
    assert unread() == {"news": 0, "pay": 1, "sport.>": 2}


def test_what_is_published_in_the_commit_of_a_revocation_is_not_sent(room: Newsroom) -> None:
    alice = signed_up(room, "Alice", "news")
    client = room.open(by=alice, asker="Alice")
    with room.desk.lock:
        room.desk.submit_access(RevokeGrant("Alice", "subscribe", "news"))
        room.desk.publish("news", "not for Alice")
    assert client.last_words() == notices.NO_RIGHTS


@pytest.mark.parametrize("what", ["user", "token", "password", "session"])
def test_a_stream_ends_when_what_it_was_asked_for_with_does(room: Newsroom, what: str) -> None:
    alice = signed_up(room, "Alice", "news")
    room.desk.submit_access(SetPassword("Alice", "$1"), CreateToken("Alice", DIGEST))
    accounts = room.desk.state.accounts
    by_token, other = (Principal(alice.account, token=name) for name in (*accounts.tokens, "")[:2])
    by_password = Principal(alice.account, password=accounts.password_of(alice.account), session="s")
    client = room.open(by=by_token if what == "token" else by_password, asker="Alice")
    stays = room.open(by=other, asker="Alice")
    room.desk.submit_access(
        {
            "user": RemoveUser("Alice"),
            "token": RevokeToken(by_token.token),
            "password": SetPassword("Alice", "$2"),
            "session": EndSession("s", alice.account),
        }[what]
    )
    assert client.last_words() == notices.NO_RIGHTS
    if what != "user":
        room.desk.publish("news", "one")
        assert stays.data(1) == ["one"]


def test_what_everybody_may_read_changes_for_all_streams(room: Newsroom) -> None:
    people = [signed_up(room, name) for name in ("Alice", "Bob")]
    room.desk.submit_access(AddGrant("*", "subscribe", "news"))
    for name, by in zip(("Alice", "Bob"), people, strict=True):
        room.desk.subscribe(name, "news", account=by.account)
    clients = [room.open(name, by=by, asker=name) for name, by in zip(("Alice", "Bob"), people, strict=True)]
    room.desk.publish("news", "one")
    assert [client.data(1) for client in clients] == [["one"]] * 2
    room.desk.submit_access(RevokeGrant("*", "subscribe", "news"))
    assert [client.last_words() for client in clients] == [notices.NO_RIGHTS] * 2


def test_an_admin_who_reads_for_another_depends_on_both(room: Newsroom) -> None:
    alice = signed_up(room, "Alice", "news")
    room.desk.submit_access(AddUser("root", admin=True), AddUser("another", admin=True))
    root = Principal(room.desk.state.accounts.account_of("root"))
    client, own = room.open(by=root, asker="root"), room.open(by=alice, asker="Alice")
    room.desk.publish("news", "one")
    assert client.data(1) == own.data(1) == ["one"]
    room.desk.submit_access(RemoveUser("root"))
    assert client.last_words() == notices.NO_RIGHTS
    room.desk.publish("news", "two")
    assert own.data(1) == ["two"]


def test_acknowledgements_are_for_the_account(room: Newsroom) -> None:
    alice = signed_up(room, "Alice", "news")
    client = room.open(by=alice, asker="Alice")
    room.desk.publish("news", "one")
    assert client.data(1) == ["one"]
    wait_until(lambda: any(ack.account == alice.account for acks in room.desk.posts for ack in acks))
    assert [row.unread for row in room.desk.subscriptions_of("Alice", alice)] == [0]
