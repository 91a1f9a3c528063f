"""Training as it is watched: events of a run shown on stderr."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sritool.cli.progress import Progress
from sritool.cli.render import say
from sritool.errors import Interrupted

if TYPE_CHECKING:
    from sritool.tasks.events import Epoch, Event, Step

NAMES = {"moved": "‖z_K−z_0‖", "unstable": "unstable %"}


@contextlib.contextmanager
def task_progress(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A report for a task that counts sentences, shown as progress while entered."""
    with Watch(quiet) as watch:
        yield watch.report(lambda: None)


class Watch:
    """Shows each event; a context manager, because a live bar needs an end."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Progress | None = None
        self._unit = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._close()

    def __call__(self, event: Event) -> None:
        from sritool.tasks import events

        if isinstance(event, events.Step):
            self._step(event)
        elif isinstance(event, events.Measuring):
            self._show(event.label, "sentences").update(event.done, event.total, label=event.label)
        elif isinstance(event, events.Epoch):
            self._epoch(event)
        else:
            say(event.text, label="warning" if event.warning else "")

    def report(self, stop: Callable[[], int | None]) -> Callable[[str, int, int], None]:
        """A task's report, shown as progress; a signal ends the task, as there is nothing to save."""

        def show(label: str, done: int, total: int) -> None:
            number = stop()
            if number is not None:
                raise Interrupted(number)
            self._show(label, "sentences").update(done, total, label=label)

        return show

    def _step(self, event: Step) -> None:
        fields: dict[str, object] = {"recon": event.recon}
        for name, value in event.columns.items():
            fields[NAMES.get(name, name)] = 100 * value if name == "unstable" else value
        fields["gradient"] = event.gradient_norm
        fields["tokens/s"] = round(event.tokens_per_second)
        label = f"epoch {event.epoch}/{event.epochs}"
        self._show(label, "steps").update(event.step, event.steps, label=label, **fields)

    def _epoch(self, event: Epoch) -> None:
        from sritool.cli.durations import format_duration

        shown = " · ".join(
            f"{e.metric} {e.value:.0f}"
            if e.metric == "au"
            else f"{e.metric} {e.value:.2f} ± {e.standard_error:.2f}"
            for e in event.estimates
        )
        best = " · best so far" if event.best else ""
        if not self._quiet:
            say(f"epoch {event.epoch}/{event.epochs}: {shown}{best} · {format_duration(event.seconds)}")

    def _show(self, label: str, unit: str) -> Progress:
        if self._bar is None or unit != self._unit:
            self._close()
            self._bar, self._unit = Progress(label, unit, self._quiet).__enter__(), unit
        return self._bar

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None
