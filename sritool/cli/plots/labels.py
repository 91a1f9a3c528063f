"""Places names beside points so that they cover neither points nor each other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sritool.cli.plots.style import SMALL, renderer_of

if TYPE_CHECKING:
    from matplotlib.transforms import Bbox

DIRECTIONS = 16
DISTANCES = (11.0, 20.0, 32.0, 48.0, 68.0)  # points
LEADER = 18.0  # points; a name farther away gets a thin line to its point
# Penalties of a position, in points of distance.
COVERS_BAR, COVERS_MARK, COVERS_NAME = 25.0, 40.0, 100.0
NEARS_OTHER, LEAVES_AXES = 30.0, 200.0


def place_labels(
    axes: Any,
    places: Sequence[tuple[float, float]],
    names: Sequence[str],
    bars: Sequence[tuple[float, float, float, float]] = (),
) -> list[Any]:
    """Write each name at the best of several positions around its point, one name after another.

    Args:
        axes: Axes to write on; their limits and all else must be final.
        places: The points, in data coordinates.
        names: The name of each point.
        bars: (x0, y0, x1, y1) of vertical and horizontal lines that should not be covered either.

    Returns:
        The texts.
    """
    from matplotlib.transforms import Bbox

    canvas = axes.get_figure()
    renderer = renderer_of(canvas)
    canvas.draw_without_rendering()  # decides the layout
    canvas.set_layout_engine("none")
    scale = canvas.dpi / 72
    marks = [axes.transData.transform(place) for place in places]
    lines = [Bbox(axes.transData.transform([bar[:2], bar[2:]])) for bar in bars]
    taken: list[Bbox] = []
    texts = []
    order = sorted(range(len(names)), key=lambda k: -_crowd(marks, k))
    for k in order:
        text = axes.annotate(
            names[k],
            places[k],
            (0, 0),
            textcoords="offset points",
            annotation_clip=False,
            va="bottom",
            fontsize=SMALL,
        )
        size = text.get_window_extent(renderer)
        candidates = []
        for distance, turn in itertools.product(DISTANCES, range(DIRECTIONS)):
            angle = 2 * math.pi * turn / DIRECTIONS
            box = _box(marks[k], size.width, size.height, distance * scale, angle)
            around = box.padded(1.5 * distance * scale)
            others = [mark for j, mark in enumerate(marks) if j != k]
            cost = distance + NEARS_OTHER * any(around.contains(*mark) for mark in others)
            cost += _cost(box, marks, lines, taken, axes.bbox, scale)
            candidates.append((cost, turn, distance, box))
        _, _, distance, box = min(candidates, key=lambda found: found[:3])
        x, y = (box.x0 - marks[k][0]) / scale, (box.y0 - marks[k][1]) / scale
        text.set_position((x, y))
        if distance > LEADER:
            ends = [marks[k], (min(max(marks[k][0], box.x0), box.x1), min(max(marks[k][1], box.y0), box.y1))]
            (x0, y0), (x1, y1) = axes.transData.inverted().transform(ends)
            axes.plot([x0, x1], [y0, y1], color="black", linewidth=0.7, alpha=0.6, zorder=1)
        taken.append(box)
        texts.append(text)
    return texts


def _crowd(marks: Sequence[Any], k: int) -> float:
    """Return how close the other points are; the most crowded point is named first."""
    return sum(1 / (1 + math.dist(mark, marks[k])) for mark in marks) - 1


def _box(mark: Any, width: float, height: float, distance: float, angle: float) -> Bbox:
    """Return the box of a name at this angle, its nearest edge `distance` pixels from the mark."""
    from matplotlib.transforms import Bbox

    x, y = mark[0] + distance * math.cos(angle), mark[1] + distance * math.sin(angle)
    left = x - width * (1 - math.cos(angle)) / 2
    bottom = y - height * (1 - math.sin(angle)) / 2
    return Bbox.from_bounds(left, bottom, width, height)


def _cost(
    box: Bbox, marks: Sequence[Any], lines: Sequence[Bbox], taken: Sequence[Bbox], inside: Bbox, scale: float
) -> float:
    """Return the penalty for what a name covers, and for how far it leaves the axes."""
    near, around = box.padded(7 * scale), box.padded(2 * scale)
    cost = COVERS_MARK * sum(bool(near.contains(*mark)) for mark in marks)
    cost += COVERS_BAR * around.count_overlaps(lines) + COVERS_NAME * around.count_overlaps(taken)
    out = max(inside.x0 - box.x0, box.x1 - inside.x1, inside.y0 - box.y0, box.y1 - inside.y1, 0.0)
    return cost + (LEAVES_AXES + float(out) if out > 0 else 0.0)
