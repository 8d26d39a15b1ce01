"""People and programs, their tokens and rights, at whichever broker serves: what the command line and menus are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Unpack
from urllib.parse import quote

from newswire.client import checks
from newswire.client.answers import Myself, NewToken, UserAccount, UserGrant, UserToken
from newswire.client.pool import BrokerPool, PoolOptions
from newswire.client.transport import BrokerAnswer, Call, form
from newswire.core.model import names
from newswire.errors import BadRequest

_NOTHING: Final = ","  # as a form says a list without words: one that is left out is no limit


class AccessClient:
    """Who may do what: asks and changes it. One thread. What is not an admin's own affair is refused with Forbidden.

    `options`: `timeout`, seconds for all tries of a call, `absent`, `token`, `user`, `password` and `verify`.
    """

    def __init__(self, brokers: str | Sequence[str], **options: Unpack[PoolOptions]) -> None:
        self.pool = BrokerPool(brokers, **options)

    def me(self) -> Myself:
        """Who the brokers take this client for, and what he may do."""
        answer = self.pool.request(Call("GET", "/me"))
        myself: Myself = answer.read(Myself)
        if myself.username is None and myself.auth != "none":
            raise answer.no_broker()
        return myself

    # -- people and programs

    def add_user(self, username: str, password: str | None = None, *, admin: bool = False) -> str:
        """Add a user; without a password only tokens sign him in. Returns the broker's sentence. Raises Refused."""
        fields = {
            "username": names.check_username(checks.text("username", username)),
            "password": checks.secret_or_none("password", password),
            "admin": "true" if admin else None,
        }
        return self._post("/users", fields, done=("user-exists", f"Added user {username}"))

    def remove_user(self, username: str) -> str:
        """Remove a user with his tokens, grants, subscriptions and streams. Returns the broker's sentence. Raises NotFound."""
        return self._delete(f"/users/{_name(username)}", done=("no-user", f"Removed user {username}"))

    def users(self) -> list[UserAccount]:
        """All users."""
        rows: list[UserAccount] = self.pool.request(Call("GET", "/users")).read(list[UserAccount])
        return rows

    def set_password(self, username: str, password: str) -> str:
        """Give a user, or oneself, another password; that ends his sessions. Returns the broker's sentence."""
        return self._post(f"/users/{_name(username)}/password", {"password": checks.secret_or_none("password", password)})

    # -- tokens

    def create_token(
        self,
        username: str | None = None,
        *,
        label: str | None = None,
        expires: int | None = None,
        publish: Sequence[str] | None = None,
        subscribe: Sequence[str] | None = None,
    ) -> NewToken:
        """Make a token for a user, or oneself, that nobody can see again. `expires`: seconds from now; None: never.

        `publish`, `subscribe`: the patterns that it is good for; None: as its user.
        """
        fields = {
            "username": checks.text_or_none("username", username),
            "label": checks.text_or_none("label", label),
            "expires": None if expires is None else str(checks.whole("expires", expires)),
            "publish": None if publish is None else checks.words("publish", publish) or _NOTHING,
            "subscribe": None if subscribe is None else checks.words("subscribe", subscribe) or _NOTHING,
        }
        token: NewToken = self._send("POST", "/tokens", fields).read(NewToken)
        return token

    def tokens(self, username: str | None = None) -> list[UserToken]:
        """The tokens of a user, or one's own, without their secrets."""
        rows: list[UserToken] = self._get("/tokens", username=username).read(list[UserToken])
        return rows

    def revoke_token(self, token_id: str) -> str:
        """End a token. Returns the broker's sentence. Raises NotFound, and BadRequest for what is no id."""
        id = checks.op_id("token_id", token_id)
        return self._delete(f"/tokens/{id}", done=("no-token", f"Revoked token {id}"))

    # -- grants

    def grant(self, who: str, verb: str, topic: str) -> str:
        """Let `who` (a user, or `*` for all) `publish` or `subscribe` to a topic or pattern. Returns the broker's sentence."""
        return self._post("/grants", _grant(who, verb, topic))

    def revoke(self, who: str, verb: str, topic: str) -> str:
        """End that grant. Returns the broker's sentence. Raises NotFound: there is none."""
        call = Call("DELETE", "/grants", _grant(who, verb, topic))
        answer = self.pool.request(call, done_code="no-grant")
        return _sentence(answer, f"Revoked {verb} on {topic} from {who}")

    def grants(self, who: str | None = None) -> list[UserGrant]:
        """The grants of a user, or all."""
        rows: list[UserGrant] = self._get("/grants", who=who).read(list[UserGrant])
        return rows

    # -- what happened

    def audit(self, since: checks.Moment = None, limit: int | None = None) -> list[dict[str, Any]]:
        """Who did what since (a duration, a time, None: what is there), newest last: an object a line, as the broker has it."""
        most = None if limit is None else str(checks.whole("limit", limit))
        return self._get("/audit", since=checks.moment("since", since), limit=most).read(list[dict[str, Any]])  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close idle connections."""
        self.pool.close()

    def __enter__(self) -> AccessClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _get(self, path: str, **fields: str | None) -> BrokerAnswer:
        return self.pool.request(Call("GET", path, {name: text for name, text in fields.items() if text is not None}))

    def _post(self, path: str, fields: Mapping[str, str | None], done: tuple[str, str] = ("", "")) -> str:
        return _sentence(self._send("POST", path, fields, done[0]), done[1])

    def _delete(self, path: str, done: tuple[str, str]) -> str:
        return _sentence(self.pool.request(Call("DELETE", path), done_code=done[0]), done[1])

    def _send(
        self, method: str, path: str, fields: Mapping[str, str | Sequence[str] | None], done_code: str = ""
    ) -> BrokerAnswer:
        body, kind = form(fields)
        return self.pool.request(Call(method, path, body=body, type=kind), done_code=done_code)


def _sentence(answer: BrokerAnswer, after_doubt: str) -> str:
    """What the broker said; `after_doubt` where a try without an answer had done it before."""
    return answer.sentence() if answer.status < 300 else after_doubt


def _name(username: str) -> str:
    """A name as part of an address, where `.` and `..` would lead elsewhere. Raises BadRequest."""
    name = names.check_username(checks.text("username", username))
    if name in (".", ".."):
        raise BadRequest("no user is named `.` or `..`", code="bad-username")
    return quote(name, safe="")


def _grant(who: str, verb: str, topic: str) -> dict[str, str]:
    return {
        "who": who if who == "*" else names.check_username(checks.text("who", who)),
        "verb": checks.text("verb", verb),
        "topic": names.check_pattern(checks.text("topic", topic)),
    }
