"""What all kinds of pictures share: options, the file to write, and the numbers in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sritool.cli.options import FILES_PANEL
from sritool.cli.pictures.style import check_picture, save
from sritool.cli.render import Table, emit, resolve_format, say
from sritool.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

PictureOpt = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="The picture: .png, .svg or .pdf.",
        show_default="KIND.png, unless --show-data",
        rich_help_panel=FILES_PANEL,
    ),
]

ShowDataOpt = Annotated[
    bool,
    typer.Option(
        "--show-data",
        help="Print the numbers that are drawn; draw them only if -o is given as well.",
        rich_help_panel=FILES_PANEL,
    ),
]

DataOpt = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="FILE|-",
        help="Draw these numbers, as --show-data prints them: TSV, CSV or JSON lines.",
        show_default=False,
        rich_help_panel=FILES_PANEL,
    ),
]

TitleOpt = Annotated[
    str | None,
    typer.Option("--title", metavar="TEXT", help="Above the picture.", show_default="what is measured"),
]

RunsArg = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="RUN",
        help="Run folders or checkpoint files; without one, the newest run.",
        show_default=False,
    ),
]

RunArg = Annotated[
    Path | None,
    typer.Argument(
        metavar="RUN",
        envvar="SRITOOL_CHECKPOINT",
        help="A run folder or checkpoint file; without one, the newest run.",
        show_default=False,
    ),
]


class Output:
    """Where the picture and its numbers go; made, and so refused, before the work."""

    def __init__(self, kind: str, path: Path | None, show_data: bool, fmt: str) -> None:
        """Raises: UsageError if the picture cannot be written there."""
        self.format = resolve_format(fmt)
        self.show_data = show_data
        self.path = path or (None if show_data else Path(f"{kind}.png"))
        if self.path is not None:
            check_picture(self.path)

    def write(self, draw: Callable[[], Canvas], table: Table, notes: Sequence[str] = ()) -> None:
        """Print the numbers if asked for, and draw them."""
        for note in notes:
            say(note)
        if self.show_data:
            emit(table, self.format)
        if self.path is not None:
            save(draw(), self.path)
            say(f"drew {self.path}")


def only_one_source(runs: object, data: str | None) -> None:
    """Raises: UsageError for both runs and numbers that are there already; a run of the environment is no such."""
    if runs and data is not None and str(runs) != os.environ.get("SRITOOL_CHECKPOINT"):
        raise UsageError("--data takes the numbers from a table; leave it or the runs out")
