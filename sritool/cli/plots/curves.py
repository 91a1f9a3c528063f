"""`sritool plot curves`: training curves of runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sritool.cli.formats import Table
from sritool.cli.options.models import CheckpointsOptions, report_bundled
from sritool.cli.options.values import names
from sritool.cli.plots.picture import ReadablePictureOptions
from sritool.cli.plots.style import legend_below, look, new_canvas, plain, series
from sritool.cli.streams import say
from sritool.cli.tables.reading import read_rows
from sritool.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from sritool.analysis.training_curves import Point


def curves(
    ctx: typer.Context,
    *,
    models: CheckpointsOptions,
    metrics: Annotated[str | None, typer.Option(metavar="NAMES")] = None,
    picture: ReadablePictureOptions,
) -> None:
    """Training curves of runs: validations and training loss.

    sritool plot curves runs/tiny-sri runs/tiny-vae-anneal -o curves.svg

    sritool plot curves runs/tiny-sri --show-data | grep nll

    The numbers come from metrics.jsonl, also while a run is training. Bands are ± 1 standard error over the
    validation sentences. The recorded training loss, the mean of the epoch so far, is pale; the strong line is
    smoothed. Some methods begin as an autoencoder: those epochs come before 0.

    Args:
        metrics: Only these panels, comma-separated: nll, posterior-kl, recon, au, permuted, train recon.
            [default: all]
    """
    from sritool.analysis.training_curves import METRIC_NAMES, Curves, Point, metrics_file, read_curves

    out = picture.open_for(ctx)
    wanted = list(METRIC_NAMES) if metrics is None else list(names(metrics))
    if not wanted:
        raise UsageError(f"--metrics has no name; give some of {', '.join(METRIC_NAMES)}, or leave it out")
    for name in wanted:
        if name not in METRIC_NAMES:
            raise UsageError(f"no curve {name!r}; there are: {', '.join(METRIC_NAMES)}")
    if picture.data is not None:
        found = Curves(read_rows(picture.data, Point._fields, Point), [])
    else:
        named = models.named()
        if not named:
            say(f"drawing {metrics_file(None, models.runs_dir).parent}")
        for run in named:
            report_bundled(run, metrics_file(run, models.runs_dir))
        found = read_curves(named, models.runs_dir)
    points = [point for point in found.points if point.metric in wanted]
    if not points:
        raise UsageError(f"nothing on record for {', '.join(wanted)}; leave --metrics out")
    heading = picture.heading("Training curves")
    table = Table(heading, Point._fields, points)
    out.write(lambda: draw(points, heading), table, found.notes)


LABELS = {
    "nll": "validation NLL\n(nats/sentence)",
    "posterior-kl": "posterior KL\n(nats/sentence)",
    "recon": "validation recon\n(nats/sentence)",
    "au": "active units\n(dimensions)",
    "permuted": "permuted − recon\n(nats/sentence)",
    "train recon": "training recon\n(nats/sentence)",
}


def draw(points: Sequence[Point], title: str) -> Canvas:
    """Draw one panel per metric, with one legend below; the training loss is smoothed over its pale raw values."""
    lines: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        lines.setdefault((point.run, point.metric), []).append(point)
    metrics = [metric for metric in LABELS if any(metric == name for _, name in lines)]
    runs = list(dict.fromkeys(run for run, _ in lines))
    columns = min(3, len(metrics))
    rows = -(-len(metrics) // columns)
    with look():
        size = (8.0 if columns == 1 else 4.6 * columns, 3.6 * rows + (1.4 if columns == 1 else 0.6))
        canvas, panels = new_canvas(size, rows, columns, squeeze=False, sharex=True)
        handles: dict[str, Any] = {}
        for axes, metric in zip(panels.flat, metrics, strict=False):
            for number, run in enumerate(runs):
                if (run, metric) in lines:
                    handles[run] = draw_line(axes, lines[run, metric], series(number))
            finish(axes, lines, metric)
        for axes in panels.flat[len(metrics) :]:
            axes.set_visible(False)
        begun = any(point.epoch <= 0 for point in points)
        epochs = "epochs (to 0: autoencoder)" if begun else "epochs"
        for axes in panels.flat[len(metrics) - columns :]:
            axes.set_xlabel(epochs)
            axes.tick_params(labelbottom=True)
        if title:
            canvas.suptitle(plain(title))
        drawn = [handles[run] for run in runs]
        meaning = meaning_of(points, narrow=columns < 3)
        legend_below(canvas, drawn, [plain(run) for run in runs], 3, meaning)
    return canvas


def meaning_of(points: Sequence[Point], narrow: bool = False) -> str:
    """Explain bands and pale lines, if there are any."""
    parts = []
    if any(point.se for point in points):
        parts.append("bands, bars: ± 1 standard error over validation sentences")
    if any(point.metric == "train recon" for point in points):
        parts.append("pale: training recon, mean of the epoch so far; strong: smoothed")
    return ("\n" if narrow else "; ").join(parts)


def draw_line(axes: Any, points: Sequence[Point], style: dict[str, Any]) -> Any:
    """Draw one run in one panel, and return its legend handle.

    The smoothed training loss leaves out the first step: an untrained model on one batch.
    """
    epochs, values = ([getattr(point, name) for point in points] for name in ("epoch", "value"))
    every = max(1, len(points) // 10) if len(points) > 12 else 1
    if points[0].metric == "train recon":
        axes.plot(epochs, values, color=style["color"], alpha=0.25, linewidth=1)
        later = [point for point in points if point.step > 1] or points
        epochs = [point.epoch for point in later]
        begun = sum(epoch <= 0 for epoch in epochs)  # the autoencoder has another loss
        values = [point.value for point in later]
        values = smoothed(values[:begun]) + smoothed(values[begun:])
    elif len(points) == 1 and points[0].se:
        axes.errorbar(epochs, values, points[0].se, color=style["color"], capsize=4)
    elif any(point.se for point in points):
        low, high = ([p.value + sign * (p.se or 0.0) for p in points] for sign in (-1, 1))
        if points[0].metric == "au":  # a number of dimensions is not below 0
            low = [max(value, 0.0) for value in low]
        axes.fill_between(epochs, low, high, color=style["color"], alpha=0.15, linewidth=0)
    (line,) = axes.plot(epochs, values, **style, markevery=every)
    return line


def smoothed(values: Sequence[float]) -> list[float]:
    """Return moving averages over about a tenth of the values, at least three, fewer at the ends."""
    reach = max(1, len(values) // 20)
    means = []
    for k in range(len(values)):
        half = min(reach, k, len(values) - 1 - k)
        part = values[k - half : k + half + 1]
        means.append(sum(part) / len(part))
    return means


def finish(axes: Any, lines: dict[tuple[str, str], list[Point]], metric: str) -> None:
    """Label the axes, and set a scale that the high values of the first steps do not dominate."""
    from matplotlib.ticker import MaxNLocator

    axes.set_ylabel(LABELS[metric])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    if metric == "au":
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    shown = [point for (_, name), group in lines.items() for point in group if name == metric]
    if any(point.epoch <= 0 for group in lines.values() for point in group):
        axes.axvline(0, color="black", linewidth=1, alpha=0.5)
    if metric == "train recon":
        ordered = sorted(point.value for point in shown if point.step > 1) or [shown[0].value]
        low, high = ordered[0], ordered[len(ordered) * 9 // 10]
        margin = 0.1 * (high - low or 1)
        axes.set_ylim(low - margin, high + margin)
