"""Exit codes (API.md): what a script learns from an error."""

from __future__ import annotations

from typing import Final

from newswire.errors import FewerCopies, NewswireError, NoBroker, Unavailable

DONE: Final = 0
FAILED: Final = 1  # refused or failed
USAGE: Final = 2
NO_BROKER: Final = 4  # none reachable: try again
FEWER_COPIES: Final = 5  # stored on fewer copies than asked
INTERRUPTED: Final = 130  # as shells say for SIGINT


def exit_code(error: NewswireError) -> int:
    """The exit code of an error. A broker that does not serve yet is as good as none: both say try again."""
    if isinstance(error, FewerCopies):
        return FEWER_COPIES
    return NO_BROKER if isinstance(error, (NoBroker, Unavailable)) else FAILED


def sentence(error: NewswireError) -> str:
    """What people are told: the detail, as a sentence."""
    return sentence_of(error.detail.strip() or error.title)


def sentence_of(text: str) -> str:
    """One line that is safe to print and ends like a sentence."""
    from newswire import escape

    shown = escape.line(text.strip())
    return shown if shown.endswith((".", "!", "?")) else f"{shown}."
