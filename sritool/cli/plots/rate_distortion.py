"""`sritool plot rate-distortion`: what a model's z can tell of its sentences, and what that buys."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sritool.cli.formats import Table
from sritool.cli.options.files import QuietOpt
from sritool.cli.options.measurement import SentencesOptions, SplitOpt
from sritool.cli.options.models import ModelsOptions
from sritool.cli.plots.picture import ReadablePictureOptions
from sritool.cli.plots.style import legend_below, look, new_canvas, plain, series
from sritool.cli.tables.reading import read_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from sritool.analysis.rate_distortion import Point

COLUMNS = (
    "run",
    "method",
    "beta",
    "rate",
    "rate se",
    "distortion",
    "distortion se",
    "nll",
    "sentences",
    "chains",
)


def rate_distortion(
    ctx: typer.Context,
    *,
    models: ModelsOptions,
    chains: Annotated[int, typer.Option(min=1)] = 8,
    rungs: Annotated[int, typer.Option(min=1)] = 200,
    beta: Annotated[float, typer.Option(metavar="B")] = 1.0,
    split: SplitOpt = "test",
    sentences: SentencesOptions,
    picture: ReadablePictureOptions,
    quiet: QuietOpt = False,
) -> None:
    """Rate-distortion curve of each run, from one annealing run: what more nats in z would buy.

    sritool plot rate-distortion runs/tiny-sri runs/tiny-vae-fb --limit 64 -o curves.svg

    sritool plot rate-distortion --limit 64 --beta 4 --show-data

    rate: KL of a code's distribution to the prior, nats a sentence. distortion: -log p(x|z) of such codes. The curve
    has the least distortion at every rate, whatever codes the method's own encoder or chain gives. It runs from the
    prior (beta = 0) to the model's posterior (beta = 1), where rate is posterior-kl and rate + distortion is nll.
    Rate is an upper bound: the curve drawn lies on or above the model's. A model without z is one point at rate 0.

    Args:
        chains: Chains of annealing a sentence; more bring the curve down to the model's.
        rungs: Steps of annealing, beside the points; more bring the curve down faster.
        beta: β of the last point: 1 is the model's posterior, more goes beyond it.
    """
    from sritool.analysis import rate_distortion as task
    from sritool.cli.progress import KEPT, task_progress
    from sritool.config.settings import LikelihoodConfig
    from sritool.evaluation.settings import EvaluationSettings

    out = picture.open_for(ctx)
    if picture.data is not None:
        found = task.Curves(read_rows(picture.data, COLUMNS, task.Point), "", [])
    else:
        request = EvaluationSettings(
            split=split,
            estimator="ais",
            rungs=rungs,
            likelihood=LikelihoodConfig(samples=chains),
            **vars(sentences),
        )
        where = models.open_device()
        paths = models.find("annealing")
        with task_progress(quiet, KEPT) as report:
            found = task.rate_distortion_curves(paths, request, beta, where, report)
    heading = picture.heading(found.data)
    table = Table(heading, COLUMNS, found.points)
    out.write(lambda: draw(found.points, heading), table, found.notes)


def draw(points: Sequence[Point], title: str) -> Canvas:
    """A line a run, a ring at β = 1 with bars of ± 1 standard error."""
    runs = list(dict.fromkeys(point.run for point in points))
    with look():
        canvas, axes = new_canvas((8.0, 5.6))
        handles = []
        for number, run in enumerate(runs):
            handles.append(draw_run(axes, [point for point in points if point.run == run], series(number)))
        axes.set_xlabel("rate, KL to the prior (nats/sentence), an upper bound")
        axes.set_ylabel("distortion, −log p(x|z) (nats/sentence)")
        if title:
            axes.set_title(plain(title))
        names = [plain(run) for run in runs]
        legend_below(canvas, handles, names, 4, "run; ring: β = 1, the posterior; bars: ± 1 standard error")
    return canvas


def draw_run(axes: Any, line: Sequence[Point], style: dict[str, Any]) -> Any:
    """Draw one run, and return what stands for it in the legend."""
    line = sorted(line, key=lambda point: point.beta)
    small = {**style, "markersize": 4 if len(line) > 1 else 9}
    (drawn,) = axes.plot([point.rate for point in line], [point.distortion for point in line], **small)
    for point in line:
        if point.beta != 1 or not (math.isfinite(point.rate_se) and math.isfinite(point.distortion_se)):
            continue
        axes.errorbar(
            [point.rate],
            [point.distortion],
            xerr=[point.rate_se],
            yerr=[point.distortion_se],
            color=style["color"],
            marker="o",
            markersize=13,
            markerfacecolor="none",
            elinewidth=1.2,
            capsize=3,
        )
    return drawn
