"""Charts of a run's page as Plotly dictionaries of traces and layout; the page sets the colour of their text.

All text in a chart must pass `literal`, because Plotly interprets tags like <b> and <a href> in labels.
"""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sritool.cli.plots.style import AMBER, BLUE, GREEN, ORANGE, PINK, SKY
from sritool.cli.printable import visible

if TYPE_CHECKING:
    from sritool.analysis.report import Map
    from sritool.analysis.training_curves import Point

Chart = dict[str, Any]

# Those of Okabe and Ito that are visible on black and on white.
COLOURS = (BLUE, ORANGE, GREEN, PINK, AMBER, SKY)
SYMBOLS = ("circle", "square", "diamond", "cross", "triangle-up")
DASHES = ("solid", "dash", "dot")
SHORT_TO_LONG = ((0.0, BLUE), (0.5, "#8F9BA1"), (1.0, AMBER))
GREY = "#8C8C8C"
GRID = "rgba(128,128,128,0.25)"
HOVER_WIDTH = 44  # characters per line of a hover text

_BARE_AXIS = {"showgrid": False, "zeroline": False, "showticklabels": False, "ticks": "", "showline": False}
_PLANE: Chart = {
    "xaxis": _BARE_AXIS,
    "yaxis": _BARE_AXIS | {"scaleanchor": "x"},
    "hovermode": "closest",
    "dragmode": "zoom",
    "showlegend": False,
}
"""Layout of a t-SNE map: no numbers, which would have no meaning, and equal scales."""
_LENGTH_BAR: Chart = {
    "title": {"text": "tokens", "side": "right"},
    "orientation": "h",
    "thickness": 10,
    "len": 0.6,
    "x": 0.5,
    "y": 0,
    "yanchor": "top",
    "outlinewidth": 0,
}

PANELS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("Loss", "nats per sentence", {"nll": "nll, validation", "recon": "recon, validation"}),
    ("Loss in training", "nats per sentence", {"train recon": "recon, training"}),
    ("Information in z", "nats per sentence", {"posterior-kl": "posterior-kl"}),
    ("What another sentence’s z costs", "nats per sentence", {"permuted": "permuted"}),
    ("Active units", "dimensions", {"au": "au"}),
)
"""Title, unit, and metric -> name of its line."""


def literal(text: str) -> str:
    """Escape a text so that Plotly shows it literally."""
    return html.escape(visible(text), quote=False)


def hover_text(text: str) -> str:
    """Escape a text and wrap it, so that it fits beside a point on a phone."""
    lines = textwrap.wrap(visible(text), HOVER_WIDTH, break_on_hyphens=False) or [""]
    return "<br>".join(html.escape(line, quote=False) for line in lines)


def curve_charts(points: Sequence[Point], latent: int, saved_after: int) -> list[tuple[str, Chart]]:
    """Return title and chart of each of PANELS that has points.

    `latent` bounds the axis of active units; a vertical line at epoch `saved_after` shows when the checkpoint was
    saved.
    """
    charts = []
    for title, unit, lines in PANELS:
        present = {metric: name for metric, name in lines.items() if any(p.metric == metric for p in points)}
        if not present:
            continue
        traces = [
            _line([p for p in points if p.metric == metric], name, number)
            for number, (metric, name) in enumerate(present.items())
        ]
        begun = any(point.epoch <= 0 for point in points)
        layout: Chart = {
            "xaxis": _axis("epochs (up to 0: autoencoder)" if begun else "epochs"),
            "yaxis": _axis(unit),
            "showlegend": len(traces) > 1,
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
            "margin": {"l": 56, "r": 12, "t": 30 if len(traces) > 1 else 12, "b": 44},
            "hovermode": "closest",
            "shapes": [_upright(saved_after)],
        }
        if "au" in present:
            layout["yaxis"]["range"] = [0, latent * 1.05]
        charts.append((title, {"data": traces, "layout": layout}))
    return charts


