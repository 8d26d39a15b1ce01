"""Fields that several routes have: who it is about, which topic, which broker."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Final, Literal, TypeVar

from msgspec import Meta

from newswire.core import limits
from newswire.core.model import addresses, event_ids, names
from newswire.core.model.names import check_address, check_broker_id, check_pattern, check_username
from newswire.core.model.ops import OpId
from newswire.errors import BadRequest
from newswire.web.message_fields import FLAG_WORDS, whole_of_text
from newswire.web.route import Field, text_field

T = TypeVar("T")

Username = Annotated[
    str, Meta(min_length=1, max_length=limits.USERNAME_CHARS, pattern=f"^{names.USERNAME_FORM}$", examples=["ann"])
]
Topic = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=limits.TOPIC_CHARS,
        pattern=f"^{names.TOPIC_FORM}$",
        examples=["kitchen.dessert"],
        extra_json_schema={"not": {"enum": sorted(names.ROUTES)}},
    ),
]
Pattern = Annotated[
    str, Meta(min_length=1, max_length=limits.TOPIC_CHARS, pattern=f"^(?:{names.PATTERN_FORM})$", examples=["kitchen.>"])
]
EventIdText = Annotated[str, Meta(min_length=1, max_length=limits.EVENT_ID_CHARS, examples=["e~1001-k3b9.7~1001-k3b9.7~"])]
Address = Annotated[str, Meta(max_length=limits.ADDRESS_CHARS, pattern=f"^{addresses.FORM}$", examples=["127.0.0.1:5054"])]

USERNAME: Final = text_field(
    "username",
    check_username,
    Username,
    "Whose. Left out: the caller; another one's is for admins. Where nobody is asked who he is it has to be there.",
    codes=("bad-username", "missing-field"),
)
PATTERN: Final = text_field(
    "topic", check_pattern, Pattern, "A topic or pattern, as in the subscription.", is_required=True, codes=("bad-pattern",)
)
PATTERN_IF_ONE: Final = text_field("topic", check_pattern, Pattern, "Only what is of it.", codes=("bad-pattern",))
BROKER_ADDRESS: Final = text_field(
    "broker_ip", check_address, Address, "The address of a broker.", is_required=True, codes=("bad-address",)
)


def _address_or_id(name: str) -> str:
    return check_address(name) if ":" in name else check_broker_id(name)


BROKER: Final = text_field(
    "broker_ip", _address_or_id, str, "The address or id of a broker.", is_required=True, codes=("bad-address",)
)


def required(field: Field[T]) -> Field[T]:
    """The same field where it may not be left out."""
    return replace(field, is_required=True)


def optional(field: Field[T]) -> Field[T]:
    """The same field where it may be left out."""
    return replace(field, is_required=False)


def flag_field(name: str, words: str) -> Field[bool]:
    """A field that is true or false; as text 1 or 0, or a word for one of them."""

    def read(value: Any) -> bool:
        is_true = FLAG_WORDS.get(str(value).lower()) if isinstance(value, (str, int)) else None
        if is_true is None:
            raise BadRequest(f"`{name}` is 1 or 0", code="bad-field")
        return is_true

    return Field(name=name, read=read, type=bool | Literal[0, 1], words=words)


def whole_field(name: str, least: int, most: int, words: str) -> Field[int]:
    """A field that is a whole number."""
    return Field(
        name=name,
        read=lambda value: whole_of_text(name, value, least, most),
        type=Annotated[int, Meta(ge=least, le=most)],
        words=words,
    )


def message_id(text: str) -> OpId:
    """The message id `text`. Raises `bad-field`."""
    if len(text) > limits.EVENT_ID_CHARS or not event_ids.is_message_id(text):
        raise BadRequest("`id` must be the id of a message, as /publish answers it and a stream shows it", code="bad-field")
    return text


MESSAGE_IN_PATH: Final = Field(
    name="id",
    read=str,
    type=Annotated[str, Meta(pattern=f"^{names.OP_ID_FORM}$", examples=["1001-k3b9.7"])],
    words="The id of the message.",
    place="path",
    codes=("bad-field", "no-message", "replaced"),
)
