"""The bidirectional check: is `adaptive` right on sentences whose log p(x) is known from both sides?

Sentences simulated from the model come with an exact draw of their posterior: the z that they were made from. So
annealed importance sampling bounds their log-likelihood from below and, run in reverse from that z, from above.

Source: Grosse, Ghahramani and Adams 2015, "Sandwiching the marginal likelihood using bidirectional Monte Carlo".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sritool.data.batches import collate, evaluation_batches
from sritool.data.sampling import Indices
from sritool.data.split import Split
from sritool.data.tokenizer import EOS, offsets_of
from sritool.evaluation.batches import measured_batches
from sritool.evaluation.likelihood_estimators import weighted_draws
from sritool.evaluation.metrics import Array, Estimate, mean_estimate
from sritool.evaluation.paired import ERRORS
from sritool.evaluation.settings import EvaluationSettings
from sritool.likelihood.ais import anneal, anneal_reverse, ladder
from sritool.likelihood.importance import likelihood_figures
from sritool.model.conditional import Conditional
from sritool.model.decoding import DecodingConfig, decode
from sritool.model.random import Stream
from sritool.runs.model import Report, TrainedModel

_ROWS = 512  # chains that are annealed at a time
_BATCH = 8  # sentences at a time, so that progress moves
_UNIT = "nats/sentence"


@dataclass(frozen=True)
class Certificate:
    """Mean log p(x) of simulated sentences between bounds from both sides; every figure in nats per sentence.

    Differences are paired: their standard errors are those of the difference itself, over sentences.
    """

    sentences: int
    rungs: int
    chains: int
    lower: Estimate  # mean log p̂(x) by forward annealing: at most the truth, in expectation
    adaptive: Estimate  # by `adaptive`, at most the truth as well
    upper: Estimate  # by reverse annealing: at least the truth
    width: Estimate  # upper − lower
    above_lower: Estimate  # adaptive − lower
    below_upper: Estimate  # upper − adaptive: the largest error of `adaptive`
    verdict: str  # one line: whether both differences are at least −2 standard errors
    rows: dict[str, Array]  # of each sentence, by name: lower, adaptive, upper  [sentences]


class Simulated(NamedTuple):
    """Sentences of the model, with the codes that they were made from: exact draws of their posteriors."""

    split: Split
    codes: Tensor  # [sentences, latent]


def certify(
    model: TrainedModel, count: int, chains: int, settings: EvaluationSettings, report: Report
) -> Certificate:
    """Bracket log p(x) of `count` sentences simulated from the model, and say whether `adaptive` lies inside.

    Each sentence has `chains` independent chains of annealing, each way; more `rungs` narrow the bracket.

    Raises: UsageError if the model has no z: its likelihood is exact.
    """
    model.require_latent("certify")
    simulated = simulate(model, count, settings.seed)
    size = max(1, min(settings.batch_size, _BATCH, _ROWS // chains))

    def work(part: Indices) -> dict[str, Tensor]:
        conditional = model.method.conditional(collate(simulated.split, part).to(model.device))
        return _bracket(model, conditional, simulated.codes[part].to(model.device), settings, chains)

    batches = evaluation_batches(simulated.split.lengths, size)
    return _certificate(measured_batches("annealing", batches, work, report), settings, chains)


def simulate(model: TrainedModel, count: int, seed: int) -> Simulated:
    """Draw sentences from the model: codes from the prior, then words.

    A sentence is cut, without </s>, at the corpus's `max_length`. Its p(x|z) is then that of its words alone, so the
    code is still an exact draw of its posterior.
    """
    longest = model.checkpoint.corpus.max_length
    like = model.generator.output_bias
    codes = Stream(seed, "simulated codes").normal(torch.arange(count), model.latent, dtype=like.dtype)
    codes = codes.to(model.device)
    config = DecodingConfig(greedy=False, max_length=longest)
    words = decode(model.generator, codes, config, Stream(seed, "simulated words"))
    targets = [row if len(row) == longest else [*row, EOS] for row in words]
    offsets = offsets_of([len(row) for row in targets])
    flat = np.array([token for row in targets for token in row], dtype=np.int32)
    return Simulated(Split(flat, offsets, None), codes)


def _bracket(
    model: TrainedModel, conditional: Conditional, codes: Tensor, settings: EvaluationSettings, chains: int
) -> dict[str, Tensor]:
    examples, seed = conditional.batch.examples, settings.seed
    starts = model.method.posterior(conditional, seed, max(2, settings.likelihood.modes))
    adaptive = likelihood_figures(weighted_draws(model.method, conditional, starts, settings))
    steps = ladder(conditional, examples, model.latent, codes.dtype, settings.rungs, seed)
    lower = anneal(conditional, steps, examples, chains, seed)
    upper = anneal_reverse(conditional, steps, codes, examples, chains, seed)
    return {
        "lower": lower.log_likelihood,
        "adaptive": adaptive.log_likelihood,
        "upper": upper.log_likelihood,
    }


def _certificate(rows: dict[str, Array], settings: EvaluationSettings, chains: int) -> Certificate:
    lower, adaptive, upper = rows["lower"], rows["adaptive"], rows["upper"]
    draws = settings.likelihood.samples
    above = mean_estimate("adaptive − lower", adaptive - lower, _UNIT, draws, "adaptive, ais")
    below = mean_estimate("upper − adaptive", upper - adaptive, _UNIT, draws, "reverse ais, adaptive")
    return Certificate(
        sentences=len(lower),
        rungs=settings.rungs,
        chains=chains,
        lower=mean_estimate("log p(x), lower", lower, _UNIT, chains, "ais"),
        adaptive=mean_estimate("log p(x), adaptive", adaptive, _UNIT, draws, "adaptive"),
        upper=mean_estimate("log p(x), upper", upper, _UNIT, chains, "reverse ais"),
        width=mean_estimate("upper − lower", upper - lower, _UNIT, chains, "reverse ais, ais"),
        above_lower=above,
        below_upper=below,
        verdict=_verdict(above, below),
        rows=rows,
    )


def _verdict(above: Estimate, below: Estimate) -> str:
    high_enough, low_enough = (one.value >= -ERRORS * one.standard_error for one in (above, below))
    if not high_enough:
        far = f"{-above.value:.3f} ± {above.standard_error:.3f} nats a sentence below annealing"
        return f"adaptive lies {far}, which is itself a lower bound: raise --samples"
    if not low_enough:
        return (
            f"adaptive lies {-below.value:.3f} ± {below.standard_error:.3f} nats a sentence above reverse annealing, "
            "an upper bound: do not trust it, and report this"
        )
    most = f"{max(0.0, below.value):.3f} ± {below.standard_error:.3f}"
    return f"adaptive lies inside the bracket; it is at most {most} nats a sentence too low"
