"""The picture of the frontier: NLL against posterior KL, a point a run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sritool.cli.pictures.labels import place_labels
from sritool.cli.pictures.style import COLOURS, GREY, MARKS, look, new_canvas, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from sritool.tasks.frontier import Point

METHODS = ("sri", "vae-fb", "lm", "vae-anneal", "ae", "vae-cyclical", "vae-fbp", "vae-lagging", "sa-vae")
"""Each keeps its colour and mark from picture to picture."""


def draw(points: Sequence[Point], title: str) -> Canvas:
    """A colour and mark a method, a name a run, bars of ± 1 standard error; a line at runs without z.

    A run whose figures are not finite has no place.
    """
    points = [point for point in points if math.isfinite(point.nll) and math.isfinite(point.posterior_kl)]
    present = {point.method for point in points}
    methods = [*(name for name in METHODS if name in present), *sorted(present - {*METHODS})]
    order = [*METHODS, *methods[len(present & {*METHODS}) :]]
    with look():
        canvas, axes = new_canvas((9.0, 6.0))
        handles = []
        for method in methods:
            group = [point for point in points if point.method == method]
            handles.append(draw_method(axes, group, order.index(method)))
        for height in {point.nll for point in points if point.draws == 0}:
            axes.axhline(height, color=GREY, linestyle="--", linewidth=1.5, zorder=0)
        axes.margins(0.14, 0.12)
        axes.set_xlabel("posterior KL (nats/sentence)")
        axes.set_ylabel("NLL (nats/sentence); lower is better")
        if title:
            axes.set_title(plain(title))
        canvas.legend(
            *(handles, [plain(method) for method in methods]),
            loc="outside lower center",
            ncols=min(4, len(methods)),
            title="method; bars: ± 1 standard error",
        )
        places = [(point.posterior_kl, point.nll) for point in points]
        place_labels(axes, places, [plain(point.run) for point in points], [*bars_of(points)])
    return canvas


def bars_of(points: Sequence[Point]) -> Iterator[tuple[float, float, float, float]]:
    """The error bars as lines x0, y0, x1, y1."""
    for point in points:
        x, y = point.posterior_kl, point.nll
        yield x, y - point.nll_se, x, y + point.nll_se
        yield x - point.posterior_kl_se, y, x + point.posterior_kl_se, y


def draw_method(axes: Any, points: Sequence[Point], number: int) -> Any:
    """The points of one method; returns what stands for it in the legend."""
    drawn = axes.errorbar(
        [point.posterior_kl for point in points],
        [point.nll for point in points],
        xerr=[point.posterior_kl_se for point in points],
        yerr=[point.nll_se for point in points],
        linestyle="none",
        marker=MARKS[number % len(MARKS)],
        markersize=11,
        markeredgecolor="white",
        color=COLOURS[number % len(COLOURS)],
        elinewidth=1.2,
        capsize=3,
    )
    return drawn.lines[0]
