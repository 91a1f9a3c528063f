"""Frontier of likelihood and information: NLL against posterior KL, one point per run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from sritool.analysis.comparison import compare
from sritool.errors import DataError
from sritool.evaluation.settings import EvaluationSettings
from sritool.runs.model import Report

METRICS = ("nll", "posterior-kl")


class Point(NamedTuple):
    """One run: both figures in nats per sentence, with standard errors over the sentences."""

    run: str
    method: str
    nll: float
    nll_se: float
    posterior_kl: float  # KL(p(z|x) || p(z)): 0 without z
    posterior_kl_se: float
    sentences: int
    draws: int  # of z per sentence; 0 if the figures are exact
    estimator: str
    against: str = ""  # reference run of the differences; "" for a single run
    # Paired differences: None for the reference itself, and if the sentences differ.
    nll_diff: float | None = None
    nll_diff_se: float | None = None
    posterior_kl_diff: float | None = None
    posterior_kl_diff_se: float | None = None

    @property
    def errors(self) -> tuple[float, float]:
        """Error bars of nll and posterior_kl: of the paired differences (reference: 0), else of the figures."""
        if self.against == self.run:
            return 0.0, 0.0
        if self.nll_diff_se is None or self.posterior_kl_diff_se is None:
            return self.nll_se, self.posterior_kl_se
        return self.nll_diff_se, self.posterior_kl_diff_se


class Frontier(NamedTuple):
    """The runs in the order given, what they were measured on, and notes."""

    points: list[Point]
    data: str
    notes: list[str]


def frontier(
    checkpoints: Sequence[Path],
    request: EvaluationSettings,
    device: str,
    report: Report,
    mixed: bool = False,
    against: Path | None = None,
) -> Frontier:
    """Measure both figures of each run on the same sentences, as `compare` does; figures on record are looked up.

    The request's metrics are ignored.

    Raises:
        DataError: The corpora differ, or nothing could be measured.
        UsageError: As in `compare`.
    """
    request = replace(request, metrics=METRICS)
    found = compare(checkpoints, request, device, report, mixed=mixed, against=against)
    points, notes = [], list(found.notes)
    for row in found.rows:
        nll, rate = row.estimate("nll"), row.estimate("posterior-kl")
        if nll is None or rate is None:
            notes.append(f"{row.name}: left out, as it has no likelihood")
            continue
        figures = (nll.value, nll.standard_error, rate.value, rate.standard_error)
        counted = (nll.sentences, nll.draws, nll.estimator, found.against)
        paired = found.differences(row)
        both = [paired[name] for name in METRICS] if {*METRICS} <= paired.keys() else []
        differences = [number for one in both for number in (one.value, one.standard_error)]
        points.append(Point(row.name, row.evaluation.method, *figures, *counted, *differences))
    if not points:
        raise DataError("no run has both figures; give other runs")
    first = found.rows[0].evaluation
    return Frontier(points, f"{first.data}, {points[0].sentences} of {first.total} sentences", notes)
