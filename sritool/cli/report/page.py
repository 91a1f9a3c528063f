"""Renders a run's report as one self-contained HTML page: style, scripts and data are inline.

Its Content-Security-Policy lists the hashes of its own scripts, so that a browser runs no others, and forbids every
connection.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import shlex
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sritool.cli.formats import readable
from sritool.cli.printable import visible
from sritool.cli.report.charts import Chart, control_chart, curve_charts, map_chart
from sritool.cli.tables.figures import shown, with_error
from sritool.cli.units import format_duration
from sritool.methods.registry import METHODS

if TYPE_CHECKING:
    from sritool.analysis.report import RunReport
    from sritool.evaluation.metrics import Estimate

LEFT_OUT = {
    "metrics of z": "Metrics of z are",
    "interpolation": "The interpolation is",
    "reconstructions": "Reconstructions are",
    "map": "The map of codes is",
}
SHOWN = 20  # samples


def render(found: RunReport, made: str) -> str:
    """Return the whole page, which depends only on `found` and the date `made`."""
    import jinja2
    from jinja2.utils import htmlsafe_json_dumps
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    from sritool.evaluation.metrics import most_sentences

    def finalize(value: object) -> object:
        return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    scripts = [get_plotlyjs(), _template("report.js")]
    curves = curve_charts(found.curves, found.config.generator.latent, found.epoch)
    line = found.interpolation or []
    data = _data(found, [chart for _, chart in curves])
    # All other strings are escaped.
    trusted = {"style": _template("report.css"), "plotly": scripts[0], "script": scripts[1]}
    return environment.from_string(_template("report.html.j2")).render(
        found=found,
        made=made,
        policy=_policy(scripts),
        head=head_rows(found),
        measured=most_sentences(found.estimates),
        mixed=len({estimate.sentences for estimate in found.estimates}) > 1,
        metrics=[_metric_row(estimate) for estimate in found.estimates],
        charts=[title for title, _ in curves],
        epochs=epoch_table(found),
        samples=found.samples[:SHOWN],
        drawn=len(found.samples),
        unique=len(set(found.samples)),
        share=100 * len(set(found.samples)) / max(1, len(found.samples)),
        interpolation=[
            (f"{i / (len(line) - 1):.3g}", text, i > 0 and text == line[i - 1]) for i, text in enumerate(line)
        ],
        commands=commands(found),
        left_out={part: f"{LEFT_OUT[part]} not here: {why}." for part, why in found.left_out.items()},
        data=htmlsafe_json_dumps(data, allow_nan=False, separators=(",", ":")),
        **{name: Markup(text) for name, text in trusted.items()},
    )


def head_rows(found: RunReport) -> list[tuple[str, str]]:
    """Return the facts about the run as (name, value)."""
    config, training = found.config, found.training
    splits = ", ".join(f"{split.sentences:,} {name}" for name, split in found.corpus.splits.items())
    size = config.generator
    rows = {
        "File": str(found.path),
        "Method": config.method,
        "Corpus": f"{found.corpus.name}: {splits} sentences",
    }
    if training.sentences < training.of:
        rows["Trained on"] = f"{training.sentences:,} of {training.of:,} sentences"
    rows["Vocabulary"] = f"{found.corpus.vocabulary:,} ({found.tokenizer} tokenizer)"
    rows["Model"] = (
        f"LSTM of {size.hidden} units, embedding {size.embedding}, "
        f"{f'z of {size.latent} dimensions' if size.latent else 'no z'}, {training.parameters:,} parameters"
    )
    if METHODS[config.method].has_chain:
        rows["Sampler"] = (
            f"{config.sampler.name}: {config.sampler.steps} Langevin steps, "
            f"τ {config.sampler.evaluation_temperature:g} where measured"
        )
    elif found.posterior:
        rows["Codes from"] = found.posterior
    rows["Optimiser"] = (
        f"{config.optimizer.name}, learning rate {config.optimizer.learning_rate:g}, "
        f"batch {config.training.batch_size}, seed {config.training.seed}"
    )
    rows["Epochs"] = (
        f"{training.epochs} of {training.planned} done in {format_duration(training.seconds)}; "
        f"this checkpoint after {found.epoch} ({found.steps:,} updates)"
    )
    return [*rows.items(), ("Saved", utc(found.written))]


def commands(found: RunReport) -> list[tuple[str, list[str]]]:
    """Return the commands that make each part again, as (part, words)."""
    from sritool.analysis.latent_map import FEWEST

    request, defaults = found.request, type(found.request)()
    run = str(found.path.parent if found.path.name == "best.pt" else found.path)
    seed = ["--seed", request.seed]
    data = ["--data-dir", request.data_dir] if request.data_dir != defaults.data_dir else []
    split = ["--split", request.split] if request.split != defaults.split else []
    own: list[object] = []
    for name, option in (("limit", "--limit"), ("map_sentences", "--map-sentences"), ("samples", "-n")):
        value = getattr(request, name)
        own += [option, value] if value != getattr(defaults, name) else []
    own += [] if request.sentences else ["--no-sentences"]
    lines: list[tuple[str, list[object]]] = [
        ("This page", ["report", run, *split, *own, *seed, *data, "-o", "report.html"])
    ]
    for figures in found.figures:
        metrics = dict.fromkeys(e.metric for e in figures.estimates if not e.metric.endswith("-word"))
        asked = ["--metrics", ",".join(metrics), *(["--limit", figures.limit] if figures.limit else [])]
        lines.append(("Metrics", ["evaluate", run, *split, *asked, *seed, *data]))
    lines.append(("Training", ["plot", "curves", run]))
    lines.append(("Samples", ["sample", run, "-n", request.samples, *seed]))
    if found.interpolation:
        points = len(found.interpolation)
        lines.append(("Interpolation", ["interpolate", run, "-n", 1, "--points", points, *seed]))
    if found.map and found.map.of >= FEWEST:
        lines.append(("A map of single draws", ["plot", "latent", run, *split, *seed, *data]))
    return [(part, ["sritool", *(shlex.quote(str(word)) for word in words)]) for part, words in lines]


def utc(seconds: float) -> str:
    """Format a time like `2026-01-31 14:05 UTC`."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _data(found: RunReport, curves: Sequence[Chart]) -> dict[str, Any]:
    """Return the data that the page's script reads."""
    charts = {f"curve-{number}": chart for number, chart in enumerate(curves)}
    if found.map is not None:
        charts |= {"map": map_chart(found.map), "control": control_chart(found.map)}
    sentences = found.map.sentences if found.map else None
    return {"charts": charts, "sentences": [visible(text) for text in sentences] if sentences else None}


