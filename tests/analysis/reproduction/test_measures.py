"""Figures read from the output of commands."""

from __future__ import annotations

import numpy as np
import pytest

from sritool.analysis.latent_map import GRID, density
from sritool.analysis.reproduction import measures
from sritool.analysis.reproduction.published import accuracy_from, recon_after


def test_deviations_and_peaks_match_the_draws() -> None:
    rng = np.random.default_rng(0)
    narrow = 0.5 * rng.standard_normal(4000)
    two = np.concatenate([rng.normal(-2, 0.4, 2000), rng.normal(2, 0.4, 2000)])
    grid = np.linspace(-5, 5, GRID)
    rows = [{"part": "posterior", "name": "7", "x": 0.0, "y": 0.0}] * 4000
    for name, draws in (("1", narrow), ("2", two)):
        rows += [
            {"part": "density", "name": name, "x": x, "y": y}
            for x, y in zip(grid, density(draws, grid), strict=True)
        ]
        rows.append({"part": "deviation", "name": name, "x": float(draws.std()), "y": 1.0})
    rows.append({"part": "prior", "name": "N(0, 1)", "x": 0.0, "y": 0.4})
    found = {figure.metric: figure.value for figure in measures.latent_map(None).read(rows)}
    assert found["standard deviation, least"] == narrow.std()
    assert found["standard deviation, largest"] == two.std()
    assert (found["dimensions with one peak"], found["dimensions"]) == (1, 2)


def test_interpolation_figures() -> None:
    lines = [["a", "a", "b"], ["c", "d", "e"]]
    edits = [[None, 0, 4], [None, 2, 2]]
    rows = [
        {"pair": pair, "sentence": text, "edits": changed, "repeated": changed == 0}
        for pair, (line, changes) in enumerate(zip(lines, edits, strict=True), 1)
        for text, changed in zip(line, changes, strict=True)
    ]
    found = {figure.metric: figure.value for figure in measures.INTERPOLATION.read(rows)}
    assert found["edits between neighbours"] == 2
    assert found["neighbours that repeat, %"] == 25
    errors = {figure.metric: figure.standard_error for figure in measures.INTERPOLATION.read(rows)}
    assert errors["neighbours that repeat, %"] == 25, "the means of the two lines are 50 and 0"
    assert found["distinct sentences of a line, %"] == pytest.approx(100 * (2 / 3 + 1) / 2)


def test_losses_by_the_number_of_swaps() -> None:
    shared = {"permuted": 9.0, "permuted se": 0.1, "estimator": "x", "draws": 2, "sentences": 10, "of": 20}
    rows = [{"k": k, "recon": 30.0 + k, "recon se": 0.5, **shared} for k in (0, 1)]
    found = measures.NOISY_RECON.read(rows)
    assert [(one.metric, one.value) for one in found] == [
        (recon_after(0), 30),
        (recon_after(1), 31),
        ("permuted", 9),
    ]


def test_accuracies_are_of_codes_in_percent() -> None:
    row = {
        "labels": 100,
        "accuracy": 0.8,
        "se": 0.03,
        "sd": 0.04 * 5**0.5,
        "classifier": "svm",
        "draws": 5,
        "sentences": 9,
        "of": 9,
    }
    rows = [{**row, "method": "sri"}, {**row, "method": None}, {**row, "method": "sri", "labels": None}]
    (found,) = measures.classification().read(rows)
    assert (found.metric, found.value) == (accuracy_from(100), 80)
    assert found.standard_error == pytest.approx(5), "3 from test sentences, 4 from draws of labels"