def map_chart(found: Map) -> Chart:
    """Return the map of posterior means: a trace per label, or one coloured by length; `customdata` is the index."""
    shown = found.sentences
    texts = [
        f"{hover_text(shown[i]) if shown else 'a sentence'}<br>"
        f"({f'{literal(found.labels[i])}, ' if found.labels else ''}{length} tokens)"
        for i, length in enumerate(found.lengths)
    ]
    if found.labels is None:
        traces = [_points(found, texts, range(len(texts)))]
        traces[0]["marker"] |= {
            "color": found.lengths,
            "colorscale": [list(stop) for stop in SHORT_TO_LONG],
            **_most(found.lengths),
            "showscale": True,
            "colorbar": _LENGTH_BAR,
        }
    else:
        traces = []
        for number, label in enumerate(sorted(set(found.labels))):
            rows = [i for i, own in enumerate(found.labels) if own == label]
            trace = _points(found, texts, rows)
            trace |= {"name": literal(label)}
            trace["marker"] |= {
                "color": COLOURS[number % len(COLOURS)],
                "symbol": SYMBOLS[number % len(SYMBOLS)],
            }
            traces.append(trace)
    legend = {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "itemsizing": "constant"}
    layout = _PLANE | {"showlegend": found.labels is not None, "legend": legend}
    layout["margin"] = {"l": 8, "r": 8, "t": 34, "b": 8 if found.labels else 56}
    return {"data": traces, "layout": layout}


def control_chart(found: Map) -> Chart:
    """Return the map of the draws from the prior."""
    trace = _marks(found.control, {"hoverinfo": "skip", "marker": {"size": 5, "color": GREY, "opacity": 0.7}})
    return {"data": [trace], "layout": _PLANE | {"margin": {"l": 8, "r": 8, "t": 34, "b": 8}}}


def _points(found: Map, texts: Sequence[str], rows: Sequence[int]) -> Chart:
    how: Chart = {
        "customdata": list(rows),
        "hovertext": [texts[i] for i in rows],
        "hoverinfo": "text",
        "marker": {"size": 7, "opacity": 0.75, "line": {"width": 0}},
        "selected": {"marker": {"size": 11, "opacity": 1}},
        "unselected": {"marker": {"opacity": 0.08}},
    }
    return _marks(found.places[list(rows)], how)


def _marks(places: Any, how: Chart) -> Chart:
    x, y = ([round(float(value), 3) for value in axis] for axis in (places[:, 0], places[:, 1]))
    return {"type": "scatter", "mode": "markers", "x": x, "y": y, **how}


def _line(points: Sequence[Point], name: str, number: int) -> Chart:
    """Return a metric over epochs; if there are few points, with marks and error bars."""
    few = len(points) <= 60
    trace = {
        "type": "scatter",
        "mode": "lines+markers" if few else "lines",
        "name": name,
        "x": [round(point.epoch, 4) for point in points],
        "y": [point.value if math.isfinite(point.value) else None for point in points],
        "line": {"color": COLOURS[number], "dash": DASHES[number], "width": 2},
        "marker": {"symbol": SYMBOLS[number], "size": 6},
        "hovertext": [
            f"{name}<br>epoch {point.epoch:.4g}: {point.value:.4g}{f' ± {point.se:.2g}' if point.se else ''}"
            for point in points
        ],
        "hoverinfo": "text",
    }
    if few and any(point.se for point in points):
        errors = [point.se if point.se and math.isfinite(point.se) else 0.0 for point in points]
        trace["error_y"] = {"type": "data", "array": errors, "thickness": 1, "width": 0}
    return trace


def _axis(title: str) -> Chart:
    return {"title": {"text": title, "standoff": 6}, "gridcolor": GRID, "zeroline": False, "automargin": True}


def _most(lengths: Sequence[int]) -> Chart:
    """Return the ends of the colour scale, without the extremes, which would leave all others in one colour."""
    ordered = sorted(lengths)
    low, high = ordered[len(ordered) // 20], ordered[-1 - len(ordered) // 20]
    return {"cmin": low, "cmax": max(high, low + 1)}


def _upright(epoch: float) -> Chart:
    """Return a vertical line at the epoch of the checkpoint."""
    place = {"x0": epoch, "x1": epoch, "y0": 0, "y1": 1, "yref": "paper"}
    return {"type": "line", **place, "line": {"color": GREY, "width": 1, "dash": "dot"}}
