"""`newswire doctor`: what usually goes wrong, with what to do about it, in brokers and in ops files that lie here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from newswire import escape
from newswire.cli import output
from newswire.cli.command import Command
from newswire.cli.commands import ops_file
from newswire.cli.options import brokers_option, config_option, json_option, option
from newswire.errors import NoBroker, Refused

if TYPE_CHECKING:
    from newswire.cli.diagnosis import Examined, Finding


@click.command(cls=Command, short_help="Look for what usually goes wrong.", epilog="Example: newswire doctor --user ann")
@config_option
@brokers_option
@json_option
@option("--user", help="A registered user: whether a proxy holds his stream back is looked at; nothing is acknowledged.")
@option("--ops-dir", type=click.Path(path_type=Path, file_okay=False), help="Check the ops files there, too.")
def doctor(brokers: tuple[str, ...], as_json: bool, user: str | None, ops_dir: Path | None) -> int:
    """Look for what usually goes wrong, and say what to do about it.

    Brokers that cannot be reached, from here or from each other; clocks, versions and secrets that differ; full disks, holes,
    a proxy that holds streams back. Ends with 1 if something is wrong.
    """
    import msgspec

    from newswire.cli.credentials import signature, to_credential
    from newswire.cli.diagnosis import diagnose
    from newswire.cli.examination import examine

    examined = list(examine(brokers, user, to_credential(signature(brokers))))
    if all(one.refusal for one in examined):
        if stranger := next((one for one in examined if one.is_stranger), None):
            raise Refused(stranger.refusal, code="unauthenticated")
        raise NoBroker("; ".join(f"{one.address}: {one.refusal}" for one in examined))
    findings = [*diagnose(examined), *(check_files(ops_dir) if ops_dir else ())]
    if as_json:
        output.print_json(
            {"brokers": [one.address for one in examined], "findings": [msgspec.to_builtins(one) for one in findings]}
        )
    else:
        for line in describe(examined, findings, looked_at_streams=user is not None):
            click.echo(line)
    return output.FAILED if any(one.severity == "wrong" for one in findings) else output.DONE


def check_files(directory: Path) -> Iterator[Finding]:
    """Check the ops files below `directory`. Raises Refused if none lie there."""
    from newswire.cli.diagnosis import Finding

    for folder in ops_file.folders(directory):
        report = ops_file.look(folder)
        if not report.whole:
            yield Finding(
                code="ops-file",
                severity="wrong",
                text=f"{folder}: {report.verdict}",
                advice=f"see `newswire opsfile check {folder}`",
            )


def describe(examined: Sequence[Examined], findings: Sequence[Finding], *, looked_at_streams: bool) -> Iterator[str]:
    """Yield lines for people: each finding with what to do, then what it comes to."""
    from newswire.cli.local_time import in_sentence

    for finding in findings:
        yield escape.line(in_sentence(f"{'WRONG' if finding.severity == 'wrong' else 'note '}  {finding.text}"))
        yield escape.line(in_sentence(f"       {finding.advice}"))
    wrong = sum(finding.severity == "wrong" for finding in findings)
    answered = sum(not one.refusal for one in examined)
    yield (
        f"{answered} of {len(examined)} broker{'' if len(examined) == 1 else 's'} answered;"
        f" {wrong or 'nothing'} {'thing is' if wrong == 1 else 'things are' if wrong else 'is'} wrong."
    )
    if not looked_at_streams:
        yield "Whether a proxy holds streams back was not looked at: name a registered user with --user."
