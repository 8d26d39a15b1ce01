"""Tables for people. Cells are plain text: nothing in them is markup, and controls of foreign text are escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TextIO

from newswire import escape

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

_WIDE: Final = 400  # columns: a pipe has no edge; the longest topic and user fit


@dataclass(frozen=True)
class Table:
    """Headings, rows of cells, and a line that stands below."""

    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""


def rendered(tables: Sequence[Table]) -> Group:
    """Make them printable, an empty line between two."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    for table in tables:
        parts += [Text()] if parts else []
        parts += [_rows(table)] if table.rows else []
        parts += [Text(escape.line(table.note))] if table.note else []
    return Group(*parts)


def print_tables(tables: Sequence[Table], file: TextIO | None = None) -> None:
    """Print them. Lines are not cut where the output is no terminal."""
    from rich.console import Console

    console = Console(file=file, highlight=False)
    if not console.is_terminal:
        console = Console(file=file, highlight=False, width=_WIDE)
    console.print(rendered(tables))


def _rows(table: Table) -> RenderableType:
    """A column that holds numbers alone stands to the right."""
    import rich.table
    from rich.text import Text

    shown = rich.table.Table(box=None, pad_edge=False, header_style="bold")
    for at, heading in enumerate(table.headings):
        numbers = all(row[at].replace(",", "").isdigit() for row in table.rows)
        shown.add_column(Text(heading), justify="right" if numbers else "left", overflow="fold")
    for row in table.rows:
        shown.add_row(*(Text(escape.line(cell)) for cell in row))
    return shown
