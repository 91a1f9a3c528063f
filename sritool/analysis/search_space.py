"""Search space of a random search: parses the values of a setting, and draws them for a trial."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from sritool.errors import UsageError
from sritool.evaluation.record import fingerprint

EXAMPLES = "optimizer.learning_rate=0.0005..0.01:log, sampler.steps=5..20 or generator.dropout=0.1,0.2,0.4"
_RANGE = re.compile(r"([^,]*?)\.\.([^,:]*)(:[^,]*)?")


@dataclass(frozen=True)
class Over:
    """Values that a setting is drawn from: choices or a range."""

    key: str
    choices: tuple[str, ...] = ()  # as --set takes them; none: a range
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    def value(self, u: float) -> str:
        """Map a uniform draw u from [0, 1) to a value, as --set takes it.

        Whole numbers are equally likely, or with `log` in proportion to the logarithmic width of [k, k + 1). Others
        are rounded: with `log` to four digits, else to a thousandth of the range or less.
        """
        if self.choices:
            return self.choices[int(u * len(self.choices))]
        low, high = self.low, self.high + self.whole
        drawn = low * (high / low) ** u if self.log else low + u * (high - low)
        if self.whole:
            return str(min(math.floor(drawn), int(self.high)))
        places = 3 - math.floor(math.log10(drawn if self.log else high - low))
        return str(min(max(round(drawn, places), low), high))


def parse_over(text: str) -> Over:
    """Parse `KEY=LOW..HIGH`, `KEY=LOW..HIGH:log` or `KEY=A,B,C`.

    Raises: UsageError if the text has none of these forms, or the range is empty.
    """
    key, _, values = (part.strip() for part in text.partition("="))
    if not key or not values:
        raise UsageError(f"--over {text!r} is not KEY=VALUES; write for example {EXAMPLES}")
    found = _RANGE.fullmatch(values)
    if found is None:
        choices = tuple(dict.fromkeys(part.strip() for part in values.split(",")))
        if len(choices) < 2 or "" in choices:
            raise UsageError(f"--over {text}: give at least two comma-separated values, or LOW..HIGH")
        return Over(key, choices)
    try:
        low, high = float(found[1]), float(found[2])
    except ValueError:
        raise UsageError(f"--over {text} is not a range of numbers; write for example {EXAMPLES}") from None
    if found[3] not in (None, ":log"):
        raise UsageError(f"--over {text}: nothing but :log may follow a range")
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"--over {text}: the range is empty; give two numbers, the smaller one first")
    if found[3] and low <= 0:
        raise UsageError(
            f"--over {text}: a range with :log must begin above 0; raise its low end, or leave :log out"
        )
    return Over(key, low=low, high=high, log=bool(found[3]))


def uniform(seed: int, trial: int, key: str) -> float:
    """Return the uniform number in [0, 1) that draws a setting of a trial."""
    return int(fingerprint("random search", seed, trial, key)[:13], 16) / 16**13
