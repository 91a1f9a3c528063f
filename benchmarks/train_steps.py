"""Training steps that `benchmarks.train` times: of the reference, of sritool, and their matrix products."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch

from benchmarks.floor import floor_of
from benchmarks.ours import CLOCK, OurChain, method_of, optimizer_of, run_config
from benchmarks.reference import Reference, train_step, train_step_lm
from benchmarks.reference_vae import ReferenceVae, train_step_vae
from benchmarks.shapes import Shape, random_split
from benchmarks.timing import Run
from sritool.core.clipping import clip_gradients
from sritool.core.config import RunConfig
from sritool.corpus.batches import Batch, collate

BATCHES = 8  # different batches that a run goes through in turn
SAMPLERS = {"end": "paper", "path": "authors"}
KINDS = (*SAMPLERS, "lm", "vae-anneal")


def _config(kind: str, shape: Shape, steps: int, precision: str = "float32") -> RunConfig:
    if kind not in SAMPLERS:
        return run_config(shape, kind, precision=precision)
    return run_config(shape, sampler=SAMPLERS[kind], steps=steps, precision=precision)


def _batches(shape: Shape, device: torch.device) -> Callable[[], Batch]:
    """Collates the next batch at each call."""
    split = random_split(shape, BATCHES * shape.batch)
    turns = itertools.cycle(range(0, BATCHES * shape.batch, shape.batch))

    def following() -> Batch:
        first = next(turns)
        return collate(split, range(first, first + shape.batch)).to(device)

    return following


def reference_run(
    kind: str, shape: Shape, precision: str, device: torch.device, steps: int, fused: bool = True
) -> Run:
    """The plain loop, always in float32.

    Args: fused: the fastest of PyTorch's forms of Adam; False: the one that `torch.optim.Adam` is by default.
    """
    config = _config(kind, shape, steps)
    following, clip = _batches(shape, device), config.optimizer.clip

    def adam(model: torch.nn.Module) -> torch.optim.Optimizer:
        model.to(device)
        return torch.optim.Adam(
            model.parameters(), lr=config.optimizer.learning_rate, fused=True if fused else None
        )

    if kind == "vae-anneal":
        vae = ReferenceVae(config.generator, shape.vocabulary)
        optimizer = adam(vae)
        return lambda: train_step_vae(vae, optimizer, following(), 1.0, clip)
    model = Reference(config.generator, shape.vocabulary)
    optimizer = adam(model)
    if kind == "lm":
        return lambda: train_step_lm(model, optimizer, following(), clip)
    sampler = config.sampler
    fixed = (sampler.schedule(), sampler.theta_gradient, sampler.chain_dropout, clip)
    return lambda: train_step(model, optimizer, following(), *fixed)


class OurStep:
    """sritool's training step, taken apart."""

    def __init__(self, kind: str, shape: Shape, precision: str, device: torch.device, steps: int) -> None:
        self.config = _config(kind, shape, steps, precision)
        self.method = method_of(self.config, shape, device)
        self.optimizer = optimizer_of(self.method, device)
        self.collate = _batches(shape, device)
        self._batch = self.collate()
        self._steps = itertools.count(1)

    def gradients(self, batch: Batch | None = None) -> None:
        """θ's gradient, chain included; at step numbers at which the trainer measures nothing besides."""
        every = self.config.training.measure_every
        step = next(number for number in self._steps if not every or number % every)
        self.method.gradients(batch or self._batch, CLOCK._replace(step=step))

    def update(self) -> None:
        """Clipping and the optimiser."""
        clip_gradients(self.method.modules.parameters(), self.config.optimizer.clip)
        self.optimizer.step()

    def whole(self) -> None:
        """All of it."""
        self.gradients(self.collate())
        self.update()


def our_run(kind: str, shape: Shape, precision: str, device: torch.device, steps: int) -> Run:
    """sritool's whole step."""
    return OurStep(kind, shape, precision, device, steps).whole


def floor_run(kind: str, shape: Shape, precision: str, device: torch.device, steps: int) -> Run:
    """The step's matrix products."""
    floor = floor_of(shape, precision, device)
    return lambda: floor.train_step(steps if kind in SAMPLERS else 0, kind, encoder=kind == "vae-anneal")


class Variant(NamedTuple):
    """Whose step, and of what kind."""

    make: Callable[[str, Shape, str, torch.device, int], Run]
    kind: str


MAKERS = {"reference": reference_run, "ours": our_run, "floor": floor_run}
VARIANTS = {f"{who}, {kind}": Variant(make, kind) for kind in KINDS for who, make in MAKERS.items()}
# Beside a chain's twenty passes it does not matter which Adam it is.
VARIANTS |= {
    f"default Adam, {kind}": Variant(partial(reference_run, fused=False), kind)
    for kind in KINDS
    if kind not in SAMPLERS
}


def build(variant: str, shape: Shape, precision: str, device: torch.device, steps: int) -> Run:
    """One whole step of a variant; `steps` Langevin steps where it has a chain."""
    make, kind = VARIANTS[variant]
    return make(kind, shape, precision, device, steps)


def parts(kind: str, shape: Shape, precision: str, device: torch.device, steps: int) -> dict[str, Run]:
    """The parts of sritool's step, the chain alone among them; `gradients` holds the chain too."""
    step = OurStep(kind, shape, precision, device, steps)
    runs: dict[str, Run] = {"whole step": step.whole}
    if kind in SAMPLERS:
        chain = OurChain(shape, precision, device, SAMPLERS[kind])
        runs["chain"] = lambda: chain.run(steps, kind == "path")
    runs |= {"gradients": step.gradients, "collation": step.collate, "clipping and optimiser": step.update}
    return runs
