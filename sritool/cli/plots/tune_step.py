"""`sritool plot tune-step`: the step-size curve."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sritool.cli.options.files import DataDirOpt
from sritool.cli.options.measurement import SeedOpt
from sritool.cli.options.models import ModelOptions
from sritool.cli.plots.picture import ReadablePictureOptions
from sritool.cli.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    legend_below,
    look,
    new_canvas,
    plain,
    series,
)
from sritool.cli.tables.tune_step import exact_table, tuned_from_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from sritool.evaluation.schedule_rows import Row
    from sritool.evaluation.sentences import Chosen
    from sritool.evaluation.step_sizes import Tuned, Tuning
    from sritool.runs.model import TrainedModel


def tune_step(
    ctx: typer.Context,
    *,
    model: ModelOptions,
    limit: Annotated[int, typer.Option(min=1)] = 8,
    chains: Annotated[int, typer.Option(min=2)] = 200,
    seed: SeedOpt = 0,
    data_dir: DataDirOpt = Path("data"),
    picture: ReadablePictureOptions,
) -> None:
    """Step-size curve: both sides of the objective of tune-step.

    sritool plot tune-step runs/tiny-sri -o steps.png

    sritool tune-step --shape geometric --format json | sritool plot tune-step --data - -o steps.pdf

    Without --data, it measures the model's own schedule, scaled by several factors, on validation sentences, as
    tune-step does by default. For other schedules, give the table of tune-step as --data. tune-step --plot draws the
    same picture.

    Args:
        limit: Number of sentences to measure on.
        chains: Chains per sentence; more than z has dimensions.
    """
    from sritool.evaluation.sentences import choose_sentences
    from sritool.evaluation.step_sizes import Tuning, sampler_of

    out = picture.open_for(ctx)
    if picture.data is not None:
        tuned, measured_on = tuned_from_table(picture.data), ""
    else:
        opened = model.load("drawing")
        sampler_of(opened.method)
        chosen = choose_sentences(opened, "valid", None, limit, data_dir)
        tuned, measured_on = measure(opened, chosen, Tuning(chains=chains, seed=seed), picture.quiet)
    heading = picture.heading(measured_on)
    table = exact_table(tuned, heading, "")
    out.write(lambda: draw(tuned, heading), table, tuned.notes)


def measure(opened: TrainedModel, chosen: Chosen, tuning: Tuning, quiet: bool) -> tuple[Tuned, str]:
    """Return the schedules with their figures, and a title with what was measured on."""
    from sritool.cli.progress import Progress
    from sritool.evaluation.step_sizes import tune
    from sritool.runs.names import run_name

    with Progress("measuring", "chains", quiet) as bar:
        tuned = tune(
            opened.method, chosen.split, chosen.examples, tuning, lambda _, *counts: bar.update(*counts)
        )
    count = f"{tuned.sentences} of {len(chosen.split)} sentences, {tuned.chains} chains each"
    return tuned, f"{run_name(opened.path)} on {chosen.data}, {count}, τ {tuned.temperature:g}"


MOST_NAMES = 9  # at an axis
AXES = {"factor": "factor on the checkpoint's step sizes", "s": "step size s", "s_0": "first step size s_0"}


def draw(tuned: Tuned, title: str) -> Canvas:
    """Draw both sides and the shares of steps against one step size; with two step sizes, the decisive side."""
    rows = [row for row in tuned.rows if row.values is not None and math.isfinite(row.lower.value)]
    with look():
        if len(tuned.names) == 1:
            canvas, (above, below) = new_canvas((8, 7.5), 2, sharex=True, height_ratios=(3, 1.4))
            rows.sort(key=first_step)
            draw_sides(above, rows, tuned)
            draw_shares(below, rows)
            both = [axes.get_legend_handles_labels() for axes in (above, below)]
            handles, names = ([one for of in each for one in of] for each in zip(*both, strict=True))
            legend_below(
                canvas, handles, names, 2, "bands: ± 1 standard error of the difference to the choice"
            )
        else:
            canvas, above = new_canvas((10.0, 5.5))
            below = above
            draw_pairs(above, rows, tuned)
        name_steps(below, rows)
        below.set_xlabel(AXES[tuned.names[0]])
        above.set_title(plain(title), wrap=True)
        above.set_ylabel("nats per sentence")
    return canvas


def first_step(row: Row) -> float:
    """Return a schedule's position on the horizontal axis."""
    assert row.values is not None
    return row.values[0]


