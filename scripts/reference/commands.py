"""Each command of `newswire`, from the parsers of its arguments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import click

from newswire.cli import output
from newswire.cli.command import Command
from newswire.cli.main import newswire
from reference.page import Page, block, code, plain, prose, table

_ABOUT: Final = """\
What each command does and takes, as `newswire COMMAND --help` says it. What all have in common, such as where values
come from and where the output goes, is in [the command line](command-line.md); each option as a variable and a name in
a file is in [settings](settings.md). Each command takes `--help`, too.
"""


def text() -> str:
    """The page."""
    parts = ["# Commands\n", _ABOUT, _exit_codes()]
    parts += [_command(context) for context in contexts()]
    return "\n".join(parts)


def contexts() -> Iterator[click.Context]:
    """Each command in the context that it has at a command line, groups before what is in them."""
    root = click.Context(newswire, info_name="newswire")
    waiting = [click.Context(command, info_name=name, parent=root) for name, command in newswire.commands.items()]
    while waiting:
        context = waiting.pop(0)
        yield context
        if isinstance(context.command, click.Group):
            inner = context.command.commands.items()
            waiting[:0] = [click.Context(command, info_name=name, parent=context) for name, command in inner]


def variable(param: click.Parameter) -> str:
    """The environment variable of a parameter, or ""."""
    return param.envvar if isinstance(param.envvar, str) else ""


def _exit_codes() -> str:
    return "\n".join(
        ("## Exit codes\n", table(("code", "means"), [(str(at), plain(says)) for at, says in output.MEANINGS.items()]))
    )


def _command(context: click.Context) -> str:
    command = context.command
    usage = f"{context.command_path} {' '.join(command.collect_usage_pieces(context))}"
    parts = [f"## {context.command_path}\n", block(usage), prose(command.help)]
    if isinstance(command, click.Group):
        names = [f"{context.command_path} {name}" for name in command.commands]
        parts.append(f"It has {', '.join(f'[{name}](#{name.replace(chr(32), chr(45))})' for name in names)}.\n")
    parts.append(table(("option", "means"), _options(context)))
    parts.append(_examples(command))
    return "\n".join(part for part in parts if part)


def _examples(command: click.Command) -> str:
    """The last words of a command, which are examples."""
    heading, lines = command.examples() if isinstance(command, Command) else ("", [])
    if not lines:
        return prose(command.epilog)
    return f"{heading}:\n\n{block(chr(10).join(lines))}"


def _options(context: click.Context) -> Iterator[tuple[str, str]]:
    for param in context.command.params:
        if record := param.get_help_record(context):
            yield code(record[0]), plain(record[1])


PAGE = Page(name="commands", title="Commands", about="each command, its options and their variables", text=text)
