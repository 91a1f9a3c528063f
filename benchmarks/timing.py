"""Times several runs that take turns in one process, so that other work on the machine slows all of them alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch

Key = TypeVar("Key", bound=Hashable)
Run = Callable[[], object]
LEAST_ROUNDS = 3  # always run, even after the time limit


class Spread(NamedTuple):
    """Minimum, quartiles and median of some figures."""

    minimum: float
    lower: float  # first quartile
    median: float
    upper: float  # third quartile

    def scaled(self, factor: float) -> Spread:
        """Return every figure times a positive factor."""
        return Spread(*(figure * factor for figure in self))

    def text(self, digits: int = 2) -> str:
        """Format the median with the quartiles in brackets."""
        return f"{self.median:.{digits}f} ({self.lower:.{digits}f}–{self.upper:.{digits}f})"


def spread(figures: Sequence[float]) -> Spread:
    """Return the minimum, quartiles and median."""
    lower, median, upper = np.quantile(figures, (0.25, 0.5, 0.75)).tolist()
    return Spread(min(figures), lower, median, upper)


def ratio(over: Sequence[float], under: Sequence[float]) -> Spread:
    """Return the spread of the ratios of two runs within each round, which a slow machine hardly affects."""
    return spread([a / b for a, b in zip(over, under, strict=True)])


def seconds_of(run: Run, device: torch.device) -> float:
    """Measure one call: processor time on one CPU thread, which other work affects least; else wall-clock time."""
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    now = time.process_time if alone else time.perf_counter

    def wait_for_gpu() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    wait_for_gpu()
    begin = now()
    run()
    wait_for_gpu()
    return now() - begin


def alternate(
    runs: Mapping[Key, Run], rounds: int, device: torch.device, most_seconds: float = float("inf")
) -> dict[Key, list[float]]:
    """Measure the seconds of every run in each round, after one warm-up round that is not counted.

    Args:
        runs: What to run, by name.
        rounds: Number of counted rounds.
        device: Where the runs compute.
        most_seconds: No round begins after this time, except the first `LEAST_ROUNDS`.
    """
    for run in runs.values():
        run()
    times: dict[Key, list[float]] = {name: [] for name in runs}
    begin = time.perf_counter()
    gc.disable()
    try:
        for number in range(rounds):
            if number >= LEAST_ROUNDS and time.perf_counter() - begin > most_seconds:
                break
            for name, run in runs.items():
                times[name].append(seconds_of(run, device))
    finally:
        gc.enable()
    return times
