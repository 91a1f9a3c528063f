"""One run of `sritool train`: the first process leads it, and the others of a job follow."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sritool.analysis.run_summary import Summary, summarise
from sritool.cli.signals import StopRequest
from sritool.cli.streams import say
from sritool.cli.training_progress import Watch, beginning, ending
from sritool.config.settings import RunConfig
from sritool.data.store import Corpus, find_corpus, load_corpus
from sritool.errors import DataError
from sritool.model.device import set_threads
from sritool.processes import Processes, restarts
from sritool.runs.folder import LAST
from sritool.runs.live_logs import LiveLogs
from sritool.runs.stage import Stage
from sritool.training.deadline import Deadline
from sritool.training.loop import Limits, Trainer
from sritool.training.plan import Plan, unfinished_run

if TYPE_CHECKING:
    import torch


class Wishes(NamedTuple):
    """What the command line asks of a run, apart from its settings."""

    began: float  # time.monotonic() when the command began
    max_time: float | None  # seconds for the command
    max_steps: int | None
    summary: bool  # measure at the end
    live_logs: Sequence[str]  # kinds of log
    quiet: bool


def lead(
    plan: Plan, runs_dir: Path, corpus: Corpus, where: torch.device, processes: Processes, wishes: Wishes
) -> tuple[str, Summary | None]:
    """Train a run, alone or as the first of several processes.

    Returns:
        The run's name, and what was measured at its end, or None.
    """
    with (
        StopRequest() as stop,
        Watch(wishes.quiet) as watch,
        plan.open_folder(runs_dir) as (plan, folder, locked),
        contextlib.closing(LiveLogs(wishes.live_logs, folder)) as live,
    ):
        if not locked:
            say(
                f"{folder} is on a file system without locks: make sure that no other process works on this run"
            )
        minutes, by_option = plan.config.training.minutes, wishes.max_time is not None
        deadline = Deadline(
            wishes.max_time if by_option else 60 * minutes or None, wishes.began, wishes.summary
        )
        limits = Limits(wishes.max_steps, deadline, stop)
        processes.first(lambda: [str(folder), plan.config.generator.hidden])
        trainer = Trainer(corpus, plan.config, folder, where, limits, watch, plan.resume, live, processes)
        # The precision that `auto` chose affects the last digits of a run's figures.
        chosen = f", products in {trainer.state.config.training.precision}"
        of_auto = plan.config.training.precision == "auto"
        say(beginning(plan, folder, processes.size) + (chosen if of_auto else ""))
        by_default_name = plan.start.resume and plan.resume is None and not plan.start.name
        if by_default_name and (other := unfinished_run(plan, runs_dir)):
            what = f"another run of {plan.config.method} on {plan.start.corpus}"
            say(f"{other} is {what}: to go on with it, --resume {other}")
        if changes := plan.changes():
            say(f"continuing with changed settings: {'; '.join(changes)}")
        if restarts() is not None and plan.resume is None:
            trainer.state.save(LAST)  # so that a restart finds this run and no older one
        processes.remember("run", str(folder))
        outcome = trainer.run()
        say(ending(outcome, plan.resume, "--max-time" if by_option else "training.minutes"))
        shown = None
        if wishes.summary and outcome.stage is not Stage.AUTOENCODER:
            report = watch.report(stop, f"stopped while measuring; the run is saved in {folder}")
            share, seed = plan.config.validation.share, plan.config.training.seed
            within = deadline.for_summary(share, outcome.seconds, outcome.validating)
            seconds = min(deadline.left(), within)
            shown = summarise(corpus, folder, str(where), seed, report, seconds)
        processes.first(lambda: None)  # the others wait for this before they end
    return folder.name, shown


def follow(
    processes: Processes,
    corpus: str,
    data_dir: Path,
    where: torch.device,
    threads: Callable[[int], int | None],
    max_steps: int | None,
) -> None:
    """Share the work of a run that the first process leads, and do nothing else.

    The first process has prepared the corpus. `threads` returns the number of CPU threads for a generator's width.

    Raises:
        DataError: The corpus is not on this machine.
    """
    received: list[Any] = processes.first(list, patient=True)
    if not received:  # there is nothing to train
        return
    folder, hidden = received
    set_threads(threads(hidden))
    path = find_corpus(corpus, data_dir)
    if path is None:
        raise DataError(
            f"corpus {corpus} is not in {data_dir} on this machine; share the folder among all machines, or prepare "
            "the corpus on each"
        )
    with StopRequest() as stop:
        # The first process has the real settings.
        limits, config = Limits(max_steps, signal=stop), RunConfig()
        trainer = Trainer(
            load_corpus(path), config, Path(folder), where, limits, lambda event: None, processes=processes
        )
        trainer.run()
        processes.first(lambda: None, patient=True)  # the first process measures and reports
