"""A page of the reference, and the Markdown that it is written in."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

_CODE: Final = re.compile(r"(``.+?``|`[^`]+`)", re.DOTALL)
_SPECIAL: Final = re.compile(r"([\\*_<\[\]{}$#])")
_PARAGRAPH_AS_IT_IS: Final = "\b"  # click: the lines of this paragraph stay as they are


def _no_files() -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page: its file's name without a suffix, a title, what it is about in a line, and what makes its text and files."""

    name: str
    title: str
    about: str
    text: Callable[[], str]
    files: Callable[[], Mapping[str, str]] = field(default=_no_files)


def plain(text: str) -> str:
    """Text in which nothing but what stands in backticks is markup."""
    parts = _CODE.split(text)
    return "".join(part if at % 2 else _SPECIAL.sub(r"\\\1", part) for at, part in enumerate(parts))


def code(text: str) -> str:
    """Text as code; nothing for none."""
    return f"`{text}`" if text else ""


def block(text: str, language: str = "text") -> str:
    """Lines of code."""
    return f"```{language}\n{text.rstrip()}\n```\n"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; nothing without rows. Cells are Markdown."""
    lines = ["| " + " | ".join(re.sub(r"\s+", " ", cell).strip().replace("|", r"\|") for cell in row) + " |" for row in rows]
    if not lines:
        return ""
    return "\n".join(("| " + " | ".join(headings) + " |", "|---" * len(headings) + "|", *lines, ""))


def prose(text: str | None) -> str:
    """What a docstring or help text says: paragraphs, and lines that stay as they are where they are indented or marked."""
    made = []
    for paragraph in re.split(r"\n\s*\n", textwrap.dedent(text or "").strip("\n")):
        lines = paragraph.strip("\n")
        if lines.lstrip(" ").startswith(_PARAGRAPH_AS_IT_IS):
            made.append(block(textwrap.dedent(lines.replace(f"{_PARAGRAPH_AS_IT_IS}\n", "").strip("\b"))))
        elif all(line.startswith("    ") for line in lines.splitlines() if line) and lines:
            made.append(block(textwrap.dedent(lines)))
        elif lines:
            made.append(f"{plain(lines.strip())}\n")
    return "\n".join(made)
