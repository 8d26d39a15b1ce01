"""What is secret stands only where it is kept: a pair with access control does everything, and all it leaves is searched."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from brokers import free_ports, newswire, until
from newswire import Publisher, tls
from newswire.core.model.addresses import place_of
from newswire.engine.peers import signing
from newswire.errors import Unauthenticated
from tests.kit import forks
from tests.kit.authority import Authority
from tests.kit.nginx import Nginx, needs_nginx
from tests.kit.secure_pair import SECRET, SecurePair, private
from tests.kit.waiting import PATIENCE_SECONDS

pytestmark = needs_nginx

ADMIN, ANN, NEW, WRONG = "of-the-admin-Ax71", "of-ann-Bq82", "newly-of-ann-Cw93", "mistyped-by-ann-Dz04"
FAR = "127.0.0.9"  # where Ann's browser is


class Asked:
    """What a request came to."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers = response.status, response.headers
        self.body = response.read() if response.status != 200 or "event-stream" not in self.headers["Content-Type"] else b""

    def json(self) -> Any:
        return json.loads(self.body)


class Desk:
    """Asks the first broker through its proxy, and remembers what it was shown and told."""

    def __init__(self, pair: SecurePair, site: Path) -> None:
        self.pair, self.site = pair, site
        self.outputs: list[bytes] = []

    def ask(self, method: str, path: str, fields: dict[str, str] | None = None, **headers: str) -> Asked:
        place = place_of(self.pair.urls[0])
        connection = http.client.HTTPSConnection(
            place.host,
            place.port,
            context=tls.context(self.pair.authority.file),
            timeout=PATIENCE_SECONDS,
            source_address=(FAR, 0),
        )
        body = urlencode(fields) if fields is not None else None
        kind = {"Content-Type": "application/x-www-form-urlencoded"} if body is not None else {}
        connection.request(method, path, body, {**kind, **{name.replace("_", "-"): value for name, value in headers.items()}})
        asked = Asked(connection.getresponse())
        connection.close()
        return asked

    def show(self, method: str, path: str, fields: dict[str, str] | None = None, **headers: str) -> Asked:
        """The same, where what is told is for everybody's eyes."""
        asked = self.ask(method, path, fields, **headers)
        self.outputs.append(asked.body + str(asked.headers).encode())
        return asked

    def run(self, *arguments: str, code: int = 0, **environment: str) -> str:
        done = self.pair.run(*arguments, **environment)
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        self.outputs.append((done.stdout + done.stderr).encode())
        return done.stdout


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A pair with access control behind nginx, that logs all it can."""
    ports, authority = free_ports(3), Authority(tmp_path / "ca")
    admin = private(tmp_path / "admin-password", ADMIN)
    pair = SecurePair(
        tmp_path, ports, authority, 'auth = "required"', f'admin-password-file = "{admin}"', 'log-level = "debug"'
    )
    with Nginx.in_tls(tmp_path / "proxy", pair, ports, authority):
        try:
            for broker in pair.brokers:
                broker.spawn = forks.start_alone  # its words stand in the list of processes
                broker.start()
            until("there is an admin", lambda: any("the first admin" in broker.last_words(1_000) for broker in pair.brokers))
            yield Desk(pair, tmp_path / "proxy")
        finally:
            pair.end()
            for broker in pair.brokers:
                print(f"-- log of broker {broker.id}\n{broker.last_words(40)}")


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_nothing_secret_is_left_anywhere(desk: Desk, tmp_path: Path) -> None:
    pair, home = desk.pair, tmp_path
    desk.run("login", "admin", "--password-file", str(home / "admin-password"))
    admin = {"Authorization": basic("admin", ADMIN)}
    assert desk.show("POST", "/users", {"username": "ann", "password": ANN}, **admin).status == 200
    for verb in ("publish", "subscribe"):
        assert desk.show("POST", "/grants", {"who": "ann", "verb": verb, "topic": "news.>"}, **admin).status == 200
    token = desk.ask("POST", "/tokens", {"username": "ann", "label": "of the test"}, **admin).json()["token"]
    secrets = {"cluster": SECRET, "admin": ADMIN, "ann": ANN, "new": NEW, "wrong": WRONG, "token": token}
    secrets["basic admin"] = basic("admin", ADMIN)[6:]
    token_file = str(private(home / "token", token))
    wait_in_token_sync(desk, token)

    # programs: token by file, by header, and as a password; a person with a password, and one that is wrong
    assert desk.show("POST", "/subscribe", {"topic": "news.>"}, Authorization=f"Bearer {token}").status == 200
    desk.run("publish", "news.today", "for all", NEWSWIRE_TOKEN_FILE=token_file)
    stream = subprocess.Popen(
        pair.command("stream", "ann"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=home,
        env=pair.environment(NEWSWIRE_TOKEN_FILE=token_file),
    )  # fmt: skip
    assert stream.stdout is not None
    desk.outputs.append(stream.stdout.readline())
    with Publisher(pair.urls, verify=pair.authority.file, user="ann", password=ANN) as publisher:
        assert publisher.publish("news.today", "by password").copies == 2
        desk.outputs.append(repr((publisher, publisher.pool, publisher.pool.transport.__dict__)).encode())
    with Publisher(pair.urls, verify=pair.authority.file, user="ann", password=WRONG) as publisher:
        with pytest.raises(Unauthenticated) as refused:
            publisher.publish("news.today", "x")
        desk.outputs.append(repr(refused.value).encode() + str(refused.value).encode())
    assert desk.show("GET", "/me", Authorization=f"Bearer {token}").status == 200
    assert desk.show("GET", "/me", Authorization=basic("ann", token)).status == 200
    assert desk.show("GET", "/me", Authorization=f"Bearer {token}x").status == 401
    secrets |= {"basic": basic("ann", ANN)[6:], "basic token": basic("ann", token)[6:]}

    # a browser: session, ticket, another password; a credential where none belongs
    asked = desk.ask("POST", "/login", {"username": "ann", "password": ANN}, Origin=pair.urls[0])
    cookie = asked.headers["Set-Cookie"].partition(";")[0]
    for word in ("HttpOnly", "SameSite=Lax", "Secure"):
        assert word in asked.headers["Set-Cookie"]
    assert desk.show("POST", "/login", {"username": "ann", "password": WRONG}, Origin=pair.urls[0]).status == 401
    ticket = desk.ask("POST", "/tickets", {}, Cookie=cookie, Origin=pair.urls[0]).json()["ticket"]
    assert desk.show("GET", f"/stream?ticket={ticket}").status == 200
    assert desk.show("GET", f"/stream?ticket={ticket}").status == 401, "once"
    assert (
        desk.show("POST", "/publish", {"topic": "news.a", "data": "x"}, Cookie=cookie, Origin="https://evil.example").status
        == 403
    )
    for path in ("/replicate", "/heartbeat/receive"):
        for headers in ({"Authorization": f"Bearer {token}"}, {"Cookie": cookie}):
            assert desk.show("POST", path, {}, **headers).status == 401, "no client is a peer"
    name, value = next(iter(sign("/publish", pair).items()))
    assert desk.show("POST", "/publish?topic=news.a&data=x", {}, **{name: value}).status == 401, "and no peer a client"
    changed = desk.show("POST", "/users/ann/password", {"password": NEW}, Cookie=cookie, Origin=pair.urls[0])
    assert changed.status == 200
    assert desk.show("GET", "/me", Authorization=basic("ann", NEW)).status == 200
    secrets |= {"cookie": cookie.partition("=")[2]}

    # what is shown to operators
    for command in (("status",), ("doctor",), ("audit", "--json")):
        desk.run(*command)
    desk.run("backup", str(home / "copy"))
    for path in (
        "/users",
        "/tokens?username=ann",
        "/grants",
        "/metrics",
        "/readyz",
        "/list_replicas",
        "/openapi.json",
        "/login",
        "/",
    ):
        assert desk.show("GET", path, **admin).status == 200, path
    commands = b"".join(read(path) for path in Path("/proc").glob("[0-9]*/cmdline"))
    assert str(pair.second.ops_dir).encode() in commands, "brokers are in the list"
    stream.terminate()
    desk.outputs += stream.communicate()
    wait_in_token_sync(desk, token)
    for broker in pair.brokers:
        assert broker.stop() == 0
        shown = subprocess.run(newswire("opsfile", "show", str(broker.ops_dir / broker.id)), capture_output=True, check=True)
        desk.outputs.append(shown.stdout)
    audit = next(row for row in b"".join(desk.outputs).split(b"\n") if b"signed-in" in row)
    assert FAR.encode() in audit, "the proxy passes on who asks"

    places = {
        "process list": commands,
        "what was told": b"\n".join(desk.outputs),
        "logs": b"".join(broker.log.read_bytes() for broker in pair.brokers),
        "proxy": b"".join(read(path) for path in desk.site.glob("*.log")),
        "ops files": b"".join(read(path) for path in sorted(home.glob("ops_logs/**/*.ops"))),
        "backup": gzip.decompress((home / "copy").read_bytes()),
    }
    assert b"POST /login" in places["proxy"]
    assert b"for all" in places["ops files"]
    assert b"for all" in places["backup"]
    found = [(what, where) for where, text in places.items() for what, secret in secrets.items() if secret.encode() in text]
    assert found == []
    assert [where for where, text in places.items() if ticket.encode() in text] == ["proxy"], "which was good once"
    kept = [path for path in home.rglob("*") if path.is_file() and token.encode() in read(path)]
    kept += [path for path in home.rglob("*") if path.is_file() and SECRET.encode() in read(path)]
    assert {oct(path.stat().st_mode & 0o777) for path in kept} == {"0o600"}
    assert {path.name for path in kept} == {"token", "cluster-secret"}


def sign(path: str, pair: SecurePair) -> dict[str, str]:
    """What a broker puts into the head of a push."""
    signed = signing.Signed(sender="1002-x", receiver=pair.urls[0], cluster="", time=0, nonce="n" * 16)
    return signing.sign([SECRET.encode()], "POST", path, b"", signed)


def wait_in_token_sync(desk: Desk, token: str) -> None:
    """Wait until both brokers hold the same."""

    def is_in_sync() -> bool:
        rows = desk.ask("GET", "/list_replicas", Authorization=f"Bearer {token}").json()
        return len(rows) == 2 and all(row["state"] == "up" and row["lag"] == 0 for row in rows)

    until("both in sync", is_in_sync)


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # a process that has ended
        return b""
