"""`sritool train`: trains a method on a corpus, into a run folder."""

from __future__ import annotations

import functools
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sritool.cli.formats import Table
from sritool.cli.options.files import DataDirOpt, OutputOptions, RunsDirOpt
from sritool.cli.options.processes import ProcessOptions
from sritool.cli.options.training import TrainingOptions, run_option
from sritool.cli.options.values import duration, names
from sritool.cli.render import emit, emit_all
from sritool.cli.signatures import in_panel
from sritool.cli.streams import say
from sritool.cli.tables.metrics import metrics_table

if TYPE_CHECKING:
    from sritool.analysis.run_summary import Summary

settings_option = in_panel("Settings")


def train(
    ctx: typer.Context,
    corpus: Annotated[str | None, typer.Argument(metavar="NAME")] = None,
    *,
    settings: TrainingOptions,
    max_time: Annotated[
        float | None, run_option(parser=duration, metavar="TIME", envvar="SRITOOL_MAX_TIME")
    ] = None,
    max_steps: Annotated[int | None, run_option(min=1)] = None,
    resume: Annotated[str | None, run_option(metavar="[auto|PATH]")] = None,
    name: Annotated[str | None, run_option()] = None,
    sources: Annotated[list[Path] | None, run_option("--from", metavar="RUN|DIR")] = None,
    logs: Annotated[list[str] | None, run_option("--log", metavar="KIND")] = None,
    summary: Annotated[bool, run_option("--summary/--no-summary")] = True,
    config: Annotated[Path | None, settings_option(envvar="SRITOOL_CONFIG", metavar="FILE.toml")] = None,
    assignments: Annotated[list[str] | None, settings_option("--set", metavar="KEY=VALUE")] = None,
    print_config: Annotated[bool, settings_option("--print-config")] = False,
    dry_run: Annotated[bool, settings_option("--dry-run")] = False,
    device: ProcessOptions,
    data_dir: DataDirOpt = Path("data"),
    runs_dir: RunsDirOpt = Path("runs"),
    output: OutputOptions,
) -> None:
    """Train a generator of sentences on a corpus; a built-in corpus is prepared first if needed.

    sritool train tiny

    sritool train ptb --from DIR --gpu 0 --max-time 8h --resume

    sritool train ptb --gpu 0,1,2,3

    sritool train mine --method vae-fb --epochs 20 --set optimizer.clip=1

    sritool train newer --from runs/mine-sri --freeze embedding

    The run goes into runs/CORPUS-METHOD/ (or …-2, …-3): best.pt, last.pt, config.toml, metrics.jsonl. Ctrl-C,
    SIGTERM, SIGUSR1 and --max-time save and end it cleanly; the same command with --resume continues as if it had
    never stopped.

    A setting comes from its flag, else from --set, else from its variable (SRITOOL_EPOCHS for --epochs), else
    from --config, else from the recipe, else from the preset.

    Args:
        corpus: A built-in corpus (tiny, ptb, snli, yahoo, yelp) or one that you prepared. May be left out if a run
            to resume is named.
        max_time: Time limit for the whole command, including preparation, validation and final measurements: 90s,
            9m, 1h30m or 00:09:00; a number alone is in seconds. Training stops and is saved in time.
        max_steps: Save and stop at this step.
        resume: Resume the run of this name or path. With auto, or no value: the newest of CORPUS-METHOD,
            CORPUS-METHOD-2 and so on, or with --name, the run of that name; a new one if there is none. To resume a
            run that has another name, give that name.
        name: Name of the run folder. [default: CORPUS-METHOD]
        sources: A run (or its .pt file) of any method to take the initial weights from, also for new text: words in
            both vocabularies keep theirs. vae-fb and vae-fbp take only the encoder from a run of ae. Or a
            folder with the files of a built-in corpus that is not prepared yet. Repeatable.
        logs: Also write the records of metrics.jsonl elsewhere, as they come: csv, tensorboard, wandb (optional
            packages), or several, separated by commas. Repeatable.
        summary: At the end, measure on test sentences and show samples.
        config: File of settings as written by --print-config, or only some of them.
        assignments: Any setting that --print-config shows, like sampler.steps=10; repeatable.
        print_config: Print all settings as TOML and exit.
        dry_run: Prepare the corpus if needed, print sizes, memory and time, and exit.
    """
    began = time.monotonic()
    from sritool.cli.job import ending_together, launch, seconds_before
    from sritool.cli.training_run import Wishes, follow, lead
    from sritool.model.device import set_threads
    from sritool.processes import place_in_job, restarts
    from sritool.runs.live_logs import check_live_logs
    from sritool.training.configure import gather
    from sritool.training.cost import describe
    from sritool.training.plan import Start, corpus_of_run, plan_run, prepare_corpus
    from sritool.training.sources import sort_sources

    began -= seconds_before()
    form = output.format()
    corpus = corpus or corpus_of_run(resume, runs_dir, data_dir)
    live_logs = check_live_logs([kind for text in logs or () for kind in names(text)])
    place = place_in_job()
    devices = device.devices(place)
    where = devices[place.local_rank if place else 0]
    variables, flags = settings.by_source(ctx)
    checkpoint, source = sort_sources(sources or [], runs_dir, resume is not None)
    given = gather(config, variables, assignments or (), flags)
    processes = device.join(place, where)
    with ending_together(processes):
        # After a restart by torchrun, resume this job's own run: the one in its store, or else the newest.
        if begun := processes.remembered("run"):
            resume, name = begun, None
        elif restarts():
            resume = resume or "auto"
        if not processes.is_first:
            threads = functools.partial(device.enough_threads, processes=len(devices))
            follow(processes, corpus, data_dir, where, threads, max_steps)
            return
        plan = plan_run(Start(corpus, given, resume, name, checkpoint), runs_dir, data_dir)
        set_threads(device.enough_threads(plan.config.generator.hidden, len(devices)))
        if print_config:
            typer.echo(plan.toml(), nl=False)
            processes.first(list)  # tells the others that there is nothing to train
            return
        prepared = prepare_corpus(plan, data_dir, source, say)
        if dry_run:
            number = place.size if place else len(devices)
            progress = None if plan.resume is None else plan.resume.progress
            rows = describe(plan.config, prepared, where, number, progress)
            emit(Table("Plan", ("quantity", "value", "unit"), rows), form)
            processes.first(list)
            return
        if place is None and len(devices) > 1:
            raise typer.Exit(launch(len(devices), sys.argv[1:], began))
        wishes = Wishes(began, max_time, max_steps, summary, live_logs, output.quiet)
        run, shown = lead(plan, runs_dir, prepared, where, processes, wishes)
        if shown is not None:
            show_summary(run, shown, form)


def show_summary(run: str, shown: Summary, fmt: str) -> None:
    """Print metrics on stdout; sentences too on a terminal, else on stderr, so that a pipe gets one table."""
    metrics = metrics_table(run, shown.data, shown.total, shown.estimates, shown.notes, fmt)
    extra = [Table(f"Samples: {shown.decoding}", ("sentence",), [[text] for text in shown.samples])]
    if shown.interpolation:
        rows = [[text] for text in shown.interpolation]
        extra.append(Table("Interpolation: greedy, between two codes from the prior", ("sentence",), rows))
    if fmt == "table":
        emit_all([metrics, *extra], fmt)
        return
    emit(metrics, fmt)
    for table in extra:
        say("\n".join([f"{table.title}:", *(f"  {row[0]}" for row in table.rows)]))
