"""Prints tables of data on stdout, and messages on stderr.

On a terminal a table is drawn by Rich; in a pipe it is tab-separated lines with a header, or the format asked
for. Only data goes to stdout, so that every command can be piped into `cut`, `sort` or `jq`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from sritool.cli.formats import Best, Table, lines_of, numeric_columns, readable, undefined_note
from sritool.cli.printable import printable, printable_columns
from sritool.cli.streams import bars_hidden, console_of, say

HEADER_STYLE = "bold"
UNBOUNDED_WIDTH = 100_000  # characters; a table drawn into a pipe or file is not wrapped or cut
NARROWEST_TEXT = 24  # characters; a table whose text would have to be narrower becomes records


def emit(table: Table, fmt: str = "auto") -> None:
    """Print a table on stdout, in a `Format`; auto is a drawn table on a terminal and TSV otherwise.

    Raises:
        ValueError: A row does not fit the columns.
    """
    emit_all([table], fmt)


def emit_all(tables: Sequence[Table], fmt: str = "auto") -> None:
    """Print several tables on stdout, with blank lines between, or in JSON lines the title as field `table`."""
    fmt = resolve_format(fmt)
    with bars_hidden():
        for number, table in enumerate(tables):
            if any(len(row) != len(table.columns) for row in table.rows):
                raise ValueError(f"table {table.title!r} has a row that does not fit its columns")
            if number and fmt != "json":
                sys.stdout.write("\n")
            note = "\n".join(filter(None, (table.note, undefined_note(table, fmt))))
            if fmt == "table":
                draw(table._replace(note=note))
                continue
            write_lines(lines_of(table, fmt, named=len(tables) > 1))
            sys.stdout.flush()  # keeps the order where stdout and stderr go to the same file
            if note:
                say(note)
        sys.stdout.flush()


def emit_parts(parts: Iterable[Table], fmt: str) -> None:
    """Print parts of one table for programs as they come, until all are printed or the reader has gone."""
    for number, part in enumerate(parts):
        lines = lines_of(part, fmt)
        if number and fmt in ("tsv", "csv"):
            next(lines)  # the header, which is already printed
        with bars_hidden():
            write_lines(lines)
            sys.stdout.flush()
        if getattr(sys.stdout, "unread", False):
            return


def write_lines(lines: Iterable[str]) -> None:
    """Print lines on stdout: unchanged for a program, with control characters made visible on a terminal."""
    sys.stdout.writelines(map(printable_columns, lines) if sys.stdout.isatty() else lines)


def resolve_format(fmt: str) -> str:
    """Return the format that `auto` means for the current stdout; any other format unchanged."""
    if fmt != "auto":
        return fmt
    return "table" if sys.stdout.isatty() else "tsv"


def draw(table: Table) -> None:
    """Print a table for people: title, columns (records if those are too wide) and note."""
    console = data_console()
    if table.title:
        console.print(printable(table.title), style="bold", markup=False, highlight=False)
    bold = _shows_bold(console)
    console.print(in_columns(table, bold) if fits(table) else in_records(table, bold))
    if table.note:
        console.print(printable(table.note), style="dim", markup=False, highlight=False)


def data_console() -> Console:
    """Return a console for the current stdout, as wide as the terminal or else unbounded."""
    console = console_of(sys.stdout)
    if not console.is_terminal:
        console.width = UNBOUNDED_WIDTH
    return console


def fits(table: Table) -> bool:
    """Return whether the columns of a drawn table fit on the terminal."""
    console = data_console()
    unbounded, drawing = (
        console.options.update(max_width=UNBOUNDED_WIDTH),
        in_columns(table, _shows_bold(console)),
    )
    return Measurement.get(console, unbounded, drawing).minimum <= console.width


def _shows_bold(console: Console) -> bool:
    return console.color_system is not None  # in Rich, NO_COLOR keeps bold and TERM=dumb does not


def emit_panels(tables: Sequence[Table], fmt: str) -> None:
    """Print tables on stdout in a format other than auto; split a drawn table that is too wide into several."""
    emit_all([part for table in tables for part in panels(table, fmt)], fmt)


def panels(table: Table, fmt: str) -> list[Table]:
    """Split a drawn table that is too wide into several, one below the other, each with the first column."""
    if fmt != "table" or fits(table):
        return [table]

    def part(columns: Sequence[int]) -> Table:
        rows = [[row[i] for i in columns] for row in table.rows]
        return Table("", [table.columns[i] for i in columns], rows)

    groups: list[list[int]] = []
    for i in range(1, len(table.columns)):
        if groups and fits(part([*groups[-1], i])):
            groups[-1].append(i)
        else:
            groups.append([0, i])
    parts = [part(group) for group in groups]
    parts[0] = parts[0]._replace(title=table.title)
    parts[-1] = parts[-1]._replace(note=table.note)
    return parts


def in_columns(table: Table, bold: bool) -> RichTable:
    """Return a table with numbers aligned right and never cut, and text wrapped if needed, but not too narrow."""
    drawing = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style=HEADER_STYLE)
    rows = [[drawn(cell, bold) for cell in row] for row in table.rows]
    for i, (name, right) in enumerate(zip(table.columns, numeric_columns(table), strict=True)):
        widest = max([cell_len(name), *(row[i].cell_len for row in rows)])
        drawing.add_column(
            Text(printable(name)),
            justify="right" if right else "left",
            no_wrap=right,
            overflow="fold",
            min_width=widest if right else min(widest, NARROWEST_TEXT),
        )
    for row in rows:
        drawing.add_row(*row)
    return drawing


def drawn(cell: object, bold: bool) -> Text:
    """Return a cell for a terminal; the best is bold, or marked ^ without bold, since a star marks differences."""
    best = isinstance(cell, Best)
    text = printable(readable(cell))
    return Text(f"{text}^" if best and not bold else text, "bold" if best else "")


def in_records(table: Table, bold: bool) -> RichTable:
    """Return a table with one line per cell, for a terminal that is narrower than the columns."""
    drawing = RichTable.grid(padding=(0, 2))
    drawing.add_column(style="bold", overflow="fold")
    drawing.add_column(overflow="fold")
    for number, row in enumerate(table.rows):
        if number:
            drawing.add_row("", "")
        for name, cell in zip(table.columns, row, strict=True):
            drawing.add_row(Text(printable(name)), drawn(cell, bold))
    return drawing
