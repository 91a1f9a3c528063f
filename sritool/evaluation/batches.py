"""The loop over batches of every measurement: progress, batches on record, and the check for finite figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from torch import Tensor

from sritool.data.sampling import Indices
from sritool.errors import NumericalError
from sritool.evaluation.metrics import Array
from sritool.evaluation.record import FinishedBatches
from sritool.processes import measuring
from sritool.runs.model import Report

# Figures that may be missing: k̂ of few draws, figures of weights without z, signed weights that sum to 0.
_MAY_LACK = ("pareto_k", "effective_sample_size", "log_likelihood_signed", "sign_ratio", "folded_share")


Work = Callable[[Indices], Mapping[str, Tensor]]
"""Sentences of a batch → their figures by name, [batch, …] each."""


def over_batches(
    label: str,
    batches: Sequence[Indices],
    work: Work,
    report: Report,
    finished: FinishedBatches | None = None,
) -> Iterator[tuple[Indices, dict[str, Array]]]:
    """Measure batch by batch, and yield each batch with its figures in float64 as soon as it is done.

    Batches that an earlier measurement finished are taken from `finished`; new ones are recorded there under `label`,
    which progress reports show too. Within `sharing_measurements`, the processes share the batches, and each gets all
    figures.

    Raises: NumericalError if a figure of a sentence is not finite.
    """
    done, total = 0, sum(len(batch) for batch in batches)
    left = []
    for number, batch in enumerate(batches):
        found = finished.get(label, number) if finished else None
        if found is None:
            left.append(number)
        else:
            yield batch, found
            done += len(batch)
    processes = measuring()
    for begin in range(0, len(left), processes.size):
        report(label, done, total)
        turn = left[begin : begin + processes.size]
        own = {}
        if processes.rank < len(turn):
            figures = work(batches[turn[processes.rank]])
            own = {name: values.double().cpu().numpy() for name, values in figures.items()}
            _require_finite(label, own)
        for number, measured in zip(turn, processes.gather_arrays(own), strict=False):
            if finished:
                finished.add(label, number, measured)
            yield batches[number], measured
            done += len(batches[number])
    report(label, done, total)


def _require_finite(label: str, found: Mapping[str, Array]) -> None:
    for name, values in found.items():
        bad = int((~np.isfinite(values.reshape(len(values), -1)).all(1)).sum())
        if bad and name not in _MAY_LACK:
            what = name.removesuffix("_curve").replace("_", " ")
            raise NumericalError(
                f"{label}: {what} is not finite for {bad} of {len(values)} sentences; "
                "take an earlier checkpoint, or smaller step sizes (sritool tune-step)"
            )


def measured_batches(
    label: str,
    batches: Sequence[Indices],
    work: Work,
    report: Report,
    finished: FinishedBatches | None = None,
) -> dict[str, Array]:
    """Measure as `over_batches` does, and return the figures of all sentences by name, [sentences, …] each."""
    count, figures = sum(len(batch) for batch in batches), dict[str, Array]()
    for part, found in over_batches(label, batches, work, report, finished):
        for name, values in found.items():
            figures.setdefault(name, np.empty((count, *values.shape[1:])))[part] = values
    return figures


def report_as(report: Report, before: str = "", after: str = "") -> Report:
    """Return a progress callback that adds these words before and after the label."""
    return lambda label, done, total: report(f"{before}{label}{after}", done, total)
