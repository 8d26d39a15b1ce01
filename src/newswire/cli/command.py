"""What click makes of the commands: help with examples and exit codes; one has an option for each field of a message."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import click

from newswire.cli import output

_EXAMPLES: Final = re.compile(r"(Examples?\b[^:]*): (.*)", re.DOTALL)
_BETWEEN_TWO: Final = re.compile(r"; (?=newswire |for |echo )")


class Command(click.Command):
    """A command whose help ends with the exit codes, the same for all.

    Its own last words before them are examples, "; " between two: each stands on a line of its own, to be copied.
    """

    def examples(self) -> tuple[str, list[str]]:
        """Their heading and lines; none where its last words are something else."""
        found = _EXAMPLES.fullmatch(self.epilog or "")
        return (found[1], _BETWEEN_TWO.split(found[2])) if found else ("", [])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own last words, then the table of exit codes."""
        heading, lines = self.examples()
        if not lines:
            super().format_epilog(ctx, formatter)
        else:
            with formatter.section(heading):
                for line in lines:
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in output.MEANINGS.items()])


class MessageCommand(Command):
    """A command with an option for each field of a message, before `--copies`: made when they are asked for."""

    def __init__(self, *args: Any, **attrs: Any) -> None:
        self._declared: list[click.Parameter] = []
        super().__init__(*args, **attrs)

    @property
    def params(self) -> list[click.Parameter]:
        """The parameters."""
        names = [param.name for param in self._declared]
        if "title" not in names:
            from newswire.cli.message_options import message_options

            at = names.index("copies")
            self._declared[at:at] = message_options()
        return self._declared

    @params.setter
    def params(self, declared: list[click.Parameter]) -> None:
        self._declared = declared


class CommandGroup(Command, click.Group):
    """A group of such commands. `sections`: headings and what stands below each in help, in that order; else by name."""

    command_class = Command

    def __init__(self, *args: Any, sections: Mapping[str, str] | None = None, **attrs: Any) -> None:
        self.sections = {heading: names.split() for heading, names in (sections or {}).items()}
        super().__init__(*args, **attrs)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, section by section."""
        if not self.sections:
            super().format_commands(ctx, formatter)
        width = max(map(len, self.commands), default=0)
        for heading, names in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl([(f"{name:{width}}", self.commands[name].get_short_help_str(200)) for name in names])


def show_help(ctx: click.Context) -> None:
    """End a group that is called without a command: with its help, as not understood."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(output.USAGE)
