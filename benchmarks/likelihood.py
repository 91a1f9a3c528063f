"""Compares estimators of log p(x) on the same sentences: the prior, `adaptive`, annealing.

Annealed importance sampling shares nothing with the adapted proposals and is the gold standard; if z holds only a few
nats, draws from the prior are one as well. Differences to annealing are paired over sentences. A value is one
evaluation of p(x|z) for one z of one sentence; a gradient costs about two.

Usage: python -m benchmarks.likelihood runs/tiny-sri [--limit 32] [--rungs 200] [--chains 16] [--draws 4000]
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import sritool
from sritool.config.settings import LikelihoodConfig
from sritool.data.batches import collate, evaluation_batches
from sritool.data.sampling import seeded_choice
from sritool.data.split import Split
from sritool.data.store import load_corpus
from sritool.likelihood.adaptation import adaptive_draws
from sritool.likelihood.ais import anneal, ladder
from sritool.likelihood.importance import LikelihoodFigures, WeightedDraws, likelihood_figures
from sritool.model.conditional import Conditional, Evaluation, Weights
from sritool.model.random import Stream
from sritool.runs.model import TrainedModel

BATCH = 32
DRAWS_AT_A_TIME = 16


class Counted(Conditional):
    """A conditional that counts its evaluations, each for one draw of one sentence."""

    values = gradients = 0

    def log_likelihood(self, z: Tensor) -> Tensor:
        self.values += z[..., 0].numel()
        return super().log_likelihood(z)

    def evaluate(self, z: Tensor, *given: Any, **named: Any) -> Evaluation:
        self.gradients += z[..., 0].numel()
        return super().evaluate(z, *given, **named)


class Row(NamedTuple):
    """One estimator over all sentences."""

    name: str
    found: LikelihoodFigures
    values: float  # evaluations without gradient per sentence
    gradients: float  # evaluations with gradient per sentence
    seconds: float


Estimator = Callable[[TrainedModel, Counted], LikelihoodFigures]


def from_prior(model: TrainedModel, target: Counted, draws: int) -> LikelihoodFigures:
    """Estimate from draws of the prior, whose density cancels."""
    examples, parts = target.batch.examples, []
    for first in range(0, draws, DRAWS_AT_A_TIME):
        here = min(DRAWS_AT_A_TIME, draws - first)
        flat = Stream(0, "gold", first).normal(examples, here * model.latent)
        z = flat.view(len(examples), here, model.latent).transpose(0, 1)
        parts.append(target.log_likelihood(z))
    return weighed(torch.cat(parts).double())


def by_annealing(
    model: TrainedModel, target: Counted, rungs: int, chains: int, seed: int
) -> LikelihoodFigures:
    """Estimate by forward annealing."""
    examples = target.batch.examples
    steps = ladder(target, examples, model.latent, torch.float32, rungs, seed)
    return weighed(anneal(target, steps, examples, chains, seed).log_weights)


def by_adaptive(
    model: TrainedModel, target: Counted, config: LikelihoodConfig, seed: int
) -> LikelihoodFigures:
    """Estimate by `adaptive`; the chains that give its starts are not counted."""
    batch, method = target.batch, model.method
    starts, root = method.posterior(method.conditional(batch), seed, config.modes), method.root
    covariance = None if root is None else root @ root.t()
    return likelihood_figures(adaptive_draws(target, starts, seed, batch.examples, config, covariance))


def weighed(log_weights: Tensor) -> LikelihoodFigures:
    """Return the figures of log weights [draws, batch] whose mean weight is p(x); needs no draws."""
    return likelihood_figures(WeightedDraws(log_weights.unsqueeze(-1), log_weights, log_weights))


def measured(name: str, estimator: Estimator, model: TrainedModel, split: Split, chosen: np.ndarray) -> Row:
    """Run the estimator on the chosen sentences, batch by batch."""
    parts: list[LikelihoodFigures] = []
    values, gradients, begin = 0, 0, time.perf_counter()
    for part in evaluation_batches(split.lengths[chosen], BATCH):
        target = Counted(Weights(model.generator), collate(split, chosen[part]).to(model.device))
        parts.append(estimator(model, target))
        values, gradients = values + target.values, gradients + target.gradients
    seconds, columns = time.perf_counter() - begin, zip(*parts, strict=True)
    found = LikelihoodFigures(*(torch.cat([part.double() for part in column]) for column in columns))
    return Row(name, found, values / len(chosen), gradients / len(chosen), seconds)


def shown(row: Row, gold: Row) -> str:
    """Format one line of the table."""
    difference = row.found.log_likelihood - gold.found.log_likelihood
    error = float(difference.std() / math.sqrt(len(difference)))
    size, tail = row.found.effective_sample_size, row.found.pareto_k
    nll = f"{-float(row.found.log_likelihood.mean()):.3f}\t{-float(difference.mean()):+.3f}\t{error:.3f}"
    weights = f"{float(size.mean()):.1f}\t{float(size.quantile(0.1)):.1f}\t{float(tail.mean()):.2f}"
    return f"{row.name}\t{nll}\t{weights}\t{row.values:.0f}\t{row.gradients:.0f}\t{row.seconds:.1f}"


def main() -> None:
    """Print one row per estimator, on the same sentences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--limit", type=int, default=32, help="number of test sentences")
    parser.add_argument("--rungs", type=int, default=200, help="rungs of annealing")
    parser.add_argument("--chains", type=int, default=16, help="chains of annealing")
    parser.add_argument("--draws", type=int, default=4000, help="draws from the prior")
    parser.add_argument("--seed", type=int, default=0, help="seed of adaptive and annealing")
    given = parser.parse_args()
    model = sritool.load(given.run)
    split = load_corpus(Path(model.checkpoint.corpus.path)).split("test")
    chosen = seeded_choice(len(split), given.limit)
    base, chains = LikelihoodConfig(), {"rungs": given.rungs, "chains": given.chains, "seed": given.seed}
    estimators: dict[str, Estimator] = {
        f"ais, {given.rungs} rungs, {given.chains} chains": partial(by_annealing, **chains)
    }
    for config in (base, replace(base, rounds=1), replace(base, pilots=100), replace(base, samples=1000)):
        name = f"adaptive, at most {config.rounds} × {config.pilots} pilots, {config.samples} draws"
        estimators[name] = partial(by_adaptive, config=config, seed=given.seed)
    estimators |= {f"prior, {n} draws": partial(from_prior, draws=n) for n in (100, given.draws) if n}
    print("estimator\tnll\t− ais\tse of that\tess\tworst decile\tk̂\tvalues\tgradients\tseconds", flush=True)
    gold: Row | None = None
    for name, estimator in estimators.items():
        row = measured(name, estimator, model, split, chosen)
        gold = gold or row
        print(shown(row, gold), flush=True)


if __name__ == "__main__":
    main()
