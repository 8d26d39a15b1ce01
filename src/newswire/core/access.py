"""Who may do what: the rights of an account, and of a token that is narrower (docs/rules.md, ACCESS). Pure.

A right is a verb and a pattern, as in a subscription. What is read is decided when a reader begins, for whole patterns: `parts`
says what of a subscription may be read, so that no message is looked at for it. With `--auth none` nobody is asked, and there
is `None` where a `Principal` or `Rights` would be.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final

import msgspec

from newswire.core.model.matching import PatternSet, pattern_set
from newswire.core.model.ops import OpId, Verb

EVERYBODY: Final = "*"  # everybody who is signed in: no username, nor an op id
READS_ONLY: Final = (
    "this was opened with a ticket, which reads, acknowledges and confirms, and does nothing else: sign in for more"
)
_ALL: Final = (">",)
_WILD: Final = ("*", ">")


class Principal(msgspec.Struct, frozen=True):
    """Who asks, and by what it was proved: each that is named has to be good still when something is done for it.

    `account`: the op that made the user. `token`, `password`: ids of ops; `session`: as the cookie names it.
    `feed`: the account whose news alone may be read, and nothing else be done: what a ticket is good for. "": no such bound.
    """

    account: OpId
    token: OpId = ""
    password: OpId = ""
    session: str = ""
    feed: OpId = ""


class Rights(msgspec.Struct, frozen=True, dict=True):
    """What one may do: an admin everything, others what their patterns match."""

    admin: bool = False
    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()

    def may(self, verb: Verb, topic: str) -> bool:
        """Say whether it is allowed to publish to `topic`, or to read what is."""
        return self.admin or bool(self._sets[verb][0].match(topic).hits)

    def may_see(self, topic: str) -> bool:
        """Say whether `topic` may be known to exist."""
        return self.may("subscribe", topic) or self.may("publish", topic)

    def covers(self, verb: Verb, pattern: str) -> bool:
        """Say whether one of the patterns allows all that `pattern` matches.

        A pattern is looked up like a topic: its `*` is a level that only `*` matches, its `>` one that only `>` may take.
        """
        if self.admin:
            return True
        whole, rest = self._sets[verb]
        return bool((rest if pattern.endswith(">") else whole).match(pattern).hits)

    def parts(self, pattern: str) -> tuple[str, ...]:
        """What of `pattern` may be read, as patterns: itself, if all of it; () for nothing."""
        if self.covers("subscribe", pattern):
            return (pattern,)
        by_level, first = self._by_first_level, pattern.split(".", 1)[0]
        near = self.subscribe if first in _WILD else (*by_level.get(first, ()), *by_level["*"], *by_level[">"])
        return tuple(sorted({part for one in near if (part := overlap(one, pattern))}))

    def narrow(self, publish: tuple[str, ...] | None, subscribe: tuple[str, ...] | None) -> Rights:
        """The rights of a token with these patterns: never wider than these, and no admin's. None: as they are."""
        if publish is None and subscribe is None:
            return self
        return Rights(publish=self._narrowed("publish", publish), subscribe=self._narrowed("subscribe", subscribe))

    @cached_property
    def reading(self) -> Rights:
        """The part of these rights that reads, and no admin's."""
        return Rights(subscribe=self._patterns("subscribe"))

    def _patterns(self, verb: Verb) -> tuple[str, ...]:
        return _ALL if self.admin else self.publish if verb == "publish" else self.subscribe

    def _narrowed(self, verb: Verb, patterns: tuple[str, ...] | None) -> tuple[str, ...]:
        mine = self._patterns(verb)
        if patterns is None:
            return mine
        return tuple(sorted({part for one in mine for other in patterns if (part := overlap(one, other))}))

    @cached_property
    def _sets(self) -> dict[Verb, tuple[PatternSet, PatternSet]]:
        """Of each verb the patterns, and those of them that end with `>`."""
        both: dict[Verb, tuple[str, ...]] = {"publish": self.publish, "subscribe": self.subscribe}
        return {
            verb: (pattern_set(patterns), pattern_set(tuple(one for one in patterns if one.endswith(">"))))
            for verb, patterns in both.items()
        }

    @cached_property
    def _by_first_level(self) -> dict[str, list[str]]:
        levels: dict[str, list[str]] = {"*": [], ">": []}
        for one in self.subscribe:
            levels.setdefault(one.split(".", 1)[0], []).append(one)
        return levels


def overlap(one: str, other: str) -> str:
    """The pattern of just the topics that both match; "" if there is none."""
    left, right = one.split("."), other.split(".")
    levels: list[str] = []
    for at, (mine, theirs) in enumerate(zip(left, right, strict=False)):
        if mine == ">":
            return ".".join([*levels, *right[at:]])
        if theirs == ">":
            return ".".join([*levels, *left[at:]])
        if mine != theirs and "*" not in (mine, theirs):
            return ""
        levels.append(theirs if mine == "*" else mine)
    return ".".join(levels) if len(left) == len(right) else ""
