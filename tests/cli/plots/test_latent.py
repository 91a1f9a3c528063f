"""The plot of the aggregate posterior, against the points it is given."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose

from sritool.analysis.latent_map import Point
from sritool.cli.plots.latent import draw
from sritool.cli.plots.style import rendered

REST = [
    *(Point("control", "", x, -9.0) for x in (1.0, 2.0, 3.0)),
    *(Point("density", name, x, float(name) * x) for name in ("1", "2") for x in (0.0, 1.0)),
    *(Point("prior", "N(0, 1)", x, 0.4) for x in (0.0, 1.0)),
]


def posterior(*names: str) -> list[Point]:
    return [Point("posterior", name, float(k), 1.0) for k, name in enumerate(names)]


def test_both_maps_share_one_scale_and_show_all_points() -> None:
    canvas = draw([*posterior("4", "11", "7"), *REST], "one, two")
    codes, control, marginals = canvas.axes[:3]
    assert codes.get_xlim() == codes.get_ylim() == control.get_xlim() == control.get_ylim()
    assert codes.get_xlim()[1] > 9.0
    assert_allclose(codes.collections[0].get_offsets(), [(0, 1), (1, 1), (2, 1)])
    assert_allclose(control.collections[0].get_offsets(), [(1, -9), (2, -9), (3, -9)])
    lines = [line.get_xydata().tolist() for line in marginals.lines]
    assert lines == [[[0, 0], [1, 1]], [[0, 0], [1, 2]], [[0, 0.4], [1, 0.4]]]


def test_lengths_are_a_colour_scale_and_labels_a_legend() -> None:
    lengths = draw([*posterior("4", "11", "7"), *REST], "")
    assert np.asarray(lengths.axes[0].collections[0].get_array()).tolist() == [4, 11, 7]
    assert lengths.axes[3].get_ylabel() == "words in the sentence"
    labels = draw([*posterior("good", "bad", "good"), *REST], "")
    assert len(labels.axes) == 3
    (legend,) = labels.legends
    assert [text.get_text() for text in legend.get_texts()] == ["bad", "good"]
    bad, good = labels.axes[0].collections
    assert_allclose(good.get_offsets(), [(0, 1), (2, 1)])
    assert not np.array_equal(bad.get_facecolors(), good.get_facecolors())
    assert len(bad.get_paths()[0]) != len(good.get_paths()[0])


def test_surplus_labels_share_a_colour() -> None:
    canvas = draw([*posterior(*"abcdefghi"), *REST], "")
    assert [text.get_text() for text in canvas.legends[0].get_texts()] == [*"abcdefg", "other labels"]
    assert len(canvas.axes[0].collections[-1].get_offsets()) == 2


def test_text_is_literal_and_the_picture_reproducible() -> None:
    points = [*posterior("4", "11", "7"), *REST]
    content = rendered(draw(points, "the $ of _it"), ".svg")
    assert content == rendered(draw(points, "the $ of _it"), ".svg")
    for text in (b"the $ of _it", b"prior N(0, 1)", b"each of 2 dimensions"):
        assert text in content
