"""Several tabs of one browser: one stream for all of a user's, and turns where the browser's connections would run out."""

from __future__ import annotations

import pytest

from brokers import get, until
from tests.kit.asking import delivered
from tests.kit.processes import Pair
from tests.kit.windows import PATIENT, SECONDS, Hand, Window

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
Browser, BrowserContext, expect = sync_api.Browser, sync_api.BrowserContext, sync_api.expect

NO_LOCKS = "Object.defineProperty(Navigator.prototype, 'locks', { value: undefined })"
NO_STORAGE = "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('denied', 'SecurityError') } })"


def streams(pair: Pair) -> int:
    """How many streams the living brokers serve."""
    return sum(get(broker.address, "/readyz")["streams"] for broker in pair.living())


def wait_for_at_most_four(pair: Pair) -> None:
    """Wait until brokers serve no more streams than places: one that was left counts until its broker has seen that."""
    until("there are four streams at most", lambda: streams(pair) <= 4, SECONDS)


def open_tabs(context: BrowserContext, pair: Pair, count: int, user: str = "Alice") -> list[Window]:
    """Tabs of one user; the first leads, since it is live before the second opens."""
    made = [Window(context.new_page(), pair.first.address, user)]
    made[0].says("live at broker 1001")
    made += [Window(context.new_page(), pair.first.address, user) for _ in range(count - 1)]
    for window in made:
        window.says("live at broker 1001")
    return made


def test_the_seventh_tab_works(together: BrowserContext, pair: Pair, hand: Hand) -> None:
    hand.subscribe("Alice", "news")
    hand.publish("news", "before")
    tabs = open_tabs(together, pair, 7)
    assert streams(pair) == 1
    for number, tab in enumerate(tabs):
        tab.page.get_by_label("Message").fill(f"from {number}")
        tab.page.keyboard.press("Enter")
        tab.has("#said", "Stored on 2 brokers")
    wanted = ["before", *(f"from {number}" for number in range(7))]
    for tab in tabs:
        tab.shows(*wanted)
    delivered("Alice", pair.first)
    pair.first.kill9()
    for tab in tabs:
        tab.says("moved to broker 1002")
    hand.publish("news", "elsewhere")
    for tab in tabs:
        tab.shows(*wanted, "elsewhere")
    pair.first.start()
    for tab in tabs:
        tab.says("live at broker 1001")
    until("there is one stream", lambda: streams(pair) == 1, SECONDS)
    assert [tab.errors for tab in tabs] == [[]] * 7


@pytest.mark.parametrize("without", ["", NO_LOCKS])
def test_the_tab_that_leads_closes(together: BrowserContext, pair: Pair, hand: Hand, without: str) -> None:
    together.add_init_script(without)
    hand.subscribe("Alice", "news")
    tabs = open_tabs(together, pair, 3)
    assert streams(pair) == 1
    hand.publish("news", "one")
    for tab in tabs:
        tab.shows("one")
    tabs[0].page.close()
    for text in ("two", "three"):
        hand.publish("news", text)
    for tab in tabs[1:]:
        tab.shows("one", "two", "three")
    delivered("Alice", pair.first)
    late = Window(together.new_page(), pair.first.address, "Alice")
    late.shows("one", "two", "three")
    until("there is one stream", lambda: streams(pair) == 1, SECONDS)


def test_the_tab_that_leads_crashes(tabs: BrowserContext, pair: Pair, hand: Hand) -> None:
    hand.subscribe("Alice", "news")
    first, second = open_tabs(tabs, pair, 2)
    hand.publish("news", "one")
    second.shows("one")
    with pytest.raises(sync_api.Error):
        first.page.goto("chrome://crash")
    hand.publish("news", "two")
    second.shows("one", "two")
    second.says("live at broker 1001")
    delivered("Alice", pair.first)


def test_the_tab_that_leads_freezes_and_thaws(tabs: BrowserContext, pair: Pair, hand: Hand) -> None:
    """A browser freezes tabs that nobody looks at; a phone freezes all of them."""
    hand.subscribe("Alice", "news")
    first, second = open_tabs(tabs, pair, 2)
    second.page.bring_to_front()
    hand.publish("news", "one")
    second.shows("one")
    life = tabs.new_cdp_session(first.page)
    life.send("Page.setWebLifecycleState", {"state": "frozen"})
    hand.publish("news", "two")
    second.shows("one", "two")
    delivered("Alice", pair.first)
    hand.publish("news", "three")
    second.shows("one", "two", "three")
    life.send("Page.setWebLifecycleState", {"state": "active"})
    first.page.bring_to_front()
    first.shows("one", "two", "three")
    hand.publish("news", "four")
    first.shows("one", "two", "three", "four")
    second.shows("one", "two", "three", "four")
    assert first.errors == second.errors == []


def test_the_tab_that_leads_hangs(tabs: BrowserContext, pair: Pair, hand: Hand) -> None:
    """It says nothing any more, and keeps its lock: another takes it away."""
    hand.subscribe("Alice", "news")
    first, second = open_tabs(tabs, pair, 2)
    second.page.bring_to_front()
    tabs.new_cdp_session(first.page).send("Debugger.enable")
    hanging = tabs.new_cdp_session(first.page)
    hanging.send("Runtime.evaluate", {"expression": "setTimeout(() => { for (;;) {} }, 0)"})
    hand.publish("news", "one")
    second.shows("one")
    delivered("Alice", pair.first)


