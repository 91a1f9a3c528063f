"""The look of every picture, and writing its file. matplotlib is imported only when something is drawn."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sritool.cli.options.files import check_writable
from sritool.cli.printable import visible
from sritool.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

ENDINGS = (".png", ".svg", ".pdf")
# Okabe and Ito's colours, which the colour-blind can tell apart; marks and dashes differ too.
BLUE, ORANGE, GREEN, BLACK, GREY = "#0072B2", "#D55E00", "#009E73", "#000000", "#BBBBBB"
SKY, AMBER, PINK = "#56B4E9", "#E69F00", "#CC79A7"
COLOURS = (BLUE, ORANGE, GREEN, BLACK, AMBER, SKY, PINK)
MARKS = ("o", "s", "^", "D", "v", "P", "X", "<")
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
SMALL, MEDIUM = 11, 13  # points; readable on a projector at the sizes below
SIZE = (8.0, 5.0)  # inches
RESOLUTION = 150  # dots per inch of a .png

LOOK: dict[str, Any] = {
    "font.size": MEDIUM,
    "axes.titlesize": MEDIUM,
    "axes.labelsize": MEDIUM,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.title_fontsize": SMALL,
    "legend.framealpha": 1.0,
    "lines.linewidth": 2.0,
    "lines.markersize": 6.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.axisbelow": True,
    "svg.fonttype": "none",  # text stays text: it can be searched and edited
    "pdf.fonttype": 42,  # TrueType, as journals require
    "svg.hashsalt": "sritool",  # else ids in the file would be random
}
UNDATED = {".png": None, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def check_picture(path: Path, option: str = "-o") -> None:
    """Raise UsageError if the picture cannot be written; call it before the work."""
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(
            f"{option} {path} is not a picture; end its name in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}"
        )
    check_writable(path, option)


@contextlib.contextmanager
def look() -> Iterator[None]:
    """Apply the fonts, lines and axes of all pictures to what is drawn in this context."""
    # matplotlib warns if it cannot cache fonts, for example without a home folder; the picture is the same.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib.style

    with matplotlib.style.context(LOOK, after_reset=True):  # ignores the user's own matplotlibrc
        yield


def new_canvas(
    size: tuple[float, float] = SIZE, rows: int = 1, columns: int = 1, **how: Any
) -> tuple[Canvas, Any]:
    """Return a canvas with constrained layout, and its axes: one, or an array of them as from `subplots`.

    Call it, and draw, inside `look()`. The size is in inches; `how` is passed to `subplots`, like sharex=True.
    """
    from matplotlib.figure import Figure

    canvas = Figure(figsize=size, layout="constrained")
    return canvas, canvas.subplots(rows, columns, **how)


def legend_below(
    canvas: Canvas, handles: Sequence[Any], names: Sequence[str], columns: int, title: str
) -> None:
    """Write one legend below all axes; its title says what marks, bars and bands mean."""
    columns = min(columns, len(names))
    canvas.legend(handles, names, loc="outside lower center", ncols=columns, title=title)


def series(number: int) -> dict[str, Any]:
    """Return colour, mark and dashes of the n-th line, for `plot`: 280 differ, neighbours in all three."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKS[number % len(MARKS)],
        "linestyle": DASHES[number % len(DASHES)],
    }


def plain(text: str) -> str:
    """Escape a user's text: dollars make no formula, and a legend shows it even if it begins with `_`.

    Control characters and bytes that are not UTF-8 become visible symbols.
    """
    escaped = visible(text).replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped


def renderer_of(canvas: Canvas) -> Any:
    """Return a renderer that measures texts at the resolution of a .png."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas.set_dpi(RESOLUTION)
    return FigureCanvasAgg(canvas).get_renderer()


def rendered(canvas: Canvas, ending: str) -> bytes:
    """Return a picture as file content for one of ENDINGS; the same picture gives the same bytes."""
    out = io.BytesIO()
    with look(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # it is drawn as a box
        canvas.savefig(out, format=ending[1:], dpi=RESOLUTION, metadata=UNDATED[ending])
    return out.getvalue()


def save(canvas: Canvas, path: Path) -> None:
    """Write a picture atomically, in the format of its ending; raise SritoolError if that fails."""
    from sritool.files import write_output

    write_output(path, [rendered(canvas, path.suffix.lower())])
