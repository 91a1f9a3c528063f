"""Notes below a table of figures: broken bounds, weights that cannot be trusted, and other caveats."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from sritool.evaluation.estimates import Origin
from sritool.evaluation.metric_table import ON_WEIGHTS
from sritool.evaluation.metrics import EVEN, HEAVY_TAIL, Estimate, mean_and_error
from sritool.evaluation.sentence_figures import SentenceFigures, is_measured
from sritool.inference.langevin import evaluated
from sritool.likelihood.chain_likelihood import kl_on_the_prior
from sritool.methods.base import Method

_SMALL_CORRECTION, _LARGE_CORRECTION = 0.01, 0.05  # nats
_STILL_MOVING = 0.5  # nats between M/2 and M
# Stricter limits for a chain's figure: effective sample size over M, and nats between M/2 and M.
_EVEN_CHAINS, _AT_REST = 0.5, 0.05


class Note(NamedTuple):
    """A line below a table."""

    text: str
    metrics: tuple[str, ...]  # the metrics it is about


def notes_on(
    figures: SentenceFigures, estimates: Sequence[Estimate], origin: Origin, method: Method
) -> list[Note]:
    """Return the notes, one line each, the most general last."""
    metrics = {estimate.metric for estimate in estimates}
    notes = list(_of_few(figures, estimates))
    notes += _of_text(figures, metrics)
    notes += _of_information(figures, metrics)
    notes += _of_kl(figures, metrics, method)
    notes += _broken_bound(figures)
    notes += _of_correction(figures, metrics)
    notes += _of_chains_rate(figures, metrics, origin)
    notes += [Note(text, ON_WEIGHTS) for text in _of_weights(figures, origin)]
    return notes


def _of_few(figures: SentenceFigures, estimates: Sequence[Estimate]) -> Iterator[Note]:
    """Figures that are undefined or overflow, and why."""
    alone = tuple(e.metric for e in estimates if e.sentences < 2 and math.isnan(e.standard_error))
    if alone:
        yield Note("the standard error of one sentence is undefined", alone)
    for estimate in estimates:
        if math.isinf(estimate.value) and "signed" not in estimate.metric:
            rate = -figures.log_likelihood.sum() / figures.predictions.sum()
            beyond = f"{estimate.metric} is beyond the largest number, 1e308, at {rate:.4g} nats a token: compare nll"
            yield Note(beyond, ("ppl",))


def _of_text(figures: SentenceFigures, metrics: set[str]) -> Iterator[Note]:
    if figures.size is None:
        return
    if metrics & {"bpc", "bpb"} and figures.size.unknown:
        yield Note(
            f"bpc, bpb: {figures.size.unknown:,} tokens are <unk>, whose text is not predicted: the figures "
            "are comparable only between models with the same unknown words",
            ("bpc", "bpb"),
        )
    if "ppl" in metrics and not figures.size.separated:
        yield Note("ppl-word is left out, as no spaces separate the words: compare bpc and bpb", ("ppl",))


def _of_information(figures: SentenceFigures, metrics: set[str]) -> Iterator[Note]:
    for name, terms in (("mi", figures.mi), ("kl-information", figures.kl_information)):
        if name in metrics and terms.any():
            count = int((~np.isnan(terms)).sum())
            yield Note(f"{name} is at most log {count} = {math.log(count):.2f} nats", (name,))
    if metrics & {"mi-upper", "kl-aggregate"} and figures.kl_aggregate.any():
        fitted = "that of a Gaussian fitted to codes of other sentences; the true value is not lower"
        yield Note(f"kl-aggregate is {fitted}", ("mi-upper", "kl-aggregate"))


def _of_correction(figures: SentenceFigures, metrics: set[str]) -> Iterator[Note]:
    if "posterior-kl" not in metrics or not is_measured(figures.effective_sample_size):
        return
    added = float(figures.posterior_kl_correction.mean())
    if abs(added) < _SMALL_CORRECTION:
        return
    advice = "; more --samples make the correction smaller" if abs(added) > _LARGE_CORRECTION else ""
    yield Note(f"posterior-kl: corrected by {added:+.3f} nats for uneven weights{advice}", ("posterior-kl",))


def _of_kl(figures: SentenceFigures, metrics: set[str], method: Method) -> Iterator[Note]:
    concerned = ("kl", "elbo", "kl-contraction")
    if not metrics & set(concerned) or not is_measured(figures.folded):
        return
    folded = float(np.nanmean(figures.folded))
    if folded > 0:
        share = f"kl: {100 * folded:.1f} % of the steps fold, so it may lie on either side of the truth"
        yield Note(share, concerned)
    if method.has_chain:
        alone = kl_on_the_prior(evaluated(method.config.sampler, method.root), method.latent)
        size = f"{alone:.1f}" if math.isfinite(alone) else "infinitely many"
        same = f"kl: the same chain on a model that ignores z has {size} nats, none of them about x"
        yield Note(same, concerned)


def _broken_bound(figures: SentenceFigures) -> Iterator[Note]:
    """NLL ≤ recon + KL(q ‖ prior) for any q: if a table breaks this bound, a figure in it is wrong."""
    slack = figures.recon + figures.kl + figures.log_likelihood
    slack = slack[~np.isnan(slack)]
    if not len(slack):
        return
    mean, error = mean_and_error(slack)
    if mean < -2 * error:  # never for one sentence, whose error is NaN
        broken = (
            f"nll lies {-mean:.2f} ± {error:.2f} nats above recon + kl, an upper bound: "
            "raise --samples, and do not trust kl where steps fold"
        )
        yield Note(broken, ("nll", "kl", "elbo"))


def _of_chains_rate(figures: SentenceFigures, metrics: set[str], origin: Origin) -> Iterator[Note]:
    concerned = ("posterior-kl", "mi-upper")
    if metrics.isdisjoint(concerned) or not is_measured(figures.folded_share):
        return
    if _are_uneven(figures, origin) or figures.folded_share.any():
        yield Note(
            "posterior-kl subtracts log p̂(x), so whatever makes the nll too high or too low does the same to it: "
            "take it from --estimator adaptive",
            concerned,
        )


def _nll_of_half_and_all(figures: SentenceFigures) -> tuple[float, float]:
    half, whole = -figures.log_likelihood_curve[:, -2:].mean(0)
    return float(half), float(whole)


def _are_uneven(figures: SentenceFigures, origin: Origin) -> bool:
    """Whether few draws carry the weight, or the nll still moves; stricter for chains."""
    half, whole = _nll_of_half_and_all(figures)
    chains = is_measured(figures.folded_share)
    even, moving = (_EVEN_CHAINS, _AT_REST) if chains else (EVEN, _STILL_MOVING)
    size, tail = figures.effective_sample_size.mean(), figures.pareto_k.mean()
    return bool(size < even * origin.samples or tail > HEAVY_TAIL or half - whole > moving)


def _of_weights(figures: SentenceFigures, origin: Origin) -> Iterator[str]:
    sizes = figures.effective_sample_size
    if not is_measured(sizes):
        return
    half, whole = _nll_of_half_and_all(figures)
    tail = float(figures.pareto_k.mean())
    yield (
        f"{origin.estimator}: effective sample size {_count(sizes.mean())} of {origin.samples}, worst decile "
        f"{_count(np.quantile(sizes, 0.1))}{'' if math.isnan(tail) else f', k̂ {tail:.2f}'}; "
        f"nll from half the draws {half:.3f} against {whole:.3f}"
    )
    uneven = _are_uneven(figures, origin)
    if is_measured(figures.folded_share):
        yield _of_chains(figures, uneven)
        lost = int(np.isinf(figures.log_likelihood_signed).sum())
        if lost:
            yield f"the signed weights of {lost} of {len(sizes)} sentences sum to 0 or less: more chains are needed"
    elif uneven:
        yield "few draws carry the weight, so the ppl is too high by more than its change from M/2 to M shows"


def _of_chains(figures: SentenceFigures, uneven: bool) -> str:
    """What effective size, folds and signs mean for the perplexity in the table."""
    folded, ratio = float(figures.folded_share.mean()), float(figures.sign_ratio.mean())
    shown = f"sri: {100 * folded:.1f} % of the steps fold, signed to absolute weights {ratio:.2f}: "
    if folded == 0 and not uneven:
        return shown + "the weights are even and nothing folds, so the ppl can be believed"
    if folded == 0:
        return shown + "few chains carry the weight, so the ppl is too high by an unknown amount"
    if not uneven:
        return shown + "the ppl may be too low, as |det| of one branch is not the density; compare ppl-signed"
    both = "few chains carry the weight, which makes the ppl too high, and folds may make it too low"
    return f"{shown}{both}: it bounds nothing"


def _count(size: float) -> str:
    return f"{size:.0f}" if size >= 10 else f"{size:.1f}"
