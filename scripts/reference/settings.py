"""Each setting: its name in a TOML file, its environment variable, its default and what takes it, from the same parsers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import click

from newswire.cli.main import newswire
from newswire.cli.options import PLACES, Secret, Setting
from reference.commands import contexts, variable
from reference.page import Page, code, plain, table

_ABOUT: Final = f"""\
Each option of a command is also an environment variable and a name in a TOML file. A flag wins over the environment,
that over the file, that over the default; [the command line](command-line.md#where-options-come-from) has the details.
The file is the one that `--config` or `NEWSWIRE_CONFIG` names, else {
    ", else ".join(code(str(place)) for place in PLACES)
}. A name that no command knows is refused.

A secret is no flag, since every user of a machine can read those: it stands in its variable, in a file that the
variable with `_FILE` names, or in a TOML file that only its owner can read, there also as `<name>-file`.
"""


def text() -> str:
    """The page."""
    return "\n".join(
        (
            "# Settings\n",
            _ABOUT,
            "## Of a broker\n",
            table(("name, variable", "means"), [_row(param, context) for context, param in _settings() if _is_broker(context)]),
            "## Of commands\n",
            table(("name, variable", "of", "means"), _shared()),
        )
    )


def _settings() -> Iterator[tuple[click.Context, Setting]]:
    for context in contexts():
        for param in context.command.params:
            if isinstance(param, Setting):
                yield context, param


def _is_broker(context: click.Context) -> bool:
    return context.command_path == f"{newswire.name} broker"


def _row(param: Setting, context: click.Context) -> tuple[str, str]:
    name = f"`{param.word}`" + (f" or `{param.opposite}`" if param.opposite else "")
    record = None if isinstance(param, Secret) else param.get_help_record(context)
    kind = param.metavar or ("" if param.is_flag else param.type.get_metavar(param, context) or param.type.name.upper())
    also = f"<br>`{variable(param)}_FILE`" if isinstance(param, Secret) else ""
    value = plain("true or false" if param.is_flag else kind)
    return f"{name} {value}<br>`{variable(param)}`{also}", plain(record[1] if record else param.help or "A secret.")


def _shared() -> list[tuple[str, str, str]]:
    """One row for all commands whose option says the same."""
    takers: dict[tuple[str, str], list[str]] = {}
    for context, param in _settings():
        if not _is_broker(context):
            takers.setdefault(_row(param, context), []).append(context.command_path.partition(" ")[2])
    return sorted((name, _those(commands), means) for (name, means), commands in takers.items())


def _those(commands: list[str]) -> str:
    return ", ".join(f"[{name}](commands.md#newswire-{name.replace(' ', '-')})" for name in commands)


PAGE = Page(
    name="settings", title="Settings", about="each option as a variable and a name in a file, with its default", text=text
)
