"""`sritool plot latent`: the aggregate posterior against the prior."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sritool.cli.options.files import DataDirOpt
from sritool.cli.options.measurement import BATCH_SIZE, BatchSizeOpt, SeedOpt, SplitOpt
from sritool.cli.options.models import ModelOptions
from sritool.cli.plots.picture import ReadablePictureOptions
from sritool.cli.plots.style import BLACK, BLUE, COLOURS, GREY, MARKS, look, new_canvas, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from sritool.analysis.latent_map import Point
    from sritool.runs.model import Report


def latent(
    ctx: typer.Context,
    *,
    model: ModelOptions,
    split: SplitOpt = "test",
    limit: Annotated[int, typer.Option(min=1)] = 1000,
    seed: SeedOpt = 0,
    batch_size: BatchSizeOpt = BATCH_SIZE,
    data_dir: DataDirOpt = Path("data"),
    picture: ReadablePictureOptions,
) -> None:
    """Aggregate posterior against the prior: t-SNE and densities.

    sritool plot latent runs/tiny-sri -o latent.png

    It maps one draw of q(z|x) for each sentence, coloured by the sentence's label or length, and equally many draws
    from the prior. t-SNE shows clumps even in noise: only structure that the map of the codes has, and the map of the
    prior lacks, comes from the model. In --show-data, part is posterior or control for places on the maps, density or
    deviation for each dimension, and prior for the prior's density.

    Args:
        limit: Number of sentences, one code each; 20 or more.
    """
    from sritool.analysis.latent_map import Point, aggregate
    from sritool.evaluation.sentences import choose_sentences, prepared_corpus
    from sritool.runs.names import run_name

    def measure(report: Report) -> tuple[list[Point], str, list[str]]:
        opened = model.load("drawing")
        opened.require_latent("draw the aggregate posterior")
        chosen = choose_sentences(opened, split, None, limit, data_dir)
        labels = prepared_corpus(opened, data_dir).info.labels
        found = aggregate(opened, chosen.split, chosen.examples, seed, report, labels, batch_size)
        count = f"{len(chosen.examples)} of {len(chosen.split)} sentences"
        return found.rows(), f"{run_name(opened.path)} on {chosen.data}, {count}", found.notes

    picture.draw_points(ctx, Point, measure, draw)


LENGTHS = "cividis"  # a colour map that the colour-blind can read
MOST_LABELS = 7  # as many as there are distinct colours
MARGIN = 1.08


def draw(points: Sequence[Point], title: str) -> Canvas:
    """Draw three panels; both maps have the same scale, without numbers, as t-SNE has no unit."""
    with look():
        canvas, (codes, control, marginals) = new_canvas((16.0, 5.2), 1, 3, width_ratios=(1.12, 1, 1.2))
        draw_places(canvas, codes, [point for point in points if point.part == "posterior"])
        of_control = [point for point in points if point.part == "control"]
        size = mark_size(len(of_control))
        control.scatter(*places(of_control), s=size, color=BLACK, alpha=0.45, edgecolors="none")
        codes.set_title("aggregate posterior, t-SNE")
        control.set_title("as many draws of N(0, I), t-SNE")
        both = [abs(value) for p in points if p.part in ("posterior", "control") for value in (p.x, p.y)]
        for axes in (codes, control):
            finish_map(axes, MARGIN * max(both, default=1.0))
        draw_marginals(marginals, points)
        if title:
            canvas.suptitle(plain(title))
    return canvas


def draw_places(canvas: Any, axes: Any, points: Sequence[Point]) -> None:
    """Draw the codes, coloured by their sentences' labels or lengths."""
    from matplotlib.ticker import MaxNLocator

    names = sorted({point.name for point in points})
    size = mark_size(len(points))
    if all(name.isdecimal() for name in names):
        lengths = sorted(int(point.name) for point in points)
        # Without rare extremes.
        ends = lengths[len(lengths) // 50], lengths[-1 - len(lengths) // 50]
        drawn = axes.scatter(
            *places(points),
            s=size,
            c=[int(point.name) for point in points],
            cmap=LENGTHS,
            vmin=ends[0],
            vmax=max(ends[1], ends[0] + 1),
            edgecolors="none",
        )
        whole = MaxNLocator(integer=True, nbins=7)
        canvas.colorbar(drawn, ax=axes, label="words in the sentence", location="left", ticks=whole, pad=0.03)
        return
    for number, name in enumerate(names[:MOST_LABELS]):
        group = [point for point in points if point.name == name]
        look_of = {"color": COLOURS[number], "marker": MARKS[number]}
        axes.scatter(*places(group), s=size, label=plain(name), alpha=0.7, edgecolors="none", **look_of)
    others = [point for point in points if point.name in names[MOST_LABELS:]]
    if others:
        axes.scatter(*places(others), s=size, color=GREY, label="other labels", edgecolors="none")
    canvas.legend(loc="outside left upper", markerscale=2, title="sentence")


def draw_marginals(axes: Any, points: Sequence[Point]) -> None:
    """Draw a thin line for each dimension, and the prior on top."""
    dimensions = dict.fromkeys(point.name for point in points if point.part == "density")
    for number, name in enumerate(dimensions):
        curve = [point for point in points if point.part == "density" and point.name == name]
        label = f"each of {len(dimensions)} dimensions" if number == 0 else None
        axes.plot(*places(curve), color=BLUE, linewidth=1, alpha=0.6, label=label)
    prior = [point for point in points if point.part == "prior"]
    axes.plot(*places(prior), color=BLACK, linewidth=3.5, linestyle="--", label="prior N(0, 1)")
    axes.set_title("marginal densities")
    axes.set_xlabel("z")
    axes.set_ylabel("density")
    axes.set_ylim(bottom=0)
    axes.margins(x=0)
    axes.legend(loc="upper right")


def finish_map(axes: Any, reach: float) -> None:
    """Make the axes a square without numbers."""
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-reach, reach)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(True)


def places(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    """Return the points' x and y, for `plot` and `scatter`."""
    return [point.x for point in points], [point.y for point in points]


def mark_size(count: int) -> float:
    """Return the size of a mark, in square points; it is larger for fewer marks."""
    return min(60.0, max(6.0, 16_000.0 / max(1, count)))
