"""What click makes of the commands: help that ends with the exit codes; one has an option for each field of a message."""

from __future__ import annotations

from typing import Any

import click

from newswire.cli import output


class Command(click.Command):
    """A command whose help ends with the exit codes, the same for all."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own last words, then the table of exit codes."""
        super().format_epilog(ctx, formatter)
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
    """A group of such commands."""

    command_class = Command


def show_help(ctx: click.Context) -> None:
    """End a group that is called without a command: with its help, as not understood."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(output.USAGE)
