"""Who a client says it is, and that nobody else is told."""

from __future__ import annotations

import base64
import logging
import traceback
from pathlib import Path

import pytest

from newswire.client import BrokerPool, Subscriber
from newswire.client.credential import basic, bearer, token_of
from newswire.errors import BadRequest, Forbidden, NotRegistered, Unauthenticated
from tests.kit.client_fakes import FakeBroker, FakeTime, Reply, problem, publisher, stored, subscriber

TOKEN, PASSWORD = "nw_tellnobody", "Pässword:1"


def test_the_environment_names_a_token_or_its_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(b"\xef\xbb\xbf nw_1\n")
    file.chmod(0o600)
    assert token_of({}) is None
    assert token_of({"NEWSWIRE_TOKEN": " "}) is None
    assert token_of({"NEWSWIRE_TOKEN": "nw_2"}) == "nw_2"
    assert token_of({"NEWSWIRE_TOKEN_FILE": str(file)}) == "nw_1"
    with pytest.raises(BadRequest, match="both set"):
        token_of({"NEWSWIRE_TOKEN": "nw_2", "NEWSWIRE_TOKEN_FILE": str(file)})
    file.chmod(0o644)
    with pytest.raises(BadRequest, match=f"chmod 600 {file}"):
        token_of({"NEWSWIRE_TOKEN_FILE": str(file)})
    file.chmod(0o600)
    file.write_text("\n")
    with pytest.raises(BadRequest, match="blank"):
        token_of({"NEWSWIRE_TOKEN_FILE": str(file)})
    file.write_bytes(b"\xff")
    with pytest.raises(BadRequest, match="UTF-8"):
        token_of({"NEWSWIRE_TOKEN_FILE": str(file)})
    with pytest.raises(BadRequest, match="cannot read the token from"):
        token_of({"NEWSWIRE_TOKEN_FILE": str(tmp_path / "none")})


