"""Every error that a user or a program can meet: one tree, one table.

A code is a stable word (docs/http.md, Codes): programs match on it, people read the sentence beside it. The table
gives each code its HTTP status and its title; the detail says what to do and is written where the error is raised.
The web answers `problem()` as RFC 9457, the client raises the same classes again from what it received
(`from_problem`), the menus and the command line print `detail` as a sentence, in their own words (`REQUESTS`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

TABLE: Final[Mapping[str, tuple[int, str]]] = {
    # code: (HTTP status, title)
    "missing-field": (400, "A field is missing"),
    "double-field": (400, "A field is given twice"),
    "unknown-field": (400, "Unknown field"),
    "bad-field": (400, "A field has a value that is not allowed"),
    "bad-topic": (400, "Not a topic"),
    "bad-pattern": (400, "Not a topic or pattern"),
    "bad-username": (400, "Not a username"),
    "bad-time": (400, "Not a time"),
    "bad-event-id": (400, "Not an event id"),
    "bad-address": (400, "Not a broker address"),
    "unreachable": (400, "The broker cannot be reached"),
    "bad-backup": (400, "Not a whole backup"),
    "bad-body": (400, "The request cannot be read"),
    "bad-line": (400, "A line of the batch cannot be read"),
    "bad-request": (400, "The request cannot be read"),
    "unauthenticated": (401, "Not authenticated"),
    "forbidden": (403, "Not allowed"),
    "not-registered": (403, "Not registered for any topic"),
    "cross-site": (403, "A page of another site may not do this"),
    "not-found": (404, "Nothing here"),
    "no-subscription": (404, "No such subscription"),
    "no-broker": (404, "No such broker"),
    "no-user": (404, "No such user"),
    "no-token": (404, "No such token"),
    "no-grant": (404, "No such grant"),
    "no-message": (404, "No such message"),
    "no-hole": (404, "Nothing is missing"),
    "wrong-method": (405, "Wrong method"),
    "timeout": (408, "The request took too long to arrive"),
    "other-cluster": (409, "The broker belongs to another cluster"),
    "other-version": (409, "The broker is of a version that is not understood"),
    "id-in-use": (409, "The broker id is in use"),
    "ops-dir": (409, "The ops directory cannot be used"),
    "user-exists": (409, "There is such a user"),
    "last-admin": (409, "The last admin"),
    "auth-is-off": (409, "Nobody is asked who he is"),
    "confirm-not-asked": (409, "Nobody asked to confirm it"),
    "key-reused": (409, "The key names another message"),
    "not-lost": (409, "It may come back by itself"),
    "restart-first": (409, "A broker has to be restarted first"),
    "may-be-elsewhere": (409, "A broker that is away may hold it"),
    "not-compacted": (409, "Not compacted"),
    "backup-running": (409, "Another backup is under way"),
    "replaced": (409, "The message was replaced by another one"),
    "last-broker": (409, "No other broker is in sync"),
    "too-large": (413, "Too large"),
    "wrong-type": (415, "Content type not understood"),
    "misdirected": (421, "Not a name of this broker"),
    "head-too-large": (431, "The request head is too large"),
    "too-many": (429, "Over a limit"),
    "internal": (500, "Internal error"),
    "damaged": (500, "A record on disk is damaged"),
    "peer-auth-failed": (502, "The brokers do not trust each other"),
    "not-ready": (503, "Not ready"),
    "unavailable": (503, "No broker can take it now"),
    "not-enough-copies": (503, "Not enough brokers in sync"),
    "fewer-copies-than-asked": (503, "Stored, but on fewer brokers than asked"),
    "unknown-outcome": (503, "Perhaps stored"),
    "disk-failed": (503, "The disk failed"),
    "storage-full": (507, "The disk is full"),
}

REQUESTS: Final = tuple(  # what a detail tells whoever speaks HTTP to do; the same at a command line; and in a menu
    (re.compile(request), {"command": command, "menu": menu})
    for request, command, menu in (
        (r"subscribe first, POST /subscribe\?username=(\S+)&topic=\S+",
         r"subscribe first, newswire subscribe \1 TOPIC", "choose Subscribe User first"),
        (r"POST /subscribe, then GET /stream", "newswire subscribe USER TOPIC, then newswire stream USER",
         "choose Subscribe User, then Stream Messages"),
        (r"GET /subscriptions\?username=(\S+) lists", r"newswire subscriptions \1 lists", "List Subscriptions shows"),
        (r"GET /subscriptions\?username=(\S+)", r"newswire subscriptions \1", "List Subscriptions"),
        (r"GET /subscriptions", "newswire subscriptions", "List Subscriptions"),
        (r"GET /grants\?who=(\S+)", r"newswire grants \1", "the page of admins"),
        (r"GET /users", "newswire user list", "the page of admins"),
        (r"GET /tokens", "newswire token list", "the page of your account"),
        (r"GET /me\b", "newswire whoami", "the page of your account"),
        (r"GET /list_replicas lists", "newswire status lists", "List Replicas shows"),
        (r"GET /list_replicas", "newswire status", "List Replicas"),
        (r"GET /readyz", "newswire status", "Status"),
        (r"GET /cluster(?:/\w+)?", "the page /cluster", "the page /cluster"),
        (r"DELETE /tokens/<id>", "newswire token revoke ID", "the page of your account"),
        (r"with a token \(Authorization: Bearer nw_\.\.\.\), with user and password, or sign in at /login",
         "with newswire login, or a token in NEWSWIRE_TOKEN_FILE", "with name and password"),
        (r"leave `username` out", "leave USER out", "enter your own name"),
        (r"leave `topic` out", "leave TOPIC out", "leave it out"),
    )
)  # fmt: skip
_PLAIN_WORD: Final = re.compile(r"[a-z]+(?=[\s,:;'])")


def in_words(detail: str, reader: Literal["http", "command", "menu"]) -> str:
    """A detail in the words of who reads it: at a command line and in menus commands stand in the place of requests."""
    for request, words in REQUESTS if reader != "http" else ():
        detail = request.sub(words[reader], detail)
    return detail


def as_sentence(detail: str, reader: Literal["http", "command", "menu"] = "http") -> str:
    """A detail as a sentence, which begins with a capital letter and ends with a stop, in the words of who reads it."""
    text = in_words(detail.strip(), reader)
    text = _PLAIN_WORD.sub(lambda word: word[0].capitalize(), text, count=1) if _PLAIN_WORD.match(text) else text
    return text if text.endswith((".", "!", "?")) else f"{text}."


class NewswireError(Exception):
    """An error with a code of `TABLE`, a sentence that says what to do (`detail`) and named extras for programs."""

    code: str = "internal"

    def __init__(self, detail: str, *, code: str | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.extra = extra
        if self.code not in TABLE:
            raise ValueError(f"unknown error code {self.code!r}: add it to errors.TABLE")

    @property
    def status(self) -> int:
        """The HTTP status of this code."""
        return TABLE[self.code][0]

    @property
    def title(self) -> str:
        """A short name of this code for people, the same for every occurrence (RFC 9457, 3.1.3)."""
        return TABLE[self.code][1]

    def problem(self) -> dict[str, Any]:
        """The error as an RFC 9457 object; extras stand beside the members that the RFC names."""
        return {"title": self.title, "status": self.status, "detail": self.detail, "code": self.code, **self.extra}


class BadRequest(NewswireError):
    """The request is malformed: it changed nothing and will never succeed as it is."""

    code = "bad-request"


class Refused(NewswireError):
    """Understood and refused: the caller may not, or what it names is not there."""

    code = "forbidden"


class Unauthenticated(Refused):
    """Who asks is not known here: no credential, or none that counts (`extra["sent"]`: what was sent, on the client's side)."""

    code = "unauthenticated"


class Forbidden(Refused):
    """Who asks is known, and may not: somebody has to grant it."""

    code = "forbidden"


class NotRegistered(Refused):
    """A user without any subscription asked for a stream."""

    code = "not-registered"


class NotFound(Refused):
    """What the request names does not exist."""

    code = "not-found"


class KeyReused(Refused):
    """The key of a publish names a message that says something else: nothing was stored (`extra["id"]`: that message)."""

    code = "key-reused"


class TooLarge(Refused):
    """Over a size limit of `core.limits`."""

    code = "too-large"


class NotStored(NewswireError):
    """Certainly not stored; trying again later, or at another broker, is right."""

    code = "unavailable"


class Unavailable(NotStored):
    """This broker does not serve now: starting, catching up, leaving, or removed."""

    code = "not-ready"


class NotEnoughCopies(NotStored):
    """Fewer brokers in sync than the copies asked for: nothing was stored."""

    code = "not-enough-copies"


class StorageFull(NotStored):
    """The disk is full: nothing was stored, streams go on."""

    code = "storage-full"


class DiskFailed(NewswireError):
    """A write or a sync failed: what is on disk is not known, so the process ends (docs/rules.md, DISK)."""

    code = "disk-failed"


class Damaged(NewswireError):
    """A record of the ops file is not what was written."""

    code = "damaged"


class FewerCopies(NewswireError):
    """Stored, but on fewer brokers than asked; retrying with the same key is safe."""

    code = "fewer-copies-than-asked"


class Unknown(NewswireError):
    """Perhaps stored: no answer in time. Retry with the same key."""

    code = "unknown-outcome"


class NoBroker(NewswireError):
    """No broker could be reached (client side)."""

    code = "unavailable"


class LinkRefused(NewswireError):
    """A broker will not exchange operations with another: other cluster, id in use, or a wrong secret."""

    code = "other-cluster"


_CLASS_OF: Final[Mapping[str, type[NewswireError]]] = {
    "unauthenticated": Unauthenticated,
    "forbidden": Forbidden,
    "not-registered": NotRegistered,
    "not-found": NotFound,
    "no-subscription": NotFound,
    "no-broker": NotFound,
    "no-user": NotFound,
    "no-token": NotFound,
    "no-grant": NotFound,
    "key-reused": KeyReused,
    "no-message": NotFound,
    "no-hole": NotFound,
    "too-large": TooLarge,
    "not-ready": Unavailable,
    "unavailable": NotStored,
    "not-enough-copies": NotEnoughCopies,
    "fewer-copies-than-asked": FewerCopies,
    "unknown-outcome": Unknown,
    "storage-full": StorageFull,
    "other-cluster": LinkRefused,
    "other-version": LinkRefused,
    "id-in-use": LinkRefused,
    "peer-auth-failed": LinkRefused,
}


def from_problem(problem: Mapping[str, Any], status: int) -> NewswireError:
    """Make the error again that a broker answered with; an unknown code becomes the class that its status suggests."""
    code = str(problem.get("code", ""))
    said = problem.get("detail") or problem.get("error") or problem.get("title")  # the second: by ntfy's wire
    detail = str(said or f"the broker answered with status {status}")
    extra = {k: v for k, v in problem.items() if k not in ("title", "status", "detail", "code", "type", "instance")}
    if code in TABLE:
        kind = _CLASS_OF.get(code, BadRequest if TABLE[code][0] == 400 else Refused)
        return kind(detail, code=code, **extra)
    if status >= 500:
        return Unknown(detail)
    if status == 401:
        return Unauthenticated(detail)
    if status == TooLarge("").status:  # a proxy's
        return TooLarge(detail)
    return Refused(detail) if status != 400 else BadRequest(detail)