def epoch_table(found: RunReport) -> tuple[list[str], list[list[str]]]:
    """Return the validations as columns and rows, for readers who cannot see the charts."""
    points = [point for point in found.curves if point.metric != "train recon"]
    metrics = list(dict.fromkeys(point.metric for point in points))
    cells = {
        (point.epoch, point.metric): with_error(point.value, point.se)
        if point.se and point.metric != "au"
        else readable(int(point.value) if point.metric == "au" else point.value)
        for point in points
    }
    epochs = sorted({point.epoch for point in points})
    rows = [[readable(int(epoch)), *(cells.get((epoch, m), "–") for m in metrics)] for epoch in epochs]
    return ["epoch", *metrics], rows


def _metric_row(estimate: Estimate) -> dict[str, str]:
    from sritool.evaluation.metric_table import metric_of

    drawn = f", {estimate.draws} draw{'s' if estimate.draws > 1 else ''}" if estimate.draws else ""
    count = estimate.predictions
    counted = "" if count is None else f", {count:,} predictions (with </s>)"
    return {
        "name": estimate.metric,
        "value": shown(estimate),
        "unit": estimate.unit + counted,
        "sentences": f"{estimate.sentences:,}",
        "meaning": metric_of(estimate.metric).meaning,
        "by": estimate.estimator + drawn,
    }


def _template(name: str) -> str:
    return (importlib.resources.files("sritool.cli") / "templates" / name).read_text(encoding="utf-8")


def _policy(scripts: Sequence[str]) -> str:
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    allowed = " ".join(f"'sha256-{value}'" for value in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