def test_a_token_that_is_put_into_its_file_later_is_shown_from_then_on(
    a: FakeBroker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A program runs for a year, and its token does not."""
    file = tmp_path / "token"

    def put(text: str, mode: int = 0o600) -> None:
        new = tmp_path / "new"
        new.write_text(text)
        new.chmod(mode)
        new.replace(file)

    put("nw_1")
    monkeypatch.setenv("NEWSWIRE_TOKEN_FILE", str(file))
    a.on("POST", "/publish", lambda asked: stored())
    with publisher(FakeTime(), a) as p:
        p.publish("Google", "Hello")
        for text, mode in (("nw_2\n", 0o600), ("", 0o600), ("nw_3", 0o644), ("no token", 0o600)):
            put(text, mode)
            p.publish("Google", "Hello")
        file.unlink()
        p.publish("Google", "Hello")
        put("nw_4")
        p.publish("Google", "Hello")
    shown = [asked.headers["authorization"] for asked in a.came("POST", "/publish")]
    assert shown == [f"Bearer nw_{number}" for number in (1, 2, 2, 2, 2, 2, 4)]


@pytest.mark.parametrize("token", ["", " ", "a b", "a\r\nb", "tökén", "a\0b"])
def test_what_can_be_no_token_is_refused_without_a_word_of_it(token: str) -> None:
    with pytest.raises(BadRequest) as refused:
        bearer(token)
    assert token not in str(refused.value) or not token.strip()


def test_a_password_goes_as_basic_and_a_token_as_bearer(a: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSWIRE_TOKEN", "nw_environment")
    a.on("POST", "/publish", lambda asked: stored())
    for more in ({}, {"token": TOKEN}, {"user": "Ann", "password": PASSWORD}):
        with publisher(FakeTime(), a, **more) as p:
            p.publish("Google", "Hello")
    environment, token, pair = [asked.headers["authorization"] for asked in a.came("POST", "/publish")]
    assert environment == "Bearer nw_environment"
    assert token == f"Bearer {TOKEN}"
    assert base64.b64decode(pair.removeprefix("Basic ")).decode() == f"Ann:{PASSWORD}"


def test_a_subscriber_without_a_name_is_whoever_the_credential_says(a: FakeBroker) -> None:
    a.on("GET", "/subscriptions", lambda asked: Reply([]))
    a.on("POST", "/subscribe", lambda asked: Reply({"message": "Successfully subscribed Ann to topic t"}))
    with Subscriber(a.address, token=TOKEN) as s:
        assert (s.subscriptions(), s.subscribe("t")) == ([], "Successfully subscribed Ann to topic t")
    assert [asked.query for asked in a.came("GET", "/subscriptions")] == [{}]
    assert [asked.form for asked in a.came("POST", "/subscribe")] == [{"topic": "t"}]
    with Subscriber(a.address, "Ann", password=PASSWORD) as s:
        s.subscriptions()
    assert a.came("GET", "/subscriptions")[-1].headers["authorization"].startswith("Basic ")
    with pytest.raises(TypeError, match="`username` is None"):
        Subscriber(a.address)


def test_a_stream_without_a_name_asks_for_none(a: FakeBroker) -> None:
    a.on("GET", "/stream", lambda asked: problem(403, "not-registered"))
    with Subscriber(a.address, token=TOKEN) as s, s.stream() as stream, pytest.raises(NotRegistered):
        next(stream)
    assert a.came("GET", "/stream")[0].query == {"format": "json", "ack": "client", "follow": "1"}


def test_401_says_what_to_do_by_what_was_sent(a: FakeBroker) -> None:
    a.on("POST", "/publish", lambda asked: problem(401, "unauthenticated", "Authorization: Bearer is missing"))
    for more, words, sent in (
        ({}, "set NEWSWIRE_TOKEN", "nothing"),
        ({"token": TOKEN}, "do not take this token", "token"),
        ({"user": "Ann", "password": PASSWORD}, "name and password", "password"),
    ):
        with publisher(FakeTime(), a, **more) as p, pytest.raises(Unauthenticated, match=words) as refused:
            p.publish("Google", "Hello")
        assert refused.value.extra["sent"] == sent
    assert len(a.came("POST", "/publish")) == 3, "no broker says anything else, so none is asked again"


def test_403_is_what_the_broker_says(a: FakeBroker) -> None:
    sentence = "Ann may not publish to Google: an admin can grant it"
    a.on("POST", "/publish", lambda asked: problem(403, "forbidden", sentence))
    with publisher(FakeTime(), a, token=TOKEN) as p, pytest.raises(Forbidden) as refused:
        p.publish("Google", "Hello")
    assert refused.value.detail == sentence


def test_a_stream_whose_token_is_revoked_ends_with_the_reason(a: FakeBroker) -> None:
    a.on("GET", "/stream", lambda asked: problem(401, "unauthenticated"))
    with subscriber(FakeTime(), a, token=TOKEN) as s, s.stream() as stream, pytest.raises(Unauthenticated, match="revoked"):
        next(stream)


def test_no_credential_in_texts_addresses_or_logs(a: FakeBroker, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in a repr, an error with its traceback and what it holds, a URL, or what is logged at any level."""
    caplog.set_level(logging.DEBUG)
    a.on("POST", "/publish", lambda asked: problem(401, "unauthenticated"))
    a.on("GET", "/stream", lambda asked: None)
    texts = [repr(bearer(TOKEN)), repr(basic("Ann", PASSWORD)), str(bearer(TOKEN))]
    encoded = base64.b64encode(f"Ann:{PASSWORD}".encode()).decode()
    for more in ({"token": TOKEN}, {"user": "Ann", "password": PASSWORD}):
        pool = BrokerPool(a.address, **more)
        texts += [repr(pool), repr(pool.transport), pool.url_for("/stream", {"username": "Ann"}), repr(vars(pool))]
        with publisher(FakeTime(), a, **more) as p, pytest.raises(Unauthenticated) as refused:
            p.publish("Google", "Hello")
        texts += ["".join(traceback.format_exception(refused.value)), repr(refused.value.problem()), repr(vars(p))]
    for asked in a.came("POST", "/publish"):
        texts += [asked.path, repr(asked.query), asked.body.decode()]
    texts += [record.getMessage() for record in caplog.records]
    for secret in (TOKEN, PASSWORD, encoded):
        assert not [text for text in texts if secret in text]
    with pytest.raises(BadRequest) as bad:
        BrokerPool(a.address, token=f"{TOKEN} x")
    assert TOKEN not in str(bad.value)
