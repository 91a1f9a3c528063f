"""Time of several runs that take turns in one process, so that a noisy neighbour slows all of them alike."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

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


def synchronise(device: torch.device) -> None:
    """Wait for what a GPU has been given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(run: Run, device: torch.device) -> float:
    """Time of one call: of the processor on one thread, which other processes change least; else of the clock."""
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    now = time.process_time if alone else time.perf_counter
    synchronise(device)
    begin = now()
    run()
    synchronise(device)
    return now() - begin


@contextmanager
def _no_collection() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Others:
    """How busy other processes, and other machines on this host, keep the processors; on Linux."""

    def __init__(self) -> None:
        self._before = self._now()

    def cores(self) -> float:
        """Processors that they took, on average, since this was last asked; 0 where nothing tells."""
        before, self._before = self._before, self._now()
        seconds, busy, own = (now - then for now, then in zip(self._before, before, strict=True))
        return max(0.0, busy - own) / max(seconds, 1e-9)

    @staticmethod
    def _now() -> tuple[float, float, float]:
        """Seconds on the clock, of all processors' work, and of our own."""
        own, path = os.times(), Path("/proc/stat")
        busy = 0.0
        if path.is_file():
            user, nice, system, _, _, irq, softirq, steal = map(int, path.read_text("ascii").split()[1:9])
            busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
        return time.perf_counter(), busy, own.user + own.system


def alternate(
    runs: Mapping[str, Run],
    rounds: int,
    device: torch.device,
    most_seconds: float = float("inf"),
    most_others: float = float("inf"),
) -> dict[str, list[float]]:
    """Seconds of every run in each round; one round more goes before, for warming up, and is not counted.

    Args: most_seconds: no round begins after this time, but for the first `LEAST_ROUNDS`; most_others: until then,
          rounds in which others took more processors than this are not counted.
    """
    for run in runs.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    begin, others, counted = time.perf_counter(), Others(), 0
    with _no_collection():
        while counted < rounds:
            late = time.perf_counter() - begin > most_seconds
            if late and counted >= LEAST_ROUNDS:
                break
            seconds = {name: seconds_of(run, device) for name, run in runs.items()}
            if others.cores() > most_others and not late:
                continue
            counted += 1
            for name, value in seconds.items():
                times[name].append(value)
    return times


def fitting_count(run: Run, most: int, seconds: float, device: torch.device) -> int:
    """How many calls of a run, 1 to `most`, take about so many seconds; the first call is for warming up."""
    run()
    return min(most, max(1, int(seconds / max(seconds_of(run, device), 1e-9))))
