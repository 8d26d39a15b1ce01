"""The options of `newswire publish` that are fields of a message: one for each that has help (`core.model.message`).

Imported when that command's options are asked for, since the struct of a message is nothing that every command should load.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from newswire.cli.options import Setting
from newswire.cli.parameters import WholeNumber
from newswire.core.model.commands import RULES

_MAY_BE_EMPTY: Final = ("title", "tags", "click")  # what a message that is handed on lacks: "$NEWSWIRE_MESSAGE_TITLE"


def message_options() -> list[Setting]:
    """One option a field; `fields_of` reads their values."""
    return [
        Setting(
            [f"--{name}"],
            type=WholeNumber(rule.least, rule.most) if rule.kind is int else None,
            **({"is_flag": True} if rule.kind is bool else {}),
            metavar="N" if rule.kind is int else None,
            help=rule.help,
            may_be_empty=name in _MAY_BE_EMPTY,
        )
        for name, rule in RULES.items()
        if rule.help
    ]


def fields_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as the client library takes them, absent ones left out; of a list the text has commas between."""
    return {
        name: [word.strip() for word in value.split(",") if word.strip()] if RULES[name].kind is tuple else value
        for name, value in values.items()
        if value
    }
