"""Progress of training on stderr: each event of a run as a line or a bar, and how it begins and ends."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from textwrap import shorten
from typing import TYPE_CHECKING, Self

from sritool.cli.progress import Progress
from sritool.cli.streams import say
from sritool.cli.units import format_duration
from sritool.errors import Interrupted
from sritool.runs.stage import Stage

if TYPE_CHECKING:
    from pathlib import Path

    from sritool.evaluation.metrics import Estimate
    from sritool.runs.checkpoint import Checkpoint
    from sritool.training.events import Epoch, Event, Step
    from sritool.training.loop import Outcome
    from sritool.training.plan import Plan

SHOWN = 120  # characters of a sample: an untrained model may not end it

NAMES = {"moved": "‖z_K−z_0‖", "kl": "KL"}


def measured(estimate: Estimate) -> str:
    """Return e.g. `nll 39.56 ± 0.75`, without the error if there is none, as for one sentence."""
    value, error = estimate.value, estimate.standard_error
    if not math.isfinite(value):
        return f"{estimate.metric} not finite"
    if estimate.metric == "au":
        return f"{estimate.metric} {value:.0f}"
    return f"{estimate.metric} {value:z.2f}" + (f" ± {error:.2f}" if math.isfinite(error) else "")


def stage(event: Step | Epoch) -> str:
    """Return the label of an epoch, with its stage if that comes before the model itself."""
    return f"{event.stage}, epoch" if event.stage else "epoch"


class Watch:
    """Shows each event; a context manager, because a live bar must be closed."""

    def __init__(self, quiet: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet = quiet
        self._clock = clock
        self._bar = Progress("", "steps", quiet, clock)
        self._validating_since: float | None = None
        self._validation_seconds = 0.0  # of the last validation, as an estimate for the next ones

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, where: object) -> None:
        if error is None:
            self._bar.settle()
        self._bar.__exit__(kind, error, where)

    def __call__(self, event: Event) -> None:
        from sritool.training import events

        if isinstance(event, events.Step):
            self._step(event)
        elif isinstance(event, events.Measuring):
            if self._validating_since is None:
                self._validating_since = self._clock()
            self._bar.update(event.done, event.total, label=event.label, unit="sentences")
        elif isinstance(event, events.Epoch):
            self._epoch(event)
        elif event.warning or not self._quiet:
            say(event.text, label="warning" if event.warning else "")

    def report(self, stop: Callable[[], int | None], kept: str = "") -> Callable[[str, int, int], None]:
        """Return a task's progress callback; a signal ends the task, with `kept` to say what is not lost."""

        def show(label: str, done: int, total: int) -> None:
            number = stop()
            if number is not None:
                raise Interrupted(number, kept)
            self._bar.update(done, total, label=label, unit="sentences")

        return show

    def _step(self, event: Step) -> None:
        fields: dict[str, object] = {"recon": event.recon}
        for name, value in event.columns.items():
            fields[NAMES.get(name, name)] = f"{100 * value:.1f} %" if name == "unstable" else value
        fields["gradient"] = event.gradient_norm
        fields["tokens/s"] = round(event.tokens_per_second)
        label = f"{stage(event)} {event.epoch}/{event.epochs}"
        validations = self._validation_seconds * event.validations
        self._bar.update(
            event.step,
            event.steps,
            label=label,
            unit="steps",
            later=validations + event.beyond,
            at_most=event.seconds_left,
            **fields,
        )

    def _epoch(self, event: Epoch) -> None:
        if self._validating_since is not None:
            self._validation_seconds = self._clock() - self._validating_since
            self._validating_since = None
        # A model without z has no other figure to report.
        reported = [measured(e) for e in event.estimates if e.draws or e.metric == "nll"]
        shown = " · ".join(reported) or "not measured"
        best = " · best so far" if event.best else ""
        if not self._quiet:
            spent = format_duration(event.seconds)
            before = "" if event.ended else ", before its end"
            say(f"{stage(event)} {event.epoch}/{event.epochs}{before}: {shown}{best} · after {spent}")
            say(f"  sample: {shorten(event.sample, SHOWN, placeholder=' …')}")
            self._bar.settle()


def beginning(plan: Plan, folder: Path, processes: int = 1) -> str:
    """Return one line on what is about to be trained, and by how many processes."""
    by = f", by {processes} processes" if processes > 1 else ""
    if plan.resume is not None:
        done = plan.resume.progress.step
        return f"going on with {plan.config.method} on {plan.start.corpus} at step {done}, in {folder}{by}"
    nothing = "no run to go on with yet; " if plan.start.resume else ""
    return f"{nothing}training {plan.config.method} on {plan.start.corpus}, in {folder}{by}"


def ending(outcome: Outcome, resumed: Checkpoint | None, clock: str) -> str:
    """Return one line on why a run ended; `clock` is the option or setting that limits its time."""
    ends = {
        "done": "finished the plan",
        "early stop": "stopped early: validation no longer improves",
        "halvings": "stopped early: the learning rate was halved as often as optimizer.halvings says",
    }
    limit = clock if outcome.reason == "max-time" else f"--{outcome.reason}"
    why = ends.get(outcome.reason, f"stopped by {limit}")
    if resumed is not None and resumed.progress.step == outcome.steps and outcome.reason in ends:
        why = f"had {why} already" if outcome.reason == "done" else f"had {why}"
        more = (
            "--set optimizer.halvings" if outcome.reason == "halvings" else "--epochs or another --patience"
        )
        return f"{outcome.folder} {why}; to go further, give more {more}"
    if outcome.reason == "max-time" and outcome.updates == 0:
        return (
            f"no time was left for a step before {clock}, as measuring and saving take a part of it; give more; "
            f"{outcome.folder} stays at step {outcome.steps}"
        )
    still = {
        Stage.AUTOENCODER: ", still as an autoencoder",
        Stage.LANGUAGE_MODEL: ", still as a language model, before z begins",
    }.get(outcome.stage, "")
    return (
        f"{why} after {outcome.steps} step{'s' if outcome.steps != 1 else ''} and "
        f"{format_duration(outcome.seconds)}{still}; saved in {outcome.folder}"
        + ("" if outcome.reason in ends else "; go on with the same command and --resume")
    )
