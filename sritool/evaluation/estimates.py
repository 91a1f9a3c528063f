"""From figures of sentences to the estimates of a table."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sritool.evaluation.metrics import (
    Estimate,
    Reliability,
    active_unit_estimate,
    bits_per,
    mean_estimate,
    perplexity,
)
from sritool.evaluation.sentence_figures import SentenceFigures, is_measured
from sritool.evaluation.settings import NEEDS
from sritool.likelihood.importance import CURVE, first_draws

Array = NDArray[np.float64]

NATS = "nats/sentence"

UNITS: dict[str, str] = {}
"""Metric of `TERMS` -> its unit, where that is not nats a sentence."""

TERMS: dict[str, Callable[[SentenceFigures], Array]] = {
    "mi": lambda of: of.mi,
    "mi-upper": lambda of: of.posterior_kl - of.kl_aggregate,
    "kl-aggregate": lambda of: of.kl_aggregate,
    "recon": lambda of: of.recon,
    "permuted": lambda of: of.recon_permuted - of.recon,
    "elbo": lambda of: -of.recon - of.kl,
    "elbo-gain": lambda of: of.encoder_recon + of.encoder_kl - of.recon - of.kl,
    "kl": lambda of: of.kl,
    "kl-information": lambda of: of.kl_information,
    "kl-contraction": lambda of: of.kl - of.kl_information,
}
"""Metric that is a mean over sentences -> each sentence's term of it."""

WEIGHTED = tuple(name for name, needs in NEEDS.items() if "likelihood" in needs and "own codes" not in needs)
"""Metrics that are estimated by importance weights. Those of the method's own codes only subtract such a figure."""

_NEAR_CEILING = 1.0  # nats below log N within which a mutual information is called a bound


class Origin(NamedTuple):
    """What the figures of a table were made with."""

    estimator: str  # of log p(x); "exact" without z
    samples: int  # M; 0 where it is exact
    sampler: str  # what the method's q(z|x) is called
    chains: int  # draws of it a sentence; 0 without z
    seed: int


def estimates_of(metric: str, figures: SentenceFigures, origin: Origin) -> list[Estimate]:
    """The estimates of one metric; none where it could not be measured."""
    if metric in ("bpc", "bpb") and figures.size is None:
        return []
    if metric in ("ppl", "nll", "bpc", "bpb"):
        return _likelihood(metric, figures, origin)
    if metric == "posterior-kl":
        curve = figures.posterior_kl_curve
        return [_with_curve(lambda values: _mean(metric, values, origin), curve, figures)]
    if "means" in NEEDS[metric]:
        return _active_units(metric, figures, origin)
    values = TERMS[metric](figures)
    known = values[~np.isnan(values)]
    if not len(known):
        return []
    found = mean_estimate(metric, known, UNITS.get(metric, NATS), *_made_with(metric, origin))
    return [found._replace(bound=_bound(metric, figures))]


def _made_with(metric: str, origin: Origin) -> tuple[int, str]:
    """Return how many draws of z a sentence a mean over sentences rests on, and what drew them."""
    needs = set(NEEDS[metric])
    if metric in WEIGHTED:
        return origin.samples, origin.estimator
    if not needs:
        return 0, "exact"
    return origin.chains if needs <= {"draws", "permuted"} else min(1, origin.chains), origin.sampler


def _bound(metric: str, figures: SentenceFigures) -> str:
    """On which side of a figure the truth may lie far away; "" where it does not."""
    if metric in ("mi-upper", "kl-aggregate"):
        sides = {"mi-upper": "≤", "kl-aggregate": "≥"}
        return sides[metric] if figures.kl_aggregate.any() else ""
    if metric == "mi":
        return "≥" if _is_full(figures.mi) else ""
    if "own codes" in NEEDS[metric] and _is_full(figures.kl_information):
        return "≥" if metric == "kl-information" else "≤"
    return ""


