"""The frontier plot: the line and mark of a run without z, and the error bars."""

from __future__ import annotations

import pytest

from sritool.analysis.frontier import Point
from sritool.cli.plots.frontier import draw, legend_title
from sritool.cli.plots.style import look, renderer_of


def point(run: str, method: str, nll: float, kl: float) -> Point:
    exact = method == "lm"
    return Point(run, method, nll, 0.2, kl, 0.0 if exact else 0.05, 100, 0 if exact else 100, "")


BESIDE_A_COLLAPSED_RUN = [
    point("language-model", "lm", 35.85, 0.0),
    point("collapsed", "vae-anneal", 35.86, 0.001),
    point("on-the-line", "vae-fb", 35.85, 4.0),
    point("better", "sri", 35.2, 6.0),
]


def test_line_of_a_run_without_z_crosses_no_label() -> None:
    canvas = draw(BESIDE_A_COLLAPSED_RUN, "")
    axes = canvas.axes[0]
    (legend,) = canvas.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        *("sri", "vae-fb", "lm", "vae-anneal"),
        "NLL without z",
    ]
    with look():
        renderer = renderer_of(canvas)
        boxes = {text.get_text(): text.get_window_extent(renderer) for text in axes.texts}
    assert boxes.keys() == {point.run for point in BESIDE_A_COLLAPSED_RUN}
    _, height = axes.transData.transform((0.0, 35.85))
    for name, box in boxes.items():
        assert not box.padded(2).y0 <= height <= box.padded(2).y1, name


def test_no_line_without_a_run_without_z() -> None:
    (legend,) = draw(BESIDE_A_COLLAPSED_RUN[1:], "").legends
    assert [text.get_text() for text in legend.get_texts()] == ["sri", "vae-fb", "vae-anneal"]


@pytest.mark.parametrize("order", [1, -1])
def test_mark_of_a_run_without_z_is_hollow_and_on_top(order: int) -> None:
    axes = draw(BESIDE_A_COLLAPSED_RUN[::order], "").axes[0]
    marks = {line.get_marker(): line for line in axes.lines if line.get_markersize() >= 11}
    exact, collapsed = marks["^"], marks["D"]
    assert exact.get_markerfacecolor() == "none"
    assert exact.get_zorder() > collapsed.get_zorder()
    assert exact.get_markersize() > collapsed.get_markersize()


def test_error_bars_of_paired_differences() -> None:
    """The reference has no error; a run without a difference shows its own."""
    paired = [
        point._replace(against="language-model", nll_diff=0.1, nll_diff_se=0.03, posterior_kl_diff_se=0.04)
        for point in BESIDE_A_COLLAPSED_RUN
    ]
    unknown = paired[3]._replace(nll_diff_se=None)
    assert [point.errors for point in (paired[0], paired[3], unknown)] == [
        (0.0, 0.0),
        (0.03, 0.04),
        (0.2, 0.05),
    ]
    assert legend_title(paired).endswith("± 1 standard error of the difference to language-model")
    assert legend_title(BESIDE_A_COLLAPSED_RUN).endswith("± 1 standard error")
