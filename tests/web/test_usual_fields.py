"""The declared forms of names are those that are checked: what a form takes its check takes, and what it refuses is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from newswire.errors import NewswireError
from newswire.web.route import Field
from newswire.web.usual_fields import BROKER, BROKER_ADDRESS, PATTERN, PATTERN_IF_ONE, USERNAME, whole_field

TEXTS = (
    *("ann", "a.b@c-d_e", "a b", "ä", "", "x" * 64, "x" * 65, "kitchen", "kitchen.*", "kitchen.>", ">", "a.>.b", "*", "a..b"),
    *("x" * 128, "x" * 129, "127.0.0.1:5054", "[::1]:1", "host:0", "host:65536", "host", "1001", "a\nb", "ann\n", "1:2:3"),
)


@pytest.mark.parametrize("field", [USERNAME, PATTERN, PATTERN_IF_ONE, BROKER_ADDRESS], ids=lambda field: field.name)
@pytest.mark.parametrize("text", TEXTS)
def test_the_declared_form_is_what_is_checked(field: Field[Any], text: str) -> None:
    try:
        msgspec.convert(text, field.type)
        fits = not text.endswith("\n")  # where `$` of Python takes it, that of JSON Schema does not
    except msgspec.ValidationError:
        fits = False
    if fits:
        assert field.read(text) == text
        return
    with pytest.raises(NewswireError) as refused:
        field.read(text)
    assert refused.value.code in field.codes


def test_a_broker_is_named_by_address_or_id() -> None:
    assert (BROKER.read("127.0.0.1:5054"), BROKER.read("1001")) == ("127.0.0.1:5054", "1001")
    for text, code in (("a:b", "bad-address"), ("a b", "bad-field")):
        with pytest.raises(NewswireError) as refused:
            BROKER.read(text)
        assert refused.value.code == code


@pytest.mark.parametrize("field", [USERNAME, PATTERN, BROKER], ids=lambda field: field.name)
@pytest.mark.parametrize("value", [None, 1, True, ["a"], {}])
def test_what_is_no_text_is_refused(field: Field[Any], value: object) -> None:
    with pytest.raises(NewswireError) as refused:
        field.read(value)
    assert refused.value.code == "bad-field"


def test_a_whole_number_may_be_text_and_has_bounds() -> None:
    field = whole_field("limit", 1, 10, "At most so many.")
    assert [field.read(value) for value in (1, "10", 3.0)] == [1, 10, 3]
    for value in (0, 11, "0", "11", "x", "1.0", 1.5, 11.0, True, None):
        with pytest.raises(NewswireError):
            field.read(value)
