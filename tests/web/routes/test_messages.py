"""GET /messages and GET /topics."""

from __future__ import annotations

import json
from typing import Any

import pytest

from newswire.core import limits
from newswire.core.model import event_ids
from tests.kit.web_fakes import NOW, Web


@pytest.fixture
def web() -> Web:
    web = Web()
    web.post("/publish?topic=Google&data=before")
    web.post("/subscribe?username=Alice&topic=Google")
    web.post("/subscribe?username=Alice&topic=finance.*")
    for number in range(5):
        web.engine.now = NOW + number * 60
        web.post(f"/publish?topic=Google&data=g{number}")
        web.post(f"/publish?topic=finance.eu&data=f{number}&title=T&priority=2&tags=a&click=https://a/")
        web.post(f"/publish?topic=Other&data=o{number}")
    web.engine.now = NOW + 300
    web.engine.tick()  # it hears of the other one: an old word is not believed
    return web


def _texts(web: Web, query: str) -> tuple[list[str], bool]:
    page: Any = web.get(f"/messages?username=Alice{query}")
    return [message["data"] for message in page["messages"]], page["more"]


def test_what_is_unread_in_order_and_with_all_fields(web: Web) -> None:
    page: Any = web.get("/messages?username=Alice&limit=2")
    assert page["more"] is True
    first, second = page["messages"]
    assert {k: v for k, v in first.items() if k not in ("id", "event_id")} == {
        "topic": "Google", "data": "g0", "time": "2026-11-24T10:00:00.000Z",
    }  # fmt: skip
    assert (second["title"], second["priority"], second["tags"], second["click"]) == ("T", 2, ["a"], "https://a/")
    place = event_ids.parse(first["event_id"])
    assert place is not None
    assert place.of_page
    assert str(place).startswith(f"p~{first['id']}~")


def test_page_after_page_gives_everything_once(web: Web) -> None:
    whole, more = _texts(web, "")
    assert (whole, more) == ([text for n in range(5) for text in (f"g{n}", f"f{n}")], False)
    for limit in (1, 3, 5, 10):
        seen: list[str] = []
        since, more = "", True
        while more:
            page: Any = web.get(f"/messages?username=Alice&limit={limit}{since}")
            assert 0 < len(page["messages"]) <= limit
            seen += [message["data"] for message in page["messages"]]
            since, more = f"&since={page['messages'][-1]['event_id']}", page["more"]
        assert seen == whole


def test_more_is_said_only_of_what_is_there(web: Web) -> None:
    assert _texts(web, "&limit=10")[1] is False
    assert _texts(web, "&limit=9")[1] is True
    assert _texts(web, "&topic=Google&limit=5") == (["g0", "g1", "g2", "g3", "g4"], False)


def test_since(web: Web) -> None:
    assert _texts(web, "&topic=Google&since=earliest")[0] == ["before", "g0", "g1", "g2", "g3", "g4"]
    assert _texts(web, "&topic=Google&since=2m")[0] == ["g3", "g4"]
    assert _texts(web, "&topic=Google&since=2026-11-24T10:03:00Z")[0] == ["g3", "g4"]
    place = web.engine.place()
    assert _texts(web, f"&since={place}") == ([], False)
    assert _texts(web, "&topic=finance.*&since=earliest")[0] == [f"f{n}" for n in range(5)]
    assert _texts(web, "&topic=finance.eu&since=earliest")[0] == [f"f{n}" for n in range(5)]


def test_a_page_has_a_limit_in_bytes(web: Web) -> None:
    for _ in range(70):
        web.post("/publish", json={"topic": "Google", "data": "x" * limits.MESSAGE_BYTES})
    texts, more = _texts(web, "&limit=1000")
    assert more
    assert limits.PAGE_BYTES <= sum(map(len, texts)) <= limits.PAGE_BYTES + limits.MESSAGE_BYTES + 100


