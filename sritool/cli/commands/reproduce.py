"""`sritool reproduce`: makes the paper's tables again from your own runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from sritool.cli.options.files import DataDirOpt, OutputOptions, RunsDirOpt, file_option
from sritool.cli.options.models import DeviceOptions
from sritool.cli.options.training import PlanOptions, plan_option, work_option
from sritool.cli.options.values import counts, names, numbers
from sritool.cli.render import emit, emit_panels
from sritool.cli.reproduction.tables import tables_of
from sritool.cli.signatures import refuse_idle, typed
from sritool.errors import UsageError

PAGE = "page"
OF_PAGE = {"table", "out", "write", "quiet"}
FOR_ESTIMATES = 30.0  # seconds of a budget that must be left to estimate how long the rest will take


def reproduce(
    ctx: typer.Context,
    table: Annotated[str, typer.Argument(metavar="TABLE")],
    *,
    corpus: Annotated[str | None, plan_option(metavar="NAME")] = None,
    methods: Annotated[str | None, plan_option(metavar="NAMES")] = None,
    seeds: Annotated[str, plan_option(metavar="LIST")] = "0",
    steps: Annotated[str | None, plan_option(metavar="LIST")] = None,
    temperatures: Annotated[str | None, plan_option(metavar="LIST")] = None,
    limit: Annotated[int | None, plan_option(min=2)] = None,
    estimator: Annotated[Literal["adaptive", "own"], plan_option(metavar="NAME")] = "adaptive",
    use: Annotated[list[str] | None, plan_option(metavar="NAME=RUN")] = None,
    no_run: Annotated[bool, work_option("--no-run")] = False,
    unfinished: Annotated[bool, work_option("--unfinished")] = False,
    out: Annotated[Path, file_option("--out", metavar="DIR")] = Path("results/reproduction"),
    write: Annotated[Path | None, file_option(metavar="FILE.md")] = None,
    given: PlanOptions,
    device: DeviceOptions,
    data_dir: DataDirOpt = Path("data"),
    runs_dir: RunsDirOpt = Path("runs"),
    output: OutputOptions,
) -> None:
    """Make a table of the paper again: train and measure what is missing, and show it beside the published figures.

    sritool reproduce table1 --corpus tiny --methods lm,sri --budget 2m

    sritool reproduce table1 --dry-run

    sritool reproduce table4 --corpus mine --seeds 0,1,2 --recipe regularised

    sritool reproduce page > tables.md

    The plan consists of plain commands, such as train and evaluate, which --dry-run prints for copying. Stop it at
    any moment, with Ctrl-C, SIGTERM or --budget, and give the same command again: finished runs are not trained
    again, unfinished ones continue, and what was measured is on record. Several of these commands may work on one
    plan at the same time, as each skips what another one is training.

    table1: likelihood and use of z. table2: interpolation. table3: samples. table4: reconstruction from noisy
    sentences. table5: classification. figure1: the aggregate posterior. k-ablation: steps K and temperature τ of the
    chain. cost: what training took. All methods get the same data, generator, stopping rule and estimator, unless a
    recipe makes them differ; the plan then says so.

    Args:
        table: table1, table2, table3, table4, table5, figure1, k-ablation or cost; or page, for a page of all
            tables written before.
        corpus: Corpus: a built-in one, or one that you prepared. [default: the paper's]
        methods: Methods, separated by commas. [default: the paper's]
        seeds: Training seeds, separated by commas; one run each.
        steps: K of k-ablation, separated by commas. [default: 2,4,8,20]
        temperatures: τ of k-ablation, separated by commas. [default: 0.2,0.5,0.8,1]
        limit: Use only this many test sentences, and in table5 sentences to cluster and to label; by default, all.
        estimator: adaptive: the same for all methods. own: also that of each method's publication.
        use: Use an existing run for one of the plan. NAME is that run's name in the plan or, with one seed, its
            short name, like sri. Repeatable.
        no_run: Train and measure nothing; write the results so far.
        unfinished: Also measure runs whose training is not finished.
        out: Folder of the tables: TABLE-CORPUS-RECIPE.json, .tsv and .md.
        write: For page: write it between the marks in this file instead of to stdout.
    """
    began = time.monotonic()
    form = output.format()
    is_page = table == PAGE
    not_of_page = [name for name in typed(ctx) if name not in OF_PAGE]
    rules = (
        (is_page, not_of_page, "page uses only what is in --out; leave {} out"),
        (not is_page, ("write",), "{} is for page; leave it out"),
        (no_run, ("unfinished", "budget"), "--no-run trains and measures nothing; leave it or {} out"),
    )
    refuse_idle(ctx, rules)
    if is_page:
        from sritool.cli.reproduction.page import write_page

        write_page(out, write)
        return
    from sritool.analysis.reproduction.fairness import fairness
    from sritool.analysis.reproduction.plan import STEPS, TEMPERATURES, Request, make_plan
    from sritool.analysis.reproduction.tables import table_of
    from sritool.cli.plan_worker import Worker
    from sritool.cli.reproduction.files import TableFiles, plan_table

    if not table_of(table).varied and (steps is not None or temperatures is not None):
        raise UsageError("--steps and --temperatures are for k-ablation; leave them out")
    if methods is not None and not names(methods):
        raise UsageError("--methods names none; give some, like lm,sri, or leave it out")
    request = Request(
        table=table,
        corpus=corpus or "",
        methods=() if methods is None else names(methods),
        seeds=counts(seeds, "--seeds"),
        recipe=given.recipe,
        settings=tuple(given.assignments or ()),
        steps=STEPS if steps is None else counts(steps, "--steps"),
        temperatures=TEMPERATURES if temperatures is None else numbers(temperatures, "--temperatures"),
        limit=limit,
        own=estimator == "own",
        use=pairs(use or ()),
        runs_dir=runs_dir,
        data_dir=data_dir,
    )
    plan = make_plan(request)
    where = device.open_device()
    if given.dry_run:
        emit(plan_table(plan, where, form, fairness(plan)), form)
        return
    files = TableFiles(plan, where, out)
    worker = None
    if not no_run:
        files.write(estimate="new")
        worker = Worker(plan, where, device.words(), given.budget, output.quiet, began, unfinished)
        worker.work(lambda: files.write(estimate="none"))
    in_time = given.budget is None or time.monotonic() - began < given.budget - FOR_ESTIMATES
    found = files.write(estimate="all" if no_run else "new" if in_time else "none")
    emit_panels(tables_of(found, form), form)
    if worker is not None and worker.failed:
        raise worker.failure()


def pairs(given: Sequence[str]) -> dict[str, Path]:
    """Return the runs of --use by the plan's names; raise UsageError for an invalid pair."""
    found: dict[str, Path] = {}
    for text in given:
        name, equals, run = text.partition("=")
        if not (name and equals and run):
            raise UsageError(f"--use {text} is not NAME=RUN; write for example --use sri=runs/ptb-sri")
        if name in found:
            raise UsageError(f"--use names {name} twice; give one run for it")
        found[name] = Path(run)
    return found
