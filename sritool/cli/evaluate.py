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

if TYPE_CHECKING:
    from sritool.tasks.evaluate import Evaluation

ESTIMATOR = "Estimator"


def evaluate(
    checkpoints: CheckpointsArg = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            help="ppl, nll, recon, posterior-kl, kl, au, au-naive, permuted, or all; a comma between. "
            "Default: all but kl, which is slow, and au-naive, which misleads.",
            show_default=False,
        ),
    ] = None,
    split: SplitOpt = "test",
    text: TextOpt = None,
    limit: LimitOpt = None,
    per_sentence: Annotated[
        bool, typer.Option("--per-sentence", help="Print a row a sentence in place of the metrics.")
    ] = False,
    samples: Annotated[
        int, typer.Option(min=2, help="Weighed draws M a sentence.", rich_help_panel=ESTIMATOR)
    ] = 100,
    pilots: Annotated[
        int, typer.Option(min=2, help="Pilot draws a sentence and round.", rich_help_panel=ESTIMATOR)
    ] = 100,
    chains: Annotated[
        int,
        typer.Option(min=2, help="Draws of q(z|x) a sentence, for recon and au.", rich_help_panel=ESTIMATOR),
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
    sentences and the same noise for each, one row a run.
    """
    from sritool.cli.watch import task_progress
    from sritool.core.config import LikelihoodConfig
    from sritool.core.device import resolve_device, set_threads
    from sritool.tasks.evaluate import Request
    from sritool.tasks.evaluate import evaluate as measure_checkpoints
    from sritool.tasks.measure import DEFAULT_METRICS, NEEDS
    from sritool.tasks.runs import find_checkpoint

    resolve_format(fmt)
    where = resolve_device(device, gpu)
    set_threads(threads)
    names = {None: DEFAULT_METRICS, "all": tuple(NEEDS)}.get(metrics) or split_names(str(metrics))
    request = Request(
        metrics=names,
        split=split,
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
        emit(sentence_table(found), fmt)
    elif len(found) > 1:
        emit(runs_table(found), fmt)
    else:
        from sritool.cli.tables import metrics_table

        only = found[0]
        emit(metrics_table(f"{only.run} on {only.corpus}", only.estimates, only.notes), fmt)


def split_names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def runs_table(found: list[Evaluation]) -> Table:
    """One row a run, two columns a metric."""
    metrics = [estimate.metric for estimate in found[0].estimates]
    metrics += [e.metric for run in found[1:] for e in run.estimates if e.metric not in metrics]
    columns = ["run", "method", *(name for m in metrics for name in (m, f"{m} se")), "sentences", "estimator"]
    rows: list[list[object]] = []
    for run in found:
        by_name = {estimate.metric: estimate for estimate in run.estimates}
        row: list[object] = [run.run, run.method]
        for metric in metrics:
            estimate = by_name.get(metric)
            row += [None, None] if estimate is None else [estimate.value, estimate.standard_error]
        likelihood = by_name.get("ppl") or by_name.get("nll") or run.estimates[0]
        rows.append([*row, likelihood.sentences, likelihood.estimator])
    notes = [f"{run.run}: {note}" for run in found for note in run.notes]
    return Table(f"On {found[0].corpus}", columns, rows, "; ".join(notes))


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
    return Table(f"Sentences of {found[0].corpus}", [*(["run"] if several else []), *names], rows)
