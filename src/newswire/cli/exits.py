"""Exit codes: what a script learns from how a command ended. The one place: docs/command-line.md and `--help` say the same."""

from __future__ import annotations

import re
from typing import Final

from newswire.errors import FewerCopies, NewswireError, NoBroker, Unavailable, Unknown

DONE: Final = 0  # also when only the output could not be written
FAILED: Final = 1  # refused or failed
USAGE: Final = 2
NO_BROKER: Final = 4  # none reachable: try again
FEWER_COPIES: Final = 5  # stored on fewer copies than asked
UNKNOWN: Final = 6  # perhaps done: nobody answered in time
INTERRUPTED: Final = 130  # as shells say for SIGINT

MEANINGS: Final = {
    DONE: "done, also when only the output could not be written",
    FAILED: "refused or failed",
    USAGE: "not understood: a wrong option, argument, variable or file",
    NO_BROKER: "no broker could be reached, nothing is done: try again",
    FEWER_COPIES: "stored on fewer copies than asked",
    UNKNOWN: "perhaps done: the key to repeat it with is printed",
    INTERRUPTED: "interrupted (Ctrl-C)",
}


_COMMANDS: Final = (  # what brokers advise whoever speaks HTTP
    (re.compile(r"POST /subscribe\?username=(\S+)&topic=\S+"), r"newswire subscribe \1 TOPIC"),
    (re.compile(r"GET /subscriptions\?username=(\S+)"), r"newswire subscriptions \1"),
)


def exit_code(error: NewswireError) -> int:
    """The exit code of an error. A broker that does not serve yet is as good as none: both say try again."""
    if error.code == "bad-time":  # only an option can be one
        return USAGE
    if isinstance(error, FewerCopies):
        return FEWER_COPIES
    if isinstance(error, Unknown):
        return UNKNOWN
    return NO_BROKER if isinstance(error, (NoBroker, Unavailable)) else FAILED


def sentence(error: NewswireError) -> str:
    """What people at a command line are told: the detail, as a sentence, with commands in place of requests."""
    text = error.detail.strip() or error.title
    for request, command in _COMMANDS:
        text = request.sub(command, text)
    return sentence_of(text)


def sentence_of(text: str) -> str:
    """One line that is safe to print and ends like a sentence."""
    from newswire import escape

    line = escape.line(text.strip())
    return line if line.endswith((".", "!", "?")) else f"{line}."
