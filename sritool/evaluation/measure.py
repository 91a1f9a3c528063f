"""Measures of a model over sentences: what validation and `evaluate` share.

Each metric names what it needs; each need is a stage, computed once, batch by batch, into rows of sentences. The
rows are reduced to estimates at the end, by `figures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sritool.config.settings import LikelihoodConfig
from sritool.data.store import Split
from sritool.errors import UsageError, suggestion
from sritool.evaluation import estimators
from sritool.evaluation.estimates import Origin, estimates_of
from sritool.evaluation.metrics import Estimate
from sritool.evaluation.notes import notes_on
from sritool.evaluation.stages import Rows, Stages
from sritool.evaluation.unfinished import FinishedBatches
from sritool.inference.refinement import Refinement
from sritool.methods.base import Method
from sritool.runs.model import Report

__all__ = ["DEFAULT_METRICS", "NEEDS", "Measured", "Settings", "check_metrics", "measure"]

NEEDS = {
    "ppl": ("likelihood",),
    "nll": ("likelihood",),
    "posterior-kl": ("likelihood",),
    "mi": ("likelihood", "posterior codes"),
    "kl-aggregate": ("likelihood", "posterior codes"),
    "recon": ("draws",),
    "permuted": ("draws", "permuted"),
    "elbo": ("draws", "density"),
    "elbo-gain": ("draws", "density", "encoder"),
    "kl": ("density",),
    "kl-information": ("likelihood", "draws", "own codes"),
    "kl-contraction": ("likelihood", "draws", "own codes", "density"),
    "au": ("draws",),
    "au-naive": ("draws",),
}
"""Metric -> what it is computed from, in the order of a table."""

DEFAULT_METRICS = ("ppl", "nll", "recon", "posterior-kl", "au", "permuted")
KL_SENTENCES = 64  # `kl` takes K Hessians a sentence: without a limit of the user's own, this many
MI_SENTENCES = 500  # `mi` scores every code against every sentence


class Settings(NamedTuple):
    """How to measure."""

    metrics: Sequence[str]
    likelihood: LikelihoodConfig
    seed: int = 0
    chains: int = 2  # of z a sentence, even: the halves of `au`
    batch_size: int = 64
    kl_sentences: int = KL_SENTENCES
    estimator: str = estimators.DEFAULT  # of log p(x), by its name in `estimators`
    rungs: int = 200  # of annealing, for the estimator `ais`
    memory: int = estimators.MEMORY  # bytes that the work of one batch may take
    mi_sentences: int = MI_SENTENCES
    refinement: Refinement | None = None  # of an encoder's q(z|x); None: the method's own

    @property
    def plan(self) -> estimators.Plan:
        """How p(x) is estimated."""
        return estimators.Plan(self.estimator, self.likelihood, self.seed, self.rungs, self.memory)

    @property
    def needs(self) -> set[str]:
        """What the metrics are computed from."""
        return {need for name in self.metrics for need in NEEDS[name]}


class Measured(NamedTuple):
    """Estimates, and the rows a sentence that they were reduced from."""

    estimates: list[Estimate]
    rows: Rows  # column -> [sentences]
    notes: list[str]


def check_metrics(names: Sequence[str]) -> None:
    """Raises: UsageError for a metric that there is not."""
    for name in names:
        if name not in NEEDS:
            raise UsageError(f"no metric {name!r}{suggestion(name, NEEDS)}")


def origin_of(method: Method, settings: Settings) -> Origin:
    """What the figures of this method are made with."""
    if method.latent == 0:
        return Origin("exact", 0, "none: no z", 0, settings.seed)
    samples, chains = settings.likelihood.samples, max(settings.chains, 2)
    return Origin(settings.estimator, samples, method.posterior_name, chains, settings.seed)


def _possible(method: Method, settings: Settings) -> tuple[Settings, list[str]]:
    """The settings without metrics that this q(z|x) cannot give, and notes on those."""
    without: dict[str, list[str]] = {}
    for name in settings.metrics:
        if not method.has_density and "density" in NEEDS[name]:
            reason = f"the {method.posterior_name} of {method.name} gives codes without a density"
        elif "encoder" in NEEDS[name] and not isinstance(method, estimators.Encoding):
            reason = f"{method.name} has no encoder"
        elif "encoder" in NEEDS[name] and not (method.refinement and method.refinement.steps):
            reason = "q(z|x) is the encoder's own; `evaluate --refine-steps` refines it"
        else:
            continue
        without.setdefault(reason, []).append(name)
    left = {name for names in without.values() for name in names}
    kept = tuple(name for name in settings.metrics if name not in left)
    notes = [f"{', '.join(names)}: not measured, as {reason}" for reason, names in without.items()]
    return settings._replace(metrics=kept), notes


def measure(
    method: Method,
    split: Split,
    examples: NDArray[np.int64],
    settings: Settings,
    report: Report | None = None,
    finished: FinishedBatches | None = None,
) -> Measured:
    """Measure a method on these sentences of a split, without dropout, in float32.

    Args:   examples [n]: indices in the split, also the keys of the noise; finished: batches that were measured
            before, and where those of this call are written down.
    Raises: UsageError for an unknown metric, or an estimator or a refinement that the method cannot have;
            NumericalError if a chain explodes, or a sentence's figure is not finite.
    """
    check_metrics(settings.metrics)
    estimators.check_estimator(settings.estimator, method)
    if settings.refinement is not None:
        method = method.refined(settings.refinement)
    settings, left_out = _possible(method, settings)
    stages = Stages(method, split, examples, settings, report or (lambda *_: None), finished)
    rows = stages.run()
    origin = origin_of(method, settings)
    wanted = [name for name in NEEDS if name in settings.metrics]
    by_metric = {name: estimates_of(name, rows, origin) for name in wanted}
    found = [estimate for estimates in by_metric.values() for estimate in estimates]
    lacking = [name for name, estimates in by_metric.items() if not estimates]
    if lacking and len(examples) < 2:
        left_out.append(f"{', '.join(lacking)}: not measured, as one sentence is too few")
    notes = [*left_out, *notes_on(rows, found, origin, method)]
    flat = {name: values for name, values in rows.items() if values.ndim == 1}
    return Measured(found, flat, notes)
