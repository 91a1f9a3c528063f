"""Validation: what it measures, how much of it a run can afford, and whether the generator ignores z.

Every run and every method is measured on the same sentences with the same noise. The numbers of sentences and draws,
and how often there is a validation, follow from a share of the work of training. The unit of work is one forward pass
of p(x|z): one sentence, one z, the whole vocabulary. Because work is counted instead of time, the same command
validates in the same way on every machine, and so chooses the same epoch for best.pt. A method with more expensive
training is still measured like a plain VAE, so that methods are compared by one rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch

from sritool.config.settings import LikelihoodConfig, RunConfig
from sritool.data.sampling import seeded_choice
from sritool.data.split import Split
from sritool.data.tokenizer import Tokenizer
from sritool.evaluation.collapse import ignores_z
from sritool.evaluation.measure import measure
from sritool.evaluation.metric_table import needs_of
from sritool.evaluation.metrics import Estimate
from sritool.evaluation.settings import EvaluationSettings
from sritool.likelihood.adaptation import draws_of_round
from sritool.methods.base import GRADIENT, Method, Work
from sritool.methods.encoder_method import AMORTISED
from sritool.model.decoding import DecodingConfig, decode
from sritool.model.random import Stream
from sritool.runs.model import Report

PRETRAINING = ("recon", "permuted", "au")  # figures of an autoencoder
SEED = 0  # of the noise
LONGEST_SAMPLE = 60  # tokens
COLLAPSE_AFTER = 3  # epochs; no warning of a collapse before
FEWEST = 64  # sentences of a validation; with fewer, differences between epochs are chance
_SINGLE = 1.3  # passes that one pass costs in a batch with only a draw or two per sentence
_CHAINS = 2  # draws of q(z|x) per sentence, for the reconstruction
# Upper bounds on draws, pilots and rounds, cheaper than the settings. After a single round the proposal is nearly a
# guess, and the NLL is too high, by more where z holds more nats (results/validation.md).
_CHEAPER = ((40, 48, 2), (20, 16, 2))
# Work other than matrix products of the generator, as multiply-adds that take as long; timed on one thread.
_BESIDE_PASS = 3.5e6  # gates and softmax of one pass
_DRAWING = 3.5e6  # one draw of the proposal and its density
_MATCHING = 2e8  # matching the proposal of one sentence to the pilots of one round
_MARGIN = 1.25  # on the cost of measuring, as these figures are rough


def chosen_by(method: Method) -> str:
    """Return the figure that decides on the best model: lower is better, except for "elbo"."""
    if method.pretraining:
        return "recon"
    by_bound = method.config.training.select == "elbo" and method.closed_form_kl
    return "elbo" if by_bound and method.chosen_by == "nll" else method.chosen_by


def loss_of(method: Method, figures: Mapping[str, float]) -> float:
    """Return the figure that decides on the best model, signed so that lower is better; NaN if not measured."""
    name = chosen_by(method)
    value = figures.get(name)
    if not isinstance(value, int | float):  # a checkpoint may hold anything here
        return math.nan
    return value * (-1.0 if name == "elbo" else 1.0)


def metrics_of(method: Method) -> tuple[str, ...]:
    """Return the metrics that a validation measures."""
    if method.pretraining:
        return PRETRAINING
    return tuple(dict.fromkeys((*method.validated, chosen_by(method))))


def validate(
    method: Method, split: Split, sentences: int, likelihood: LikelihoodConfig, report: Report
) -> list[Estimate]:
    """Measure the method on a seeded choice of the split's sentences, in float32 and without dropout."""
    chosen = seeded_choice(len(split), sentences)
    settings = EvaluationSettings(
        metrics_of(method), likelihood=likelihood, chains=_CHAINS, unit_chains=_CHAINS, seed=SEED
    )
    return measure(method, split, chosen, settings, report).estimates


def sample_of(method: Method, tokenizer: Tokenizer) -> str:
    """Return a sentence decoded greedily from one code of the prior; drawn word by word if there is no z."""
    device = method.generator.output_bias.device
    z = Stream(SEED, "prior").normal(torch.arange(1), method.latent).to(device)
    config = DecodingConfig(greedy=method.latent > 0, max_length=LONGEST_SAMPLE)
    return tokenizer.decode(decode(method.generator, z, config, Stream(SEED, "decode"))[0])


def collapse(estimates: Sequence[Estimate], epochs_done: int) -> str | None:
    """Return a warning if, after `COLLAPSE_AFTER` epochs, another sentence's z is as good as a sentence's own."""
    if epochs_done < COLLAPSE_AFTER or not ignores_z(estimates):
        return None
    permuted = next(estimate for estimate in estimates if estimate.metric == "permuted")
    return (
        f"posterior collapse: another sentence's z costs only {permuted.value:z.2f} ± "
        f"{permuted.standard_error:.2f} nats; the generator ignores z so far; "
        "after a short training more --epochs may change that"
    )


