"""Progress on stderr: a bar with rate and time left on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Self

from sritool.cli.formats import readable
from sritool.cli.printable import one_line
from sritool.cli.streams import running_bars, say, stderr_console
from sritool.cli.units import format_duration

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress as RichProgress

LINE_EVERY_S = 10.0
RATE_WINDOW_S = 30.0
RATE_SPACING_S = 0.1  # between stored moments, so that fast steps do not fill the memory

KEPT = "finished work is kept; the same command continues from there"


class State(NamedTuple):
    """What a progress display shows at one moment."""

    label: str
    done: int
    total: int | None
    per_second: float | None  # None until two moments are known
    seconds_left: float | None
    fields: dict[str, object]


class Rate:
    """Counts per second over the last RATE_WINDOW_S; what a run did before it was resumed is left out."""

    def __init__(self) -> None:
        self._moments: deque[tuple[float, int]] = deque()

    def add(self, now: float, done: int) -> None:
        """Record a count at a moment."""
        if self._moments and done < self._moments[-1][1]:  # a new epoch starts at 0 again
            self._moments.clear()
        if len(self._moments) > 1 and self._moments[-1][0] - self._moments[-2][0] < RATE_SPACING_S:
            self._moments.pop()
        self._moments.append((now, done))
        while len(self._moments) > 2 and self._moments[0][0] < now - RATE_WINDOW_S:
            self._moments.popleft()

    @property
    def per_second(self) -> float | None:
        """Counts per second; None until both time and count have advanced."""
        if len(self._moments) < 2:
            return None
        (start, first), (end, last) = self._moments[0], self._moments[-1]
        return (last - first) / (end - start) if end > start and last > first else None


class Progress:
    """A context manager whose `update` shows how far the work is: a label, and a count of some unit."""

    def __init__(
        self,
        label: str,
        unit: str = "steps",
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state = State(label, 0, None, None, None, {})
        self._unit = unit
        self._quiet = quiet
        self._clock = clock
        self._rate = Rate()
        self._live: RichProgress | None = None
        self._line_at: float | None = None  # when the last plain line was printed
        self._unsaid = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            running_bars.remove(self._live)
            self._live.stop()
        elif self._unsaid:
            self._print_line()

    def update(
        self,
        done: int,
        total: int | None = None,
        *,
        label: str | None = None,
        unit: str | None = None,
        later: float = 0.0,
        at_most: float = math.inf,
        **fields: object,
    ) -> None:
        """Show `done` of `total`. A total, label or unit stays once given; fields must be given each time.

        Args:
            done: Count so far.
            total: Total count.
            label: What is being done.
            unit: What is counted.
            later: Seconds of other work still to come, included in the time left.
            at_most: Seconds left before a limit, such as `--max-time`.
            **fields: Figures to show beside the count.
        """
        if unit is not None and unit != self._unit:
            self._unit, self._rate = unit, Rate()
        self._rate.add(self._clock(), done)
        rate = self._rate.per_second
        total = self.state.total if total is None else total
        left = min(at_most, (total - done) / rate + later) if rate and total is not None else None
        self.state = State(self.state.label if label is None else label, done, total, rate, left, fields)
        if self._quiet:
            return
        console = stderr_console()
        # Rich draws no bar on a dumb terminal; FORCE_COLOR makes it take a file for a terminal.
        if self._live is None and console.is_interactive and console.file.isatty():
            # Not started earlier: a live display would get in the way of somebody typing sentences.
            self._live = bar_display(self)
            self._live.start()
            running_bars.append(self._live)
        if self._live is not None:
            self._live.update(self._live.task_ids[0], completed=done, total=total)
            return
        self._unsaid = True
        if self._line_at is None or self._clock() - self._line_at >= LINE_EVERY_S:
            self._print_line()

    def settle(self) -> None:
        """Skip the last plain line, since something more informative was printed after it."""
        self._unsaid = False

    def counts(self) -> str:
        """Return e.g. `120/400 steps · 12.3/s · 0:23 left`, as far as it is known."""
        state = self.state
        parts = [f"{state.done}{'' if state.total is None else f'/{state.total}'} {self._unit}"]
        if state.per_second is not None:
            parts.append(f"{readable(state.per_second)}/s")
        if state.seconds_left is not None:
            parts.append(f"{format_duration(state.seconds_left)} left")
        return " · ".join(parts)

    def measures(self) -> str:
        """Return the fields, e.g. `recon 41.20 · grad 12`."""
        return " · ".join(f"{name} {readable(value)}" for name, value in self.state.fields.items())

    def _print_line(self) -> None:
        self._line_at = self._clock()
        self._unsaid = False
        parts = [self.state.label, self.counts(), self.measures()]
        say(one_line("  ".join(part for part in parts if part)))


@contextlib.contextmanager
def task_progress(quiet: bool, kept: str = "") -> Iterator[Callable[[str, int, int], None]]:
    """Show the progress of a task that counts sentences; on Ctrl-C, say what is kept.

    Yields:
        Progress callback: (label, sentences done, total sentences).
    """
    try:
        with Progress("", "sentences", quiet) as bar:
            yield lambda label, done, total: bar.update(done, total, label=label)
            bar.settle()
    except KeyboardInterrupt:
        if kept:
            say(kept)
        raise


def bar_display(progress: Progress) -> RichProgress:
    """Return Rich's live display of a progress: bar and counts in one line, the fields in the next."""
    from rich.console import Group
    from rich.progress import BarColumn, ProgressColumn, Task
    from rich.progress import Progress as RichProgress
    from rich.table import Column
    from rich.text import Text

    class Shown(ProgressColumn):
        def __init__(self, text: Callable[[], str], style: str = "") -> None:
            super().__init__(Column(no_wrap=True))  # so that on a narrow terminal the bar gives way first
            self._text = text
            self._style = style

        def render(self, task: Task) -> Text:
            return Text(one_line(self._text()), style=self._style, no_wrap=True, overflow="ellipsis")

    class TwoLines(RichProgress):
        def get_renderable(self) -> RenderableType:
            bar = self.make_tasks_table(self.tasks)
            measures = progress.measures()
            return (
                Group(bar, Text(one_line(measures), style="dim", no_wrap=True, overflow="ellipsis"))
                if measures
                else bar
            )

    display = TwoLines(
        Shown(lambda: progress.state.label, "bold"),
        BarColumn(bar_width=24),
        Shown(progress.counts),
        console=stderr_console(),
        transient=True,
        refresh_per_second=4,
        redirect_stdout=False,  # stdout is data and may be a file while stderr is a terminal
    )
    display.add_task("", total=None)
    return display
