"""`sritool compare`: the figures of several runs in one table."""

from __future__ import annotations

from typing import Annotated

from sritool.cli.options.files import OutputOptions
from sritool.cli.options.measurement import MeasurementOptions, SplitOpt
from sritool.cli.options.models import ComparedModelsOptions
from sritool.cli.options.values import names
from sritool.cli.render import emit_all, panels
from sritool.cli.signatures import option
from sritool.cli.tables.comparison import comparison_table, in_order, weights_table


def compare(
    *,
    models: ComparedModelsOptions,
    metrics: Annotated[
        str | None,
        option(
            "Columns, in this order, with commas between: any metric of evaluate, and parameters, "
            "tokens/s, time, epochs; or all.",
            metavar="NAMES",
            show_default="ppl,recon,au,kl,nll,posterior-kl,mi,permuted,parameters,tokens/s,time,epochs",
        ),
    ] = None,
    sort: Annotated[
        str | None,
        option(
            "Order of the rows: by run, by method or by a column, the best first, or the "
            "lowest where none is better.",
            metavar="COLUMN",
            show_default="as given",
        ),
    ] = None,
    split: SplitOpt = "test",
    estimator: Annotated[
        str,
        option(
            "How p(x) is estimated, the same for all runs, as in evaluate; or own: as each "
            "method was published, sri by its chain and the others by their encoder.",
            metavar="NAME",
        ),
    ] = "adaptive",
    samples: Annotated[
        int | None,
        option(
            "Draws of z per sentence that p(x) is estimated from.",
            min=2,
            show_default="adaptive 100, sri 10, ais 16, encoder 500",
        ),
    ] = None,
    measurement: MeasurementOptions,
    output: OutputOptions,
) -> None:
    """Compare runs: one row each, measured on the same sentences with the same noise and one estimator.

    sritool compare runs/tiny-sri runs/tiny-lm

    sritool compare --metrics ppl,recon,au,kl --sort ppl --format latex

    It measures the whole test split, unless --split or --limit says otherwise. What compare or evaluate measured
    before is on record in evaluations.jsonl beside the checkpoint and is not measured again.

    The metrics are those of evaluate. tokens/s: the median number of tokens that training read a second. time: of the
    whole training. epochs: done of those planned. The best of ppl, nll and recon (the lowest), mi, permuted and
    tokens/s (the highest) stands out; of the others neither more nor less is better.
    """
    from sritool.analysis import comparison as task
    from sritool.cli.progress import KEPT
    from sritool.evaluation.settings import NEEDS, EvaluationSettings

    form = output.format()
    known = {None: task.DEFAULT_COLUMNS, "all": tuple(dict.fromkeys((*task.DEFAULT_COLUMNS, *NEEDS)))}
    columns = known[metrics] if metrics in known else names(str(metrics))
    task.check_columns(columns, sort)
    where = models.open_device()
    request = EvaluationSettings(
        metrics=tuple(name for name in columns if name in NEEDS),
        split=split,
        estimator=estimator,
        **vars(measurement),
    )
    paths = models.find_all()
    with output.progress(KEPT) as report:
        found = task.compare(paths, request, where, report, samples, models.mixed)
    found = found._replace(rows=in_order(found.rows, sort))
    table = comparison_table(found, columns, form)
    weights = weights_table(found) if form == "table" else None
    if weights is not None:
        table, weights = table._replace(note=""), weights._replace(note=table.note)
    emit_all([*panels(table, form), *([weights] if weights else [])], form)
