"""Time of several runs that take turns in one process, so that a noisy neighbour slows all of them alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch

Key = TypeVar("Key", bound=Hashable)
Run = Callable[[], object]
LEAST_ROUNDS = 3  # even where the time is up


class Spread(NamedTuple):
    """Least, quartiles and median of some figures."""

    minimum: float
    lower: float  # first quartile
    median: float
    upper: float  # third quartile

    def scaled(self, factor: float) -> Spread:
        """Every figure times a positive factor."""
        return Spread(*(figure * factor for figure in self))

    def text(self, digits: int = 2) -> str:
        """Median and, in brackets, the quartiles."""
        return f"{self.median:.{digits}f} ({self.lower:.{digits}f}–{self.upper:.{digits}f})"


def spread(figures: Sequence[float]) -> Spread:
    """Least, quartiles and median."""
    lower, median, upper = np.quantile(figures, (0.25, 0.5, 0.75)).tolist()
    return Spread(min(figures), lower, median, upper)


def ratio(over: Sequence[float], under: Sequence[float]) -> Spread:
    """Of the ratios of two runs within each round, which a slow minute of the machine leaves alone."""
    return spread([a / b for a, b in zip(over, under, strict=True)])


def seconds_of(run: Run, device: torch.device) -> float:
    """Time of one call: of the processor on one thread, which other processes change least; else of the clock."""
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
    """Seconds of every run in each round; one round more goes before, for warming up, and is not counted.

    Args: most_seconds: no round begins after this time, but for the first `LEAST_ROUNDS`.
    """
    for run in runs.values():
        run()
    times: dict[Key, list[float]] = {name: [] for name in runs}
    begin = time.perf_counter()
    gc.disable()
    try:
        for counted in range(rounds):
            if counted >= LEAST_ROUNDS and time.perf_counter() - begin > most_seconds:
                break
            for name, run in runs.items():
                times[name].append(seconds_of(run, device))
    finally:
        gc.enable()
    return times
