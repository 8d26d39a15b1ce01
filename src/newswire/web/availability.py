"""Who may be served here at all: a broker that starts, catches up, leaves or was removed sends its clients on."""

from __future__ import annotations

from collections.abc import Callable

from newswire.engine.seam import ClusterStatus, Engine, Principal
from newswire.errors import NewswireError, NotRegistered, NotStored, Refused, Unavailable
from newswire.threads import NeedsThread, must_not_wait


def serving(engine: Engine) -> Callable[[], None]:
    """A check to run before each request of a blueprint: raises `not-ready` while this broker serves no clients."""

    def check() -> None:
        view = engine.describe()
        if not view.serves:
            raise Unavailable(why_not(view))

    return check


def reading(engine: Engine) -> Callable[[], None]:
    """As `serving`, for what reads messages: raises `not-ready` also while there are some that do not get here."""

    def check() -> None:
        view = engine.describe()
        if not view.serves or view.why_behind:
            raise Unavailable(view.why_behind or why_not(view))

    return check


def why_not(view: ClusterStatus) -> str:
    """The sentence for clients of a broker that does not serve."""
    return view.why_not or "this broker does not serve now: try another one, or again in a moment"


def nothing_to_read(engine: Engine, user: str, by: Principal | None) -> NewswireError:
    """What to raise for a user without a subscription, or without the right to read what any of them brings.

    Final only while every member is in sync (docs/hazards.md, H27).
    """
    view = engine.describe()
    if not view.all_in_sync:
        return NotStored(may_be_known(user, view))
    return why_nothing_to_read(engine, user, by)


def why_nothing_to_read(engine: Engine, user: str, by: Principal | None) -> NewswireError:
    """The same where every member is in sync."""
    if by is not None and must_not_wait():
        raise NeedsThread  # counts take long
    if by is not None and engine.subscriptions_of(user, by):
        return Refused(f"user {user} may not read any of the topics of {user}'s subscriptions: an admin can grant it")
    return NotRegistered(not_registered(user))


def not_registered(user: str) -> str:
    """The sentence for a user whom no broker knows."""
    return f"user {user} is not registered for any topic: subscribe first, POST /subscribe?username={user}&topic=..."


def may_be_known(user: str, view: ClusterStatus) -> str:
    """The sentence for a user whom a broker that is away may know, or who may stand behind damage."""
    if view.holes and not view.away:
        return f"user {user} is not registered here, as far as damaged disks tell: operators have been told, try again later"
    return f"user {user} is not registered here, but a broker that is away may know better: try again, or another broker"
