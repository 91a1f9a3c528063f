"""Works off the plan of a table: trains what is missing and measures it, a process for each command."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sritool.analysis.reproduction.measures import Measure
from sritool.analysis.reproduction.outputs import Outputs, this_machine
from sritool.analysis.reproduction.plan import Plan, PlannedRun
from sritool.analysis.reproduction.states import State, state_of, train_words
from sritool.cli.child import Children, Done
from sritool.cli.streams import say
from sritool.errors import Interrupted, SritoolError

LEAST = 15.0  # seconds that must be left for another command to begin
_LAST = 15.0  # seconds of a budget, a seventh of it at most, that are kept to write the table


@dataclass
class Worker:
    """One pass over a plan; it ends when all is done, its time is over, or a signal comes."""

    plan: Plan
    device: str  # its full name
    extra: Sequence[str]  # words about the device, which go to every command
    seconds: float | None  # for all of it; None: no limit
    quiet: bool  # tell commands to show no progress
    began: float  # time.monotonic() at the start
    unfinished: bool = False  # measure runs too whose training has not come to its end
    children: Children = field(default_factory=Children)
    # Runs whose command failed; the others are run all the same.
    failed: dict[str, Done] = field(default_factory=dict)

    def work(self, written: Callable[[], object]) -> None:
        """Work the plan off, as far as the time goes; `written` is called after each run that was worked on.

        Raises:
            Interrupted: A signal came; the command that ran has saved and ended.
        """
        with self.children:
            in_time = all(self._work_on(run, written) for run in self.plan.runs)
        if not in_time:
            say("the time is over; the same command goes on from here")

    def _work_on(self, run: PlannedRun, written: Callable[[], object]) -> bool:
        """Train and measure a run; False where the time is over."""
        if not self._has_time():
            return False
        before = self._state(run)
        if not before.trained and not self._train(run, before):
            return False
        state = self._state(run)
        measured = state.known is not None and (state.trained or self.unfinished)
        missing = state.missing(run) if measured else []
        if not all(self._measure(run, state, measure) for measure in missing):
            return False
        if not before.trained or missing:
            written()
        return True

    def _train(self, run: PlannedRun, state: State) -> bool:
        """Train a run to its end; False where the time is over."""
        if state.in_use:
            self._tell(f"{run.name}: another process trains it; left to that one")
            return True
        words = self.plan.locate(train_words(self.plan, run, state, state.folder))
        left = self._left()
        limited = ("--max-time", f"{max(1, round(left))}s") if left is not None else ()
        began = time.monotonic()
        try:
            done = self._run(run, words, limited, None)
        finally:
            after = self._state(run)
            if after.known is not None and not after.in_use:
                seconds, machine = time.monotonic() - began, this_machine(self.device)
                Outputs(after.known.path).trained(run.words, seconds, machine)
        if done.code and after.in_use:
            self._tell(f"{run.name}: another process trains it; left to that one")
        elif done.code:
            self._failed(run, done)
        return self._has_time()

    def _measure(self, run: PlannedRun, state: State, measure: Measure) -> bool:
        """Measure a run; False where the time is over."""
        if not self._has_time():
            return False
        assert state.folder is not None
        assert state.known is not None
        words = self.plan.locate(self.plan.measure_words(measure, str(state.folder)))
        done = self._run(run, words, ("--format", "json"), self._left())
        if not done.in_time:
            return False
        if done.code:
            self._failed(run, done)
        elif not measure.recorded:
            rows = [json.loads(line) for line in done.output.splitlines()]
            key = self.plan.measure_words(measure, "")
            Outputs(state.known.path).add(state.known.content, key, rows, done.seconds)
        return True

    def _run(self, run: PlannedRun, words: Sequence[str], more: Sequence[str], seconds: float | None) -> Done:
        self._tell(shlex.join(["sritool", *words]))
        done = self.children.run([*words, *more, *self.extra, *(["--quiet"] if self.quiet else [])], seconds)
        if self.children.received is not None:
            number = self.children.received
            raise Interrupted(number, "stopped; the same command goes on from here")
        return done

    def failure(self) -> SritoolError:
        """Return the error that the command ends with, with the exit code of the first command that failed."""
        runs = ", ".join(f"{name} (exit code {done.code})" for name, done in self.failed.items())
        error = SritoolError(f"some commands of the plan failed: {runs}; look at what they said above")
        error.exit_code = next(iter(self.failed.values())).code
        return error

    def _failed(self, run: PlannedRun, done: Done) -> None:
        say(
            f"{run.name}: its command ended with exit code {done.code}; the plan goes on without it",
            label="warning",
        )
        self.failed.setdefault(run.name, done)

    def _state(self, run: PlannedRun) -> State:
        return state_of(self.plan, run, self.device)

    def _left(self) -> float | None:
        if self.seconds is None:
            return None
        return self.began + self.seconds - min(_LAST, self.seconds / 7) - time.monotonic()

    def _has_time(self) -> bool:
        left = self._left()
        return left is None or left > LEAST

    def _tell(self, text: str) -> None:
        if not self.quiet:
            say(text)
