"""The `adaptive` estimator against importance sampling from the prior with very many draws.

Where z says only a few nats of x, 8,000 draws from the prior are a gold standard that shares nothing with the
adapted proposals. Usage: python -m benchmarks.likelihood runs/tiny-sri [--limit 64] [--draws 8000]
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import sritool
from sritool.core.config import LikelihoodConfig
from sritool.core.metrics import mean_estimate
from sritool.core.proposal import effective_sample_size
from sritool.core.random import Stream
from sritool.corpus.batches import collate
from sritool.corpus.store import Split, load_corpus
from sritool.tasks.measure import Settings, measure
from sritool.tasks.model import Model

Row = tuple[str, float, float, float, float]
DRAWS_AT_A_TIME = 200


def from_prior(model: Model, split: Split, chosen: np.ndarray, draws: int) -> Row:
    """NLL, its error and the effective sample size by draws of the prior, whose density cancels."""
    batch = collate(split, chosen).to(model.device)
    conditional = model.method.conditional(batch)
    parts = []
    for first in range(0, draws, DRAWS_AT_A_TIME):
        stream = Stream(0, "gold", first)
        z = stream.normal(batch.examples, DRAWS_AT_A_TIME * model.latent)
        z = z.view(len(chosen), DRAWS_AT_A_TIME, model.latent).transpose(0, 1)
        parts.append(conditional.log_likelihood(z))
    log_weights = torch.cat(parts)[:draws].double()
    value = (torch.logsumexp(log_weights, 0) - math.log(draws)).cpu().numpy()
    size = effective_sample_size(log_weights).cpu().numpy()
    nll = mean_estimate("nll", -value, "nats/sentence", draws, "prior")
    return (
        f"prior, {draws} draws",
        nll.value,
        nll.standard_error,
        float(size.mean()),
        float(np.quantile(size, 0.1)),
    )


def by_adaptive(model: Model, split: Split, chosen: np.ndarray, config: LikelihoodConfig) -> Row:
    """The same by `adaptive`."""
    measured = measure(model.method, split, chosen, Settings(("nll",), config, chains=max(2, config.modes)))
    size, nll = measured.rows["effective_sample_size"], measured.estimates[0]
    name = f"adaptive, modes {config.modes}, rounds {config.rounds}, {config.samples} draws"
    return name, nll.value, nll.standard_error, float(size.mean()), float(np.quantile(size, 0.1))


def main() -> None:
    """Print one row an estimator, on the same sentences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--limit", type=int, default=64)
    parser.add_argument("--draws", type=int, default=8000)
    arguments = parser.parse_args()
    model = sritool.load(arguments.run)
    split = load_corpus(Path(str(model.checkpoint.corpus["path"]))).split("test")
    chosen = np.sort(np.random.default_rng(0).permutation(len(split))[: arguments.limit])
    rows = [from_prior(model, split, chosen, n) for n in (100, arguments.draws)]
    base = LikelihoodConfig()
    configs = [replace(base, rounds=0), base, replace(base, modes=4), replace(base, samples=1000)]
    rows += [by_adaptive(model, split, chosen, config) for config in configs]
    print("estimator\tnll\tse over sentences\tess\tess, worst decile")
    for name, value, error, size, worst in rows:
        print(f"{name}\t{value:.3f}\t{error:.3f}\t{size:.1f}\t{worst:.1f}")


if __name__ == "__main__":
    main()
