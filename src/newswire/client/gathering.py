"""Posts as requests: one by itself, or several as one batch, whose answer tells each of them its own receipt or error.

A batch is all or none, so what refuses it may be the matter of one line. The line that the broker names is told, the others
are sent again; a batch that is too large is halved; what is refused without naming a line is sent one by one, so that each is
told what it would be told alone. Whatever is sent again has the same keys.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any, Final

import msgspec

from newswire.client.answers import MessageReceipt
from newswire.client.pool import BrokerPool, Tries
from newswire.client.posts import Post, settle_all
from newswire.client.transport import BrokerAnswer, Call
from newswire.core import limits
from newswire.errors import BadRequest, FewerCopies, NewswireError, NoBroker, NotStored, Refused, TooLarge, Unknown

_NOT_PUBLISHED: Final = "Not published, as it was withdrawn or is over:"
_LATER: Final = frozenset({"too-many", "unreachable", "unauthenticated"})  # refusals that are not of what the request says


def send_posts(pool: BrokerPool, posts: list[Post], until: float) -> None:
    """Send posts with one `group`, the copies that are asked for, in order, and settle each that is still waited for."""
    now = pool.clock()
    for post in posts:
        if post.until <= now:  # it has waited for what was sent before
            post.settle(late(post))
    # what is scheduled goes by itself: the answer of a batch does not say when each is due
    waiting = groupby((post for post in posts if post.outcome is None), key=lambda post: post if post.is_scheduled else None)
    parts = [list(part) for _, part in waiting]
    while parts:
        part = [post for post in parts.pop(0) if not post.is_left]
        if part:
            parts[:0] = _send_part(pool, part, until)


def late(post: Post) -> NewswireError:
    """The error of a post whose time is over before it has an outcome."""
    if post.tries is not None:
        return _error_of(post, post.tries.gave_up())
    return _error_of(post, NoBroker("no broker answered what was sent before this in time, so this was not sent: try again"))


def _send_part(pool: BrokerPool, posts: list[Post], until: float) -> list[list[Post]]:
    """Send one request; the parts that are to be sent again."""
    pool.refresh()
    tries = Tries(_call(posts), pool.clock(), until)
    for post in posts:
        post.tries = tries
    try:
        answer = pool.run(tries, limits.CLIENT_TRY_SECONDS)
        receipts = _receipts(posts, answer)
    except NewswireError as error:
        parts = _parts_of_refused(posts, error)
        for post in (post for part in parts for post in part):
            post.tries = None
            post.in_doubt |= tries.perhaps
        return parts
    settle_all(posts, receipts)
    return []


def _call(posts: list[Post]) -> Call:
    copies = posts[0].group
    ask: dict[str, str | int] = {"copies": copies} if isinstance(copies, int) else {}
    if len(posts) == 1:
        return Call("POST", "/publish", params=ask, body=posts[0].body)
    return Call(
        "POST", "/publish", params={**ask, "ids": 1}, body=b"\n".join(post.body for post in posts), type="application/x-ndjson"
    )


def _receipts(posts: list[Post], answer: BrokerAnswer) -> list[MessageReceipt]:
    """Raises _Unnamed for the answer of a batch that does not name every message, NewswireError for one that is no broker's."""
    if len(posts) == 1:
        one: _Stored = answer.read(_Stored)
        return [
            MessageReceipt(
                id=one.id,
                copies=one.copies,
                message=one.message,
                broker=answer.broker,
                duplicate=one.duplicate and not _is_doubtful(posts[0], answer),
                due=one.due,
                withdrawn=one.withdrawn,
            )
        ]
    all_: _StoredBatch = answer.read(_StoredBatch)
    if len(all_.ids) != len(posts):
        raise _Unnamed("the broker's answer does not name every message")
    return [
        MessageReceipt(
            id=id,
            copies=all_.copies,
            message=f"{_NOT_PUBLISHED if number in all_.withdrawn_lines else 'Published'} topic {post.topic} data {post.text}",
            broker=answer.broker,
            duplicate=number in all_.duplicate_lines and not _is_doubtful(post, answer),
            withdrawn=number in all_.withdrawn_lines,
        )
        for number, (post, id) in enumerate(zip(posts, all_.ids, strict=True), 1)
    ]


def _is_doubtful(post: Post, answer: BrokerAnswer) -> bool:
    """Whether what was stored before may be this very call's."""
    return answer.after_doubt or post.in_doubt


def _parts_of_refused(posts: list[Post], error: NewswireError) -> list[list[Post]]:
    """Settle those that an error is about; the parts that are to be sent again."""
    line = error.extra.get("line")
    ids = error.extra.get("ids")
    if len(posts) == 1:
        posts[0].settle(_error_of(posts[0], error))
    elif isinstance(error, _Unnamed):
        for post in posts:
            post.in_doubt = True
        return [[post] for post in posts]
    elif isinstance(line, int) and 0 < line <= len(posts):
        return _parts_beside(posts, line, error)
    elif isinstance(error, TooLarge):
        return [posts[: len(posts) // 2], posts[len(posts) // 2 :]]
    elif isinstance(error, BadRequest | Refused) and error.code not in _LATER:
        return [[post] for post in posts]
    else:
        error.extra.pop("id", None)  # of a batch, the last one's
        names: list[dict[str, Any]] = [{} for _ in posts]
        if isinstance(error, FewerCopies) and isinstance(ids, list) and len(ids) == len(posts):
            names = [{"id": id} for id in ids]
        for post, name in zip(posts, names, strict=True):
            post.settle(_error_of(post, error, **name))
    return []


def _parts_beside(posts: list[Post], line: int, error: NewswireError) -> list[list[Post]]:
    """Tell the post of a bad line, if the words fit it by itself; the parts that are to be sent again."""
    bad, others = posts[line - 1], posts[: line - 1] + posts[line:]
    prefix, _, detail = error.detail.partition(": ")
    if prefix != f"line {line}" or (error.code == "key-reused" and "id" not in error.extra):
        return [others, [bad]]
    error.detail = detail
    bad.settle(_error_of(bad, error))
    return [others]


def _error_of(post: Post, error: NewswireError, **more: Any) -> NewswireError:
    """The error as this post's own: each thread raises one of its own."""
    extra = {name: value for name, value in error.extra.items() if name not in ("line", "ids")} | more
    if isinstance(error, NoBroker | NotStored) and post.in_doubt:
        error = Unknown(f"{error.detail}; perhaps it was done before: to repeat it is safe")
    if isinstance(error, Unknown):
        return Unknown(f"{error.detail} with the same key ({post.key})", code=error.code, **extra, key=post.key)
    return type(error)(error.detail, code=error.code, **extra)


class _Unnamed(NewswireError):
    """A batch is stored, and its answer does not say as what."""


class _Stored(msgspec.Struct):
    id: str
    copies: int = 1
    message: str = ""
    duplicate: bool = False
    due: str = ""
    withdrawn: bool = False


class _StoredBatch(msgspec.Struct):
    ids: list[str] = []
    copies: int = 1
    duplicate_lines: frozenset[int] = frozenset()
    withdrawn_lines: frozenset[int] = frozenset()
