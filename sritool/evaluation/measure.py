"""Measures a model over sentences, for validation and `evaluate`.

Each metric names its needs. Each need is a stage, computed once, batch by batch, into `SentenceFigures`, which
`estimates` reduces to estimates at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from sritool.data.sampling import Indices
from sritool.data.split import Split
from sritool.data.text_size import text_size
from sritool.data.tokenizer import Tokenizer
from sritool.evaluation import likelihood_estimators
from sritool.evaluation.estimates import Origin, estimates_of, sentence_terms
from sritool.evaluation.metric_table import METRICS, check_metrics
from sritool.evaluation.metrics import Array, Estimate
from sritool.evaluation.notes import Note, notes_on
from sritool.evaluation.record import FinishedBatches
from sritool.evaluation.sentence_figures import SentenceFigures
from sritool.evaluation.settings import EvaluationSettings
from sritool.evaluation.stages import Stages
from sritool.methods.base import Method
from sritool.methods.encoder_method import EncoderMethod
from sritool.runs.model import Report


class Measured(NamedTuple):
    """Estimates, the figures of sentences that they were computed from, and notes."""

    estimates: list[Estimate]
    figures: SentenceFigures
    notes: list[Note]
    origin: Origin

    @property
    def terms(self) -> dict[str, Array]:
        """Each sentence's terms of the estimates that have terms, by the estimate's name; [n] each."""
        found = {e.metric: sentence_terms(e.metric, self.figures) for e in self.estimates}
        return {name: terms for name, terms in found.items() if terms is not None}


def origin_of(method: Method, settings: EvaluationSettings) -> Origin:
    """Return what produces the figures of this method."""
    if method.latent == 0:
        return Origin("exact", 0, "none: no z", 0, settings.seed)
    return Origin(
        settings.estimator,
        settings.likelihood.samples,
        method.posterior_name,
        settings.chains,
        settings.seed,
    )


def _possible(method: Method, settings: EvaluationSettings) -> tuple[EvaluationSettings, list[Note]]:
    """The settings without the metrics that this q(z|x) cannot give, and notes on those."""
    without: dict[str, list[str]] = {}
    for name in settings.metrics:
        needs = METRICS[name].needs
        if not method.has_density and "density" in needs:
            reason = f"the {method.posterior_name} of {method.name} gives codes without a density"
        elif "encoder" in needs and not isinstance(method, EncoderMethod):
            reason = f"{method.name} has no encoder"
        elif "encoder" in needs and not (method.refinement and method.refinement.steps):
            reason = "q(z|x) is the encoder's own; `evaluate --refine-steps` refines it"
        else:
            continue
        without.setdefault(reason, []).append(name)
    left = {name for names in without.values() for name in names}
    kept = tuple(name for name in settings.metrics if name not in left)
    return replace(settings, metrics=kept), [_without(names, reason) for reason, names in without.items()]


def _without(names: Sequence[str], reason: str) -> Note:
    return Note(f"{', '.join(names)}: not measured, as {reason}", tuple(names))


def measure(
    method: Method,
    split: Split,
    examples: Indices,
    settings: EvaluationSettings,
    report: Report | None = None,
    finished: FinishedBatches | None = None,
    tokenizer: Tokenizer | None = None,
) -> Measured:
    """Measure a method on these sentences of a split, without dropout, in float32.

    Args:
        method: The method.
        split: Sentences as ids.
        examples: Indices in the split, which also key the noise. Shape [n].
        settings: Metrics and how to measure them.
        report: Progress callback.
        finished: Batches measured earlier; the batches of this call are recorded there.
        tokenizer: What made the ids; without it, bits per character and byte are not measured.

    Raises:
        UsageError: An unknown metric, or an estimator or refinement that does not fit the method.
        NumericalError: A chain explodes, or a sentence's figure is not finite.
    """
    check_metrics(settings.metrics)
    likelihood_estimators.check_estimator(settings.estimator, method)
    if settings.refinement is not None:
        method = method.refined(settings.refinement)
    settings, left_out = _possible(method, settings)
    figures = Stages(method, split, examples, settings, report or (lambda *_: None), finished).run()
    if tokenizer is not None and "likelihood" in settings.needs:
        figures.size = text_size(tokenizer, split, examples)
    origin = origin_of(method, settings)
    wanted = [name for name in METRICS if name in settings.metrics]
    by_metric = {name: estimates_of(name, figures, origin) for name in wanted}
    found = [estimate for estimates in by_metric.values() for estimate in estimates]
    lacking = [name for name, estimates in by_metric.items() if not estimates]
    if lacking:
        few = "one sentence is" if len(examples) == 1 else f"{len(examples)} sentences are"
        left_out.append(_without(lacking, f"{few} too few"))
    notes = [*left_out, *notes_on(figures, found, origin, method)]
    return Measured(found, figures, notes, origin)