def test_the_tab_that_leads_is_offline(tabs: BrowserContext, pair: Pair, hand: Hand) -> None:
    hand.subscribe("Alice", "news")
    first, second = open_tabs(tabs, pair, 2)
    line = tabs.new_cdp_session(first.page)
    cut = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    line.send("Network.enable")
    line.send("Network.emulateNetworkConditions", cut)
    hand.publish("news", "one")
    second.shows("one")
    second.says("live at broker 1001")
    first.shows("one")  # by way of the other
    line.send("Network.emulateNetworkConditions", cut | {"offline": False})
    delivered("Alice", pair.first)


def test_only_what_a_tab_showed_is_acknowledged(tabs: BrowserContext, pair: Pair, hand: Hand) -> None:
    """The leader and a follower are hidden: nothing moves. Then a tab opens in front that gets all from the leader."""
    hand.subscribe("Alice", "news")
    hidden = open_tabs(tabs, pair, 2)
    other = tabs.new_page()
    other.bring_to_front()
    for window in hidden:
        until("the tab is hidden", lambda w=window: w.page.evaluate("document.visibilityState") == "hidden", SECONDS)
    for text in ("one", "two", "three"):
        hand.publish("news", text)
    for window in hidden:
        window.shows("one", "two", "three")
        until("the title counts", lambda w=window: w.page.title() == "(3) Alice · newswire", SECONDS)
    assert sum(row["unread"] for row in get(pair.first.address, "/subscriptions", username="Alice")) == 3
    late = Window(other, pair.first.address, "Alice")
    late.shows("one", "two", "three")
    delivered("Alice", pair.first)
    expect(late.page.locator("#mine .n")).to_have_count(0, timeout=SECONDS * 1000)
    for window in hidden:
        until("what was read there is read here", lambda w=window: w.page.title() == "Alice · newswire", SECONDS)
    assert streams(pair) == 1
    assert late.errors == hidden[0].errors == hidden[1].errors == []


@pytest.mark.parametrize("without", ["", NO_LOCKS])
def test_seven_names_in_seven_tabs(together: BrowserContext, pair: Pair, hand: Hand, without: str) -> None:
    """Six connections a host: four may be streams, which the pages have in turn, and say so; none is starved."""
    together.add_init_script(without)
    users = [f"user{number}" for number in range(7)]
    for user in users:
        hand.subscribe(user, "news")
    tabs = [Window(together.new_page(), pair.first.address, user) for user in users]
    for tab in tabs:
        expect(tab.page.locator("#state")).to_contain_text("turn", timeout=SECONDS * 1000)
    wait_for_at_most_four(pair)
    tabs[-1].page.get_by_label("Message").fill("to all")
    tabs[-1].page.keyboard.press("Enter")
    tabs[-1].has("#said", "Stored on 2 brokers")
    for user, tab in zip(users, tabs, strict=True):
        tab.shows("to all")
        delivered(user, pair.first)
    assert [tab.errors for tab in tabs] == [[]] * 7


def test_turns_where_news_never_stops(tabs: BrowserContext, pair: Pair, hand: Hand) -> None:
    """No keepalive comes between; a page that is not looked at gives its place away all the same."""
    users = [f"user{number}" for number in range(6)]
    for user in users:
        hand.subscribe(user, "news")
    windows = [Window(tabs.new_page(), pair.first.address, user) for user in users]
    windows[-1].page.bring_to_front()
    hand.publish("news", "first")

    def all_have_it() -> bool:
        hand.publish("news", "more")
        windows[-1].page.wait_for_timeout(300)
        return all(window.texts()[:1] == ["first"] for window in windows)

    until("all have the first", all_have_it, 2 * SECONDS)
    wait_for_at_most_four(pair)


def test_where_tabs_cannot_share_each_has_a_stream(together: BrowserContext, pair: Pair, hand: Hand) -> None:
    """Beyond the fourth the page says in words what is wrong: two connections are left for what people do."""
    together.add_init_script(f"{NO_LOCKS}; {NO_STORAGE}; {PATIENT}")
    hand.subscribe("Alice", "news")
    tabs = open_tabs(together, pair, 4)
    assert streams(pair) == 4
    crowded = []
    for number in range(5, 9):
        crowded.append(Window(together.new_page(), pair.first.address, "Alice"))
        crowded[-1].says("too many pages are open")
        crowded[-1].has("#said.bad", "six connections to a broker at most")
        crowded[-1].page.get_by_label("Message").fill(f"from the tab {number}")
        crowded[-1].page.keyboard.press("Enter")
        crowded[-1].has("#said", "Stored on")
    texts = [f"from the tab {number}" for number in range(5, 9)]
    for tab in tabs:
        tab.shows(*texts)
    assert streams(pair) == 4
    for tab in tabs[:2]:
        tab.page.close()

    def live() -> list[Window]:
        return [tab for tab in crowded if tab.page.locator("#state").text_content() == "live at broker 1001"]

    until("two others have a stream", lambda: len(live()) == 2, SECONDS)
    for tab in live():
        tab.shows(*texts)
