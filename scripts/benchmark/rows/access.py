"""What it costs that a broker asks who publishes: by token, by session. Compare with the row `publish`, which asks nobody."""

from __future__ import annotations

from typing import Final

from benchmark.report import Figures
from benchmark.rows.declared import ONE, Measure, Row, Sizes, only_newswire
from benchmark.rows.publishes import saturate
from benchmark.services import Publishing, System
from brokers import Broker, ask, until

PASSWORD: Final = "correct horse"


def publish_as(shown: str) -> Measure:
    """Durable publishes by a user who shows a `token`, or a `session`."""

    def measure(system: System, sizes: Sizes) -> Figures:
        with only_newswire(system).placed(ONE, ("--auth", "required")) as service:
            (broker,) = service.brokers
            settings = broker.home / "newswire.toml"
            settings.write_text(f'admin-password = "{PASSWORD}"\n')
            settings.chmod(0o600)
            broker.start()
            talk = Publishing(service.port, 1, credential=sign_up(broker, shown))
            return saturate(service, talk, ONE, sizes.connections, sizes)

    return measure


def sign_up(broker: Broker, shown: str) -> str:
    """Make a user who may publish; the line of a head that says who it is."""
    until("there is an admin", lambda: "the first admin" in broker.last_words(100))
    fields = {"username": "ann", "password": PASSWORD}
    admin = cookie_of(broker, "admin")
    ask(broker.address, "POST", "/users", fields, headers={"Cookie": admin})
    ask(broker.address, "POST", "/grants", {"who": "ann", "verb": "publish", "topic": "news.>"}, headers={"Cookie": admin})
    cookie = cookie_of(broker, "ann")
    if shown == "session":
        return f"Cookie: {cookie}"
    token = ask(broker.address, "POST", "/tokens", {}, headers={"Cookie": cookie}).json()["token"]
    return f"Authorization: Bearer {token}"


def cookie_of(broker: Broker, username: str) -> str:
    """The cookie of a session."""
    answer = ask(broker.address, "POST", "/login", {"username": username, "password": PASSWORD})
    return answer.headers["Set-Cookie"].partition(";")[0]


ROWS: Final = (
    Row("publish-token", "access", "publish, 64 connections that show a token, one broker", "msg/s", publish_as("token")),
    Row("publish-session", "access", "publish, 64 connections of a session, one broker", "msg/s", publish_as("session")),
)
