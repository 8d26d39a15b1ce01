"""The nearest name to one that is refused, so that a refusal can offer it. Pure; "" where none is near.

Names travel in URLs, shells and file names, so their letters are ASCII. People write `Jörg Müller`, and topics as paths.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from newswire.core import limits

_LOOKED_AT_CHARS: Final = 2 * limits.TOPIC_CHARS  # of what a stranger sent
_SPELLED: Final = str.maketrans(  # what Unicode does not take apart, and what German writes with two letters
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss", "ẞ": "SS"}
    | {"æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ı": "i"}
    | {"ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "–": "-", "—": "-"}
)
_SEPARATOR: Final = re.compile(r"[/\\:.]+")
_BLANKS: Final = re.compile(r"\s+")
_PART_OF_A_LEVEL: Final = re.compile(r"[A-Za-z0-9_-][*>]|[*>][A-Za-z0-9_-]")  # a wildcard
_NOT_IN_TOPICS: Final = re.compile(r"[^A-Za-z0-9_-]")
_NOT_IN_USERNAMES: Final = re.compile(r"[^a-z0-9_.@-]")


def topic_like(text: str) -> str:
    """The topic nearest to `text`: `my topic` gives `my-topic`, `/Büro/3. Stock` gives `Buero.3.Stock`."""
    return _fitting(_levels(text, wild=False), limits.TOPIC_CHARS)


def pattern_like(text: str) -> str:
    """The subscription nearest to `text`; wildcards of other services are known: `news/#` gives `news.>`.

    None is near `news*`: that means names that begin so, and levels are matched as wholes.
    """
    if _PART_OF_A_LEVEL.search(text[:_LOOKED_AT_CHARS]):
        return ""
    return _fitting(_levels(text, wild=True), limits.TOPIC_CHARS)


def username_like(text: str) -> str:
    """The username nearest to `text`: `Jörg Müller` gives `joerg.mueller`."""
    words = _BLANKS.split(_ascii(text).lower().strip())
    parts = [_NOT_IN_USERNAMES.sub("", word).strip("._-@") for word in words]
    return _fitting([part for part in parts if part], limits.USERNAME_CHARS)


def address_like(text: str, port: int) -> str:
    """The address nearest to `text`: without path; with `port` where there is none, unless it is TLS."""
    scheme, _, rest = text.strip().rpartition("://")
    bare = rest.lstrip("/").partition("/")[0]
    if scheme.lower() == "https":
        return f"https://{bare.rstrip(':').lower()}"
    if re.fullmatch(r":?[0-9]{1,5}", bare):
        return f"127.0.0.1:{bare.lstrip(':')}"
    return bare if re.search(r":[0-9]{1,5}$", bare) else f"{bare.rstrip(':')}:{port}"


def _levels(text: str, *, wild: bool) -> list[str]:
    levels = [level for level in _SEPARATOR.split(_ascii(text)) if level.strip()]
    names = [_level(level.strip(), wild=wild) for level in levels]
    return [level for level in names if level]


def _level(level: str, *, wild: bool) -> str:
    if wild and level in ("*", "+"):
        return "*"
    if wild and level in (">", "#", "**"):
        return ">"
    return _NOT_IN_TOPICS.sub("", _BLANKS.sub("-", level)).strip("-") or ""


def _ascii(text: str) -> str:
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFC", text[:_LOOKED_AT_CHARS]).translate(_SPELLED))
    return apart.encode("ascii", "ignore").decode()


def _fitting(parts: list[str], most: int) -> str:
    joined = ".".join(parts)
    return joined if len(joined) <= most else ""
