"""From rows of sentences to the estimates of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sritool.evaluation.metrics import (
    Estimate,
    Reliability,
    active_unit_estimates,
    mean_estimate,
    perplexity,
)
from sritool.likelihood.importance import CURVE, first_draws

Array = NDArray[np.float64]
Rows = Mapping[str, Array]
"""Column -> [sentences, …], NaN where a sentence was left out."""

NATS = "nats/sentence"
ENDINGS = ("_eighth", "_quarter", "_half", "")  # of columns, by the part of the draws that they are from

TERMS: dict[str, tuple[tuple[str, ...], Callable[..., Array]]] = {
    "mi": (("mi",), lambda mi: mi),
    "kl-aggregate": (("posterior_kl", "mi"), lambda rate, mi: rate - mi),
    "recon": (("recon",), lambda recon: recon),
    "permuted": (("recon_permuted", "recon"), lambda permuted, recon: permuted - recon),
    "elbo": (("recon", "kl"), lambda recon, kl: -recon - kl),
    "elbo-gain": (
        ("recon", "kl", "encoder_recon", "encoder_kl"),
        lambda recon, kl, own_recon, own_kl: own_recon + own_kl - recon - kl,
    ),
    "kl": (("kl",), lambda kl: kl),
    "kl-information": (("kl_information",), lambda information: information),
    "kl-contraction": (("kl", "kl_information"), lambda kl, information: kl - information),
}
"""Metric that is a mean over sentences -> its columns, and each sentence's term from them."""

WEIGHTED = ("ppl", "nll", "posterior-kl", "mi", "kl-aggregate")
"""Metrics that rest on importance weights."""


class Origin(NamedTuple):
    """What the figures of a table were made with."""

    estimator: str  # of log p(x); "exact" without z
    samples: int  # M; 0 where it is exact
    sampler: str  # what the method's q(z|x) is called
    chains: int  # draws of it a sentence; 0 without z
    seed: int


def estimates_of(metric: str, rows: Rows, origin: Origin) -> list[Estimate]:
    """The figures of one metric; none where it could not be measured."""
    if metric in ("ppl", "nll"):
        return _likelihood(metric, rows, origin)
    if metric == "posterior-kl":
        return [_with_curve(lambda ending: _mean(metric, rows["posterior_kl" + ending], origin), rows)]
    if metric.startswith("au"):
        return _active_units(metric, rows, origin)
    columns, term = TERMS[metric]
    if not rows.keys() >= set(columns):
        return []
    values = term(*(rows[column] for column in columns))
    kept = values[~np.isnan(values)]
    if metric in WEIGHTED:
        return [_mean(metric, kept, origin)]
    draws = min(1, origin.chains) if "kl" in metric or metric == "elbo" else origin.chains
    return [mean_estimate(metric, kept, NATS, draws, origin.sampler)]


def likelihood_curve(rows: Rows, origin: Origin) -> list[tuple[Estimate, Estimate]]:
    """PPL and NLL from the first M/8, M/4, M/2 and all M draws."""
    found = {}
    for ending, part in zip(ENDINGS, CURVE, strict=True):
        part_origin = origin._replace(samples=origin.samples and first_draws(origin.samples, part))
        value = rows["log_likelihood" + ending]
        pair = _perplexity("ppl", value, rows, part_origin), _mean("nll", -value, part_origin)
        found[part_origin.samples] = pair
    return list(found.values())


def _mean(metric: str, values: Array, origin: Origin) -> Estimate:
    return mean_estimate(metric, values, NATS, origin.samples, origin.estimator)


def _perplexity(metric: str, value: Array, rows: Rows, origin: Origin) -> Estimate:
    unit, counted = ("per original word", "words") if "word" in metric else ("per token", "predictions")
    return perplexity(metric, value, rows[counted], unit, origin.samples, origin.estimator)


def _likelihood(metric: str, rows: Rows, origin: Origin) -> list[Estimate]:
    """`ppl` or `nll`; per original word too where a token is less, and by signed weights where there are any."""

    def figure(name: str, column: str) -> Estimate:
        if metric == "nll":
            return _mean(name, -rows[column], origin)
        return _perplexity(name, rows[column], rows, origin)

    names = [metric]
    if metric == "ppl" and not np.array_equal(rows["words"], rows["predictions"]):
        names.append("ppl-word")
    found = [_with_curve(lambda end, n=name: figure(n, "log_likelihood" + end), rows) for name in names]  # type: ignore[misc]
    if "log_likelihood_signed" in rows:
        found.append(figure(f"{metric}-signed", "log_likelihood_signed"))
    return found


def _with_curve(figure: Callable[[str], Estimate], rows: Rows) -> Estimate:
    """The figure from all draws, with how it came there and what the weights are like."""
    whole = figure("")
    sizes, tails = rows.get("effective_sample_size"), rows.get("pareto_k")
    if sizes is None or tails is None:
        return whole
    curve = tuple(
        (first_draws(whole.draws, part), figure(ending).value if ending else whole.value)
        for ending, part in zip(ENDINGS, CURVE, strict=True)
    )
    reliability = Reliability(
        float(sizes.mean()),
        float(np.quantile(sizes, 0.1)),
        float(tails.mean()),
        float(np.quantile(tails, 0.9)),
        curve,
    )
    return whole._replace(reliability=reliability)


def _active_units(metric: str, rows: Rows, origin: Origin) -> list[Estimate]:
    if origin.chains == 0:
        return [Estimate(metric, 0.0, 0.0, "dimensions", len(rows["predictions"]), 0, origin.sampler)]
    if len(rows["draws"]) < 2:  # of one sentence nothing varies
        return []
    both = active_unit_estimates(np.moveaxis(rows["draws"], 1, 0), origin.sampler, origin.seed)
    return [estimate for estimate in both if estimate.metric == metric]
