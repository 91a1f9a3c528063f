"""`sritool evaluate`: metrics of one or several checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sritool.cli.options import (
    BatchSizeOpt,
    CheckpointsArg,
    DataDirOpt,
    DeviceOpt,
    FormatOpt,
    GpuOpt,
    LimitOpt,
    QuietOpt,
    RunsDirOpt,
    SeedOpt,
    SplitOpt,
    TextOpt,
    ThreadsOpt,
)
from sritool.cli.render import Table, emit, resolve_format, say
from sritool.cli.tables import FOR_PEOPLE, figure, metrics_table, with_error
from sritool.errors import UsageError

if TYPE_CHECKING:
    from sritool.tasks.evaluate import Evaluation

ESTIMATOR = "Estimator"


def evaluate(
    checkpoints: CheckpointsArg = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            metavar="NAMES",
            help="Any of ppl, nll, posterior-kl, recon, permuted, kl, au, au-naive, with commas between, or all.",
            show_default="all but kl and au-naive",
        ),
    ] = None,
    split: SplitOpt = None,
    text: TextOpt = None,
    limit: LimitOpt = None,
    per_sentence: Annotated[
        bool, typer.Option("--per-sentence", help="Print one row per sentence in place of the metrics.")
    ] = False,
    samples: Annotated[
        int,
        typer.Option(
            min=2, help="Draws of z per sentence that p(x) is estimated from.", rich_help_panel=ESTIMATOR
        ),
    ] = 100,
    pilots: Annotated[
        int,
        typer.Option(
            min=2,
            help="Draws of z per sentence, in each of two rounds, that fit where the others come from.",
            rich_help_panel=ESTIMATOR,
        ),
    ] = 100,
    chains: Annotated[
        int,
        typer.Option(
            min=2, help="Codes inferred per sentence, for recon, permuted and au.", rich_help_panel=ESTIMATOR
        ),
    ] = 2,
    seed: SeedOpt = 0,
    batch_size: BatchSizeOpt = None,
    gpu: GpuOpt = None,
    device: DeviceOpt = "auto",
    threads: ThreadsOpt = None,
    data_dir: DataDirOpt = Path("data"),
    runs_dir: RunsDirOpt = Path("runs"),
    fmt: FormatOpt = "auto",
    quiet: QuietOpt = False,
) -> None:
    """Measure a model: perplexity, reconstruction, KL, active units, each with its standard error.

    Over the whole split unless --limit says otherwise, which then shows. With several checkpoints: the same
    sentences and the same noise for each, one row per run.

    sritool evaluate runs/tiny-sri runs/tiny-lm --metrics ppl,au,posterior-kl

    sritool evaluate --split valid --limit 200 --format json

    ppl: perplexity per token. nll: -log p(x) per sentence x, in nats. recon: -log p(x|z) at the inferred code z.
    posterior-kl: what z tells about x, KL of the posterior to the prior. kl: KL of the method's own inference to
    the prior, on 64 sentences unless --limit is given, as it is slow. au: active units, the dimensions of z that
    vary with the sentence; au-naive: the published count, which takes noise for activity. permuted: how much
    recon loses with another sentence's z, 0 where z is ignored.
    """
    from sritool.cli.watch import task_progress
    from sritool.core.config import LikelihoodConfig
    from sritool.core.device import resolve_device, set_threads
    from sritool.tasks.evaluate import Request
    from sritool.tasks.evaluate import evaluate as measure_checkpoints
    from sritool.tasks.measure import DEFAULT_METRICS, NEEDS
    from sritool.tasks.runs import find_checkpoint

    form = resolve_format(fmt)
    if text and split:
        raise UsageError("--split is for the prepared corpus; leave it or --text out")
    where = resolve_device(device, gpu)
    set_threads(threads)
    known = {None: DEFAULT_METRICS, "all": tuple(NEEDS)}
    names = known[metrics] if metrics in known else split_names(str(metrics))
    request = Request(
        metrics=names,
        split=split or "test",
        text=Path(text) if text else None,
        limit=limit,
        likelihood=LikelihoodConfig(samples=samples, pilots=pilots),
        chains=chains,
        seed=seed,
        batch_size=batch_size or 64,
        data_dir=data_dir,
    )
    paths = [find_checkpoint(path, runs_dir) for path in checkpoints or []]
    paths = paths or [find_checkpoint(None, runs_dir)]
    if not checkpoints:
        say(f"evaluating {paths[0]}")
    with task_progress(quiet) as report:
        found = measure_checkpoints(paths, request, str(where), report)
    if per_sentence:
        emit(sentence_table(found), form)
    elif len(found) > 1:
        emit(runs_table(found, form), form)
    else:
        only = found[0]
        emit(metrics_table(only.run, only.data, only.total, only.estimates, only.notes, form), form)


def split_names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def runs_table(found: list[Evaluation], fmt: str) -> Table:
    """One row a run; figures and their errors in one column for people, in two for programs."""
    metrics = list(dict.fromkeys(estimate.metric for run in found for estimate in run.estimates))
    people = fmt in FOR_PEOPLE
    figures = metrics if people else [name for m in metrics for name in (m, f"{m} se")]
    counts = ["sentences", "of"] if fmt != "table" else []  # which has a title to say it in
    rows: list[list[object]] = []
    notes = [f"{run.run}: {note}" for run in found for note in run.notes]
    for run in found:
        by_name = {estimate.metric: estimate for estimate in run.estimates}
        row: list[object] = [run.run, run.method]
        for metric in metrics:
            estimate = by_name.get(metric)
            pair = (figure(estimate), estimate.standard_error) if estimate else None
            row += [pair and with_error(*pair)] if people else (pair or [None, None])
        measured = max(estimate.sentences for estimate in run.estimates)
        likelihood = by_name.get("ppl") or by_name.get("nll") or run.estimates[0]
        row += [*([measured, run.total] if counts else []), likelihood.estimator]
        rows.append(row if people else [*row, run.data])
        notes += [f"{run.run}: {e.metric} on {e.sentences}" for e in run.estimates if e.sentences < measured]
    title = f"On {found[0].data}, {measured} of {found[0].total} sentences"
    columns = ["run", "method", *figures, *counts, "estimator", *([] if people else ["data"])]
    return Table(title, columns, rows, "; ".join(notes))


def sentence_table(found: list[Evaluation]) -> Table:
    """A row a sentence; with several runs, the run first."""
    several = len(found) > 1
    names = list(dict.fromkeys(name for run in found for row in run.sentences for name in row))
    names = [*(name for name in names if name != "sentence"), "sentence"]
    rows = [
        [*([run.run] if several else []), *(row.get(name) for name in names)]
        for run in found
        for row in run.sentences
    ]
    return Table(f"Sentences of {found[0].data}", [*(["run"] if several else []), *names], rows)
