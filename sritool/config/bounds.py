"""Bounds that every number of the settings is held to, whatever it means: finite, and no more than memory holds."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

from sritool.errors import UsageError

MOST_STEPS = 100_000  # of one chain or ascent; all are held in a list
MOST_DRAWS = 1_000_000  # of the estimator, for one sentence; and sentences of a batch
_MOST = {
    **dict.fromkeys(("embedding", "hidden"), 1 << 16),
    "latent": 1 << 12,  # a Hessian has its square
    **dict.fromkeys(("steps", "step_sizes"), MOST_STEPS),
    **dict.fromkeys(("samples", "pilots", "rounds", "modes", "batch_size"), MOST_DRAWS),
    "degrees": 10_000,
    "seed": (1 << 63) - 1,
}
"""Largest value of a count, and entries of a list, so that a slip of the finger is refused and not allocated."""
_MOST_OTHERWISE = 1_000_000_000
LONGEST_NAME, LONGEST_PATH = 200, 4096
"""Characters of a text."""
LARGEST = 1e38
"""Of a number that is no count: float32 ends at 3.4e38."""


def require(condition: bool, message: str) -> None:
    """Raises: UsageError with this message unless the condition holds."""
    if not condition:
        raise UsageError(message)


def require_sane(section: str, settings: Any) -> None:
    """Hold every field of a dataclass to these bounds.

    Raises: UsageError for a number that is not finite (NaN passes no comparison, and some not the negated one), or a
            count that no run has.
    """
    for entry in fields(settings):
        value, name = getattr(settings, entry.name), f"{section}.{entry.name}"
        most = _MOST.get(entry.name, _MOST_OTHERWISE)
        if isinstance(value, int):
            require(value <= most, f"{name} is {value}; give at most {most}")
        if isinstance(value, str):
            longest = LONGEST_PATH if entry.name == "encoder" else LONGEST_NAME
            require(len(value) <= longest, f"{name} has {len(value)} characters; give at most {longest}")
        if isinstance(value, tuple):
            require(len(value) <= most, f"{name} are {len(value)} numbers; give at most {most}")
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, float):
                require(math.isfinite(number), f"{name} has {number}; give finite numbers")
                require(abs(number) <= LARGEST, f"{name} has {number}; give at most {LARGEST:g}")
