"""`sritool plot traversal`: what single dimensions of z do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sritool.cli.formats import Table
from sritool.cli.options.measurement import SeedOpt
from sritool.cli.options.models import ModelOptions, report_reading
from sritool.cli.options.values import counts
from sritool.cli.plots.picture import PictureOptions
from sritool.cli.plots.style import BLUE, GREY, MEDIUM, ORANGE, SMALL, look, plain, renderer_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from sritool.analysis.traversal import Step, Traversal


def traversal(
    *,
    model: ModelOptions,
    sentence: Annotated[str | None, typer.Option(metavar="TEXT")] = None,
    dims: Annotated[str | None, typer.Option(metavar="NUMBERS")] = None,
    points: Annotated[int, typer.Option(min=2)] = 7,
    reach: Annotated[float, typer.Option(min=0.01)] = 3.0,
    seed: SeedOpt = 0,
    max_length: Annotated[int, typer.Option(min=1)] = 200,
    picture: PictureOptions,
) -> None:
    """Latent traversal: what a code decodes to as one coordinate moves.

    sritool plot traversal runs/tiny-sri --sentence "a dog runs" --dims 3,7

    sritool plot traversal --show-data | cut -f2,4

    One coordinate at a time goes from -reach to reach, and decoding is greedy. Words that differ from the sentence of
    the unmoved code are bold; changed counts them, or the missing words if those are more.

    Args:
        sentence: Move the code of this sentence. [default: the prior's first draw, by --seed]
        dims: Dimensions to move along, from 1, comma-separated. [default: the three that change the most words]
        points: Sentences for each dimension.
        reach: Largest value, in standard deviations of the prior.
        max_length: Longest sentence, in tokens.
    """
    from sritool.analysis.traversal import Step, traverse
    from sritool.runs.names import run_name

    out = picture.open("traversal")
    wanted = [] if dims is None else [*counts(dims, "--dims")]
    opened = model.load("drawing")
    if sentence is not None:
        report_reading(opened, [sentence])
    found = traverse(opened, sentence, wanted, points, reach, seed, max_length)
    heading = picture.heading(f"{run_name(opened.path)}, {found.source}")
    out.write(lambda: draw(found, heading), Table(heading, Step._fields, found.steps))


INCH = 72.0  # points
LINE = 1.75 * SMALL  # points from one line to the next
MARGIN = 14.0
INDENT = 62.0  # points from the left edge to the sentences
WIDTHS = (8.0, 13.0)  # inches of the picture, by its longest sentence
LETTER = 0.56 * SMALL  # points of a letter, on average and in bold


def draw(found: Traversal, title: str) -> Canvas:
    """Draw one block of lines per dimension, in the order given, below the sentence of the unmoved code."""
    from matplotlib.figure import Figure

    from sritool.analysis.traversal import changed_words

    longest = max(len(text) for text in [found.sentence, *(step.sentence for step in found.steps)])
    width = min(max((2 * MARGIN + INDENT + LETTER * longest) / INCH, WIDTHS[0]), WIDTHS[1])
    blocks: dict[int, list[Step]] = {}
    for step in found.steps:
        blocks.setdefault(step.dimension, []).append(step)
    with look():
        lines = 2.4 + sum(len(steps) + 1.7 for steps in blocks.values()) + (1.5 if title else 0)
        height = (2 * MARGIN + LINE * lines) / INCH
        canvas = Figure(figsize=(width, height))
        page = Page(canvas, width, height)
        if title:
            page.write_words(MARGIN, title.split(), fontsize=MEDIUM, weight="bold")
            page.down(1.5)
        page.write(MARGIN, "z itself", color=BLUE, weight="bold")
        page.write_words(MARGIN + INDENT, found.sentence.split())
        page.down(1.4)
        for dimension, steps in blocks.items():
            page.rule()
            own = found.code[dimension - 1]
            page.write(
                MARGIN,
                f"dimension {dimension}, {signed(round(own, 2))} in z itself",
                color=BLUE,
                weight="bold",
            )
            page.down(1.1)
            for step in steps:
                page.write(MARGIN + INDENT - 16, signed(step.value), ha="right", color="#555555")
                marks = changed_words(found.sentence, step.sentence)
                page.write_words(MARGIN + INDENT, step.sentence.split(), marks)
                page.down(1.0)
            page.down(0.6)
    return canvas


def signed(value: float) -> str:
    """Format a number like `−1.5`, `0` or `+3`."""
    return f"{value:+.3g}".replace("-", "−") if value else "0"


class Page:
    """Writes lines of text on a canvas, from the top down; positions are in points."""

    def __init__(self, canvas: Canvas, width: float, height: float) -> None:
        self.canvas, self.width, self.height = canvas, width * INCH, height * INCH
        self.at = self.height - MARGIN - LINE / 2
        self.renderer = renderer_of(canvas)

    def down(self, lines: float) -> None:
        """Move down by so many lines."""
        self.at -= lines * LINE

    def write(self, left: float, text: str, **how: Any) -> Any:
        """Write a text in the current line, `left` points from the left edge."""
        how = {"fontsize": SMALL, "va": "center", **how}
        return self.canvas.text(left / self.width, self.at / self.height, text, **how)

    def rule(self) -> None:
        """Draw a line across the page, above the current line of text."""
        from matplotlib.lines import Line2D

        height = (self.at + 0.75 * LINE) / self.height
        ends = [MARGIN / self.width, 1 - MARGIN / self.width]
        self.canvas.add_artist(Line2D(ends, [height, height], color=GREY, linewidth=1))

    def write_words(self, left: float, words: Sequence[str], marks: Sequence[bool] = (), **how: Any) -> None:
        """Write words side by side, marked ones bold and coloured; words that do not fit become a final …."""
        for k, word in enumerate(words):
            marked = {"color": ORANGE, "weight": "bold"} if k < len(marks) and marks[k] else {}
            drawn = self.write(left, plain(word), **how, **marked)
            wide = drawn.get_window_extent(self.renderer).width * INCH / self.canvas.dpi
            room = self.width - MARGIN - (0 if k == len(words) - 1 else 2 * SMALL)
            if left + wide > room:
                drawn.set(text="…", color="black", weight="normal")
                return
            left += wide + 0.35 * how.get("fontsize", SMALL)
