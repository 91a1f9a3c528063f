"""Shared by all kinds of pictures: options, the file to write, and the table of numbers to print."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sritool.cli.formats import Table
from sritool.cli.options.files import FormatOpt, QuietOpt, file_option
from sritool.cli.plots.style import check_picture, save
from sritool.cli.progress import KEPT, task_progress
from sritool.cli.render import emit
from sritool.cli.signatures import refuse_idle, typed
from sritool.cli.streams import announce_stdin, say
from sritool.cli.tables.reading import read_rows
from sritool.data.blocks import name_of
from sritool.errors import DataError

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from sritool.runs.model import Report


Measured = tuple[Sequence[Any], str, Sequence[str]]
"""Points, what they were measured on, and notes."""

OF_DRAWING = {"title", "output", "show_data", "fmt", "data", "quiet", "metrics"}
"""Parameters that apply to numbers from a table too; all others say what to measure, and how."""


@dataclass(frozen=True)
class PictureOptions:
    """Where a picture and its numbers go.

    Attributes:
        title: Title of the picture. [default: what is measured]
        output: The picture: .png, .svg or .pdf. [default: KIND.png, unless --show-data]
        show_data: Print the numbers that are drawn; draw them only if -o is given as well.
    """

    title: Annotated[str | None, typer.Option(metavar="TEXT")] = None
    output: Annotated[Path | None, file_option("--output", "-o", metavar="FILE")] = None
    show_data: Annotated[bool, file_option("--show-data")] = False
    fmt: FormatOpt = "auto"
    quiet: QuietOpt = False

    def open(self, kind: str) -> PictureFile:
        """Check, before the work, that the picture can be written; without -o it is named after its kind.

        Raises:
            UsageError: The picture cannot be written.
        """
        path = self.output or (None if self.show_data else Path(f"{kind}.png"))
        if path is not None:
            check_picture(path)
        return PictureFile(path, self.fmt, self.show_data)

    def heading(self, measured: str) -> str:
        """Return the title that was given, or else what was measured."""
        return measured if self.title is None else self.title


@dataclass(frozen=True)
class ReadablePictureOptions(PictureOptions):
    """Options of a picture that can also be drawn from a table of its numbers.

    Attributes:
        data: Draw these numbers, as --show-data prints them: TSV, CSV or JSON lines.
    """

    data: Annotated[str | None, file_option(metavar="FILE|-")] = None

    def open_for(self, ctx: typer.Context) -> PictureFile:
        """Do what `open` does, and check that --data is not combined with options for measuring.

        Raises:
            UsageError: --data is combined with such options, or the picture cannot be written.
        """
        out = self.open(str(ctx.info_name))
        if self.data is None:
            return out
        announce_stdin(self.data, "the lines of a table, as --show-data prints them")
        of_measuring = [name for name in typed(ctx) if name not in OF_DRAWING]
        refuse_idle(ctx, [(True, of_measuring, "--data takes the numbers from a table; leave it or {} out")])
        return replace(out, data=name_of(Path(self.data)))

    def draw_points(
        self,
        ctx: typer.Context,
        kind: type[Any],
        measure: Callable[[Report], Measured],
        draw: Callable[[Sequence[Any], str], Canvas],
    ) -> None:
        """Measure points, or read them with --data, and draw them.

        Args:
            ctx: Context of the command.
            kind: Named tuple of a point; its fields name the table's columns.
            measure: Measures the points, and reports progress.
            draw: Draws the points under a title.
        """
        out = self.open_for(ctx)
        columns = [name.replace("posterior_kl", "posterior-kl").replace("_", " ") for name in kind._fields]
        if self.data is not None:
            found: Measured = read_rows(self.data, columns, kind), "", ()
        else:
            with task_progress(self.quiet, KEPT) as report:
                found = measure(report)
        points, measured_on, notes = found
        heading = self.heading(measured_on)
        out.write(lambda: draw(points, heading), Table(heading, columns, points), notes)


@dataclass(frozen=True)
class PictureFile:
    """A picture to write, and its numbers to print."""

    path: Path | None  # None: no picture is written
    format: str  # of the printed numbers
    show_data: bool
    data: str | None = None  # name of the table that the numbers come from; None: they were measured

    def write(self, draw: Callable[[], Canvas], table: Table, notes: Sequence[str] = ()) -> None:
        """Print the numbers if asked for, and draw them.

        Raises:
            DataError: The numbers come from a table and cannot be drawn.
        """
        for note in notes:
            say(note)
        if self.show_data:
            emit(table, self.format)
        if self.path is not None:
            try:
                save(draw(), self.path)
            except (ValueError, LookupError, ArithmeticError) as error:
                if self.data is None:
                    raise
                raise DataError(f"{self.data} has figures that cannot be drawn: {error}; fix it") from error
            say(f"drew {self.path}")
