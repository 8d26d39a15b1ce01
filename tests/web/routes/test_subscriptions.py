"""/subscribe, /unsubscribe, /subscriptions and /ack."""

from __future__ import annotations

import pytest

from newswire.config import Settings
from newswire.core.model.commands import Acknowledge, Subscribe
from newswire.web import times
from tests.kit.web_fakes import NOW, Web


@pytest.fixture
def web() -> Web:
    return Web()


def test_subscribe_in_every_form_and_again(web: Web) -> None:
    told = {"message": "Successfully subscribed Alice to topic Google"}
    assert web.post("/subscribe?username=Alice&topic=Google") == told
    assert web.post("/subscribe", data={"username": "Alice", "topic": "Google"}) == told
    assert web.post("/subscribe", json={"username": "Alice", "topic": "Google", "from": "now"}) == told
    assert web.post("/subscribe?username=Alice", json={"topic": "Google"}) == told
    assert web.engine.submitted == [Subscribe("Alice", "Google")] * 4
    assert web.post("/subscribe?username=bob@x.org&topic=finance.*.eu") == {
        "message": "Successfully subscribed bob@x.org to topic finance.*.eu"
    }


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("now", None),
        ("earliest", 0),
        ("10m", NOW - 600),
        ("1h30m", NOW - 5400),
        ("2d", NOW - 172_800),
        ("1w1s", NOW - 604_801),
        ("0s", NOW),
        ("999999999w", 0),
        ("2026-11-24T09:00:00Z", NOW - 3600),
        ("2026-11-24t09:00:00.25z", NOW - 3599.75),
        ("2026-11-24T09:00:00.123456789Z", NOW - 3599.877),
        ("2026-11-24 10:00:00+01:00", NOW - 3600),
        ("2026-11-24T10:00:00 01:00", NOW - 3600),  # a plus that nobody escaped
        ("2026-11-24T08:00:00-01:00", NOW - 3600),
        ("1960-01-01T00:00:00Z", 0),
        ("2026-11-24T10:01:00Z", NOW + 60),  # a clock that is a little ahead
    ],
)
def test_from(web: Web, text: str, since: float | None) -> None:
    web.post("/subscribe", json={"username": "Alice", "topic": "t", "from": text})
    assert web.engine.submitted == [Subscribe("Alice", "t", None if since is None else round(since * 1000))]


@pytest.mark.parametrize(
    "text",
    ["yesterday", "", " ", "10", "-5m", "5m1h", "1.5h", "10M", "2026-11-24", "2026-11-24T10:00:00", "2026-13-24T10:00:00Z",
     "2026-02-30T10:00:00Z", "2026-11-24T24:00:00Z", "0000-01-01T00:00:00Z", "1795514400", "٣m", "9" * 5000 + "s", "now ",
     "2026-11-24T10:00:00." + "1" * 100 + "Z", "2026-11-24T10:00:00+99:00"],
)  # fmt: skip
def test_from_that_is_no_time_names_the_forms(web: Web, text: str) -> None:
    detail = web.post("/subscribe", "bad-time", json={"username": "Alice", "topic": "t", "from": text})
    assert "`earliest`" in str(detail)
    assert "1h30m" in str(detail)


def test_a_time_to_come_is_refused(web: Web) -> None:
    assert "past" in str(web.post("/subscribe?username=Alice&topic=t&from=2027-11-24T09:00:00Z", "bad-time"))
    assert times.moment("2026-11-24T10:00:00Z", NOW) == NOW * 1000


@pytest.mark.parametrize("path", ["/subscribe", "/unsubscribe"])
@pytest.mark.parametrize(
    ("query", "code", "word"),
    [
        ("topic=t", "missing-field", "`username`"),
        ("username=Alice", "missing-field", "`topic`"),
        ("username=&topic=t", "bad-username", "username"),
        ("username=A+B&topic=t", "bad-username", "letters"),
        (f"username={'a' * 65}&topic=t", "bad-username", "64"),
        ("username=Alice&topic=", "bad-pattern", "empty"),
        ("username=Alice&topic=a.>.b", "bad-pattern", "`>`"),
        ("username=Alice&topic=a*", "bad-pattern", "`*`"),
        ("username=Alice&topic=t&topic=u", "double-field", "`topic`"),
        ("username=Alice&topic=t&user=x", "unknown-field", "`user`"),
    ],
)
def test_refused(web: Web, path: str, query: str, code: str, word: str) -> None:
    web.post("/subscribe?username=Alice&topic=t")
    assert word in str(web.post(f"{path}?{query}", code))
    assert word in str(web.post(path, code, data=query.encode(), headers={"Content-Type": "application/x-www-form-urlencoded"}))


