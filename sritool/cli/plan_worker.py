"""Carries out the plan of a table: trains and measures what is missing, with a process for each command."""

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

LEAST = 15.0  # seconds that must be left to start another command
_LAST = 15.0  # seconds of a budget, at most a seventh of it, reserved for writing the table
_OVERTIME = 5.0  # seconds that a training may take to end by its own limit, before it is asked to


@dataclass
class Worker:
    """One pass over a plan; it ends when all is done, its time is over, or a signal arrives."""

    plan: Plan
    device: str  # its full name
    extra: Sequence[str]  # device options, passed to every command
    seconds: float | None  # for the whole pass; None: no limit
    quiet: bool  # tell commands to show no progress
    began: float  # time.monotonic() at the start
    unfinished: bool = False  # also measure runs whose training is not finished
    children: Children = field(default_factory=Children)
    # Runs whose command failed; the others still run.
    failed: dict[str, Done] = field(default_factory=dict)

    def work(self, written: Callable[[], object]) -> None:
        """Carry out the plan as far as time allows; call `written` after each run worked on, or a signal.

        Raises:
            Interrupted: A signal arrived; the running command has saved and ended.
        """
        try:
            with self.children:
                in_time = all(self._work_on(run, written) for run in self.plan.runs)
        except Interrupted:
            written()  # the tables say how far the runs are
            raise
        if not in_time:
            say("time is up; the same command continues from here")

    def _work_on(self, run: PlannedRun, written: Callable[[], object]) -> bool:
        """Train and measure a run; return False if time is up."""
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
        """Train a run to its end; return False if time is up."""
        if state.in_use:
            self._tell(f"{run.name}: another process is training it; skipped here")
            return True
        words = self.plan.locate(train_words(self.plan, run, state, state.folder))
        left = self._left()
        limited = ("--max-time", f"{max(1, round(left))}s") if left is not None else ()
        began = time.monotonic()
        try:
            done = self._run(run, words, limited, None if left is None else left + _OVERTIME)
        finally:
            after = self._state(run)
            if after.known is not None and not after.in_use:
                seconds, machine = time.monotonic() - began, this_machine(self.device)
                Outputs(after.known.path).trained(run.words, seconds, machine)
        if not done.in_time:
            return False
        if done.code and after.in_use:
            self._tell(f"{run.name}: another process is training it; skipped here")
        elif done.code:
            self._failed(run, done)
        return self._has_time()

    def _measure(self, run: PlannedRun, state: State, measure: Measure) -> bool:
        """Measure a run; return False if time is up."""
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
            raise Interrupted(number, "stopped; the same command continues from here")
        return done

    def failure(self) -> SritoolError:
        """Return the error that the command ends with, with the exit code of the first command that failed."""
        runs = ", ".join(f"{name} (exit code {done.code})" for name, done in self.failed.items())
        error = SritoolError(f"some commands of the plan failed: {runs}; see their messages above")
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