@pytest.mark.parametrize(
    ("query", "code", "word"),
    [
        ("", "missing-field", "`username`"),
        ("username=Al%20ice", "bad-username", "letters"),
        ("username=Alice&limit=0", "bad-field", "`limit`"),
        ("username=Alice&limit=1001", "bad-field", "1000"),
        ("username=Alice&limit=ten", "bad-field", "`limit`"),
        ("username=Alice&since=then", "bad-time", "event id"),
        ("username=Alice&since=now", "bad-time", "event id"),
        ("username=Alice&since=1001-m1.5", "bad-event-id", "`event_id`"),
        ("username=Alice&topic=a.", "bad-pattern", "levels"),
        ("username=Alice&topic=Other", "no-subscription", "Other"),
        ("username=Alice&form=x", "unknown-field", "`form`"),
        ("usernam=Alice", "unknown-field", "perhaps `username` is meant"),
        ("username=Gita", "not-registered", "subscribe first"),
        ("username=Gita&topic=Google", "not-registered", "subscribe first"),
    ],
)
def test_refused(web: Web, query: str, code: str, word: str) -> None:
    assert word in str(web.get(f"/messages?{query}", code))


def test_somebody_unknown_while_a_broker_is_away(web: Web) -> None:
    web.engine.change_view(all_in_sync=False)
    assert "may know better" in str(web.get("/messages?username=Gita", "unavailable"))


def test_topics(web: Web) -> None:
    assert web.get("/topics") == [
        {"topic": "Google", "messages": 6, "last": "2026-11-24T10:04:00.000Z"},
        {"topic": "Other", "messages": 5, "last": "2026-11-24T10:04:00.000Z"},
        {"topic": "finance.eu", "messages": 5, "last": "2026-11-24T10:04:00.000Z"},
    ]
    web.get("/topics?username=Alice", "unknown-field")
    assert Web().get("/topics") == []


