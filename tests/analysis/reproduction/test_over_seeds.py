"""Differences between methods over seeds, on terms whose average and error are known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sritool.analysis.reproduction.over_seeds import differences_over_seeds
from sritool.analysis.reproduction.plan import Request, make_plan
from sritool.cli.tables.reproduction import over_seeds_table


def row(terms: list[float]) -> Any:
    return SimpleNamespace(evaluation=SimpleNamespace(terms={"nll": np.array(terms)}))


def test_difference_is_averaged_sentence_by_sentence() -> None:
    """Two seeds whose errors cancel in each sentence leave a difference without error."""
    plan = make_plan(Request("table1", "mine", ("lm", "sri"), seeds=(0, 1)))
    terms = {
        ("lm", 0): [5.0, 7.0, 9.0],
        ("lm", 1): [6.0, 7.0, 8.0],
        ("sri", 0): [4.0, 4.0, 10.0],  # − lm: −1, −3, 1
        ("sri", 1): [5.0, 8.0, 5.0],  # − lm: −1, 1, −3
    }
    rows = [row(terms[run.method, run.seed]) for run in plan.runs]
    (nll,) = differences_over_seeds(plan, rows)
    assert (nll["method"], nll["against"], nll["metric"], nll["seeds"]) == ("sri", "lm", "nll", 2)
    assert (nll["mean"], nll["standard_error"], nll["clear"]) == (pytest.approx(-1), pytest.approx(0), True)
    assert (nll["least"], nll["most"], nll["sd"]) == (pytest.approx(-1), pytest.approx(-1), pytest.approx(0))


@pytest.mark.parametrize(("seeds", "clear"), [((1.357, -0.039), False), ((0.669, 0.649), True)])
def test_a_difference_is_clear_only_beyond_the_spread_over_seeds(
    seeds: tuple[float, float], clear: bool
) -> None:
    """The same mean of 0.659 with the same error over sentences: only seeds that agree make it clear."""
    plan = make_plan(Request("table1", "mine", ("lm", "sri"), seeds=(0, 1)))
    noise = np.array([-0.05, 0.05, -0.03, 0.03])
    rows = [row(list(noise + seeds[run.seed] if run.method == "sri" else 0 * noise)) for run in plan.runs]
    (nll,) = differences_over_seeds(plan, rows)
    assert (nll["mean"], nll["clear"]) == (pytest.approx(0.659), clear)
    (shown,) = over_seeds_table({"differences over seeds": [nll]}).rows
    assert str(shown[3]).endswith("*") == clear
    assert [str(cell)[0] for cell in shown[5:]] == ["−" if min(seeds) < 0 else "+", "+"]


def test_only_runs_of_the_same_seed_are_paired() -> None:
    plan = make_plan(Request("table1", "mine", ("lm", "sri"), seeds=(0, 1)))
    rows = [None if (run.method, run.seed) == ("lm", 1) else row([1.0, 2.0]) for run in plan.runs]
    assert list(differences_over_seeds(plan, rows)) == []
