"""Values drawn by a random search, against their intended distributions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import pytest

from sritool.analysis.search_space import Over, parse_over, uniform
from sritool.errors import UsageError

DRAWS = 2000


def draws(over: Over, seed: int = 0) -> list[str]:
    return [over.value(uniform(seed, trial, over.key)) for trial in range(DRAWS)]


def distance(values: list[float], cdf: Callable[[float], float]) -> float:
    """The Kolmogorov-Smirnov statistic: the largest distance between empirical and true distribution."""
    n = len(values)
    return max(
        max((rank + 1) / n - cdf(value), cdf(value) - rank / n) for rank, value in enumerate(sorted(values))
    )


@pytest.mark.parametrize(
    "text", ["a.b=0.0005..0.01:log", "a.b=1e-6..100:log", "a.b=0.1..0.7", "a.b=0.999..0.9999"]
)
def test_ranges_are_uniform_or_log_uniform(text: str) -> None:
    over = parse_over(text)
    values = [float(value) for value in draws(over)]
    assert over.low <= min(values)
    assert max(values) <= over.high

    def cdf(x: float) -> float:
        if text.endswith("log"):
            return math.log(x / over.low) / math.log(over.high / over.low)
        return (x - over.low) / (over.high - over.low)

    assert distance(values, cdf) < 1.63 / math.sqrt(DRAWS)  # exceeded by 1% of correct samples
    # Another distribution is detected.
    assert distance(values, lambda x: cdf(x) ** 1.2) > 1.63 / math.sqrt(DRAWS)


@pytest.mark.parametrize("log", [False, True])
def test_whole_numbers_have_the_share_of_their_interval(log: bool) -> None:
    counts = Counter(draws(Over("a.b", low=3, high=9, log=log, whole=True)))
    assert sorted(map(int, counts)) == list(range(3, 10))
    for text, count in counts.items():
        k = int(text)
        share = math.log((k + 1) / k) / math.log(10 / 3) if log else 1 / 7
        assert abs(count / DRAWS - share) < 3.5 * math.sqrt(share * (1 - share) / DRAWS)


def test_choices_are_uniform() -> None:
    counts = Counter(draws(parse_over("optimizer.name=adam, sgd,lion")))
    assert set(counts) == {"adam", "sgd", "lion"}
    assert all(abs(count - DRAWS / 3) < 3.5 * math.sqrt(DRAWS * 2 / 9) for count in counts.values())


def test_seed_trial_and_setting_are_independent() -> None:
    found = {uniform(seed, trial, key) for seed in (0, 1) for trial in range(50) for key in ("a.b", "a.c")}
    assert len(found) == 200
    pairs = [(uniform(0, trial, "a.b"), uniform(0, trial, "a.c")) for trial in range(DRAWS)]
    covariance = sum((x - 0.5) * (y - 0.5) for x, y in pairs) / DRAWS
    assert abs(covariance) < 3.5 / 12 / math.sqrt(DRAWS)  # both have variance 1/12


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "KEY=VALUES"),
        ("sampler.steps", "KEY=VALUES"),
        ("=1..2", "KEY=VALUES"),
        ("sampler.steps=", "KEY=VALUES"),
        ("sampler.steps=5", "at least two comma-separated values"),
        ("sampler.steps=5,5", "at least two comma-separated values"),
        ("sampler.steps=5,,6", "at least two comma-separated values"),
        ("sampler.steps=9..5", "empty"),
        ("sampler.steps=5..5", "empty"),
        ("sampler.steps=5..inf", "empty"),
        ("sampler.steps=nan..5", "empty"),
        ("sampler.steps=..5", "not a range of numbers"),
        ("sampler.steps=5..", "not a range of numbers"),
        ("optimizer.name=adam..sgd", "not a range of numbers"),
        ("sampler.steps=1..5:lin", ":log"),
        ("optimizer.learning_rate=0..1:log", "above 0"),
        ("optimizer.learning_rate=-1..1:log", "above 0"),
    ],
)
def test_invalid_ranges(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_over(text)
