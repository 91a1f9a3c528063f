"""Labels beside points, even crowded ones."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sritool.cli.plots.labels import place_labels
from sritool.cli.plots.style import look, new_canvas, renderer_of


@pytest.mark.parametrize("spread", [0.02, 0.3, 5.0])
def test_labels_cover_neither_points_nor_labels(spread: float) -> None:
    random = np.random.default_rng(3)
    places = [(x, y) for x, y in random.normal(scale=spread, size=(7, 2)).tolist()] + [(10.0, 10.0)]
    names = [f"run-number-{k}" for k in range(len(places))]
    with look():
        canvas, axes = new_canvas()
        axes.plot(*zip(*places, strict=True), "o")
        axes.margins(0.15)
        texts = place_labels(axes, places, names)
        renderer = renderer_of(canvas)
    assert sorted(text.get_text() for text in texts) == sorted(names)
    boxes = [text.get_window_extent(renderer) for text in texts]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    for box in boxes:
        assert not any(box.contains(*axes.transData.transform(place)) for place in places)
        assert axes.bbox.x0 <= box.x0 <= box.x1 <= axes.bbox.x1


def test_label_avoids_error_bars() -> None:
    with look():
        canvas, axes = new_canvas()
        axes.plot([1.0], [1.0], "o")
        axes.set_xlim(0, 2)
        axes.set_ylim(0, 2)
        (text,) = place_labels(axes, [(1.0, 1.0)], ["a name"], [(1.0, 1.0, 1.9, 1.0), (1.0, 0.1, 1.0, 1.9)])
        box = text.get_window_extent(renderer_of(canvas)).transformed(axes.transData.inverted())
    assert not (box.y0 < 1.0 < box.y1 and box.x1 > 1.0)
    assert not box.x0 < 1.0 < box.x1
