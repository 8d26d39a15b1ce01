"""The group of all commands, and how a command ends. Each command stands in `cli/commands/`, its options beside what it does.

Nothing heavy is imported to start, here and there, so that `newswire publish` in a shell loop starts fast: what a command
needs beyond its options it imports when it runs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final, NoReturn

import click

from newswire import __version__
from newswire.cli import output
from newswire.cli.command import CommandGroup, show_help
from newswire.cli.commands import (
    backup,
    bench,
    broker,
    compaction,
    completion,
    doctor,
    forward,
    grants,
    login,
    losses,
    members,
    menus,
    messages,
    move,
    ops_file,
    publish,
    receipts,
    status,
    stream,
    subscribe,
    tokens,
    users,
)
from newswire.errors import NewswireError

_SECTIONS: Final = {  # of the help, by what people come for
    "Publish and read": "publish withdraw subscribe unsubscribe subscriptions stream topics messages ack confirm receipts"
    " forward",
    "Menus": "publisher subscriber menu",
    "Brokers": "broker status doctor bench add-replica remove-replica backup restore compact accept-loss move opsfile",
    "Who may what": "login logout whoami user token grant revoke grants audit",
    "Your shell": "completion",
}


@click.group(
    cls=CommandGroup,
    sections=_SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    invoke_without_command=True,
    epilog="Every option is also an environment variable, NEWSWIRE_<OPTION>, and a name in a TOML file (--config)."
    " A flag beats the environment, the environment beats the file. Text that begins with - goes behind --.",
)
@click.version_option(__version__, prog_name="newswire", message="%(prog)s %(version)s")
@click.pass_context
def newswire(ctx: click.Context) -> None:
    """Live news for an organisation over plain HTTP."""
    show_help(ctx)


for command in (
    broker.broker,
    menus.publisher,
    menus.subscriber,
    menus.menu,
    publish.publish,
    publish.withdraw,
    subscribe.subscribe,
    subscribe.unsubscribe,
    subscribe.subscriptions,
    stream.stream,
    forward.forward,
    messages.topics,
    messages.messages,
    messages.ack,
    receipts.receipts,
    receipts.confirm,
    status.status,
    members.add_replica,
    members.remove_replica,
    login.login,
    login.logout,
    login.whoami,
    users.user,
    tokens.token,
    grants.grant,
    grants.revoke,
    grants.grants,
    grants.audit,
    doctor.doctor,
    bench.bench,
    losses.accept_loss,
    compaction.compact,
    backup.backup,
    backup.restore,
    move.move,
    ops_file.opsfile,
    completion.completion,
):
    newswire.add_command(command)


def run(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; errors become one sentence on standard error."""
    code = _run(args)
    failure = output.failure()
    if failure and not output.is_quiet(failure) and code == output.DONE:
        output.warn(f"The output could not be written ({failure.strerror}); the command has done its work.")
    return code


def _run(args: Sequence[str] | None) -> int:
    try:
        result = newswire.main(args=None if args is None else list(args), prog_name="newswire", standalone_mode=False)
        return result if isinstance(result, int) else output.DONE
    except NewswireError as error:
        output.warn(output.sentence(error))
        return output.exit_code(error)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        output.warn(_usage_sentence(error))
        return output.USAGE if isinstance(error, click.UsageError) else output.FAILED
    except (KeyboardInterrupt, click.Abort):
        return output.INTERRUPTED


def main() -> NoReturn:
    """The entry point."""
    output.install()
    sys.exit(run())


def _usage_sentence(error: click.ClickException) -> str:
    text = output.sentence_of(error.format_message())
    if not isinstance(error, click.UsageError) or error.ctx is None:
        return text
    path = error.ctx.command_path
    return " ".join(part for part in (text, _hint(error, path, error.ctx.command), f"Try `{path} --help`.") if part)


def _hint(error: click.UsageError, path: str, command: click.Command) -> str:
    """What is likely meant by words that the shell or click took for something else, "" if nothing is."""
    arguments = [str(p.name).upper() for p in command.params if isinstance(p, click.Argument)]
    if isinstance(error, click.NoSuchOption) and isinstance(command, click.Group):
        owners = [name for name, one in command.commands.items() if any(error.option_name in p.opts for p in one.params)]
        return f"It goes behind the command: {path} {owners[0]} {error.option_name} ..." if owners else ""
    if isinstance(error, click.NoSuchOption) and arguments:
        return f"Text that begins with - goes behind --: {path} {' '.join([*arguments[:-1], '--', arguments[-1]])}."
    if "unexpected extra argument" in error.message and arguments:
        return "Put quotes around text with blanks."
    return ""
