"""The plot of noisy reconstruction: errors, axes, legend and title."""

from __future__ import annotations

import pytest

from sritool.cli.plots.noisy_recon import Cells, draw, heading_of

DATA = (50, 90, "mine test")


def cells(run: str, permuted: float, permuted_se: float | None, scale: float) -> list[Cells]:
    return [
        Cells(run, "swap", k, 30.0 + scale * k, 0.7, scale * k, 0.1 * scale * k, permuted, permuted_se, *DATA)
        for k in range(3)
    ]


def test_permuted_cost_has_an_error_band() -> None:
    right = draw(cells("a", 9.0, 0.5, 1.0), "").axes[1]
    bands = [band.get_datalim(right.transData) for band in right.collections if band.get_alpha() == 0.15]
    assert [(band.y0, band.y1) for band in bands] == [(8.5, 9.5)]
    alone = draw(cells("a", 9.0, None, 1.0), "").axes[1]
    assert not [band for band in alone.collections if band.get_alpha() == 0.15]


@pytest.mark.parametrize("scale", [1e-6, 1.0])
def test_axis_of_increases_spans_the_errors(scale: float) -> None:
    low, high = draw(cells("a", 0.0, 0.001, scale), "").axes[1].get_ylim()
    assert high - low >= 2 * 0.7 - 1e-9
    assert low < 0 < 2 * scale < high


def test_run_that_ignores_z_is_marked() -> None:
    rows = [*cells("a", 9.0, 0.5, 1.0), *cells("b", 0.01, 0.02, 1e-4), *cells("c", 0.5, 0.01, 0.2)]
    (legend,) = draw(rows, "").legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b (ignores z)", "c"]


def test_title_names_the_common_data() -> None:
    rows = cells("a", 9.0, 0.5, 1.0)
    assert heading_of(rows) == "mine test, 50 of 90 sentences"
    assert heading_of([*rows, rows[0]._replace(data="yours test")]) == ""
    assert heading_of([Cells("a", "swap", 0, 30.0, 0.7, 0.0, 0.0, None)]) == ""
