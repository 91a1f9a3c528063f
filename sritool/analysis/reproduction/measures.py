"""Measures of a run: a command each, and the figures in its output."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from sritool.analysis.latent_map import FEWEST
from sritool.analysis.reproduction.published import accuracy_from, recon_after
from sritool.evaluation.metrics import mean_and_error
from sritool.evaluation.settings import DEFAULT_ESTIMATOR

Printed = Sequence[Mapping[str, Any]]
"""Rows of a command's table, as `--format json` has them."""

EVALUATED = ("ppl", "nll", "recon", "posterior-kl", "kl", "au", "permuted")
OWN = ("ppl", "nll", "au-naive")
"""Metrics measured again by the estimator that a method was published with, with the published count of units."""

LINES, POINTS = 100, 6  # of Table 2: pairs of draws from the prior; sentences per line, both ends included
SHOWN_LINES, SHOWN_SAMPLES = 2, 10  # shown in a table
SAMPLES = 1000  # behind the figures of Table 3
SWAPS = 4  # most swaps in Table 4
MAP = 2000  # most sentences of Figure 1
_PEAK = 0.02  # share of a density's highest peak below which a peak does not count


class Figure(NamedTuple):
    """A figure of a run."""

    metric: str
    value: float
    standard_error: float | None = None
    estimator: str = ""
    draws: int | None = None
    sentences: int | None = None
    of: int | None = None
    half: float | None = None  # the figure from half of the draws
    own: bool = False  # by the method's published estimator


class Measure(NamedTuple):
    """A command that measures a run."""

    words: tuple[str, ...]  # the command and its options, without run, folders and device
    read: Callable[[Printed], list[Figure]] = lambda rows: []
    sentences: Callable[[Printed], list[str]] = lambda rows: []  # sentences to show
    needs_z: bool = True
    # For `evaluate` only: its figures are on record beside the checkpoint. `outputs` keeps what other commands print.
    metrics: tuple[str, ...] = ()
    split: str = "test"
    estimator: str = DEFAULT_ESTIMATOR

    @property
    def recorded(self) -> bool:
        """Whether the command itself records its figures beside the checkpoint."""
        return bool(self.metrics)


def evaluation(metrics: Sequence[str], estimator: str = DEFAULT_ESTIMATOR, split: str = "test") -> Measure:
    """Return a measure by `evaluate`, which records it beside the checkpoint; arguments as in `evaluate`."""
    by = ("--estimator", estimator) if estimator != DEFAULT_ESTIMATOR else ()
    of = ("--split", split) if split != "test" else ()
    words = ("evaluate", "--metrics", ",".join(metrics), *by, *of)
    return Measure(words, needs_z=False, metrics=tuple(metrics), split=split, estimator=estimator)


def classification(as_published: bool = False) -> Measure:
    """Return the measure of Table 5; `as_published`: with the classifiers of the authors' code."""
    own = ("--pca", "4", "--no-standardize", "--naming", "authors") if as_published else ()
    return Measure(("classify", *own), lambda rows: _of_classification(rows, as_published))


def latent_map(sentences: int | None) -> Measure:
    """Return the measure of Figure 1: the aggregate posterior, on at most so many sentences."""
    count = str(max(FEWEST, min(sentences or MAP, MAP)))
    return Measure(("plot", "latent", "--limit", count, "--show-data"), _of_map)


def _of_noisy(rows: Printed) -> list[Figure]:
    first = rows[0]
    shared = {name: first[name] for name in ("estimator", "draws", "sentences", "of")}
    recon = [Figure(recon_after(row["k"]), row["recon"], row["recon se"], **shared) for row in rows]
    return [*recon, Figure("permuted", first["permuted"], first["permuted se"], **shared)]


def _of_classification(rows: Printed, own: bool) -> list[Figure]:
    found = []
    for row in rows:
        if row["method"] is not None and row["labels"] is not None:
            about = (row["classifier"], row["draws"], row["sentences"], row["of"])
            figures = (100 * row["accuracy"], 100 * _spread(row))
            found.append(Figure(accuracy_from(row["labels"]), *figures, *about, own=own))
    return found


def _spread(row: Mapping[str, Any]) -> float:
    """Standard error over test sentences and draws of labels."""
    if row["se"] is None:
        return math.nan
    return math.hypot(row["se"], (row["sd"] or 0) / math.sqrt(row["draws"]))


def _of_interpolation(rows: Printed) -> list[Figure]:
    lines = [list(line) for _, line in itertools.groupby(rows, lambda row: row["pair"])]
    edits = [statistics.fmean(row["edits"] for row in line[1:]) for line in lines]
    repeated = [100 * statistics.fmean(row["repeated"] for row in line[1:]) for line in lines]
    distinct = [100 * len({row["sentence"] for row in line}) / len(line) for line in lines]
    return [
        _mean("edits between neighbours", edits),
        _mean("neighbours that repeat, %", repeated),
        _mean("distinct sentences of a line, %", distinct),
    ]


def _mean(name: str, of_lines: Sequence[float]) -> Figure:
    """Mean and error over lines, as neighbours on one line depend on each other."""
    return Figure(name, *mean_and_error(np.array(of_lines)), "greedy", draws=len(of_lines))


def _of_samples(rows: Printed) -> list[Figure]:
    return [Figure(row["metric"], row["value"], row["se"], "greedy", draws=row["n"]) for row in rows]


def _of_map(rows: Printed) -> list[Figure]:
    """Standard deviations of the codes by dimension (the prior's is 1), and the peaks of their densities."""
    count = sum(row["part"] == "posterior" for row in rows)
    deviations = [row["x"] for row in rows if row["part"] == "deviation"]
    curves: dict[str, list[float]] = {}
    for row in rows:
        if row["part"] == "density":
            curves.setdefault(row["name"], []).append(row["y"])
    shared: dict[str, Any] = {"estimator": "one draw of q(z|x) each", "sentences": count}
    return [
        Figure("standard deviation, least", min(deviations), **shared),
        Figure("standard deviation, largest", max(deviations), **shared),
        Figure("dimensions with one peak", float(sum(_peaks(one) == 1 for one in curves.values())), **shared),
        Figure("dimensions", float(len(curves)), **shared),
    ]


def _peaks(density: Sequence[float]) -> int:
    from scipy.signal import find_peaks

    return len(find_peaks(density, height=_PEAK * max(density))[0])


NOISY_RECON = Measure(("noisy-recon", "--k", f"0-{SWAPS}"), _of_noisy)
"""Measure of Table 4."""

INTERPOLATION = Measure(
    ("interpolate", "-n", str(LINES), "--points", str(POINTS)),
    _of_interpolation,
    lambda rows: [row["sentence"] for row in rows if row["pair"] <= SHOWN_LINES],
)
"""Measure of Table 2: greedy sentences on straight lines between draws of the prior."""

SHOWN_SENTENCES = Measure(
    ("sample", "-n", str(SHOWN_SAMPLES)), sentences=lambda rows: [row["sample"] for row in rows]
)
"""Sentences of Table 3: greedy, with codes from the prior."""

SAMPLE_FIGURES = Measure(
    ("sample", "-n", str(SAMPLES), "--metrics", "unique,distinct-1,distinct-2,self-bleu"), _of_samples
)
"""Figures beside the sentences of Table 3, measured on many such sentences."""
