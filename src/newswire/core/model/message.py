"""A message: the one struct of its fields, each with its bounds and, where a client may give it, its rule in words.

Whatever carries a message is one: the command (`core.model.commands.Publish`), the op (`core.model.ops.Published`), and what a
reader gets (`Message`, in the client library too). What follows from the struct is derived and written down nowhere else: which
fields a request may have, how each is checked, what stands for its content, what JSON shows, and the options of
`newswire publish`. To add a field is to add it here, to `client.publisher.Publisher.publish`, which the command calls, and to
whatever is to show it.

Of a field's `Meta`, `description` is its rule as it follows "must be"; a field that has none is set by brokers only. `title` is
the help of its option on the command line; a field that has none has no option. Pure.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Annotated, Any, Final, get_origin, get_type_hints

import msgspec
from msgspec import Meta
from msgspec.structs import fields

from newswire.core import limits
from newswire.core.model import names

ONE_LINE: Final = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]*\Z"  # no control, no line end, no half of a character
_WEB_ADDRESS: Final = r"^[Hh][Tt][Tt][Pp][Ss]?://[^\x00-\x20\x7f-\xa0\u2028\u2029\"<>\\]+\Z"
_TOPIC_OR_NONE: Final = rf"^(?:{names.TOPIC_FORM})?\Z"
_AGAIN: Final = rf"^(?:{names.OP_ID_FORM})?\Z"
_NOT_SHOWN: Final = Meta(extra={"shown": False})  # to readers

TopicName = Annotated[str, Meta(min_length=1, max_length=limits.TOPIC_CHARS)]  # the form: `names.check_topic`, `ops.decode`
_Tag = Annotated[str, Meta(min_length=1, max_length=limits.TAG_CHARS, pattern=ONE_LINE)]


class MessageFields(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """What a publisher says, and what a broker adds. Absent fields are empty, 0, () or False; bounds those of what is stored.

    `expires`: milliseconds since 1970, 0 for never. `about`: the id of the message that this one names those of who have not
    confirmed it in time. `replaces`: the id of the message that is shown no more because of this one; `original`: of the first
    of those that were replaced so, one by the next. `again`: the id under which it was stored before an operator gave that
    op up, and who held it stored it again.
    """

    topic: Annotated[TopicName, Meta(description="a topic")]
    data: Annotated[str, Meta(max_length=limits.MESSAGE_BYTES, description="text")] = ""
    key: Annotated[str, Meta(max_length=limits.KEY_BYTES), _NOT_SHOWN] = ""
    publisher: Annotated[str, Meta(max_length=limits.USERNAME_CHARS)] = ""  # the form: as of a topic's name
    title: Annotated[
        str,
        Meta(
            max_length=limits.TITLE_CHARS,
            pattern=ONE_LINE,
            description=f"one line of 1 to {limits.TITLE_CHARS} characters; longer text belongs into `data`",
            title="A line that stands above the text.",
        ),
    ] = ""
    priority: Annotated[int, Meta(ge=0, le=5, description="a whole number from 1 to 5", title="5 is the highest.")] = 0
    tags: Annotated[
        tuple[_Tag, ...],
        Meta(
            max_length=limits.TAGS_COUNT,
            description=f"at most {limits.TAGS_COUNT} words of 1 to {limits.TAG_CHARS} characters on one line each:"
            ' a list in JSON (["sale", "shop"]), separated by commas elsewhere',
            title="With commas between.",
        ),
    ] = ()
    click: Annotated[
        str,
        Meta(
            max_length=limits.URL_CHARS,
            pattern=_WEB_ADDRESS,
            description=f"an http:// or https:// address without spaces, of at most {limits.URL_CHARS} characters",
            title="The address that the message opens.",
        ),
    ] = ""
    markdown: Annotated[
        bool, Meta(description="true or false", title="The text is Markdown, which the page shows as such.")
    ] = False
    expires: Annotated[int, Meta(ge=0, le=2 * limits.TIME_MILLISECONDS), _NOT_SHOWN] = 0
    confirm: Annotated[int, Meta(ge=0, le=limits.EXPIRES_SECONDS)] = 0
    escalate: Annotated[str, Meta(max_length=limits.TOPIC_CHARS, pattern=_TOPIC_OR_NONE), _NOT_SHOWN] = ""
    about: Annotated[str, Meta(pattern=_AGAIN)] = ""
    replaces: Annotated[str, Meta(pattern=_AGAIN)] = ""
    original: Annotated[str, Meta(pattern=_AGAIN)] = ""
    again: Annotated[str, Meta(pattern=_AGAIN), _NOT_SHOWN] = ""


class Message(MessageFields, frozen=True, repr_omit_defaults=True):
    """A message as a reader gets it. `id` names it, `event_id` the place to go on from; `time` is RFC 3339 text."""

    id: str
    event_id: str
    time: str = ""


class Gap(msgspec.Struct, frozen=True, omit_defaults=True):
    """`dropped` messages of `topic` are not there.

    `reason`: "" (removed by retention before they were delivered), "waiting" (behind damage on a broker's disk: they come
    when it is mended) or "lost" (to damage, and given up by an operator; `topic` is the pattern subscribed to, `dropped` the
    most that were of it). `event_id`, which stands before what follows, is not part of the JSON.
    """

    topic: str
    dropped: int
    event_id: str = ""
    reason: str = ""


class Withdrawal(msgspec.Struct, frozen=True, omit_defaults=True):
    """The message `id` of `topic` was withdrawn: whoever shows it shows it no more.

    `original`: as of the message; "" where it replaced none. `event_id`, the place to go on from, is not part of the JSON.
    """

    topic: str
    id: str
    original: str = ""
    event_id: str = ""


class Rule(msgspec.Struct, frozen=True):
    """What a client may give as a field: a `kind` of value (str, int, bool, or tuple for a list), and the rule in words.

    `least` and `most` bound a number, None for any other kind. `help` is that of the option, "" where there is none.
    """

    kind: type
    words: str
    help: str
    least: int | None
    most: int | None


def rules_of(struct: type[MessageFields]) -> dict[str, Rule]:
    """The rule of each field of `struct` that a client may give, in order."""
    return {name: rule for name, hint in _hints(struct).items() if (rule := _rule(hint)) is not None}


def _hints(struct: type[MessageFields]) -> dict[str, Any]:
    hints = get_type_hints(struct, include_extras=True)
    return {name: hints[name] for name in MessageFields.__struct_fields__}


def _rule(hint: Any) -> Rule | None:
    metas: tuple[Meta, ...] = hint.__metadata__
    words = next((meta.description for meta in metas if meta.description), None)
    if words is None:
        return None
    title = next((meta.title for meta in metas if meta.title), "")
    least, most = metas[0].ge, metas[0].le
    bounds = (None, None) if least is None or most is None else (max(1, int(least)), int(most))  # 0 stands for absent
    return Rule(kind=get_origin(hint.__origin__) or hint.__origin__, words=words, help=title, least=bounds[0], most=bounds[1])


def without_bounds(struct: type[MessageFields]) -> type[msgspec.Struct]:
    """A struct of the fields of `struct`, all named, that takes any value of their types."""
    kinds = get_type_hints(struct)
    return msgspec.defstruct(
        f"Any{struct.__name__}",
        [
            (one.name, kinds[one.name], one.default) if not one.required else (one.name, kinds[one.name])
            for one in fields(struct)
        ],
        kw_only=True,
    )


# beside topic and data: what a publisher may give first, then what a broker adds
_MORE: Final = tuple(
    sorted(
        [
            name
            for name, hint in _hints(MessageFields).items()
            if name not in ("topic", "data") and all((meta.extra or {}).get("shown", True) for meta in hint.__metadata__)
        ],
        key=lambda name: name not in rules_of(MessageFields),
    )
)
_values_of_more: Final = attrgetter(*_MORE)
SHOWN_FIELDS: Final = ("id", "event_id", "topic", "data", "time", *_MORE)


def shown_object(message: MessageFields, *, id: str, event_id: str, time: str) -> dict[str, Any]:
    """A message as JSON shows it (docs/http.md, Stream): absent fields left out. `time` is RFC 3339 text."""
    fields = {"id": id, "event_id": event_id, "topic": message.topic, "data": message.data, "time": time}
    for name, value in zip(_MORE, _values_of_more(message)):  # noqa: B905  # of one length; each message of a page comes by
        if value:
            fields[name] = value
    return fields
