"""What is asked and changed of people, tokens and rights: what is sent, and what comes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from newswire.client.access import AccessClient
from newswire.client.answers import NewToken
from newswire.errors import BadRequest, Forbidden, NewswireError, Refused
from tests.kit.client_fakes import FakeTime
from tests.kit.fake_broker import Fake


@pytest.fixture
def fake() -> Iterator[Fake]:
    made = Fake()
    yield made
    made.close()


@pytest.fixture
def client(fake: Fake) -> Iterator[AccessClient]:
    time = FakeTime()
    with AccessClient(fake.address, token="nw_1", clock=time.clock, sleep=time.sleep) as made:
        yield made


def test_users(fake: Fake, client: AccessClient) -> None:
    fake.answers["/users"] = (200, {"message": "Added user ann"})
    assert client.add_user("ann", "secret", admin=True) == "Added user ann"
    client.add_user("bot")
    fake.answers["GET /users"] = (200, [{"username": "ann", "admin": True, "since": "2026", "later": 1}])
    assert [(one.username, one.admin) for one in client.users()] == [("ann", True)]
    fake.answers["/users/a%40b"] = (200, {"message": "Removed user a@b"})
    assert client.remove_user("a@b") == "Removed user a@b"
    fake.answers["/users/ann/password"] = (200, {"message": "Set the password of ann"})
    assert client.set_password("ann", "new") == "Set the password of ann"
    assert fake.sent("/users") == [{"username": "ann", "password": "secret", "admin": "true"}, {"username": "bot"}, {}]
    assert fake.sent("/users/ann/password") == [{"password": "new"}]
    with pytest.raises(BadRequest):
        client.add_user("a/b")


def test_tokens(fake: Fake, client: AccessClient) -> None:
    fake.answers["/tokens"] = (200, {"id": "1001-a.7", "token": "nw_2"})
    made = client.create_token("bot", label="backup", expires=60, publish=["a", "b.>"], subscribe=[])
    assert (made.id, made.token, repr(made)) == ("1001-a.7", "nw_2", "NewToken(id='1001-a.7')")
    client.create_token()
    fake.answers["GET /tokens"] = (200, [{"id": "1001-a.7", "username": "bot", "publish": ["a"]}])
    (row,) = client.tokens("bot")
    assert (row.id, row.publish, row.subscribe) == ("1001-a.7", ("a",), None)
    fake.answers["/tokens/1001-a.7"] = (200, {"message": "Revoked token 1001-a.7"})
    assert client.revoke_token("1001-a.7") == "Revoked token 1001-a.7"
    first, second, third = fake.sent("/tokens")
    assert first == {"username": "bot", "label": "backup", "expires": "60", "publish": "a", "subscribe": ","}
    assert (second, third) == ({}, {"username": "bot"})


def test_grants_audit_and_me(fake: Fake, client: AccessClient) -> None:
    fake.answers["/grants"] = (200, {"message": "Granted ann publish on a.>"})
    assert client.grant("ann", "publish", "a.>") == "Granted ann publish on a.>"
    fake.answers["DELETE /grants"] = (200, {"message": "Revoked ann publish on a.>"})
    assert client.revoke("*", "publish", "a.>") == "Revoked ann publish on a.>"
    fake.answers["GET /grants"] = (200, [{"who": "ann", "verb": "publish", "topic": "a.>"}])
    assert [(one.who, one.verb, one.topic) for one in client.grants()] == [("ann", "publish", "a.>")]
    fake.answers["/audit"] = (200, [{"time": "2026", "who": "ann", "what": "signed-in"}])
    assert client.audit("2d", 5) == [{"time": "2026", "who": "ann", "what": "signed-in"}]
    fake.answers["/me"] = (200, {"username": "ann", "auth": "required", "grants": [{"verb": "publish", "topic": "a.>"}]})
    assert (client.me().username, client.me().grants[0].topic) == ("ann", "a.>")
    words = {"who": "ann", "verb": "publish", "topic": "a.>"}
    assert fake.sent("/grants") == [words, words | {"who": "*"}, {}]
    assert fake.sent("/audit") == [{"since": "2d", "limit": "5"}]
    assert set(fake.shown) == {"Bearer nw_1"}


def test_a_refusal_is_the_brokers_sentence(fake: Fake, client: AccessClient) -> None:
    fake.answers["/users"] = (403, {"code": "forbidden", "detail": "Ann is no admin"})
    with pytest.raises(Forbidden, match="Ann is no admin"):
        client.users()
    fake.answers["/users"] = (409, {"code": "id-in-use", "detail": "there is one"})
    with pytest.raises((Refused, Exception), match="there is one"):
        client.add_user("ann")


def test_what_a_try_without_an_answer_has_done_is_done(fake: Fake, client: AccessClient) -> None:
    lost = (502, {"detail": "a proxy's"})
    fake.answers["/users"] = [lost, (409, {"code": "user-exists", "detail": "there is one"})]
    assert client.add_user("ann") == "Added user ann"


def test_a_token_is_in_no_text() -> None:
    assert "nw_2" not in repr(NewToken("1", "nw_2"))


@pytest.mark.parametrize("id", ["", "..", "1001-a.7/x", "x?y"])
def test_what_is_no_id_is_no_part_of_an_address(id: str) -> None:
    with AccessClient("127.0.0.1:1") as client, pytest.raises(BadRequest, match="must be an id"):
        client.revoke_token(id)


def test_nobody_is_named_like_a_folder() -> None:
    with AccessClient("127.0.0.1:1") as client, pytest.raises(BadRequest, match="no user"):
        client.remove_user("..")


@pytest.mark.parametrize("strange", [{}, [], {"message": 7}])
def test_who_says_nothing_of_it_has_done_nothing(fake: Fake, client: AccessClient, strange: object) -> None:
    for path in ("/users/ann", "/grants", "/me"):
        fake.answers[path] = (200, strange)
    for ask in (lambda: client.remove_user("ann"), lambda: client.grant("ann", "publish", "a"), client.me):
        with pytest.raises(NewswireError, match="is no newswire broker"):
            ask()
