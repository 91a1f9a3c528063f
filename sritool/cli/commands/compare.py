"""`sritool compare`: the figures of several runs in one table."""

from __future__ import annotations

from typing import Annotated

import typer

from sritool.cli.formats import FOR_PEOPLE
from sritool.cli.options.files import OutputOptions
from sritool.cli.options.measurement import MeasurementOptions, SplitOpt
from sritool.cli.options.models import ComparedOptions
from sritool.cli.options.processes import ProcessOptions
from sritool.cli.options.values import chosen_names
from sritool.cli.render import emit_panels
from sritool.cli.tables.comparison import comparison_table, differences_table, in_order, weights_table


def compare(
    *,
    device: ProcessOptions,
    models: ComparedOptions,
    metrics: Annotated[str | None, typer.Option(metavar="NAMES")] = None,
    sort: Annotated[str | None, typer.Option(metavar="COLUMN")] = None,
    split: SplitOpt = "test",
    estimator: Annotated[str, typer.Option(metavar="NAME")] = "adaptive",
    samples: Annotated[int | None, typer.Option(min=2)] = None,
    measurement: MeasurementOptions,
    output: OutputOptions,
) -> None:
    """Compare runs: one row each, measured on the same sentences with the same noise and estimator.

    sritool compare runs/tiny-sri runs/tiny-lm

    sritool compare --metrics ppl,recon,au,kl --sort ppl --format latex

    sritool compare --against runs/tiny-vae-fb

    It measures the whole test split, unless --split or --limit says otherwise. What compare or evaluate measured
    before is on record in evaluations.jsonl beside the checkpoint and is not measured again.

    The metrics are those of evaluate. tokens/s: the median number of tokens per second in training. time: of the
    whole training. epochs: done, of those planned. The best value is highlighted: the lowest ppl, nll and recon, and
    the highest mi, permuted and tokens/s; for the others, neither more nor less is better.

    A second table gives the differences to --against, sentence by sentence, with their standard errors. These are far
    smaller than the errors of the figures, because the difficulty of a sentence cancels. A star marks a difference
    beyond two standard errors. half the draws: how much nll (ppl where nll is not shown) is higher with half the
    draws, for a run whose weights show that more draws would lower it further.

    Args:
        metrics: Columns, in this order, separated by commas: any metric of evaluate, and parameters, tokens/s, time,
            epochs; or all. [default: ppl,recon,au,kl,nll,posterior-kl,mi,permuted,parameters,tokens/s,time,epochs]
        sort: Order of the rows: by run, by method or by a column, the best first, or the lowest where none is better.
            [default: as given]
        estimator: How p(x) is estimated, the same for all runs, as in evaluate; or own: as each method was published,
            sri with its chain and the others with their encoder.
        samples: Draws of z per sentence for the estimate of p(x). [default: adaptive 100, sri 10, ais 16, encoder
            500]
    """
    from sritool.analysis import comparison as task
    from sritool.cli.progress import KEPT
    from sritool.evaluation.metric_table import METRICS
    from sritool.evaluation.settings import EvaluationSettings

    form = output.format()
    every = tuple(dict.fromkeys((*task.DEFAULT_COLUMNS, *METRICS)))
    columns = chosen_names(metrics, task.DEFAULT_COLUMNS, every)
    task.check_columns(columns, sort)
    with device.measuring() as where:
        request = EvaluationSettings(
            metrics=tuple(name for name in columns if name in METRICS),
            split=split,
            estimator=estimator,
            **vars(measurement),
        )
        paths, against = models.find_with_reference()
        with output.progress(KEPT) as report:
            found = task.compare(paths, request, where, report, samples, models.mixed, against, columns)
        found = found._replace(rows=in_order(found.rows, sort))
        table = comparison_table(found, columns, form)
        differences = differences_table(found, columns) if form in FOR_PEOPLE else None
        weights = weights_table(found) if form == "table" else None
        notes = [each.note for each in (differences, weights, table) if each and each.note]
        *above, last = [each._replace(note="") for each in (table, differences, weights) if each]
        emit_panels([*above, last._replace(note="\n".join(notes))], form)
