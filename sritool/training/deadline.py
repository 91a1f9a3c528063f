"""The deadline of a command with `--max-time`, and the work that must fit before it."""

from __future__ import annotations

import math
import time
from collections import deque
from statistics import median
from typing import NamedTuple

from sritool.config.settings import LikelihoodConfig
from sritool.methods.base import Method
from sritool.training.state import RunState
from sritool.training.validation import Level, passes_of

LEAST_SUMMARY = 10.0  # seconds that the final summary may always take, even after a short training
_SHARE_OF_SHORT = 0.25  # of the command's time, if it is too short for LEAST_SUMMARY
_RECENT = 25  # updates from which the time of the next one is estimated
_MOST_RESERVED = 0.4  # of the whole time, for the work after training, whose estimate may be far off
_ROUGHLY = 0.7  # of an estimate that is usually too high
_SLACK = 0.02  # of the whole time, for the unforeseen


class Deadline(NamedTuple):
    """When a command must have ended."""

    seconds: float | None = None  # for the whole command; None: no limit
    began: float = 0.0  # time.monotonic() at its start
    summary: bool = False  # whether the command ends with a measurement

    def left(self) -> float:
        """Return the seconds until the deadline, less some slack; infinite without a limit."""
        if self.seconds is None:
            return math.inf
        return self.began + (1 - _SLACK) * self.seconds - time.monotonic()

    def for_summary(self, share: float, training: float, validating: float) -> float:
        """Return the seconds that the summary may take.

        Args:
            share: Share of the training time that validations and the summary may take together; 0: no bound.
            training: Seconds of training, validations included.
            validating: Seconds of validations.
        """
        if share == 0:
            return math.inf
        short = math.inf if self.seconds is None else _SHARE_OF_SHORT * self.seconds
        return max(min(LEAST_SUMMARY, short), share * training - validating)


class Timetable:
    """The time that this process has spent on a run, and the time that the end of its command will take."""

    def __init__(self, state: RunState, deadline: Deadline) -> None:
        self._state, self.deadline = state, deadline
        self._mean_length = float(state.train.lengths.mean())
        self._updates, self._sentences = 0, 0  # updates in this process, and their sentences
        self._recent: deque[float] = deque(maxlen=_RECENT)  # seconds of the last updates
        self._since = time.monotonic()  # the end of the last update or validation
        self._validating = 0.0  # seconds
        self._last: float | None = None  # seconds of the last validation at the present level
        self.level: Level

    def begin(self, level: Level) -> None:
        """Use this level for the validations to come."""
        self.level, self._last = level, None

    def begin_stage(self) -> None:
        """Forget the times of earlier updates, as updates of the new stage take another time."""
        self._updates, self._sentences = 0, 0
        self._recent.clear()

    def trained(self, sentences: int) -> None:
        """Record an update by this process on so many sentences, planned or extra."""
        self._updates += 1
        self._sentences += sentences
        if self._updates > 1:  # the first one warms up
            self._recent.append(time.monotonic() - self._since)
        self._since = time.monotonic()

    def validated(self, seconds: float) -> None:
        """Record a validation."""
        self._last = seconds
        self._validating += seconds
        self._since = time.monotonic()

    def is_over(self, updates: int = 1) -> bool:
        """Return whether so many updates, followed by the end of the command, no longer fit."""
        left = self.deadline.left()
        if left == math.inf:
            return False
        return left <= updates * self._update() + self._reserve()

    def fits_validation(self) -> bool:
        """Return whether there is roughly enough time for a validation, whatever comes after it."""
        return self._updates > 0 and self.deadline.left() > _ROUGHLY * self.validation()

    def validation(self) -> float:
        """Return the seconds that a validation takes: those of the last one, or an estimate."""
        if self._last is not None:
            return self._last
        return self.level.sentences * self._seconds_a_sentence(self._state.learner, self.level.likelihood)

    def beyond(self, updates: int) -> float:
        """Return roughly the extra seconds that so many updates with z take, compared with as many present ones."""
        state = self._state
        return updates * self._update() * (state.method.work().training / state.learner.work().training - 1.0)

    def _update(self) -> float:
        """Seconds of an update; 0 before the second one."""
        return median(self._recent) if self._recent else 0.0

    def _reserve(self) -> float:
        """Seconds that saving, a validation and the summary will take."""
        state, deadline = self._state, self.deadline
        if state.position.pretraining:  # a run that ends here has no best.pt and no summary
            return state.save_seconds
        validation = self.validation()
        summary = 0.0
        if deadline.summary:
            settings, spent = state.config.validation, time.monotonic() - deadline.began
            whole = settings.final_sentences * self._seconds_a_sentence(state.method, settings.likelihood)
            summary = min(whole, deadline.for_summary(settings.share, spent, self._validating + validation))
        assert deadline.seconds is not None  # else nothing needs a reserve
        return min(_MOST_RESERVED * deadline.seconds, 2 * state.save_seconds + validation + summary)

    def _seconds_a_sentence(self, method: Method, likelihood: LikelihoodConfig) -> float:
        """Seconds to measure a sentence, estimated from the speed of training in this process."""
        if not self._sentences:
            return 0.0
        a_pass = self._update() * self._updates / (self._sentences * self._state.learner.work().training)
        return a_pass * passes_of(method, method.validated, likelihood, self._mean_length)
