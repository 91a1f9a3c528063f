"""Estimators of log p(x) side by side on the same sentences: the prior, `adaptive`, annealing.

Annealed importance sampling shares nothing with the adapted proposals and is the gold standard; where z says only a
few nats of x, draws from the prior are one as well. Differences to annealing are paired over sentences. An evaluation
is one of p(x|z) for one z of one sentence; a gradient costs about two.

Usage: python -m benchmarks.likelihood runs/tiny-sri [--limit 32] [--rungs 200] [--chains 16] [--draws 4000]
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

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
from sritool.model.conditional import Conditional
from sritool.model.random import Stream
from sritool.runs.model import TrainedModel

BATCH = 32
DRAWS_AT_A_TIME = 16


class Counted:
    """A conditional that counts what it is asked, in draws of one sentence."""

    def __init__(self, conditional: Conditional) -> None:
        self.conditional = conditional
        self.values = self.gradients = 0

    def log_likelihood(self, z: Tensor) -> Tensor:
        self.values += z[..., 0].numel()
        return self.conditional.log_likelihood(z)

    def evaluate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        self.gradients += z[..., 0].numel()
        return self.conditional.evaluate(z)

    def hessian(self, z: Tensor) -> Tensor:
        return self.conditional.hessian(z)


class Row(NamedTuple):
    """One estimator over all sentences."""

    name: str
    found: LikelihoodFigures
    values: float  # evaluations without gradient, a sentence
    gradients: float
    seconds: float


Estimator = Callable[[TrainedModel, Conditional, Counted], LikelihoodFigures]


def from_prior(draws: int) -> Estimator:
    """Draws of the prior, whose density cancels."""

    def estimate(model: TrainedModel, conditional: Conditional, target: Counted) -> LikelihoodFigures:
        examples, parts = conditional.batch.examples, []
        for first in range(0, draws, DRAWS_AT_A_TIME):
            here = min(DRAWS_AT_A_TIME, draws - first)
            flat = Stream(0, "gold", first).normal(examples, here * model.latent)
            z = flat.view(len(examples), here, model.latent).transpose(0, 1)
            parts.append(target.log_likelihood(z))
        return weighed(torch.cat(parts).double())

    return estimate


def by_annealing(rungs: int, chains: int, seed: int) -> Estimator:
    """Forward annealing."""

    def estimate(model: TrainedModel, conditional: Conditional, target: Counted) -> LikelihoodFigures:
        examples = conditional.batch.examples
        steps = ladder(target, examples, model.latent, torch.float32, rungs, seed)
        return weighed(anneal(target, steps, examples, chains, seed).log_weights)

    return estimate


def by_adaptive(config: LikelihoodConfig, seed: int) -> Estimator:
    """`adaptive`, its chains' ends not counted."""

    def estimate(model: TrainedModel, conditional: Conditional, target: Counted) -> LikelihoodFigures:
        starts, root = model.method.posterior(conditional, seed, config.modes), model.method.root
        covariance = None if root is None else root @ root.t()
        return likelihood_figures(
            adaptive_draws(target, starts, seed, conditional.batch.examples, config, covariance)
        )

    return estimate


def weighed(log_weights: Tensor) -> LikelihoodFigures:
    """[draws, batch] of log weights whose mean is p(x); nothing is known of their draws here."""
    return likelihood_figures(WeightedDraws(log_weights.unsqueeze(-1), log_weights, log_weights))


def measured(name: str, estimator: Estimator, model: TrainedModel, split: Split, chosen: np.ndarray) -> Row:
    """The estimator on the chosen sentences, batch by batch."""
    parts: list[LikelihoodFigures] = []
    order = [chosen[part] for part in evaluation_batches(split.lengths[chosen], BATCH)]
    values, gradients, begin = 0, 0, time.perf_counter()
    for examples in order:
        conditional = model.method.conditional(collate(split, examples).to(model.device))
        target = Counted(conditional)
        parts.append(estimator(model, conditional, target))
        values, gradients = values + target.values, gradients + target.gradients
    seconds = time.perf_counter() - begin
    found = LikelihoodFigures(
        *(torch.cat([column.double() for column in columns]) for columns in zip(*parts, strict=True))
    )
    return Row(name, found, values / len(chosen), gradients / len(chosen), seconds)


def shown(row: Row, gold: Row) -> str:
    """A line of the table."""
    difference = row.found.log_likelihood - gold.found.log_likelihood
    error = float(difference.std() / math.sqrt(len(difference)))
    size, tail = row.found.effective_sample_size, row.found.pareto_k
    cells = (
        row.name,
        f"{-float(row.found.log_likelihood.mean()):.3f}",
        f"{-float(difference.mean()):+.3f}",
        f"{error:.3f}",
        f"{float(size.mean()):.1f}",
        f"{float(size.quantile(0.1)):.1f}",
        f"{float(tail.mean()):.2f}",
        f"{row.values:.0f}",
        f"{row.gradients:.0f}",
        f"{row.seconds:.1f}",
    )
    return "\t".join(cells)


def main() -> None:
    """Print one row an estimator, on the same sentences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--limit", type=int, default=32, help="sentences of the test split")
    parser.add_argument("--rungs", type=int, default=200, help="of annealing")
    parser.add_argument("--chains", type=int, default=16, help="of annealing")
    parser.add_argument("--draws", type=int, default=4000, help="from the prior")
    parser.add_argument("--seed", type=int, default=0, help="of adaptive and annealing")
    arguments = parser.parse_args()
    model = sritool.load(arguments.run)
    split = load_corpus(Path(str(model.checkpoint.corpus["path"]))).split("test")
    chosen = seeded_choice(len(split), arguments.limit)
    base, seed = LikelihoodConfig(), arguments.seed
    rungs, chains = arguments.rungs, arguments.chains
    estimators = {f"ais, {rungs} rungs, {chains} chains": by_annealing(rungs, chains, seed)}
    for config in (base, replace(base, rounds=1), replace(base, pilots=100), replace(base, samples=1000)):
        name = f"adaptive, at most {config.rounds} × {config.pilots} pilots, {config.samples} draws"
        estimators[name] = by_adaptive(config, seed)
    estimators |= {f"prior, {n} draws": from_prior(n) for n in (100, arguments.draws) if n}
    print("estimator\tnll\t− ais\tse of that\tess\tworst decile\tk̂\tvalues\tgradients\tseconds", flush=True)
    gold: Row | None = None
    for name, estimator in estimators.items():
        row = measured(name, estimator, model, split, chosen)
        gold = gold or row
        print(shown(row, gold), flush=True)


if __name__ == "__main__":
    main()
