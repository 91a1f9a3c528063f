"""What is measured of a run: a command each, and the figures in what it prints."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sritool.analysis.latent_map import FEWEST
from sritool.analysis.reproduction.published import accuracy_from, recon_after
from sritool.evaluation.settings import DEFAULT_ESTIMATOR

Printed = Sequence[Mapping[str, Any]]
"""Rows of a command's table, as `--format json` has them."""

EVALUATED = ("ppl", "nll", "recon", "posterior-kl", "kl", "au", "permuted")
OWN = ("ppl", "nll", "au-naive")
"""What is measured once more as a method was published: by its own estimator, with the published count of units."""

LINES, POINTS = 100, 6  # of Table 2: pairs of draws from the prior; sentences of a line, both ends included
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
    # Of `evaluate`, whose figures are on record beside the checkpoint; what others print is kept by `outputs`.
    metrics: tuple[str, ...] = ()
    split: str = "test"
    estimator: str = DEFAULT_ESTIMATOR

    @property
    def recorded(self) -> bool:
        """Whether its figures are on record beside the checkpoint anyway."""
        return bool(self.metrics)


def evaluation(metrics: Sequence[str], estimator: str = DEFAULT_ESTIMATOR, split: str = "test") -> Measure:
    """Return the measure that is on record beside the checkpoint; its arguments are as evaluate has them."""
    by = ("--estimator", estimator) if estimator != DEFAULT_ESTIMATOR else ()
    of = ("--split", split) if split != "test" else ()
    words = ("evaluate", "--metrics", ",".join(metrics), *by, *of)
    return Measure(words, needs_z=False, metrics=tuple(metrics), split=split, estimator=estimator)


def classification(as_published: bool = False) -> Measure:
    """Table 5's, from as many labels as there are; `as_published`: by the classifiers of the authors' code."""
    own = ("--pca", "4", "--no-standardize", "--naming", "authors") if as_published else ()
    return Measure(("classify", *own), lambda rows: _of_classification(rows, as_published))


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
    found = []
    for row in rows:
        if row["method"] is not None and row["labels"] is not None:
            about = (row["classifier"], row["draws"], row["sentences"], row["of"])
            figures = (100 * row["accuracy"], 100 * _spread(row))
            found.append(Figure(accuracy_from(row["labels"]), *figures, *about, own=own))
    return found


def _spread(row: Mapping[str, Any]) -> float:
    """The standard error over test sentences and draws of labels."""
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
        _mean("neighbours that repeat", repeated),
        _mean("distinct sentences of a line", distinct),
    ]


def _mean(name: str, of_lines: Sequence[float]) -> Figure:
    """The mean over lines: the neighbours on one line depend on each other."""
    error = statistics.stdev(of_lines) / math.sqrt(len(of_lines)) if len(of_lines) > 1 else math.nan
    return Figure(name, statistics.fmean(of_lines), error, "greedy", draws=len(of_lines))


def _of_samples(rows: Printed) -> list[Figure]:
    return [Figure(row["metric"], row["value"], row["se"], "greedy", draws=row["n"]) for row in rows]


def _of_map(rows: Printed) -> list[Figure]:
    """Deviations of the codes in each dimension, whose prior has 1, and the peaks of their densities."""
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
"""Table 4's."""

INTERPOLATION = Measure(
    ("interpolate", "-n", str(LINES), "--points", str(POINTS)),
    _of_interpolation,
    lambda rows: [row["sentence"] for row in rows if row["pair"] <= SHOWN_LINES],
)
"""Table 2's: greedy sentences on straight lines between draws of the prior."""

SHOWN_SENTENCES = Measure(
    ("sample", "-n", str(SHOWN_SAMPLES)), sentences=lambda rows: [row["sample"] for row in rows]
)
"""Table 3's, greedy, with codes from the prior."""

SAMPLE_FIGURES = Measure(
    ("sample", "-n", str(SAMPLES), "--metrics", "unique,distinct-1,distinct-2,self-bleu"), _of_samples
)
"""What stands beside them: figures of many such sentences."""
