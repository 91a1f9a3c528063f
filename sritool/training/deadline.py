"""The end of a command that has a `--max-time`, and what must still fit before it."""

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

LEAST_SUMMARY = 10.0  # seconds that the final summary may take, however short training was
_SHARE_OF_SHORT = 0.25  # of a command that is too short for that
_RECENT = 25  # updates that tell how long the next one takes
_MOST_RESERVED = 0.4  # of the whole, for what comes after training: an estimate may be far off
_ROUGHLY = 0.7  # of an estimate that is on the safe side
_SLACK = 0.02  # of the whole, for what is not foreseen


class Deadline(NamedTuple):
    """When a command has to be at its end."""

    seconds: float | None = None  # that the whole command may take; None: no limit
    began: float = 0.0  # time.monotonic() at its start
    summary: bool = False  # whether it ends with measuring

    def left(self) -> float:
        """Seconds until the end, less some slack; infinite without a limit."""
        if self.seconds is None:
            return math.inf
        return self.began + (1 - _SLACK) * self.seconds - time.monotonic()

    def for_summary(self, share: float, training: float, validating: float) -> float:
        """Return the seconds that the summary may take, beside those of training and, among them, of validations.

        `share` is of the seconds of training, and all measuring may take it; 0: no bound.
        """
        if share == 0:
            return math.inf
        short = math.inf if self.seconds is None else _SHARE_OF_SHORT * self.seconds
        return max(min(LEAST_SUMMARY, short), share * training - validating)


class Timetable:
    """What this process has spent on a run, and what the end of its command will take."""

    def __init__(self, state: RunState, deadline: Deadline) -> None:
        self._state, self.deadline = state, deadline
        self._mean_length = float(state.train.lengths.mean())
        self._updates, self._sentences = 0, 0  # updates in this process, and what they were made on
        self._recent: deque[float] = deque(maxlen=_RECENT)  # seconds of the last updates
        self._since = time.monotonic()  # the end of the last update or validation
        self._validating = 0.0  # seconds
        self._last: float | None = None  # seconds that the last validation at the present level took
        self.level: Level

    def begin(self, level: Level) -> None:
        """From here on validations are at this level."""
        self.level, self._last = level, None

    def begin_stage(self) -> None:
        """From here on updates take another time."""
        self._updates, self._sentences = 0, 0
        self._recent.clear()

    def trained(self, sentences: int) -> None:
        """After an update on so many sentences by this process, of the plan or one that a method puts before it."""
        self._updates += 1
        self._sentences += sentences
        if self._updates > 1:  # the first one warms up
            self._recent.append(time.monotonic() - self._since)
        self._since = time.monotonic()

    def validated(self, seconds: float) -> None:
        """After a validation."""
        self._last = seconds
        self._validating += seconds
        self._since = time.monotonic()

    def is_over(self, ahead: float | None = None) -> bool:
        """Return whether so many seconds (None: an update), and then the end of the command, would no longer fit."""
        left = self.deadline.left()
        if left == math.inf:
            return False
        return left <= (self._update() if ahead is None else ahead) + self._reserve()

    def fits_validation(self) -> bool:
        """Whether there is time for one, roughly, whatever comes after."""
        return self._updates > 0 and self.deadline.left() > _ROUGHLY * self.validation()

    def validation(self) -> float:
        """Seconds that a validation takes: the last one's, or an estimate."""
        if self._last is not None:
            return self._last
        return self.level.sentences * self._seconds_a_sentence(self._state.learner, self.level.likelihood)

    def beyond(self, updates: int) -> float:
        """Seconds that so many updates with z will take beyond as many of the present ones; roughly."""
        state = self._state
        return updates * self._update() * (state.method.work().training / state.learner.work().training - 1.0)

    def _update(self) -> float:
        """Seconds that an update takes; 0 before there have been two."""
        return median(self._recent) if self._recent else 0.0

    def _reserve(self) -> float:
        """Seconds that saving, a validation and the summary will take."""
        state, deadline = self._state, self.deadline
        if state.position.pretraining:  # which ends without a best.pt and a summary
            return state.save_seconds
        validation = self.validation()
        summary = 0.0
        if deadline.summary:
            settings, spent = state.config.validation, time.monotonic() - deadline.began
            whole = settings.final_sentences * self._seconds_a_sentence(state.method, settings.likelihood)
            summary = min(whole, deadline.for_summary(settings.share, spent, self._validating + validation))
        most = math.inf if deadline.seconds is None else _MOST_RESERVED * deadline.seconds
        return min(most, 2 * state.save_seconds + validation + summary)

    def _seconds_a_sentence(self, method: Method, likelihood: LikelihoodConfig) -> float:
        """What measuring one takes, by the speed of training in this process."""
        if not self._sentences:
            return 0.0
        a_pass = self._update() * self._updates / (self._sentences * self._state.learner.work().training)
        return a_pass * passes_of(method, method.validated, likelihood, self._mean_length)
