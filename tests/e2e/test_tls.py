"""TLS before each broker, as deploy/ sets it up: peers, clients and streams come through the proxy, and nothing else counts."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brokers import ask, free_ports, get, rows, until, wait_in_sync
from newswire import Publisher, Subscriber, tls
from newswire.core.model.addresses import place_of
from newswire.errors import NewswireError
from tests.kit.authority import Authority
from tests.kit.caddy import Caddy, needs_caddy
from tests.kit.nginx import Nginx, needs_nginx
from tests.kit.secure_pair import SecurePair
from tests.kit.waiting import PATIENCE_SECONDS

NGINX = pytest.param(Nginx.in_tls, marks=needs_nginx, id="nginx")
CADDY = pytest.param(Caddy, marks=needs_caddy, id="caddy")


@pytest.fixture(scope="module", params=[NGINX, CADDY])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecurePair]:
    """Two brokers, each behind a proxy that ends TLS; both run before and after each test but the last."""
    tmp_path = tmp_path_factory.mktemp("pair")
    ports, authority = free_ports(3), Authority(tmp_path / "ca")
    made = SecurePair(tmp_path, ports, authority)
    with request.param(tmp_path / "proxy", made, ports, authority):
        try:
            made.start()
            wait_in_sync(made.brokers)
            yield made
        finally:
            made.end()
            for broker in made.brokers:
                print(f"-- log of broker {broker.id}\n{broker.last_words(40)}")


def test_all_of_it_goes_through_the_proxies(pair: SecurePair) -> None:
    assert {row["ip"] for row in rows(pair.first.address).values()} == set(pair.urls)
    trust: dict[str, Any] = {"verify": pair.authority.file}
    with Subscriber(pair.urls[:1], "ann", **trust) as ann, Publisher(pair.urls[:1], **trust) as publisher:
        ann.subscribe("news")
        assert publisher.publish("news", "one").copies == 2
        with ann.stream() as stream:
            assert next(stream).data == "one"
            assert publisher.publish("news", "two").copies == 2
            assert next(stream).data == "two"  # while the stream is open: nothing is held back
            pair.first.kill9()
            until("the other takes it", lambda: publisher.publish("news", "three").broker == pair.urls[1])
            while next(stream).data != "three":
                pass
    pair.first.start()
    wait_in_sync(pair.brokers)
    status = pair.run("status")
    assert status.returncode == 0, status.stderr
    assert all(url in status.stdout for url in pair.urls)


@pytest.mark.parametrize("pair", [NGINX], indirect=True)
def test_one_name_for_both_and_a_stranger_s_push_at_either(pair: SecurePair) -> None:
    trust: dict[str, Any] = {"verify": pair.authority.file}
    with Subscriber(pair.one_name, "ben", **trust) as ben, Publisher(pair.one_name, **trust) as publisher:
        ben.subscribe("other")
        assert publisher.publish("other", "one").copies == 2
        with ben.stream() as stream:
            assert next(stream).data == "one"
    for url, status in ((pair.one_name, b"413"), (pair.urls[0], b"401")):
        place = place_of(url)
        with (
            socket.create_connection((place.host, place.port), timeout=PATIENCE_SECONDS) as plain,
            tls.context(pair.authority.file).wrap_socket(plain, server_hostname=place.host) as stranger,
        ):
            head = f"POST /replicate HTTP/1.1\r\nHost: {place.host}\r\nContent-Length: 16000000\r\n\r\n"
            stranger.sendall(head.encode() + b"x")  # refused by its head: the rest is not waited for
            assert stranger.recv(65_536).startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize("pair", [NGINX], indirect=True)
def test_who_is_not_trusted_is_told_in_words(pair: SecurePair, tmp_path: Path) -> None:
    other, plain = Authority(tmp_path / "other").file, pair.urls[0].removeprefix("https://")

    def is_told_by_the_command(seconds: int) -> bool:
        told = pair.run("publish", "news", "x", "--timeout", str(seconds), ca_file=other)
        assert told.returncode == 4
        return "signed by nobody who is trusted here: name its CA with --ca-file" in told.stderr

    def is_told_by_the_library(seconds: int) -> bool:
        with Publisher(plain, timeout=seconds) as publisher, pytest.raises(NewswireError) as raised:
            publisher.publish("news", "x")
        return "it speaks TLS: write https://" in str(raised.value)

    for is_told in (is_told_by_the_command, is_told_by_the_library):
        assert any(map(is_told, (1, 10, 60))), "a second is enough, where the machine has one for it"
    redirect = ask(plain, "GET", "/livez")
    assert redirect.status == 400

    first, second = pair.brokers
    second.stop()
    settings = first.home / "newswire.toml"
    settings.write_text(settings.read_text().replace(pair.authority.file, Authority(tmp_path / "third").file))
    second.launch()
    why = "its certificate is signed by nobody who is trusted here"
    until("the second says why", lambda: any(why in row.get("detail", "") for row in rows(second.address).values()))
    until("only its own way is closed", lambda: get(first.address, "/readyz")["copies"] == 2)