def test_names_must_be_text(web: Web) -> None:
    assert "quotes" in str(web.post("/subscribe", "bad-field", json={"username": 7, "topic": "t"}))
    assert "quotes" in str(web.post("/subscribe", "bad-field", json={"username": "Alice", "topic": ["t"]}))


def test_unsubscribe(web: Web) -> None:
    web.post("/subscribe?username=Alice&topic=Google")
    told = {"message": "Successfully unsubscribed Alice from topic Google"}
    assert web.post("/unsubscribe?username=Alice&topic=Google") == told
    web.post("/unsubscribe?username=Alice&topic=Google", "no-subscription")


def test_one_subscription_too_many(web: Web) -> None:
    web = Web(Settings(subscriptions_per_user=2))
    for topic in ("a", "b", "a"):
        web.post(f"/subscribe?username=Alice&topic={topic}")
    detail = web.post("/subscribe?username=Alice&topic=c", "too-many")
    assert "2 subscriptions" in str(detail)
    response = web.client.post("/subscribe?username=Alice&topic=c")
    assert (response.status_code, response.headers["Retry-After"]) == (429, "10")
    web.post("/subscribe?username=Bob&topic=c")


def test_subscriptions(web: Web) -> None:
    assert web.get("/subscriptions?username=Alice") == []
    web.post("/subscribe?username=Alice&topic=Google")
    web.post("/publish?topic=Google&data=x")
    row = {"topic": "Google", "since": "2026-11-24T10:00:00.000Z", "index": 0, "unread": 1}
    assert web.get("/subscriptions?username=Alice") == [row]
    web.get("/subscriptions", "missing-field")
    web.get("/subscriptions?username=A/B", "bad-username")
    web.get("/subscriptions?username=Alice&topic=x", "unknown-field")


# -- /ack ---------------------------------------------------------------------------------------------------------
def test_who_lacks_messages_counts_none_and_goes_on_to_take_what_is_said(web: Web) -> None:
    web.engine.change_view(why_behind="the disk of this broker is full, and 1002 has what finds no room here")
    assert "1002 has what finds no room here" in str(web.get("/subscriptions?username=Alice", "not-ready"))
    web.post("/subscribe?username=Alice&topic=Google")


def test_ack_moves_the_cursor(web: Web) -> None:
    web.post("/subscribe?username=Alice&topic=Google")
    web.post("/publish?topic=Google&data=x")
    place = web.engine.place()
    assert web.post(f"/ack?username=Alice&id={place}") == {"message": "Acknowledged for Alice", "moved": True}
    assert web.get("/subscriptions?username=Alice")[0]["unread"] == 0  # type: ignore[index]
    web.post("/ack", json={"username": "Alice", "id": place, "topic": "Google"})
    web.post("/ack", data={"username": "Alice", "id": place, "topic": "Google"})
    asked = [request for request in web.engine.submitted if isinstance(request, Acknowledge)]
    again = web.post(f"/ack?username=Alice&id={place}")
    assert again == {"message": "Acknowledged for Alice", "moved": False}, "it says what happened"
    assert [request.pattern for request in asked] == [None, "Google", "Google"]


@pytest.mark.parametrize("text", ["", "x", "e~", "e~~~", "57", "e~1001-a.1~1001-a.1~ ", "e" * 9000, "e~\x00~~"])
def test_ack_of_garbage(web: Web, text: str) -> None:
    web.post("/subscribe?username=Alice&topic=t")
    if text == "e~~~":  # readable: the place before everything
        web.post("/ack", json={"username": "Alice", "id": text})
    else:
        assert "not an event id" in str(web.post("/ack", "bad-event-id", json={"username": "Alice", "id": text}))


def test_ack_of_ids_that_are_no_event_ids_of_a_stream(web: Web) -> None:
    web.post("/subscribe?username=Alice&topic=t")
    assert "id of a message" in str(web.post("/ack?username=Alice&id=1001-m1.2", "bad-event-id"))
    assert "/messages" in str(web.post(f"/ack?username=Alice&id={web.engine.place(of_page=True)}", "bad-event-id"))
    web.post("/ack?username=Alice", "missing-field")
    web.post(f"/ack?id={web.engine.place()}", "missing-field")


def test_ack_of_somebody_unknown(web: Web) -> None:
    assert "subscribe first" in str(web.post(f"/ack?username=Gita&id={web.engine.place()}", "not-registered"))
    web.engine.change_view(all_in_sync=False)
    assert "may know better" in str(web.post(f"/ack?username=Gita&id={web.engine.place()}", "unavailable"))
    web.post("/subscribe?username=Alice&topic=t")
    web.post(f"/ack?username=Alice&topic=u&id={web.engine.place()}", "no-subscription")
    web.post(f"/ack?username=Alice&topic=&id={web.engine.place()}", "bad-pattern")
