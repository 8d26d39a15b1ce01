"""A web that asks who one is, with a few users: what tests of access stand on."""

from __future__ import annotations

import base64
from functools import cache

from newswire.config import Settings
from newswire.core.model.commands import AddGrant, AddUser, Request
from newswire.web.passwords import Passwords
from tests.kit.web_fakes import Web

PASSWORD = "correct horse"
ACCESS = Settings(auth="required")


@cache
def password_hash() -> str:
    """That of PASSWORD; made once, as it takes long."""
    return Passwords().hash(PASSWORD)


def basic(username: str, password: str = PASSWORD) -> dict[str, str]:
    """Headers that show a user and a password, or a token in its place."""
    return {"Authorization": "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    """Headers that show a token."""
    return {"Authorization": f"Bearer {token}"}


class GuardedWeb(Web):
    """Users: root, an admin; ann, who may publish and subscribe to `news.>`; ben, who may nothing."""

    def __init__(self, settings: Settings = ACCESS) -> None:
        super().__init__(settings)
        self.client = self.app.test_client(use_cookies=False)  # a test says itself what is shown
        self.do(
            AddUser(name="root", admin=True, password=password_hash()),
            AddUser(name="ann", password=password_hash()),
            AddUser(name="ben", password=password_hash()),
        )
        self.do(*(AddGrant(who="ann", verb=verb, pattern="news.>") for verb in ("publish", "subscribe")))  # type: ignore[arg-type]

    def do(self, *commands: Request) -> None:
        """Have commands stored, as if nobody were asked."""
        for command in commands:
            self.engine.submit([command])

    def token(self, username: str, **fields: object) -> str:
        """A new token of a user."""
        answer = self.post("/tokens", headers=basic(username), json=fields)
        assert isinstance(answer, dict)
        return str(answer["token"])

    def sign_in(self, username: str) -> str:
        """Sign in; returns the header `Cookie`. The client itself keeps none."""
        response = self.client.post("/login", json={"username": username, "password": PASSWORD})
        assert response.status_code == 200, response.get_data()
        return response.headers["Set-Cookie"].partition(";")[0]