def name_steps(axes: Any, rows: Sequence[Row]) -> None:
    """Label the steps tried on the axis, if they are few enough to be read."""
    steps = sorted({first_step(row) for row in rows})
    if len(steps) <= MOST_NAMES:
        axes.set_xticks(steps, [f"{step:.3g}" for step in steps])
        axes.minorticks_off()


def draw_sides(axes: Any, rows: Sequence[Row], tuned: Tuned) -> None:
    """Draw both curves, with the errors of their differences to the choice, the folding steps and the choice."""
    steps = [first_step(row) for row in rows]
    sides = (
        ("upper: entropy of a Gaussian", BLUE, "-o", [(row.upper, row.upper_gain) for row in rows]),
        ("lower: entropy given the noise", ORANGE, "--s", [(row.lower, row.lower_gain) for row in rows]),
    )
    for name, colour, style, pairs in sides:
        axes.plot(steps, [side.value for side, _ in pairs], style, color=colour, label=name)
        low, high = ([side.value + sign * gain.error for side, gain in pairs] for sign in (-1, 1))
        axes.fill_between(steps, low, high, color=colour, alpha=0.25, linewidth=0)
    axes.set_xscale("log")
    chosen = tuned.chosen
    # For large steps the lower side falls without bound: the upper one sets the visible range.
    upper = [row.upper.value for row in rows if math.isfinite(row.upper.value)] or [chosen.lower.value]
    span = max(max(upper) - min(upper), 1.0)
    seen = [row.lower.value for row in rows if row.lower.value > min(upper) - span]
    axes.set_ylim(min([*upper, *seen, chosen.lower.value]) - 0.15 * span, max(upper) + 0.15 * span)
    shade_folds(axes, rows)
    if chosen.values is not None:
        axes.axvline(chosen.values[0], color=BLACK, linestyle=":", label=f"chosen: {chosen.label}")


def shade_folds(axes: Any, rows: Sequence[Row], label: str = "some steps fold") -> None:
    """Shade the step sizes that fold, each up to halfway to its neighbours; `_` is no label."""
    logs = [math.log(first_step(row)) for row in rows]
    middles = [(a + b) / 2 for a, b in itertools.pairwise(logs)]
    edges = [logs[0] - 0.2, *middles, logs[-1] + 0.2]
    for k, row in enumerate(rows):
        if row.folded > 0:
            left, right = math.exp(edges[k]), math.exp(edges[k + 1])
            axes.axvspan(left, right, color=GREY, alpha=0.4, linewidth=0, label=label, zorder=0)
            label = "_"
    axes.set_xlim(math.exp(edges[0]), math.exp(edges[-1]))


def draw_shares(axes: Any, rows: Sequence[Row]) -> None:
    """Draw the shares of folded and unstable steps, and the acceptance of a Metropolis test."""
    steps = [first_step(row) for row in rows]
    axes.plot(steps, [row.acceptance for row in rows], "-o", color=GREEN, label="MALA acceptance")
    axes.plot(steps, [row.folded for row in rows], "--s", color=BLACK, label="folded")
    axes.plot(steps, [row.unstable for row in rows], ":^", color=ORANGE, label="unstable")
    axes.set_ylim(-0.05, 1.05)
    axes.set_ylabel("share of steps")
    shade_folds(axes, rows, "_")


def draw_pairs(axes: Any, rows: Sequence[Row], tuned: Tuned) -> None:
    """Draw the decisive side, one curve for each last step size, with hollow marks where steps fold."""
    lasts = sorted({row.values[1] for row in rows if row.values is not None and len(row.values) == 2})
    for k, last in enumerate(lasts):
        style = series(k)
        curve = sorted((row for row in rows if row.values and row.values[1] == last), key=first_step)
        steps, values = [first_step(row) for row in curve], [decisive(row, tuned) for row in curve]
        axes.plot(steps, values, label=f"s_K = {last:.3g}", **style)
        for row, step, value in zip(curve, steps, values, strict=True):
            if row.folded > 0:
                axes.plot(step, value, **style, markerfacecolor="white", zorder=3)
    axes.set_xscale("log")
    chosen = tuned.chosen
    if chosen.values is not None:
        place = (chosen.values[0], decisive(chosen, tuned))
        axes.plot(
            *place, marker="*", color=BLACK, markersize=16, linestyle="none", label=f"chosen: {chosen.label}"
        )
    axes.get_figure().legend(loc="outside right upper", title="hollow: some steps fold")


def decisive(row: Row, tuned: Tuned) -> float:
    """Return the side that decides, upper or lower, in nats per sentence."""
    return (row.upper if tuned.objective == "entropy" else row.lower).value