def _is_full(terms: Array) -> bool:
    """Whether a mutual information is so near to log N, its largest value, that it may be far larger."""
    known = terms[~np.isnan(terms)]
    # Without z all terms are 0, and that is exact.
    return bool(known.any() and known.mean() > math.log(len(known)) - _NEAR_CEILING)


def likelihood_curve(figures: SentenceFigures, origin: Origin) -> list[tuple[Estimate, Estimate]]:
    """PPL and NLL from the first M/8, M/4, M/2 and all M draws."""
    found = {}
    for part, values in zip(CURVE, figures.log_likelihood_curve.T, strict=True):
        part_origin = origin._replace(samples=origin.samples and first_draws(origin.samples, part))
        pair = _perplexity("ppl", values, figures, part_origin), _mean("nll", -values, part_origin)
        found[part_origin.samples] = pair
    return list(found.values())


def _mean(metric: str, values: Array, origin: Origin) -> Estimate:
    return mean_estimate(metric, values, NATS, origin.samples, origin.estimator)


def _perplexity(metric: str, log_likelihood: Array, figures: SentenceFigures, origin: Origin) -> Estimate:
    unit, counted = "per token", figures.predictions
    if "word" in metric:
        unit, counted = "per original word", figures.words
    return perplexity(metric, log_likelihood, counted, unit, origin.samples, origin.estimator)


def _likelihood(metric: str, figures: SentenceFigures, origin: Origin) -> list[Estimate]:
    """A metric of log p(x): `ppl` per original word too, and each by signed weights, where there are any."""

    def estimate(name: str, log_likelihood: Array) -> Estimate:
        if metric == "nll":
            return _mean(name, -log_likelihood, origin)
        if figures.size is not None and metric in ("bpc", "bpb"):
            unit = "character" if metric == "bpc" else "byte"
            counts = figures.size.characters if metric == "bpc" else figures.size.bytes
            return bits_per(name, log_likelihood, counts, f"bits/{unit}", origin.samples, origin.estimator)
        return _perplexity(name, log_likelihood, figures, origin)

    names = [metric]
    separated = figures.size is None or figures.size.separated
    if metric == "ppl" and separated and not np.array_equal(figures.words, figures.predictions):
        names.append("ppl-word")
    curve = figures.log_likelihood_curve
    found = [_with_curve(partial(estimate, name), curve, figures) for name in names]
    if is_measured(figures.log_likelihood_signed):
        found.append(estimate(f"{metric}-signed", figures.log_likelihood_signed))
    return found


def _with_curve(estimate: Callable[[Array], Estimate], values: Array, figures: SentenceFigures) -> Estimate:
    """The estimate from all draws, with how it came there and what the weights are like; values [n, 4]."""
    whole = estimate(values[:, -1])
    sizes, tails = figures.effective_sample_size, figures.pareto_k
    if not is_measured(sizes):
        return whole
    curve = tuple(
        (first_draws(whole.draws, part), estimate(column).value)
        for part, column in zip(CURVE, values.T, strict=True)
    )
    reliability = Reliability(
        float(sizes.mean()),
        float(np.quantile(sizes, 0.1)),
        float(tails.mean()),
        float(np.quantile(tails, 0.9)),
        curve,
    )
    return whole._replace(reliability=reliability)


def _active_units(metric: str, figures: SentenceFigures, origin: Origin) -> list[Estimate]:
    if origin.chains == 0:
        return [Estimate(metric, 0.0, 0.0, "dimensions", len(figures.predictions), 0, origin.sampler)]
    if len(figures.draws) < 2:  # of one sentence nothing varies
        return []
    if is_measured(figures.mean_code):
        return [active_unit_estimate(metric, figures.mean_code, None, 0, origin.sampler, origin.seed)]
    if metric == "au-naive":
        means = figures.draws.mean(1)
        return [active_unit_estimate(metric, means, None, origin.chains, origin.sampler, origin.seed)]
    first, second = np.moveaxis(figures.half_means, 1, 0)
    return [active_unit_estimate(metric, first, second, figures.unit_chains, origin.sampler, origin.seed)]
