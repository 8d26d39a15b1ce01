"""Text of strangers, made safe for a terminal or a log line.

A message may hold an escape sequence that rewrites the screen, a C1 control that starts one in a single character, or
bidirectional overrides that show a line in another order than it has. They are shown as what they are: `\\x1b`, `\\u202e`.
"""

from __future__ import annotations

import re
from typing import Final

_HOSTILE: Final = (
    "\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # bidi, line ends, invisible
    "\ud800-\udfff"  # cannot be encoded
    "\U000e0000-\U000e007f"  # tags: invisible letters
)
_ANYWHERE: Final = re.compile(f"[{_HOSTILE}]")
_IN_A_BLOCK: Final = re.compile(f"(?![\n\t])[{_HOSTILE}]")


def line(text: str) -> str:
    """Show `text` on one line: every control, invisible and bidirectional character is escaped, line ends too."""
    return _ANYWHERE.sub(_shown, text)


def block(text: str) -> str:
    """Show `text` of several lines: as `line`, but line feeds and tabs stay and CRLF becomes a line feed."""
    return _IN_A_BLOCK.sub(_shown, text.replace("\r\n", "\n"))


def json(text: str) -> str:
    """Show encoded JSON: what it may hold inside strings becomes `\\uXXXX`, so it stays the same JSON."""
    return _IN_A_BLOCK.sub(_as_json, text)


def _shown(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _as_json(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
