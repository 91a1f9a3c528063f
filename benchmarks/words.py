"""Error of the score ∇_z log p(x|z) when the softmax uses drawn words, by the number of words drawn.

Measured on validation sentences of a trained run, at the ends of their chains: the relative error of the score from
one subset (root mean square over sentences and subsets), and that of the mean over all subsets, with the value
expected if the error of each subset were only noise. π comes from the running mean of the softmax mass that
training keeps; for a run that keeps none, from the mass on the batch itself.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.options import Context, add_common
from benchmarks.report import Report
from sritool.cli.formats import Table
from sritool.data.batches import Batch, collate
from sritool.data.store import load_corpus
from sritool.data.tokenizer import FIRST_PREDICTED
from sritool.methods.base import Method
from sritool.model.conditional import Conditional
from sritool.model.random import Stream
from sritool.model.theta_gradient import ThetaGradient
from sritool.model.word_subset import WordMass, draw_subsets
from sritool.runs.folder import find_checkpoint
from sritool.runs.model import load_model

SIZES = (50, 100, 200, 400, 800, 1600)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_common(parser)
    parser.add_argument("run", type=Path, help="folder of a run with a z, or a checkpoint")
    parser.add_argument("--corpus", type=Path, required=True, help="folder of the run's prepared corpus")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), metavar="N")
    parser.add_argument("--subsets", type=int, default=64, help="subsets of each size for every batch")
    parser.add_argument("--batches", type=int, default=8, help="number of batches of 32 sentences")


def run(context: Context, arguments: argparse.Namespace) -> Report:
    """Measure one row per size."""
    path = find_checkpoint(arguments.run, Path("runs"))
    method = load_model(path, "cpu").method
    split = load_corpus(arguments.corpus).split("valid")
    chosen = np.random.default_rng(0).permutation(len(split))[: 32 * arguments.batches]
    batches = [collate(split, part) for part in np.array_split(chosen, arguments.batches)]
    rows = [measure(method, batches, size, arguments.subsets) for size in arguments.sizes]
    note = f"{path}, {len(chosen)} validation sentences, {arguments.subsets} subsets for every 32"
    settings = {"run": str(path), "subsets": arguments.subsets, "batches": arguments.batches}
    table = Table("score", tuple(rows[0]), [list(row.values()) for row in rows], note)
    return Report("words", settings, {"sizes": rows}, [table])


def measure(method: Method, batches: list[Batch], size: int, subsets: int) -> dict[str, Any]:
    """Measure the error of the score with `size` drawn words, over all batches."""
    squares, of_mean, norms, seen = [], [], [], []
    for number, batch in enumerate(batches):
        conditional = method.conditional(batch)
        z = method.posterior(conditional, 0, 1)[0]
        exact, drawn, words = scores_of(method, conditional, z, size, subsets, number)
        seen.append(words)
        norms.append(exact.square().sum(-1))
        squares.append((drawn - exact).square().sum(-1).mean(0))
        of_mean.append((drawn.mean(0) - exact).square().sum(-1))
    norm = torch.cat(norms).mean()
    spread = math.sqrt(float(torch.cat(squares).mean() / norm))
    return {
        "words drawn": size,
        "words seen": round(sum(seen) / len(seen)),
        "of": method.generator.vocabulary_size - FIRST_PREDICTED,
        "relative error": spread,
        "of the mean": math.sqrt(float(torch.cat(of_mean).mean() / norm)),
        "expected without a bias": spread / math.sqrt(subsets),
    }


def scores_of(
    method: Method, conditional: Conditional, z: Tensor, size: int, subsets: int, number: int
) -> tuple[Tensor, Tensor, float]:
    """Return the exact score at z [batch, latent], the score from each subset, and the mean words of a subset."""
    theta = ThetaGradient(method.generator)
    exact = conditional.evaluate(z, None, theta).gradient
    mass = getattr(method, "word_mass", None)
    if mass is None:
        mass = WordMass(len(method.generator.output_bias))
        mass.mass.copy_(theta.word_mass / theta.word_mass.sum())
    pi = mass.inclusion(min(size, len(mass.mass)))
    rows = (conditional.batch.targets.flatten() - FIRST_PREDICTED).clamp_min(0)
    uniforms = Stream(number, "words").uniform(torch.arange(subsets), len(pi)).to(pi.dtype)
    drawn = draw_subsets(pi, rows, uniforms)
    scores = [conditional.evaluate(z, None, None, subset).gradient for subset in drawn]
    return exact, torch.stack(scores), sum(len(subset.words) for subset in drawn) / subsets
