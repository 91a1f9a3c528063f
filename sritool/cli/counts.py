"""Counts that no work can mean are refused before anything is made for them: a slip of the finger costs no memory."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from sritool.errors import UsageError

MOST = {
    "seed": (1 << 63) - 1,  # what a generator of random numbers takes
    "beam": 10_000,  # hypotheses side by side
    "max_length": 100_000,  # tokens, of many sentences side by side
    **dict.fromkeys(("n", "points", "max_k"), 10_000_000),  # codes are drawn together
    **dict.fromkeys(("chains", "samples", "pilots", "rungs", "certify", "draws", "batch_size"), 1_000_000),
    **dict.fromkeys(("langevin_steps", "refine_steps", "gradient_steps", "steps"), 100_000),
}
"""Largest value of an option by its name."""
MOST_OTHERWISE = 1_000_000_000_000


def with_counts_bounded(command: Callable[..., None]) -> Callable[..., None]:
    """The same command, which raises UsageError for a count beyond all use."""

    @functools.wraps(command)
    def bounded(**given: Any) -> None:
        for name, value in given.items():
            most = MOST.get(name, MOST_OTHERWISE)
            if isinstance(value, int) and value > most:
                raise UsageError(f"--{name.replace('_', '-')} is {_shown(value)}; give at most {most}")
        command(**given)

    return bounded


def _shown(value: int) -> str:
    """A number of thousands of digits takes long to print."""
    return str(value) if value < 1 << 64 else "beyond 2^64"
