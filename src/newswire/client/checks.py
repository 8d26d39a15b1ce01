"""The types of what a program gives this library. What is not meant raises TypeError with what to do, before anything is sent.

Python would take much of it and make something else of it: letters of a text where a list of words is due, base64 of bytes,
1 of True. None stands for "not given" where a parameter may be left out. What is text here may still be refused by its rule
(a topic with a blank), by `core.model.names` or by the broker.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from newswire import tls
from newswire.core.model import event_ids
from newswire.errors import BadRequest

Moment = str | datetime | timedelta | None


def text(name: str, value: object) -> str:
    """Return `value` if it is a str; one of a class of its own (an Enum's) as what it holds."""
    if isinstance(value, str):
        return value if type(value) is str else str.__str__(value)
    if value is None:
        raise TypeError(f"`{name}` is None: give a str")
    if isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"`{name}` must be a str, not {_kind(value)}: decode it, for example bytes(data).decode()")
    if isinstance(value, os.PathLike):
        raise TypeError(f"`{name}` must be a str, not {_kind(value)}: path.read_text() is what it holds, str(path) its name")
    if isinstance(value, Mapping | list | tuple):
        do = "json.dumps(...) makes one of it" if name == "data" else "give one at a time"
        raise TypeError(f"`{name}` must be a str, not {_kind(value)}: {do}")
    raise TypeError(f"`{name}` must be a str, not {_kind(value)}: str(...) makes one of it")


def time_to_come(name: str, value: object) -> str:
    """Return a time as a broker reads it: text as it is, a datetime with a zone as RFC 3339."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise TypeError(f"`{name}` is a datetime without a time zone: {name}.astimezone() gives it this machine's")
        return value.isoformat()
    if not isinstance(value, str):
        raise TypeError(f"`{name}` must be a str (an RFC 3339 time) or a datetime with a time zone, not {_kind(value)}")
    return text(name, value)


def length(name: str, value: object) -> str:
    """Return a length of time as a broker reads it: text as it is, a timedelta up to the next second, a number of seconds."""
    if isinstance(value, timedelta):
        return f"{math.ceil(value.total_seconds())}s"
    if isinstance(value, str):
        return text(name, value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"`{name}` must be a str (90s, 30m), a whole number of seconds or a timedelta, not {_kind(value)}")
    return f"{value}s"


def op_id(name: str, value: object) -> str:
    """Return the id of a message or token, which becomes part of an address. Raises BadRequest."""
    id = text(name, value)
    if not event_ids.is_message_id(id):
        raise BadRequest(f"`{name}` must be an id such as 1001-k3b9.7, as brokers answer and list it", code="bad-field")
    return id


def text_or_none(name: str, value: object) -> str | None:
    """Return `value` if it is a str or None."""
    return None if value is None else text(name, value)


def secret_or_none(name: str, value: object) -> str | None:
    """Return `value` if it is a str or None. Raises TypeError that shows nothing of it."""
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"`{name}` must be a str, not {_kind(value)}")


def whole(name: str, value: Any) -> int:
    """Return `value` as an int if it is a whole number; a bool is none."""
    if isinstance(value, bool):
        raise TypeError(f"`{name}` must be an int, not bool: give a number")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"`{name}` must be an int, not {_kind(value)}: int(...) makes one of it") from None


def flag(name: str, value: object) -> bool:
    """Return `value` if it is a bool."""
    if not isinstance(value, bool):
        raise TypeError(f"`{name}` must be a bool, not {_kind(value)}: True or False")
    return value


def whole_or_none(name: str, value: Any) -> int | None:
    """Return `value` as an int if it is a whole number, or None."""
    return None if value is None else whole(name, value)


def words(name: str, value: object) -> list[str]:
    """Return the words of a list, a tuple, a set or what else gives some; one text is none of these."""
    if isinstance(value, str):
        raise TypeError(f'`{name}` must be a list of words, not one str: ["{value[:20]}"], or {name}.split(",")')
    if isinstance(value, bytes | bytearray | Mapping) or not isinstance(value, Iterable):
        raise TypeError(f"`{name}` must be a list of str, not {_kind(value)}")
    return [text(f"{name}[{at}]", word) for at, word in enumerate(value)]


def seconds(name: str, value: object) -> float:
    """Return `value` as a float if it is a number of seconds above 0."""
    if isinstance(value, timedelta):
        raise TypeError(f"`{name}` must be a number of seconds, not timedelta: {name}.total_seconds()")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"`{name}` must be a number of seconds, not {_kind(value)}")
    if not 0 < value < math.inf:  # NaN too is not
        raise ValueError(f"`{name}` must be a number of seconds above 0, not {value}")
    return float(value)


def moment(name: str, value: object) -> str | None:
    """Return a time as a broker reads it: text as it is, an aware datetime as RFC 3339, a timedelta back from now."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise TypeError(f"`{name}` is a datetime without a time zone: {name}.astimezone() gives it this machine's")
        return value.isoformat()
    if isinstance(value, timedelta):
        return f"{max(0, round(value.total_seconds()))}s"
    if value is None or isinstance(value, str):
        return value
    raise TypeError(
        f"`{name}` must be a str (an event id, `earliest`, 90m, or an RFC 3339 time), a datetime with a time zone"
        f" or a timedelta, not {_kind(value)}"
    )


def called(name: str, value: Any) -> Callable[..., Any] | None:
    """Return `value` if it can be called, or None."""
    if value is None or callable(value):
        return value  # type: ignore[no-any-return]
    raise TypeError(f"`{name}` must be a function, not {_kind(value)}")


def trust(name: str, value: object) -> bool | str:
    """Return what certificates are checked with: True, False, or the path of a file of them, for True that of NEWSWIRE_CA_FILE.

    Raises BadRequest for a file that holds none.
    """
    if value is True:
        value = os.environ.get("NEWSWIRE_CA_FILE") or True
    if isinstance(value, bool):
        return value
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"`{name}` must be True, False or the path of a file with certificates, not {_kind(value)}")
    path = os.fsdecode(value)
    if not os.path.isdir(path):
        try:
            tls.context(path)
        except tls.NoTrust as error:
            raise BadRequest(str(error), code="bad-field") from None
    return path


def addresses(value: object) -> str | list[str]:
    """Return the brokers: a text, or a list of texts."""
    if isinstance(value, set | frozenset):
        raise TypeError("`brokers` must be a list of str, not a set: the first is the one to try first")
    return value if isinstance(value, str) else words("brokers", value)


def _kind(value: object) -> str:
    return type(value).__name__
