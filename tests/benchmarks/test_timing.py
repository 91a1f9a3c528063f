"""Turns, ratios within a round, and the slope of a power law."""

from __future__ import annotations

import math

import pytest
import torch

from benchmarks import timing
from benchmarks.fit import power_law
from benchmarks.timing import alternate, ratio, spread

CPU = torch.device("cpu")


def test_runs_take_turns_after_one_round_that_is_not_counted() -> None:
    calls: list[str] = []
    runs = {name: lambda name=name: calls.append(name) for name in ("a", "b")}
    seconds = alternate(runs, 3, CPU)
    assert calls == ["a", "b"] * 4
    assert [len(times) for times in seconds.values()] == [3, 3]


def test_time_that_is_up_ends_the_rounds_but_not_the_first_three() -> None:
    assert len(alternate({"a": lambda: None}, 9, CPU, most_seconds=-1.0)["a"]) == timing.LEAST_ROUNDS
    assert len(alternate({"a": lambda: None}, 2, CPU, most_seconds=-1.0)["a"]) == 2


def test_a_slow_round_leaves_ratios_alone() -> None:
    found = ratio([2.0, 20.0, 2.0], [1.0, 10.0, 1.0])
    assert found == (2.0, 2.0, 2.0, 2.0)


def test_spread_holds_least_quartiles_and_median() -> None:
    found = spread([5.0, 1.0, 3.0, 2.0, 4.0])
    assert found == (1.0, 2.0, 3.0, 4.0)
    assert found.scaled(10) == (10.0, 20.0, 30.0, 40.0)
    assert found.text(1) == "3.0 (2.0–4.0)"


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0])
def test_the_slope_of_a_power_law_is_its_exponent(exponent: float) -> None:
    sizes = [8, 16, 32, 64, 128]
    found = power_law(sizes, [3.0 * size**exponent for size in sizes])
    assert found.exponent == pytest.approx(exponent, abs=1e-12)
    assert found.last_doubling == pytest.approx(exponent, abs=1e-12)
    assert found.scale == pytest.approx(3.0)
    assert found.standard_error == pytest.approx(0.0, abs=1e-9)


def test_the_error_of_a_slope_is_that_of_linear_regression() -> None:
    """By hand: log2 sizes −1, 0, 1 with log2 times −1 + e, −2e, 1 + e: slope 1, residuals e, −2e, e."""
    e = 0.3
    found = power_law([0.5, 1, 2], [2 ** (-1 + e), 2 ** (-2 * e), 2 ** (1 + e)])
    assert found.exponent == pytest.approx(1.0)
    assert found.standard_error == pytest.approx(math.sqrt(6 * e * e / 1 / 2))
    assert found.last_doubling == pytest.approx(1 + 3 * e)


def test_a_fixed_cost_flattens_the_slope_more_than_the_last_doubling() -> None:
    sizes = [8, 16, 32, 64, 128]
    found = power_law(sizes, [20.0 + size for size in sizes])
    assert found.exponent < found.last_doubling < 1


@pytest.mark.parametrize(("sizes", "times"), [([1], [1.0]), ([1, 1], [1.0, 2.0]), ([1, 2], [1.0])])
def test_no_slope_from_too_little(sizes: list[int], times: list[float]) -> None:
    with pytest.raises(ValueError, match="no power law"):
        power_law(sizes, times)
