"""`sritool plot rate-distortion`: how reconstruction improves with the information in z."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sritool.cli.options.measurement import SentencesOptions, SplitOpt
from sritool.cli.options.models import CheckpointsOptions, DeviceOptions
from sritool.cli.plots.picture import ReadablePictureOptions
from sritool.cli.plots.style import legend_below, look, new_canvas, plain, series

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from sritool.analysis.rate_distortion import Point
    from sritool.runs.model import Report


def rate_distortion(
    ctx: typer.Context,
    *,
    device: DeviceOptions,
    models: CheckpointsOptions,
    chains: Annotated[int, typer.Option(min=2)] = 8,
    rungs: Annotated[int, typer.Option(min=1)] = 200,
    beta: Annotated[float, typer.Option(metavar="B")] = 1.0,
    split: SplitOpt = "test",
    sentences: SentencesOptions,
    picture: ReadablePictureOptions,
) -> None:
    """Rate-distortion curve of each run, by annealing: what more nats in z would buy.

    sritool plot rate-distortion runs/tiny-sri runs/tiny-vae-fb --limit 64 -o curves.svg

    sritool plot rate-distortion --limit 64 --beta 4 --show-data

    rate: KL of a code's distribution to the prior, in nats per sentence. distortion: -log p(x|z) of such codes. The
    curve is the least distortion at every rate, whatever codes the method's own encoder or chain gives. It runs from
    the prior (beta = 0) to the model's posterior (beta = 1), where rate is posterior-kl and rate + distortion is nll.
    Rate is an upper bound: the curve drawn lies on or above the model's. A model without z is one point at rate 0.

    Args:
        chains: Annealing chains per sentence; more lower the curve towards the model's.
        rungs: Annealing steps, beside the points; more lower the curve faster.
        beta: β of the last point: 1 is the model's posterior; a larger value goes beyond it.
    """
    from sritool.analysis import rate_distortion as task
    from sritool.config.settings import LikelihoodConfig
    from sritool.evaluation.settings import EvaluationSettings

    def measure(report: Report) -> task.Curves:
        likelihood = LikelihoodConfig(samples=chains)
        request = EvaluationSettings(
            split=split, estimator="ais", rungs=rungs, likelihood=likelihood, **vars(sentences)
        )
        where = device.open_device()
        return task.rate_distortion_curves(models.find("annealing"), request, beta, where, report)

    picture.draw_points(ctx, task.Point, measure, draw)


def draw(points: Sequence[Point], title: str) -> Canvas:
    """Draw a line per run, with a ring at β = 1 and bars of ± 1 standard error."""
    runs = list(dict.fromkeys(point.run for point in points))
    with look():
        canvas, axes = new_canvas((8.0, 5.6))
        handles = []
        for number, run in enumerate(runs):
            handles.append(draw_run(axes, [point for point in points if point.run == run], series(number)))
        axes.set_xlabel("rate, KL to the prior (nats/sentence), an upper bound")
        axes.set_ylabel("distortion, −log p(x|z) (nats/sentence)")
        axes.set_title(plain(title))
        names = [plain(run) for run in runs]
        legend_below(canvas, handles, names, 4, "run; ring: β = 1, the posterior; bars: ± 1 standard error")
    return canvas


def draw_run(axes: Any, line: Sequence[Point], style: dict[str, Any]) -> Any:
    """Draw one run, and return its legend handle."""
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
