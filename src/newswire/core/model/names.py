"""Names: topics, patterns, usernames, broker ids, addresses. Each check raises with the rule that is broken.

A pattern is a topic in which `*` stands for one level and a final `>` for the rest (at least one level), as in NATS
(docs/http.md, Names).
"""

from __future__ import annotations

import re
from typing import Final

from newswire.core import limits
from newswire.core.model import addresses, offers
from newswire.errors import BadRequest

ROUTES: Final = frozenset(
    # first words of routes: a topic named like one could not have an address of its own later
    """publish subscribe unsubscribe subscriptions stream ack messages topics list_replicas add_replica remove_replica
    heartbeat replicate login logout cluster livez readyz metrics openapi.json openapi accept_loss backup compact receipts
    confirm me users tokens grants tickets audit admin
    v1 docs static file app account settings signup""".split()
)

# The forms of names, also of those in replicated ops (`core.model.ops`)
TOPIC_FORM: Final = r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*"
PATTERN_FORM: Final = r"(?:[A-Za-z0-9_-]+|\*)(?:\.(?:[A-Za-z0-9_-]+|\*))*(?:\.>)?|>"
USERNAME_FORM: Final = r"[A-Za-z0-9_.@-]+"
BROKER_ID_FORM: Final = r"[A-Za-z0-9]+"
ORIGIN_FORM: Final = r"[A-Za-z0-9]{1,16}-[a-z0-9]{1,16}"
SESSION_FORM: Final = r"[A-Za-z0-9_-]{1,64}"
AUDIT_FORM: Final = r"[a-z-]{1,32}"
SIGN_IN: Final = "signed-in"  # what the audit trail says of a sign-in
SIGN_IN_FAILED: Final = "sign-in-failed"
OP_ID_FORM: Final = rf"{ORIGIN_FORM}\.[1-9][0-9]{{0,15}}"

_TOPIC = re.compile(TOPIC_FORM)
_PATTERN = re.compile(PATTERN_FORM)
_USERNAME = re.compile(USERNAME_FORM)
_BROKER_ID = re.compile(BROKER_ID_FORM)
_USUAL_PORT: Final = 5053  # of a broker that is told no other


def check_topic(topic: str) -> str:
    """Return `topic` if something may be published to it.

    Raises BadRequest (`bad-topic`).
    """
    if not topic:
        raise BadRequest("`topic` is empty: name the topic to publish to, for example topic=finance.closing", code="bad-topic")
    if len(topic) > limits.TOPIC_CHARS or not _TOPIC.fullmatch(topic):
        hint = "; `*` and `>` are for subscriptions only" if "*" in topic or ">" in topic else ""
        raise BadRequest(
            f"a topic is 1 to {limits.TOPIC_CHARS} characters of letters, digits, `_`, `-`, with `.` between levels{hint}"
            + _why(topic, limits.TOPIC_CHARS, "" if hint else offers.topic_like(topic), _TOPIC),
            code="bad-topic",
        )
    if topic in ROUTES:
        raise BadRequest(
            f"a topic may not be named `{topic}`: that word is kept for the service; `{topic}-news` may", code="bad-topic"
        )
    return topic


def check_pattern(pattern: str) -> str:
    """Return `pattern` if it may be subscribed to: a topic, with `*` for one level and a final `>` for the rest.

    It may be a word of `ROUTES`: a topic that was published to before that word was kept stays readable.

    Raises BadRequest (`bad-pattern`).
    """
    if not pattern:
        raise BadRequest(
            "`topic` is empty: name a topic or a pattern, for example topic=finance.* or topic=>", code="bad-pattern"
        )
    if len(pattern) > limits.TOPIC_CHARS or not _PATTERN.fullmatch(pattern):
        raise BadRequest(
            f"a subscription names 1 to {limits.TOPIC_CHARS} characters of letters, digits, `_`, `-`, with `.` between levels;"
            " `*` stands for one whole level, `>` at the end for all that follow"
            + _why(pattern, limits.TOPIC_CHARS, offers.pattern_like(pattern), _PATTERN),
            code="bad-pattern",
        )
    return pattern


def check_username(username: str) -> str:
    """Return `username` if it is one.

    Raises BadRequest (`bad-username`).
    """
    if not 0 < len(username) <= limits.USERNAME_CHARS or not _USERNAME.fullmatch(username):
        raise BadRequest(
            f"a username is 1 to {limits.USERNAME_CHARS} characters of letters, digits, `_`, `-`, `.`, `@`"
            + _why(username, limits.USERNAME_CHARS, offers.username_like(username), _USERNAME),
            code="bad-username",
        )
    return username


def check_broker_id(broker: str) -> str:
    """Return `broker` if it is a broker id: it is part of every origin, so no separator of an event id may stand in it.

    Raises BadRequest (`bad-field`).
    """
    if not 0 < len(broker) <= limits.BROKER_ID_CHARS or not _BROKER_ID.fullmatch(broker):
        raise BadRequest(f"a broker id is 1 to {limits.BROKER_ID_CHARS} letters and digits, for example 1001", code="bad-field")
    return broker


def check_address(address: str) -> str:
    """Return how `address` is spelt if it is `host:port` (an IPv6 host in brackets), or `https://host` with or without a port.

    Raises BadRequest (`bad-address`).
    """
    if len(address) > limits.ADDRESS_CHARS or not addresses.is_address(address):
        near = offers.address_like(address[: limits.ADDRESS_CHARS], _USUAL_PORT)
        offer = f"; perhaps `{near}`" if near != address and addresses.is_address(near) else ""
        raise BadRequest(
            f"a broker address is HOST:PORT, for example 127.0.0.1:5054, or in TLS https://HOST{offer}", code="bad-address"
        )
    return addresses.spell(address)


def check_broker(text: str) -> str:
    """Return the address of a broker, of which the URL without a path may be given, too.

    Raises BadRequest (`bad-address`).
    """
    scheme, separator, _ = text.rpartition("://")
    if separator and scheme not in ("http", "https"):
        raise BadRequest("a broker's URL begins with http:// or https://", code="bad-address")
    return check_address(addresses.spell(text))


def is_pattern(name: str) -> bool:
    """Say whether `name` can match more than the topic of the same name."""
    return "*" in name or ">" in name


def matches(pattern: str, topic: str) -> bool:
    """Say whether a subscription to `pattern` gets what is published to `topic`."""
    if pattern == topic or pattern == ">":
        return True
    if not is_pattern(pattern):
        return False
    parts, levels = pattern.split("."), topic.split(".")
    if parts[-1] == ">":
        parts.pop()
        if len(levels) <= len(parts):
            return False
        levels = levels[: len(parts)]
    return len(parts) == len(levels) and all(w in ("*", level) for w, level in zip(parts, levels, strict=True))


def _why(text: str, most: int, offer: str, rule: re.Pattern[str]) -> str:
    """What stands behind a rule: what is wrong with `text`, and a name that would do."""
    parts = []
    if not text.isascii():
        parts.append("letters are ASCII (a to z)")
    if len(text) > most:
        parts.append(f"this has {len(text)} characters")
    if offer and offer not in ROUTES and rule.fullmatch(offer):
        parts.append(f"`{offer}` would do")
    return "".join(f"; {part}" for part in parts)
