"""`sritool train`: a corpus and a method into a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sritool.cli.options import (
    DataDirOpt,
    DeviceOpt,
    FormatOpt,
    GpuOpt,
    MaxTimeOpt,
    QuietOpt,
    RunsDirOpt,
    ThreadsOpt,
)
from sritool.cli.render import Table, emit, emit_all, resolve_format, say

if TYPE_CHECKING:
    from sritool.tasks.summary import Summary
    from sritool.tasks.train import Outcome

MODEL, SAMPLER, PLAN = "Model", "Short-run chain", "Plan"


def train(
    corpus: Annotated[
        str, typer.Argument(metavar="NAME", help="A built-in or prepared corpus; tiny needs nothing else.")
    ],
    method: Annotated[
        str | None, typer.Option("--method", "-m", help="sri (default) or lm.", rich_help_panel=MODEL)
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Sizes: ptb, snli, captions, yelp, yahoo, tiny; default: the corpus's own, or captions.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    embedding: Annotated[
        int | None, typer.Option(help="Width of a word's embedding.", rich_help_panel=MODEL)
    ] = None,
    hidden: Annotated[int | None, typer.Option(help="Width of the LSTM.", rich_help_panel=MODEL)] = None,
    latent: Annotated[int | None, typer.Option(help="Dimensions of z.", rich_help_panel=MODEL)] = None,
    dropout: Annotated[float | None, typer.Option(help="Dropout rate.", rich_help_panel=MODEL)] = None,
    sampler: Annotated[
        str | None, typer.Option(help="paper, authors or tempered.", rich_help_panel=SAMPLER)
    ] = None,
    theta_gradient: Annotated[
        str | None,
        typer.Option(help="end: at z_K only; path: at every visited z too.", rich_help_panel=SAMPLER),
    ] = None,
    langevin_steps: Annotated[
        int | None, typer.Option(help="Steps K of the chain.", rich_help_panel=SAMPLER)
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Planned passes; schedules scale with it.", rich_help_panel=PLAN)
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Sentences in a batch.", rich_help_panel=PLAN)
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Of the optimiser.", rich_help_panel=PLAN)
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, envvar="SRITOOL_SEED", help="Of every random draw.", rich_help_panel=PLAN),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(help="Epochs without a better NLL before stopping; 0: never.", rich_help_panel=PLAN),
    ] = None,
    max_steps: Annotated[
        int | None, typer.Option(min=1, help="Save and stop at this step.", rich_help_panel=PLAN)
    ] = None,
    max_time: MaxTimeOpt = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="[auto|PATH]",
            help="Go on with a run: the newest of this corpus and method, if there is one (auto, or no value), "
            "or the one named.",
            rich_help_panel=PLAN,
        ),
    ] = None,
    save_every: Annotated[
        int | None, typer.Option(help="Steps between saves of last.pt.", rich_help_panel=PLAN)
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(help="Output layer: auto (measured), float32, bfloat16.", rich_help_panel="Device"),
    ] = None,
    gpu: GpuOpt = None,
    device: DeviceOpt = "auto",
    threads: ThreadsOpt = None,
    config: Annotated[
        Path | None, typer.Option(envvar="SRITOOL_CONFIG", help="Settings in a TOML file.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting, like sampler.steps=10; repeatable."),
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the settings as TOML and exit.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print sizes, memory and time, and exit.")
    ] = False,
    summary: Annotated[
        bool, typer.Option("--summary/--no-summary", help="Measure and show samples at the end.")
    ] = True,
    source: Annotated[
        Path | None, typer.Option("--from", help="Folder with the corpus's own files, to prepare it from.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the run folder; default: CORPUS-METHOD.")
    ] = None,
    data_dir: DataDirOpt = Path("data"),
    runs_dir: RunsDirOpt = Path("runs"),
    fmt: FormatOpt = "auto",
    quiet: QuietOpt = False,
) -> None:
    """Train a generator on a corpus; prepares a built-in corpus first if need be.

    The run goes into runs/CORPUS-METHOD/: best.pt, last.pt, config.toml, metrics.jsonl. Ctrl-C, SIGTERM and
    --max-time save and end it cleanly; --resume goes on, bit for bit.
    """
    from sritool.cli.signals import StopRequest
    from sritool.cli.watch import Watch
    from sritool.core.device import resolve_device, set_threads
    from sritool.tasks.start import Start, describe, plan_run, prepare_corpus
    from sritool.tasks.summary import summarise
    from sritool.tasks.train import Limits, Trainer

    resolve_format(fmt)
    flags = nested_flags(
        {
            "generator": {"embedding": embedding, "hidden": hidden, "latent": latent, "dropout": dropout},
            "sampler": {"theta_gradient": theta_gradient, "steps": langevin_steps},
            "optimizer": {"learning_rate": learning_rate},
            "training": {
                "epochs": epochs,
                "batch_size": batch_size,
                "seed": seed,
                "patience": patience,
                "save_every": save_every,
                "precision": precision,
            },
        }
    )
    start = Start(corpus, method, preset, sampler, config, tuple(assignments or ()), flags, resume, name)
    where = resolve_device(device, gpu)
    set_threads(threads)
    plan = plan_run(start, runs_dir, data_dir)
    if print_config:
        typer.echo(plan.toml(), nl=False)
        return
    prepared = prepare_corpus(plan, data_dir, source, say)
    if dry_run:
        emit(Table("Plan", ("quantity", "value", "unit"), describe(plan, prepared, where)), fmt)
        return
    with StopRequest() as stop, Watch(quiet) as watch:
        folder = plan.make_folder(runs_dir)
        say(f"{'going on with' if plan.resume else 'training'} {plan.config.method} on {corpus}, in {folder}")
        limits = Limits(max_steps, max_time, stop)
        trainer = Trainer(prepared, plan.config, folder, where, limits, watch, plan.resume)
        outcome = trainer.run()
        say(ending(outcome))
        if not summary:
            return
        limit = plan.config.validation.final_sentences
        shown = summarise(prepared, folder, str(where), plan.config.training.seed, limit, watch.report(stop))
    show_summary(shown, outcome, fmt)


def nested_flags(flags: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Only what was given."""
    return {
        section: {key: value for key, value in values.items() if value is not None}
        for section, values in flags.items()
    }


def ending(outcome: Outcome) -> str:
    from sritool.cli.durations import format_duration

    words = {"done": "finished the plan", "early stop": "stopped early: validation no longer gets better"}
    why = words.get(outcome.reason, f"stopped by --{outcome.reason}")
    return (
        f"{why} after {outcome.steps} steps and {format_duration(outcome.seconds)}; saved in {outcome.folder}"
    )


def show_summary(shown: Summary, outcome: Outcome, fmt: str) -> None:
    """Metrics on stdout; the sentences there too on a terminal, else on stderr, so that a pipe reads one table."""
    from sritool.cli.tables import metrics_table

    part = f"{shown.estimates[0].sentences} of {shown.sentences_in_split} sentences"
    metrics = metrics_table(f"{outcome.folder.name}: {shown.split}, {part}", shown.estimates, shown.notes)
    samples = Table("Samples: greedy from the prior", ("sample",), [[text] for text in shown.samples])
    line = Table(
        "Interpolation between two prior draws", ("sentence",), [[text] for text in shown.interpolation]
    )
    extra = [samples, line] if shown.interpolation else [samples._replace(title="Samples")]
    if resolve_format(fmt) == "table":
        emit_all([metrics, *extra], "table")
        return
    emit(metrics, fmt)
    for table in extra:
        say(f"{table.title}:")
        for row in table.rows:
            say(f"  {row[0]}")
