"""What all kinds of pictures share: options, the file to write, and the numbers in it, printed or read back."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

from sritool.cli.options.files import FormatOpt, file_option
from sritool.cli.plots.style import check_picture, save
from sritool.cli.render import Table, emit, resolve_format, say
from sritool.cli.signatures import option
from sritool.errors import DataError, UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


@dataclass(frozen=True)
class PictureOptions:
    """Where a picture and its numbers go."""

    title: Annotated[
        str | None, option("Title of the picture.", metavar="TEXT", show_default="what is measured")
    ] = None
    output: Annotated[
        Path | None,
        file_option(
            "The picture: .png, .svg or .pdf.",
            "--output",
            "-o",
            metavar="FILE",
            show_default="KIND.png, unless --show-data",
        ),
    ] = None
    show_data: Annotated[
        bool,
        file_option(
            "Print the numbers that are drawn; draw them only if -o is given as well.", "--show-data"
        ),
    ] = False
    fmt: FormatOpt = "auto"

    def open(self, kind: str) -> PictureFile:
        """Find out, before the work, whether the picture can be written.

        Raises:
            UsageError: It cannot, or there is no such format.
        """
        form = resolve_format(self.fmt)
        path = self.output or (None if self.show_data else Path(f"{kind}.png"))
        if path is not None:
            check_picture(path)
        return PictureFile(path, form, self.show_data)

    def heading(self, measured: str) -> str:
        """Return the title that was given, or else what was measured."""
        return measured if self.title is None else self.title


@dataclass(frozen=True)
class ReadablePictureOptions(PictureOptions):
    """The same for a picture that is also drawn from a table of its numbers."""

    data: Annotated[
        str | None,
        file_option(
            "Draw these numbers, as --show-data prints them: TSV, CSV or JSON lines.", metavar="FILE|-"
        ),
    ] = None

    def check_source(self, checkpoints: Sequence[Path] | Path | None) -> None:
        """Raise UsageError where a table and checkpoints are given; one that the environment names does not count."""
        named = [checkpoints] if isinstance(checkpoints, Path) else checkpoints or []
        if self.data is not None and named and str(named[0]) != os.environ.get("SRITOOL_CHECKPOINT"):
            raise UsageError("--data takes the numbers from a table; leave it or the checkpoints out")


@dataclass(frozen=True)
class PictureFile:
    """A picture to be written, and its numbers to be printed.

    Args:
        path: Where the picture goes; None: nowhere.
        format: Of the numbers, not auto.
        show_data: Whether they are printed.
    """

    path: Path | None
    format: str
    show_data: bool

    def write(self, draw: Callable[[], Canvas], table: Table, notes: Sequence[str] = ()) -> None:
        """Print the numbers if asked for, and draw them."""
        for note in notes:
            say(note)
        if self.show_data:
            emit(table, self.format)
        if self.path is not None:
            save(draw(), self.path)
            say(f"drew {self.path}")


Row = TypeVar("Row")


def read_table(source: str) -> list[dict[str, Any]]:
    """The rows of a table by column, cells as text or as JSON has them.

    Args:
        source: A file, or - for stdin.

    Raises:
        DataError: It cannot be read, or has no row.
    """
    name = "standard input" if source == "-" else source
    try:
        raw = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot read {name}: {error.strerror}; give a table of --show-data") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is no text; give a table of --show-data") from error
    lines = [line for line in text.splitlines() if line.strip()]
    try:
        if lines and lines[0].startswith("{"):
            return [dict(json.loads(line)) for line in lines]
    except (ValueError, TypeError) as error:
        raise DataError(f"{name} is no JSON lines; give a table of --show-data") from error
    if len(lines) < 2:
        raise DataError(f"{name} has no rows; give a table with its header, as --show-data prints it")
    tabs = "\t" in lines[0]
    reader = csv.reader(
        lines, delimiter="\t" if tabs else ",", quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL
    )
    header, *rows = list(reader)
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise DataError(f"{name}, line {number}: {len(row)} cells below {len(header)} columns; mend it")
    return [dict(zip(header, row, strict=True)) for row in rows]


def read_rows(source: str, columns: Sequence[str], kind: type[Row]) -> list[Row]:
    """The rows of a table as named tuples.

    Args:
        source: A file, or - for stdin.
        columns: Names in the table, one for each field of `kind`.
        kind: The named tuple; a missing column gets its field's default.

    Raises:
        DataError: A column is missing whose field has no default, or a cell does not fit its field.
    """
    hints = get_type_hints(kind)
    defaults: dict[str, Any] = getattr(kind, "_field_defaults", {})
    needed = [column for column, field in zip(columns, hints, strict=True) if field not in defaults]
    found = []
    for number, cells in enumerate(read_table(source), 1):
        values = []
        for column, (field, hint) in zip(columns, hints.items(), strict=True):
            if column not in cells and field in defaults:
                values.append(defaults[field])
                continue
            if column not in cells:
                raise DataError(f"{source} has no column {column!r}; it needs {', '.join(needed)}")
            try:
                values.append(value_of(cells[column], hint))
            except (ValueError, TypeError):
                raise DataError(f"{source}, row {number}: {cells[column]!r} is no {field}; mend it") from None
        found.append(kind(*values))
    return found


def value_of(cell: Any, hint: Any) -> Any:
    """Return a cell as its field has it, an empty one as None or NaN; raise ValueError or TypeError."""
    if hint is str:
        return str(cell)
    if hint is bool:
        return (
            {"true": True, "false": False}[cell]
            if isinstance(cell, str) and cell in ("true", "false")
            else bool(cell)
        )
    if cell is None or cell == "":
        if hint is int:
            raise ValueError("a whole number is needed")
        return None if hint == float | None else float("nan")
    return int(cell) if hint is int else float(cell)
