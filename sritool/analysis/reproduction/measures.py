"""What is measured of a run: a command each, and the figures in what it prints."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sritool.analysis.latent_map import FEWEST
from sritool.analysis.reproduction.published import accuracy_from, recon_after

Printed = Sequence[Mapping[str, Any]]
"""Rows of a command's table, as `--format json` has them."""

EVALUATED = ("ppl", "nll", "recon", "posterior-kl", "kl", "au", "permuted")
OWN = ("ppl", "nll", "au-naive")
"""What is measured once more as a method was published: by its own estimator, with the published count of units."""
RECORDED = "evaluate"
"""The command whose figures are on record beside the checkpoint; what others print is kept by `outputs`."""

LINES, POINTS = (
    100,
    6,
)  # of Table 2: pairs of draws from the prior, and sentences of a line, both ends included
SHOWN_LINES, SHOWN_SAMPLES = 2, 10  # that a table shows
SAMPLES = 1000  # that Table 3's figures are of
SWAPS = 4
MAP = 2000  # sentences of Figure 1, at most
_PEAK = 0.02  # of a density's highest peak, below which another is none


class Figure(NamedTuple):
    """A figure of a run."""

    metric: str
    value: float
    standard_error: float | None = None
    estimator: str = ""
    draws: int | None = None
    sentences: int | None = None
    of: int | None = None
    half: float | None = None  # the same from half of the draws
    own: bool = False  # by the estimator that the method was published with


class Measure(NamedTuple):
    """A command that measures a run."""

    words: tuple[str, ...]  # the command and its options, without the run, folders and device
    read: Callable[[Printed], list[Figure]] = lambda rows: []
    sentences: Callable[[Printed], list[str]] = lambda rows: []  # to show
    needs_z: bool = True

    @property
    def recorded(self) -> bool:
        """Whether its figures are on record beside the checkpoint anyway."""
        return self.words[0] == RECORDED


def evaluation(metrics: Sequence[str], estimator: str | None = None) -> Measure:
    """Return the measure that is on record beside the checkpoint.

    Args:
        metrics: As evaluate has them.
        estimator: None: `adaptive`, the one for all.
    """
    by = ("--estimator", estimator) if estimator else ()
    return Measure((RECORDED, "--metrics", ",".join(metrics), *by), needs_z=False)


def noisy_recon() -> Measure:
    """Table 4's."""
    return Measure(("noisy-recon", "--k", f"0-{SWAPS}"), _of_noisy)


def classification(as_published: bool = False) -> Measure:
    """Table 5's, from as many labels as there are; `as_published`: by the classifiers of the authors' code."""
    own = ("--pca", "4", "--no-standardize", "--naming", "authors") if as_published else ()
    return Measure(("classify", *own), lambda rows: _of_classification(rows, as_published))


def interpolation() -> Measure:
    """Table 2's: greedy sentences on straight lines between draws of the prior."""
    return Measure(
        ("interpolate", "-n", str(LINES), "--points", str(POINTS)), _of_interpolation, _shown_lines
    )


def samples() -> Measure:
    """Table 3's sentences, greedy, with codes from the prior."""
    return Measure(
        ("sample", "-n", str(SHOWN_SAMPLES)), sentences=lambda rows: [row["sample"] for row in rows]
    )


def sample_figures() -> Measure:
    """What stands beside them: figures of many such sentences."""
    metrics = "unique,distinct-1,distinct-2,self-bleu"
    return Measure(("sample", "-n", str(SAMPLES), "--metrics", metrics), _of_samples)


def latent_map(sentences: int | None) -> Measure:
    """Figure 1's: the aggregate posterior, in at most so many sentences."""
    count = str(max(FEWEST, min(sentences or MAP, MAP)))
    return Measure(("plot", "latent", "--limit", count, "--show-data"), _of_map)


def _of_noisy(rows: Printed) -> list[Figure]:
    first = rows[0]
    shared = {name: first[name] for name in ("estimator", "draws", "sentences", "of")}
    recon = [Figure(recon_after(row["k"]), row["recon"], row["recon se"], **shared) for row in rows]
    return [*recon, Figure("permuted", first["permuted"], first["permuted se"], **shared)]


def _of_classification(rows: Printed, own: bool) -> list[Figure]:
    return [
        Figure(
            accuracy_from(row["labels"]),
            100 * row["accuracy"],
            100 * _spread(row),
            row["classifier"],
            row["draws"],
            row["sentences"],
            row["of"],
            own=own,
        )
        for row in rows
        if row["method"] is not None and row["labels"] is not None
    ]


def _spread(row: Mapping[str, Any]) -> float:
    """The standard error over draws of labels and test sentences."""
    return float(row["se"]) if row["se"] is not None else math.nan


def _of_interpolation(rows: Printed) -> list[Figure]:
    edits = [row["edits"] for row in rows if row["edits"] is not None]
    lines: dict[int, set[str]] = {}
    for row in rows:
        lines.setdefault(row["pair"], set()).add(row["sentence"])
    points = len(rows) / len(lines)
    repeated = [float(row["repeated"]) for row in rows if row["edits"] is not None]
    return [
        _mean("edits between neighbours", edits, len(lines)),
        _mean("neighbours that repeat", [100 * share for share in repeated], len(lines)),
        _mean(
            "distinct sentences of a line",
            [100 * len(found) / points for found in lines.values()],
            len(lines),
        ),
    ]


def _mean(name: str, values: Sequence[float], lines: int) -> Figure:
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Figure(name, statistics.fmean(values), error, "greedy", draws=lines)


def _shown_lines(rows: Printed) -> list[str]:
    return [row["sentence"] for row in rows if row["pair"] <= SHOWN_LINES]


def _of_samples(rows: Printed) -> list[Figure]:
    return [
        Figure(row["metric"], row["value"], row["standard_error"], "greedy", draws=row["n"]) for row in rows
    ]


def _of_map(rows: Printed) -> list[Figure]:
    """Deviations of the codes in each dimension, whose prior has 1, and the peaks of their densities.

    A density by a Gaussian kernel of Scott's width has the variance of the draws, times 1 + n^(-2/5).
    """
    count = sum(row["part"] == "posterior" for row in rows)
    widened = 1 + count ** (-2 / 5)
    curves: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row["part"] == "density":
            curves.setdefault(row["name"], []).append((row["x"], row["y"]))
    deviations = [math.sqrt(_variance(curve) / widened) for curve in curves.values()]
    peaks = [_peaks([y for _, y in curve]) for curve in curves.values()]
    shared: dict[str, Any] = {"estimator": "one draw of q(z|x) each", "sentences": count}
    return [
        Figure("standard deviation, least", min(deviations), **shared),
        Figure("standard deviation, largest", max(deviations), **shared),
        Figure("dimensions with one peak", float(sum(number == 1 for number in peaks)), **shared),
        Figure("dimensions", float(len(peaks)), **shared),
    ]


def _variance(curve: Iterable[tuple[float, float]]) -> float:
    points = list(curve)
    mass = sum(y for _, y in points)
    mean = sum(x * y for x, y in points) / mass
    return sum((x - mean) ** 2 * y for x, y in points) / mass


def _peaks(density: Sequence[float]) -> int:
    least = _PEAK * max(density)
    inner = zip(density, density[1:], density[2:], strict=False)
    return sum(before < here >= after and here > least for before, here, after in inner)
