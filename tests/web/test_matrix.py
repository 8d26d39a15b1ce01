"""Who is let in where: every route, asked with every kind of credential. It is made of what the routes declare.

A route that is not declared cannot be (tests/web/test_route.py); a field without a sample here fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

import pytest

from newswire.config import Settings
from newswire.core.model.commands import CreateToken, RevokeToken
from newswire.engine.seam import Principal, PushAnswer
from newswire.errors import LinkRefused, NewswireError
from newswire.web import credentials
from newswire.web.route import Route, routes_of
from newswire.web.routes.ntfy import BY_GET
from tests.kit.access import GuardedWeb, bearer
from tests.kit.samples import ask
from tests.kit.web_fakes import FakeCluster, Web

ROUTES: Final = routes_of(GuardedWeb().app)
OURS: Final = {"Sec-Fetch-Site": "same-origin"}
SIGNATURE: Final = {"Newswire-Signature": "of a peer"}


class SignedCluster(FakeCluster):
    """Takes what a peer has signed, and nothing else."""

    def check_head(self, path: str, headers: Mapping[str, str]) -> None:
        if headers.get("newswire-signature") != SIGNATURE["Newswire-Signature"]:
            raise LinkRefused("the push is refused: it is not signed", code="unauthenticated")

    def receive_later(
        self, path: str, headers: Mapping[str, str], body: bytes, then: Callable[[PushAnswer | NewswireError], None]
    ) -> None:
        try:
            self.check_head(path, headers)
        except NewswireError as error:
            then(error)
            return
        super().receive_later(path, headers, body, then)


class MatrixWeb(GuardedWeb):
    """A web with tokens of every kind, and a subscription of ann."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster.__class__ = SignedCluster
        self.headers: dict[str, dict[str, str]] = {
            "nothing": {},
            "wrong": bearer(credentials.new_token()),
            "expired": self._token("ann", expires=int(self.engine.now * 1000) + 1),
            "revoked": self._token("ann"),
            "too narrow": self._token("ann", publish=("other",), subscribe=("other",)),
            "an admin's, narrowed": self._token("root", publish=("other",), subscribe=("other",)),
            "another's": self._token("ben"),
            "right": self._token("ann"),
            "a session": {"Cookie": f"newswire_session={self._session('ann')}", **OURS},
            "a ticket's session": {"Cookie": f"newswire_session={self._session('ann', reads=True)}", **OURS},
            "an admin's": self._token("root"),
            "a peer's signature": SIGNATURE,
        }
        self.do(RevokeToken(token=self._ids()[1]))
        self.client.post("/subscribe?topic=news.x", headers=self.headers["right"])
        self.engine.now += 1

    def _token(self, username: str, **fields: Any) -> dict[str, str]:
        text = credentials.new_token()
        self.do(CreateToken(name=username, digest=credentials.digest_of(text), **fields))
        return bearer(text)

    def _ids(self) -> list[str]:
        return [row.id for row in self.engine.tokens("ann")]

    def _session(self, username: str, *, reads: bool = False) -> str:
        account = self.engine.account(username)
        assert account is not None
        assert self.auth is not None
        principal = Principal(account=account.account, password=account.password_id, feed=account.account if reads else "")
        return self.auth.new_session(self.auth.resolve(username, principal, by="password"))

    def status(self, route: Route, who: str) -> int:
        """What the route answers to a request that is right but for who sends it."""
        return ask(self, route, self.headers[who], token=self._ids()[-1]).status_code


