"""How close the ends of short chains come to a model's true posterior, by schedule, integrator and truncation.

Runs four chains with the run's preconditioner for each validation sentence of a trained `sri` run, at τ = 1 unless
another is given. Reports the mean of −log p(x|z), of ½‖z‖², and of the variance of a sentence over its chains, summed
over dimensions. The last row is a chain of 200 exponential steps of 0.05, which stands for the posterior itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.options import Context, add_common
from benchmarks.report import Report
from sritool.cli.formats import Table
from sritool.data.batches import Batch, collate
from sritool.data.store import load_corpus
from sritool.errors import UsageError
from sritool.inference.langevin import Dynamics, draw_noise, log_joint_of, short_run
from sritool.methods.sri import ShortRunInference
from sritool.model.random import Stream
from sritool.runs.folder import find_checkpoint
from sritool.runs.model import load_model

CHAINS = 4
SCHEDULES = {
    "0.9 … 0.12": (0.9, 0.6, 0.4, 0.27, 0.18, 0.12),
    "1 … 0.3": (1.0, 0.8, 0.6, 0.5, 0.4, 0.3),
    "six of 0.5": (0.5,) * 6,
    "1 … 0.3, K = 10": (1.0, 0.8, 0.6, 0.6, 0.5, 0.5, 0.4, 0.4, 0.3, 0.3),
}
KINDS = (("Euler's", 0.0), ("exponential", 0.0), ("exponential", 2.0))  # integrator, truncation
LONG = (0.05,) * 200


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_common(parser)
    parser.add_argument("run", type=Path, help="folder of a run of sri, or a checkpoint")
    parser.add_argument("--corpus", type=Path, required=True, help="folder of the run's prepared corpus")
    parser.add_argument("--sentences", type=int, default=128, help="number of validation sentences")
    parser.add_argument("--temperature", type=float, default=1.0, help="τ")


def run(context: Context, arguments: argparse.Namespace) -> Report:
    """Measure one row per schedule, integrator and truncation."""
    path = find_checkpoint(arguments.run, Path("runs"))
    method = load_model(path, "cpu").method
    if not isinstance(method, ShortRunInference):
        raise UsageError(f"{path} is a run of {method.name}; give one of sri")
    split = load_corpus(arguments.corpus).split("valid")
    chosen = np.random.default_rng(0).permutation(len(split))[: arguments.sentences]
    chosen = chosen[np.argsort(split.lengths[chosen])]
    batches = [collate(split, part) for part in np.array_split(chosen, max(1, len(chosen) // 32))]
    wanted = [(name, sizes, *kind) for name, sizes in SCHEDULES.items() for kind in KINDS]
    rows = []
    for name, sizes, kind, truncation in [*wanted, ("200 of 0.05", LONG, "exponential", 2.0)]:
        dynamics = Dynamics(sizes, arguments.temperature, method.root, kind == "exponential", truncation)
        row = {"step sizes": name, "integrator": kind, "truncation": truncation or "none"}
        rows.append({**row, **ends_of(method, batches, dynamics)})
    note = f"{path}, {len(chosen)} validation sentences, {CHAINS} chains each, τ = {arguments.temperature:g}"
    settings = {"run": str(path), "sentences": len(chosen), "temperature": arguments.temperature}
    table = Table("chain ends", tuple(rows[0]), [list(row.values()) for row in rows], note)
    return Report("chain ends", settings, {"schedules": rows}, [table])


def ends_of(method: ShortRunInference, batches: Sequence[Batch], dynamics: Dynamics) -> dict[str, Any]:
    """Average the figures at the ends of the chains over sentences."""
    recon, norm, variance = [], [], []
    for batch in batches:
        conditional = method.conditional(batch)
        steps = len(dynamics.step_sizes)
        noise = draw_noise(Stream(0, "ends"), batch.examples, range(CHAINS), steps, method.latent)
        z = short_run(log_joint_of(conditional), noise.start, noise.steps, dynamics).end
        recon.append(-conditional.log_likelihood(z).mean(0))
        norm.append(0.5 * z.square().sum(-1).mean(0))
        variance.append(z.var(0).sum(-1))
    found = {"recon": recon, "half the squared norm": norm, "variance": variance}
    return {name: float(torch.cat(values).mean()) for name, values in found.items()}
