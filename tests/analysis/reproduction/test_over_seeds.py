"""Differences between methods over seeds, on terms whose average and error are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sritool.analysis.reproduction.over_seeds import differences, differences_over_seeds
from sritool.cli.reproduction.tables import over_seeds_table
from sritool.evaluation.record import packed


def row(method: str, seed: int, terms: list[float], content: str = "") -> dict[str, Any]:
    about = {"method": method, "variation": "", "seed": seed, "content": content}
    return about | {"terms": packed({"nll": np.array(terms)})}


def test_difference_is_averaged_sentence_by_sentence() -> None:
    """Two seeds whose errors cancel in each sentence leave a difference without error."""
    rows = [
        row("lm", 0, [5.0, 7.0, 9.0]),
        row("lm", 1, [6.0, 7.0, 8.0]),
        row("sri", 0, [4.0, 4.0, 10.0]),  # − lm: −1, −3, 1
        row("sri", 1, [5.0, 8.0, 5.0]),  # − lm: −1, 1, −3
    ]
    (nll,) = differences_over_seeds(rows)
    assert (nll["method"], nll["against"], nll["metric"], nll["seeds"]) == ("sri", "lm", "nll", 2)
    assert (nll["mean"], nll["standard_error"], nll["clear"]) == (pytest.approx(-1), pytest.approx(0), True)
    assert (nll["least"], nll["most"], nll["sd"]) == (pytest.approx(-1), pytest.approx(-1), pytest.approx(0))


@pytest.mark.parametrize(("seeds", "clear"), [((1.357, -0.039), False), ((0.669, 0.649), True)])
def test_a_difference_is_clear_only_beyond_the_spread_over_seeds(
    seeds: tuple[float, float], clear: bool
) -> None:
    """The same mean of 0.659 with the same error over sentences: only seeds that agree make it clear."""
    noise = np.array([-0.05, 0.05, -0.03, 0.03])
    rows = [row("sri", seed, list(noise + mean)) for seed, mean in enumerate(seeds)]
    (nll,) = differences_over_seeds([*rows, *(row("lm", seed, list(0 * noise)) for seed in (0, 1))])
    assert (nll["mean"], nll["clear"]) == (pytest.approx(0.659), clear)
    (shown,) = over_seeds_table({"differences over seeds": [nll]}).rows
    assert str(shown[3]).endswith("*") == clear
    assert [str(cell)[0] for cell in shown[5:]] == ["−" if min(seeds) < 0 else "+", "+"]


def test_only_rows_of_the_same_seed_are_averaged() -> None:
    rows = [row("lm", 0, [1.0, 2.0]), row("sri", 0, [1.0, 2.0]), row("sri", 1, [1.0, 2.0])]
    assert list(differences_over_seeds(rows)) == []


def test_reference_is_of_the_same_seed_or_else_the_first() -> None:
    lms = [row("lm", 0, [1.0, 2.0]), row("lm", 1, [2.0, 4.0])]
    for seed, expected in ((0, 3.0), (1, 1.5), (2, 3.0)):
        own = row("sri", seed, [4.0, 5.0])
        (nll,) = differences(own, [*lms, own])
        assert (nll["against"], nll["value"], nll["sentences"]) == ("lm", pytest.approx(expected), 2)


def test_rows_on_other_text_are_not_compared() -> None:
    own, other = row("sri", 0, [1.0, 2.0]), row("lm", 0, [1.0, 2.0], content="another corpus")
    assert list(differences(own, [own, other])) == []