def test_a_large_page_gives_way_between_its_steps(web: Web) -> None:
    web.post("/subscribe", data={"username": "Reader", "topic": "many"})
    line = b'{"topic": "many", "data": "x"}\n'
    web.post("/publish", data=line * limits.PAGE_MESSAGES, headers={"Content-Type": "application/x-ndjson"})
    before = web.gave_way
    page = web.get(f"/messages?username=Reader&limit={limits.PAGE_MESSAGES}")
    assert len(page["messages"]) == limits.PAGE_MESSAGES  # type: ignore[index, call-overload]
    assert web.gave_way - before >= 2 * (limits.PAGE_MESSAGES // limits.STEP_MESSAGES)


def test_a_page_says_what_it_cannot_show(web: Web) -> None:
    state = web.engine.shell.broker.state
    row = [row for row, topic in enumerate(state.log.topics) if state.messages.names[topic] == "Google"][3]
    state.holes.miss(row)
    page: Any = web.get("/messages?username=Alice")
    assert ([message["data"] for message in page["messages"]], page["more"]) == (["g0", "f0", "g1", "f1"], False)
    told = [{"topic": topic, "dropped": 3, "reason": "waiting"} for topic in ("Google", "finance.eu")]
    assert page["gaps"] == told


def test_a_list_of_many_topics_gives_way_between_its_parts(web: Web) -> None:
    batch = "\n".join(f'{{"topic":"t{number}","data":"x"}}' for number in range(4 * limits.PIECE_TOPICS))
    web.client.post("/publish", data=batch, content_type="application/x-ndjson")
    web.gave_way = 0
    rows: Any = web.get("/topics")
    assert len(rows) == 4 * limits.PIECE_TOPICS + 3
    assert web.gave_way >= 4


# -- back through what was said


def test_before_gives_the_newest_first_page_after_page(web: Web) -> None:
    whole = ["f4", "g4", "f3", "g3", "f2", "g2", "f1", "g1", "f0", "g0", "before"]
    for limit in (1, 4, 11, 20):
        seen: list[str] = []
        before, more = "now", True
        while more:
            page: Any = web.get(f"/messages?username=Alice&limit={limit}&before={before}")
            seen += [message["data"] for message in page["messages"]]
            before, more = page.get("next"), page["more"]
            assert (before is not None) is more
        assert seen == whole
    assert _texts(web, "&before=2m&topic=Google") == (["g2", "g1", "g0", "before"], False)
    assert _texts(web, "&before=2m&since=4m&topic=Google") == (["g2", "g1"], False)


def test_search_finds_what_has_all_words_in_any_of_its_parts(web: Web) -> None:
    web.post("/publish?topic=Google&data=Größe%20Nord&title=Wort&tags=chip")
    assert _texts(web, "&q=GRÖSSE%20wort%20chip%20goog")[0] == ["Größe Nord"]
    assert _texts(web, "&q=f&topic=finance.*")[0] == ["f4", "f3", "f2", "f1", "f0"]
    assert _texts(web, "&q=f&since=3m") == (["f4", "f3", "f2"], False)
    assert _texts(web, "&q=o0") == ([], False), "of a topic without a subscription"
    assert web.get("/messages?username=Alice&q=%20", code="bad-field")


def test_a_search_looks_at_a_bounded_count_of_messages_and_says_where_to_go_on(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SEARCH_MESSAGES", 4)
    monkeypatch.setattr(limits, "STEP_MESSAGES", 2)
    found: list[str] = []
    pages, before = 0, "now"
    while before:
        page: Any = web.get(f"/messages?username=Alice&q=before&before={before}")
        found += [message["data"] for message in page["messages"]]
        pages, before = pages + 1, page.get("next", "")
    assert (found, pages) == (["before"], 3), "of eleven messages"


def test_the_place_to_go_on_from_is_no_place_of_a_stream(web: Web) -> None:
    page: Any = web.get("/messages?username=Alice&limit=1&before=now")
    place = event_ids.parse(page["next"])
    assert place is not None
    assert place.of_page
    assert web.get("/messages?username=Alice&before=1001-a.7", code="bad-event-id")
    assert web.get("/messages?username=Alice&before=soon", code="bad-time")


def _publish(web: Web, data: str, code: str = "", **fields: str) -> Any:
    told: Any = web.post("/publish", code, json={"topic": "Google", "data": data, **fields})
    return told if code else told["id"]


def test_only_the_newer_message_is_read_and_it_says_what_it_replaces(web: Web) -> None:
    first = _publish(web, "soon")
    second = _publish(web, "now", replaces=first)
    third = _publish(web, "over", replaces=second, key="k")
    assert _publish(web, "over", replaces=second, key="k") == third  # a retry is the same message
    page: Any = web.get("/messages?username=Alice&since=1m")
    assert [(one["data"], one.get("replaces"), one.get("original")) for one in page["messages"][-1:]] == [
        ("over", second, first)
    ]
    assert {"soon", "now"}.isdisjoint(one["data"] for one in page["messages"])
    assert "was replaced by" in _publish(web, "late", "replaced", replaces=first)
    assert "is on Google" in str(web.post("/publish", "bad-field", json={"topic": "x", "data": "x", "replaces": third}))
    _publish(web, "x", "no-message", replaces="1001-x.7")
    _publish(web, "x", "bad-field", replaces="x")


def test_what_is_withdrawn_is_told_once_to_whoever_reads_on(web: Web) -> None:
    first = _publish(web, "soon")
    second = _publish(web, "now", replaces=first)
    before: Any = web.get("/messages?username=Alice&since=earliest")
    for _ in range(2):  # again: nothing is stored
        response = web.client.delete(f"/messages/{second}")
        assert (response.status_code, response.get_json()) == (200, {"message": f"Withdrew message {second}"})
    told = [{"topic": "Google", "id": second, "original": first}]
    for since in ("earliest", before["messages"][-1]["event_id"]):
        page: Any = web.get(f"/messages?username=Alice&since={since}")
        assert page["withdrawn"] == told
        assert second not in [one["id"] for one in page["messages"]]
    assert "withdrawn" not in web.get("/messages?username=Alice&topic=finance.eu")  # type: ignore[operator]
    codes = [(web.client.delete(f"/messages/{name}")).get_json()["code"] for name in (first, "1001-x.7", "x")]
    assert codes == ["replaced", "no-message", "bad-field"]


def test_what_is_withdrawn_is_in_no_count(web: Web) -> None:
    before = web.get("/topics"), web.get("/subscriptions?username=Alice")
    web.client.delete(f"/messages/{_publish(web, 'soon')}")
    assert (web.get("/topics"), web.get("/subscriptions?username=Alice")) == before


@pytest.mark.parametrize("field", ["topic=Google", "before=now", "q=words"])
def test_all_that_waits_is_listed_and_no_selection_of_it(web: Web, field: str) -> None:
    assert "leave `topic`" in str(web.get(f"/messages?scheduled=1&{field}", "bad-field"))


def test_a_list_of_what_waits_ends_where_its_texts_are_long(web: Web) -> None:
    lines = "\n".join([json.dumps({"topic": "Google", "data": "x" * 60_000, "delay": "1h"})] * 8)
    for _ in range(10):
        web.post("/publish", data=lines, headers={"Content-Type": "application/x-ndjson"})
    page: Any = web.get("/messages?scheduled=1&limit=1000")
    assert page["more"] is True
    assert limits.PAGE_BYTES < sum(len(message["data"]) for message in page["messages"]) < limits.PAGE_BYTES + 60_001
    others: Any = web.get(f"/messages?scheduled=1&limit=1000&since={page['next']}")
    assert others["more"] is False
    assert len({message["id"] for part in (page, others) for message in part["messages"]}) == 80


def test_a_list_of_what_waits_goes_on_where_it_ended(web: Web) -> None:
    names = [
        web.post(f"/publish?topic=Google&data=x{at}&delay={delay}")["id"] for at, delay in enumerate(("3h", "1h", "1h", "2h"))
    ]  # type: ignore[index,call-overload]
    order = [names[1], names[2], names[3], names[0]]
    seen: list[str] = []
    page: Any = web.get("/messages?scheduled=1&limit=1")
    while True:
        seen += [message["id"] for message in page["messages"]]
        if not page["more"]:
            break
        web.ask("DELETE", f"/messages/{seen[-1]}")  # what was listed last need not be there
        page = web.get(f"/messages?scheduled=1&limit=1&since={page['next']}")
    assert seen == order
    assert "next" not in page


@pytest.mark.parametrize("place", ["1h", "earliest", "~", "17~", "17~x", "~1001-a.7", "1" * 40 + "~1001-a.7", "x" * 1000])
def test_a_list_of_what_waits_goes_on_at_its_own_places_alone(web: Web, place: str) -> None:
    assert "`next`" in str(web.get(f"/messages?scheduled=1&since={place}", "bad-event-id"))


def test_what_waits_is_listed_withdrawn_and_published_in_time(web: Web) -> None:
    answer: Any = web.post("/publish?topic=Google&data=later&title=T&delay=1h")
    assert answer["due"].startswith("2026-11-24T11:05:00")
    assert answer["message"] == f"Scheduled topic Google data later for {answer['due']}"
    other: Any = web.post("/publish?topic=Google&data=sooner&at=2026-11-24T10:35:00Z")
    page: Any = web.get("/messages?scheduled=1")
    assert [message["data"] for message in page["messages"]] == ["sooner", "later"]
    assert page["messages"][1] == {
        "id": answer["id"], "topic": "Google", "data": "later", "title": "T", "due": answer["due"],
        "time": page["messages"][1]["time"],
    }  # fmt: skip
    assert web.get("/messages?scheduled=1&limit=1")["more"] is True  # type: ignore[index,call-overload]
    assert "later" not in _texts(web, "")[0]
    web.ask("DELETE", f"/messages/{other['id']}")
    web.engine.tick()
    web.engine.now += 3_601
    for _ in range(3):
        web.engine.tick()
    assert "later" in _texts(web, "")[0]
    assert "sooner" not in _texts(web, "")[0]
    assert web.get("/messages?scheduled=1")["messages"] == []  # type: ignore[index,call-overload]