class Level(NamedTuple):
    """The size of a validation, and how often there is one."""

    sentences: int
    likelihood: LikelihoodConfig
    every: int = 1  # epochs

    def is_due(self, done: int, planned: int) -> bool:
        """Return whether there is a validation after `done` of `planned` epochs.

        They are counted back from the last planned epoch; the first comes after `every` epochs at the earliest.
        """
        return done >= min(self.every, planned) and (planned - done) % self.every == 0

    def to_come(self, done: int, planned: int) -> int:
        """Return how many validations are still to come after `done` of `planned` epochs."""
        first = max(done + 1, min(self.every, planned))
        return max(0, (planned - first) // self.every + 1)


def level_of(method: Method, config: RunConfig, train: Split, valid: Split) -> Level:
    """Return the level of a run's validations: at most the settings, within `validation.share` of its training.

    It is also at most what a plain VAE could afford.
    """
    settings = config.validation
    most = min(settings.sentences, len(valid))
    if settings.share == 0:
        return Level(most, settings.likelihood)
    longer = float(valid.lengths.mean()) / float(train.lengths.mean())
    metrics, length = metrics_of(method), float(train.lengths.mean())

    def cost(likelihood: LikelihoodConfig) -> float:
        """Cost of one sentence, as the number of training sentences whose updates take as long."""
        return longer * max(
            passes_of(method, metrics, likelihood, length, work) / work.training
            for work in (method.work(), AMORTISED)
        )

    budget = settings.share * len(train)
    found = affordable(budget, cost, most, settings.likelihood)
    return found._replace(every=max(1, math.ceil(found.sentences * cost(found.likelihood) / budget)))


def affordable(
    budget: float, cost: Callable[[LikelihoodConfig], float], most: int, likelihood: LikelihoodConfig
) -> Level:
    """Return the best measurement within a budget: first with fewer draws and pilots, then with fewer sentences.

    Args:
        budget: Work that a validation may take.
        cost: Gives the work of one sentence with these settings, in the unit of the budget.
        most: Sentences at most.
        likelihood: The settings, which are the most expensive choice.
    """
    for candidate in from_dear_to_cheap(likelihood):
        if most * cost(candidate) <= budget:
            return Level(most, candidate)
    fitting = int(budget / cost(candidate))
    return Level(min(most, max(FEWEST, fitting)), candidate)


def from_dear_to_cheap(likelihood: LikelihoodConfig) -> list[LikelihoodConfig]:
    """Return the settings themselves, followed by cheaper ones down to the cheapest."""
    capped = [
        replace(
            likelihood,
            samples=min(likelihood.samples, samples),
            pilots=min(likelihood.pilots, pilots),
            rounds=min(likelihood.rounds, rounds),
        )
        for samples, pilots, rounds in _CHEAPER
    ]
    return [likelihood, *capped]


def passes_of(
    method: Method,
    metrics: Sequence[str],
    likelihood: LikelihoodConfig,
    mean_length: float,
    work: Work | None = None,
) -> float:
    """Return the cost of measuring one sentence by `adaptive`, in forward passes, with all rounds of pilots.

    Args:
        method: The method to measure.
        metrics: The metrics.
        likelihood: Settings of the likelihood.
        mean_length: Mean length of the sentences, in predictions.
        work: Cost of inference; None: the method's own.
    """
    needs = needs_of(metrics)
    if method.latent == 0:
        return _MARGIN * _SINGLE
    total = (work or method.work()).inference + _CHAINS * (("draws" in needs) + ("permuted" in needs))
    if "likelihood" in needs:
        pass_ = _BESIDE_PASS + mean_length * method.generator.products
        drawing, matching = _DRAWING / pass_, _MATCHING / pass_
        pilots = sum(draws_of_round(likelihood, index) for index in range(likelihood.rounds))
        total += (
            likelihood.samples * (1 + drawing) + pilots * (GRADIENT + drawing) + likelihood.rounds * matching
        )
    return _MARGIN * total


def summary_line(level: Level, method: Method, config: RunConfig, valid: Split, epochs: int) -> str | None:
    """Return the level in one line; None if the budget did not change the settings."""
    settings = config.validation
    if level == Level(min(settings.sentences, len(valid)), settings.likelihood):
        return None
    draws = f", {level.likelihood.samples} draws" if "nll" in metrics_of(method) and method.latent else ""
    share = f"validation.share = {settings.share:g}"
    if level.every > epochs:
        when = f"only after the last epoch, and even that takes more than {share}"
    else:
        every = "every epoch" if level.every == 1 else f"every {level.every} epochs"
        when = f"{every}, to stay within {share}"
    return f"validation: {level.sentences:,} of {len(valid):,} sentences{draws}, {when}"
