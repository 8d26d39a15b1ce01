"""Tables on terminals of any width."""

from __future__ import annotations

import io

from rich.console import Console

from newswire.cli.tables import Table, print_tables, rendered

ROWS = [("1001", "127.0.0.1:5053", "12"), ("1002", "127.0.0.1:5054", "3")]


def shown(*tables: Table, columns: int = 80) -> list[str]:
    """The lines on a terminal so wide."""
    console = Console(file=io.StringIO(), width=columns, highlight=False)
    console.print(rendered(tables, columns))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_columns_stand_side_by_side_and_numbers_to_the_right() -> None:
    assert shown(Table(("Broker", "Address", "Lag"), ROWS, "2 brokers")) == [
        "Broker  Address         Lag",
        "  1001  127.0.0.1:5053   12",
        "  1002  127.0.0.1:5054    3",
        "2 brokers",
    ]


def test_a_last_column_without_a_word_is_left_out() -> None:
    assert shown(Table(("Broker", ""), [("one", ""), ("two", "")])) == ["Broker", "one", "two"]
    assert shown(Table(("Broker", ""), [("one", ""), ("two", "down")])) == ["Broker", "one", "two     down"]


def test_on_a_narrow_terminal_each_cell_has_its_line() -> None:
    assert shown(Table(("Broker", "Address", ""), [(*ROWS[0][:2], "down"), (*ROWS[1][:2], "")]), columns=24) == [
        "Broker: 1001", "Address: 127.0.0.1:5053", "down", "", "Broker: 1002", "Address: 127.0.0.1:5054",
    ]  # fmt: skip


def test_cells_are_no_markup_and_move_no_terminal() -> None:
    assert shown(Table(("Topic",), [("[red]x[/red]",), ("\x1b[2J",)], "\x07")) == ["Topic", "[red]x[/red]", r"\x1b[2J", r"\x07"]


def test_a_pipe_has_no_edge() -> None:
    file = io.StringIO()
    print_tables([Table(("Topic", "Last"), [("t" * 128, "now")])], file)
    assert file.getvalue().splitlines()[1].rstrip() == f"{'t' * 128}  now"