shared_web: Final = cache(MatrixWeb)
CREDENTIALS: Final = tuple(MatrixWeb().headers)
NOT_SIGNED_IN: Final = frozenset({"nothing", "wrong", "expired", "revoked", "a peer's signature"})
NARROW: Final = frozenset({"too narrow", "an admin's, narrowed"})
OTHERS: Final = frozenset({"another's", "an admin's, narrowed"})
NO_ADMIN: Final = frozenset(CREDENTIALS) - NOT_SIGNED_IN - {"an admin's"}
# what is no right, and how a route answers then
OTHERWISE: Final[Mapping[tuple[str, str, str], int]] = {
    **{("DELETE", "/tokens/<id>", who): 404 for who in OTHERS},  # nobody is told of tokens of others
    **{("GET", path, who): 403 for path in ("/admin", "/cluster") for who in NO_ADMIN},  # pages that say why
    **{("GET", "/receipts", who): 404 for who in (*OTHERS, "a ticket's session")},
    **{("GET", path, "too narrow"): 404 for path in ("/confirm", "/receipts")},  # as if it was not there
    **{("DELETE", path, "too narrow"): 404 for path in ("/messages/<id>", "/<topic>/<id>")},
    **{("DELETE", "/messages/<id>", who): 404 for who in (*OTHERS, "a ticket's session")},
    **{("DELETE", "/<topic>/<id>", who): 404 for who in (*OTHERS, "a ticket's session")},
    **{("GET", "/", who): 403 for who in OTHERS},
    **{("GET", path, "a ticket's session"): 303 for path in ("/account", "/admin", "/cluster")},  # to where one signs in
    **{("POST", path, "a ticket's session"): 403 for path in ("/publish", "/subscribe", "/unsubscribe")},
    # a page could be behind it
    **{
        ("GET", f"/<topic>/{word}", f"a {whose}session"): 403
        for word in ("publish", "send", "trigger")
        for whose in ("", "ticket's ")
    },
    **{("GET", f"/<topics>/{word}", "a ticket's session"): 403 for word in ("json", "sse", "raw", "auth", "ws")},
    **{(method, "/<topic>", "a ticket's session"): 403 for method in ("POST", "PUT")},
    # what is published is named in the body
    **{(method, "/", who): 403 for method in ("POST", "PUT") for who in (*NARROW, *OTHERS, "a ticket's session")},
}


def expected(route: Route, who: str) -> int:
    """The status that what is declared comes to."""
    kinds = {right.kind for right in route.rights}
    if otherwise := OTHERWISE.get((route.method, route.path, who)):
        return otherwise
    if "peer" in kinds:
        return 200 if who == "a peer's signature" else 401
    if "public" in kinds:
        return 200
    if who in NOT_SIGNED_IN:
        return 401
    if "admin" in kinds and who in NO_ADMIN:
        return 403
    if kinds & {"topic", "whole"} and who in NARROW:
        return 403
    if "password" in kinds and who == "right":  # a token, for what is one's own
        return 403
    if "whole" in kinds and who == "a ticket's session":
        return 403
    if kinds & {"self-or-admin", "topic"} and who in OTHERS:
        return 403
    return 200 if route.answers else 400


@pytest.mark.parametrize("who", CREDENTIALS)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_each_route_lets_in_whom_it_says(route: Route, who: str) -> None:
    answer = expected(route, who)
    web = shared_web() if answer != 200 or route.is_safe else MatrixWeb()  # what is refused changes nothing
    web.engine.now += 0.01
    assert web.status(route, who) == answer


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_where_nobody_is_asked_no_credential_is_looked_at(route: Route) -> None:
    """Whatever is shown, the answer is that to nothing; routes of access say that it is off."""
    statuses = set[int]()
    webs = list[Web]()
    for headers in ({}, bearer(credentials.new_token()), {"Authorization": "nonsense"}, {"Cookie": "newswire_session=x"}):
        if not webs or not route.is_safe:  # what only reads changes nothing
            webs.append(Web(Settings(open_reading=True)))
            webs[-1].post("/subscribe?username=ann&topic=news.x")
        web = webs[-1]
        statuses.add(ask(web, route, headers).status_code)
    no_credential = {403} if route in BY_GET else {400} if not route.answers else {200, 303}
    assert statuses <= ({409} if "auth-is-off" in route.codes else no_credential)
    assert len(statuses) == 1
