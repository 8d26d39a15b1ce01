"""Under which names a broker answers while it asks nobody who he is (docs/rules.md, WHO MAY ACT)."""

from __future__ import annotations

import pytest

from newswire.config import Settings
from newswire.web.hosts import Hosts
from tests.kit.web_fakes import Web

LOOPBACK = ("127.0.0.1:5053", "127.0.0.1", "localhost:5053", "LocalHost", "localhost.", "127.3.2.1:80", "[::1]:5053", "[::1]")
STRANGE = (
    "evil.example", "evil.example:5053", "localhost.evil.example:5053", "127.0.0.1.evil.example", "10.0.0.11",
    "[2001:db8::1]:5053", "2130706433", "0x7f.0.0.1", "127.1", "localhost..", "evil.example.", "0.0.0.0:5053",
)  # fmt: skip


@pytest.mark.parametrize("name", LOOPBACK)
@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.12", "0.0.0.0", "::", "news.example"])
def test_its_own_machine_is_always_its_own(host: str, name: str) -> None:
    assert Hosts(host, "", ()).own(name)


@pytest.mark.parametrize("name", STRANGE)
def test_other_names_are_not(name: str) -> None:
    assert not Hosts("127.0.0.1", "", ()).own(name)


@pytest.mark.parametrize(
    ("host", "advertise", "allowed", "name"),
    [
        ("10.0.0.11", "", (), "10.0.0.11:5053"),
        ("10.0.0.11", "", (), "10.0.0.11"),
        ("2001:db8::1", "", (), "[2001:DB8:0:0::1]:5053"),
        ("[2001:db8::1]", "", (), "[2001:db8::1]"),
        ("10.0.0.11", "", (), "[::ffff:10.0.0.11]:5053"),
        ("127.0.0.1", "Broker.Example:5053", (), "broker.example."),
        ("127.0.0.1", "broker.example:5053", (), "BROKER.EXAMPLE:8080"),
        ("127.0.0.1", "https://broker.example", (), "broker.example"),
        ("127.0.0.1", "https://broker.example:8443", (), "broker.example:8443"),
        ("127.0.0.1", "https://[2001:db8::1]", (), "[2001:db8::1]"),
        ("127.0.0.1", "", ("news.example.org",), "news.example.org:443"),
        ("127.0.0.1", "", ("news.example.org.",), "News.Example.Org"),
        ("127.0.0.1", "", ("news.example.org:8443",), "news.example.org"),
        ("127.0.0.1", "", ("::1", "2001:db8::7"), "[2001:db8::7]:80"),
        ("127.0.0.1", "", ("*",), "whatever.example"),
        ("127.0.0.1", "", (), ""),  # an HTTP/1.0 probe; browsers always send one
    ],
)
def test_what_it_was_told_is_its_own(host: str, advertise: str, allowed: tuple[str, ...], name: str) -> None:
    assert Hosts(host, advertise, allowed).own(name)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", ""])
def test_at_every_address_each_address_will_do_and_no_name(host: str) -> None:
    hosts = Hosts(host, "10.0.0.11:5053", ())
    assert all(hosts.own(name) for name in ("10.0.0.11:5053", "18.217.232.220:5053", "[2001:db8::1]:5053", "172.17.0.1"))
    assert not any(hosts.own(name) for name in ("evil.example", "ip-10-0-0-11.ec2.internal:5053", "2130706433"))


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/topics", "/stream?username=Alice", "/static/feed.js", "/nothing"])
def test_a_page_under_another_name_gets_nothing(path: str) -> None:
    web = Web()
    detail = str(web.get(path, "misdirected", headers={"Host": "evil.example:5053"}))
    assert "--allow-host" in detail
    assert "evil.example:5053" in detail


def test_nor_does_it_change_anything() -> None:
    web = Web()
    for path in (
        "/publish?topic=t&data=x",
        "/subscribe?username=Alice&topic=t",
        "/replicate",
        "/add_replica?broker_ip=127.0.0.1:5055",
    ):
        headers = {"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}
        web.post(path, "misdirected", headers=headers)
    assert (web.engine.submitted, web.cluster.received) == ([], [])


def test_whoever_must_say_who_he_is_may_ask_for_any_name() -> None:
    web = Web(Settings(auth="required"))
    web.get("/livez", headers={"Host": "evil.example"})
    web.get("/topics", "unauthenticated", headers={"Host": "evil.example"})


def test_what_is_remembered_of_headers_is_bounded_and_changes_no_answer() -> None:
    hosts = Hosts("127.0.0.1", "", ("news.example.org",))
    for _ in range(2):
        assert hosts.own("news.example.org:5053")
        assert not any(hosts.own(f"{number}.example.org") for number in range(1_000))
        assert not hosts.own("a" * 10_000)
    assert hosts._cache.cache_info().currsize == hosts._cache.cache_info().maxsize  # type: ignore[attr-defined]
