"""`newswire completion`: what makes a shell complete the words of `newswire`."""

from __future__ import annotations

from typing import Final

import click

from newswire.cli import output
from newswire.cli.command import Command

_WHERE: Final = {
    "bash": "echo 'eval \"$(newswire completion bash)\"' >> ~/.bashrc",
    "zsh": "echo 'eval \"$(newswire completion zsh)\"' >> ~/.zshrc",
    "fish": "newswire completion fish > ~/.config/fish/completions/newswire.fish",
}


@click.command(
    cls=Command,
    short_help="Make a shell complete commands and options.",
    epilog=f"Examples, for good: {_WHERE['bash']}; {_WHERE['zsh']}; {_WHERE['fish']}",
)
@click.argument("shell", type=click.Choice(tuple(_WHERE)))
def completion(shell: str) -> int:
    """Print the script by which SHELL completes commands, options and their words when Tab is pressed."""
    from click.shell_completion import get_completion_class

    program = click.get_current_context().find_root().command
    kind = get_completion_class(shell)
    assert kind is not None  # click knows these three
    click.echo(kind(program, {}, "newswire", "_NEWSWIRE_COMPLETE").source())
    return output.DONE
