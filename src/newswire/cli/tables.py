"""Tables for people. Cells are plain text: nothing in them is markup, and controls of foreign text are escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TextIO

from newswire import escape

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

_BETWEEN: Final = "  "  # two columns
_LEAST_WIDTH: Final = 20  # columns, of folded text that can still be read
_WIDE: Final = 400  # columns: a pipe has no edge; the longest topic and user fit


@dataclass(frozen=True)
class Table:
    """Headings, rows of cells, and a line that stands below."""

    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""


def rendered(tables: Sequence[Table], columns: int) -> Group:
    """Make them printable on lines of `columns` characters, an empty line between two."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    for table in map(_without_empty_end, tables):
        parts += [Text()] if parts else []
        parts += [_rows(table) if _fits(table, columns) else _records(table)] if table.rows else []
        parts += [Text(escape.line(table.note))] if table.note else []
    return Group(*parts)


def print_tables(tables: Sequence[Table], file: TextIO | None = None) -> None:
    """Print them. Lines are not cut where the output is no terminal."""
    from rich.console import Console

    console = Console(file=file, highlight=False)
    if not console.is_terminal:
        console = Console(file=file, highlight=False, width=_WIDE)
    console.print(rendered(tables, console.width))


def _without_empty_end(table: Table) -> Table:
    """Leave out a last column that says nothing: the rest then fits a terminal of 80 columns."""
    if not table.headings or table.headings[-1] or any(row[-1] for row in table.rows):
        return table
    return Table(table.headings[:-1], [row[:-1] for row in table.rows], table.note)


def _fits(table: Table, columns: int) -> bool:
    """Whether all columns but the last, which may be folded, stand side by side, with some room for that."""
    widths = [max(len(escape.line(row[at])) for row in (table.headings, *table.rows)) for at in range(len(table.headings))]
    return sum(width + len(_BETWEEN) for width in widths[:-1]) + min(widths[-1], _LEAST_WIDTH) <= columns


def _records(table: Table) -> RenderableType:
    """A line a cell, with its heading before it, an empty line between two rows: for narrow terminals."""
    from rich.text import Text

    names = [f"{heading}: " if heading else "" for heading in table.headings]
    cells = [[f"{name}{escape.line(cell)}" for name, cell in zip(names, row, strict=True)] for row in table.rows]
    return Text("\n\n".join("\n".join(line for line in lines if line) for lines in cells))


def _rows(table: Table) -> RenderableType:
    """A column that holds numbers alone stands to the right."""
    import rich.table
    from rich.text import Text

    grid = rich.table.Table(box=None, pad_edge=False, header_style="bold")
    for at, heading in enumerate(table.headings):
        numbers = all(row[at].replace(",", "").isdigit() for row in table.rows)
        grid.add_column(Text(heading), justify="right" if numbers else "left", overflow="fold")
    for row in table.rows:
        grid.add_row(*(Text(escape.line(cell)) for cell in row))
    return grid
