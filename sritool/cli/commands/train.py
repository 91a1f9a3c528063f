"""`sritool train`: a corpus and a method into a run folder."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sritool.cli.formats import Table
from sritool.cli.options.files import DataDirOpt, OutputOptions, RunsDirOpt
from sritool.cli.options.processes import ProcessOptions
from sritool.cli.options.training import TrainingOptions, run_option
from sritool.cli.options.values import duration, names
from sritool.cli.render import emit, emit_all
from sritool.cli.signatures import in_panel
from sritool.cli.streams import say
from sritool.errors import DataError

if TYPE_CHECKING:
    import torch

    from sritool.analysis.run_summary import Summary
    from sritool.processes import Processes

settings_option = in_panel("Settings")


def train(
    ctx: typer.Context,
    corpus: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A built-in corpus (tiny, ptb, snli, yahoo, yelp) or one that you prepared."
        ),
    ],
    *,
    settings: TrainingOptions,
    max_time: Annotated[
        float | None,
        run_option(
            "Time for the whole command, with preparation, validation and final measures: 90s, "
            "9m, 1h30m or 00:09:00. Training stops and is saved in time.",
            parser=duration,
            metavar="TIME",
            envvar="SRITOOL_MAX_TIME",
        ),
    ] = None,
    max_steps: Annotated[int | None, run_option("Save and stop at this step.", min=1)] = None,
    resume: Annotated[
        str | None,
        run_option(
            "Go on with the run that is named; with auto, or no value, with the newest of this "
            "corpus and method (of --name, where that is given), or a new one where there is none.",
            metavar="[auto|PATH]",
        ),
    ] = None,
    name: Annotated[str | None, run_option("Name of the run folder.", show_default="CORPUS-METHOD")] = None,
    sources: Annotated[
        list[Path] | None,
        run_option(
            "A run (or its .pt file) of any method whose weights this one takes over, also for new text: words "
            "that both vocabularies have keep theirs. From a run of ae, vae-fb and vae-fbp take the encoder "
            "alone. Or a folder with the files of a built-in corpus that is not prepared yet. Repeatable.",
            "--from",
            metavar="RUN|DIR",
        ),
    ] = None,
    logs: Annotated[
        list[str] | None,
        run_option(
            "Write the records of metrics.jsonl elsewhere too, as they come: csv, tensorboard, wandb (optional "
            "packages), or some of them with commas between. Repeatable.",
            "--log",
            metavar="KIND",
        ),
    ] = None,
    summary: Annotated[
        bool, run_option("At the end, measure on test sentences and show samples.", "--summary/--no-summary")
    ] = True,
    config: Annotated[
        Path | None,
        settings_option(
            "Settings as --print-config writes them, or some of them.",
            envvar="SRITOOL_CONFIG",
            metavar="FILE.toml",
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        settings_option(
            "Any setting that --print-config shows, like sampler.steps=10; repeatable.",
            "--set",
            metavar="KEY=VALUE",
        ),
    ] = None,
    print_config: Annotated[
        bool, settings_option("Print all settings as TOML and exit.", "--print-config")
    ] = False,
    dry_run: Annotated[
        bool,
        settings_option(
            "Prepare the corpus if need be, print sizes, memory and time, and exit.", "--dry-run"
        ),
    ] = False,
    device: ProcessOptions,
    data_dir: DataDirOpt = Path("data"),
    runs_dir: RunsDirOpt = Path("runs"),
    output: OutputOptions,
) -> None:
    """Train a generator of sentences on a corpus; a built-in corpus is prepared first if need be.

    sritool train tiny

    sritool train ptb --from DIR --gpu 0 --max-time 8h --resume

    sritool train ptb --gpu 0,1,2,3

    sritool train mine --method vae-fb --epochs 20 --set optimizer.clip=1

    sritool train newer --from runs/mine-sri --freeze embedding

    The run goes into runs/CORPUS-METHOD/ (or …-2, …-3): best.pt, last.pt, config.toml, metrics.jsonl. Ctrl-C,
    SIGTERM, SIGUSR1 and --max-time save and end it cleanly; the same command with --resume goes on as if it had never
    stopped.

    A setting comes from its flag, else from --set, else from its variable (SRITOOL_EPOCHS for --epochs), else
    from --config, else from the recipe, else from the preset.
    """
    began = time.monotonic()
    from sritool.analysis.run_summary import summarise
    from sritool.cli.job import ending_together, launch, seconds_before
    from sritool.cli.signals import StopRequest
    from sritool.cli.training_progress import Watch, advice_for_longer, beginning, chosen_precision, ending
    from sritool.model.device import set_threads
    from sritool.processes import place_in_job, restarts
    from sritool.runs.folder import LAST
    from sritool.runs.live_logs import LiveLogs, check_live_logs
    from sritool.training.configure import gather
    from sritool.training.cost import describe
    from sritool.training.deadline import Deadline
    from sritool.training.loop import Limits, Trainer
    from sritool.training.plan import Start, plan_run, prepare_corpus, sort_sources

    began -= seconds_before()
    form = output.format()
    live_logs = check_live_logs([kind for text in logs or () for kind in names(text)])
    place = place_in_job()
    devices = device.devices(place)
    where = devices[place.local_rank if place else 0]
    variables, flags = settings.by_source(ctx)
    checkpoint, source = sort_sources(sources or [], resume is not None)
    given = gather(config, variables, assignments or (), flags)
    processes = device.join(place, where)
    with ending_together(processes):
        # After a restart the run is the one that this job began, by its folder where torchrun's store still has that.
        if begun := processes.remembered("run"):
            resume, name = begun, None
        elif restarts():
            resume = resume or "auto"
        if not processes.is_first:
            follow(processes, corpus, data_dir, where, len(devices), device, max_steps)
            return
        plan = plan_run(Start(corpus, given, resume, name, checkpoint), runs_dir, data_dir)
        hidden = plan.config.generator.hidden
        set_threads(device.enough_threads(hidden, len(devices)))
        if print_config:
            typer.echo(plan.toml(), nl=False)
            processes.first(list)
            return
        prepared = prepare_corpus(plan, data_dir, source, say)
        if dry_run:
            rows = describe(plan.config, prepared, where, place.size if place else len(devices))
            emit(Table("Plan", ("quantity", "value", "unit"), rows), form)
            processes.first(list)
            return
        if place is None and len(devices) > 1:
            raise typer.Exit(launch(len(devices), sys.argv[1:], began))
        with (
            StopRequest() as stop,
            Watch(output.quiet) as watch,
            plan.open_folder(runs_dir) as (plan, folder, locked),
            contextlib.ExitStack() as opened,
        ):
            if not locked:
                say(f"{folder} is on a file system without locks: let no other process work on this run")
            minutes = plan.config.training.minutes
            allowed = max_time if max_time is not None else 60 * minutes or None
            deadline = Deadline(allowed, began, summary)
            limits = Limits(max_steps, deadline, stop)
            live = opened.enter_context(contextlib.closing(LiveLogs(live_logs, folder)))
            processes.first(lambda: [str(folder), hidden])
            trainer = Trainer(
                prepared, plan.config, folder, where, limits, watch, plan.resume, live, processes
            )
            precision = chosen_precision(plan, trainer.state.config.training.precision)
            say(beginning(plan, folder, processes.size) + precision)
            if changes := plan.changes():
                say(f"from here on with other settings: {'; '.join(changes)}")
            if restarts() is not None and plan.resume is None:
                trainer.state.save(LAST)  # so that a restart finds this run and no older one
            processes.remember("run", str(folder))
            outcome = trainer.run()
            say(ending(outcome, plan.resume, "training.minutes" if max_time is None else "--max-time"))
            if max_time is None and minutes and max_steps is None:
                say(advice_for_longer(plan.config))
            shown = None
            if summary and not outcome.pretraining:
                report = watch.report(stop, f"stopped while measuring; the run is saved in {folder}")
                share, seed = plan.config.validation.share, plan.config.training.seed
                spent = outcome.seconds - outcome.validating
                seconds = min(deadline.left(), deadline.for_summary(share, spent, outcome.validating))
                shown = summarise(prepared, folder, str(where), seed, report, seconds)
            processes.first(lambda: None)
        if shown is not None:
            show_summary(folder.name, shown, form)


def follow(
    processes: Processes,
    corpus: str,
    data_dir: Path,
    where: torch.device,
    here: int,
    device: ProcessOptions,
    max_steps: int | None,
) -> None:
    """Share the work of a run that the first process leads, and do nothing else.

    Args:
        processes: Of which this is not the first.
        corpus: Its name; the first process has prepared it.
        data_dir: Where it is.
        where: The device of this process.
        here: Processes on this machine.
        device: Says how many threads.
        max_steps: Where the run is to stop.

    Raises:
        DataError: The corpus is not on this machine.
    """
    from sritool.cli.signals import StopRequest
    from sritool.config.settings import RunConfig
    from sritool.data.store import find_corpus, load_corpus
    from sritool.model.device import set_threads
    from sritool.training.loop import Limits, Trainer

    told: list[Any] = processes.first(list, patient=True)
    if not told:  # it has only said what it would do
        return
    folder, hidden = told
    set_threads(device.enough_threads(hidden, here))
    path = find_corpus(corpus, data_dir)
    if path is None:
        raise DataError(
            f"corpus {corpus} is not in {data_dir} on this machine; let all machines share the folder, or prepare it "
            "on each"
        )
    with StopRequest() as stop:
        limits, config = Limits(max_steps, signal=stop), RunConfig()
        trainer = Trainer(
            load_corpus(path), config, Path(folder), where, limits, lambda event: None, processes=processes
        )
        trainer.run()
        processes.first(lambda: None, patient=True)  # it measures and tells


def show_summary(run: str, shown: Summary, fmt: str) -> None:
    """Metrics on stdout; the sentences there too on a terminal, else on stderr, so that a pipe reads one table."""
    from sritool.cli.tables.metrics import metrics_table

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
