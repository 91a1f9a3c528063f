"""Choosing the step sizes of a model's chain: measured, compared on common random numbers, and written."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sritool.config.settings import RunConfig, SamplerConfig
from sritool.data.batches import collate, evaluation_batches
from sritool.data.sampling import seeded_choice
from sritool.data.split import Split
from sritool.errors import NumericalError, UsageError
from sritool.inference.langevin import draw_noise
from sritool.inference.step_search import (
    DEFAULT_GRIDS,
    PRECONDITIONED_GRIDS,
    Choice,
    Family,
    Values,
    ascend,
    choose,
)
from sritool.inference.step_size import DENSITY_CHAINS, Sides, measure_schedule
from sritool.methods.base import Method
from sritool.methods.sri import ShortRunInference
from sritool.model.random import Stream
from sritool.runs.checkpoint import save_checkpoint
from sritool.runs.folder import BEST, LAST, hold
from sritool.runs.model import Report, TrainedModel
from sritool.training.configure import named_truly
from sritool.training.step_figures import Candidate, Tuned, remarks, rows_of, same_schedule

Array = NDArray[np.float64]

OBJECTIVES = ("entropy", "given-noise")
RETUNE_SENTENCES, RETUNE_CHAINS = 8, 64  # while training, where each second is taken from it
RETUNE_FACTORS = (1 / 4, 1 / 2, 1.0, 2.0)


@dataclass(frozen=True)
class Tuning:
    """What to try, and how to measure it."""

    shape: str = "checkpoint"
    grid: tuple[float, ...] | None = None  # numbers that name schedules of the shape; None: its own
    objective: str = "entropy"  # the upper side; or "given-noise", the lower one
    allow_folded: bool = False
    chains: int = 200  # a sentence
    density_chains: int = DENSITY_CHAINS  # of them, with Hessians
    steps: int | None = None  # K; None: the model's
    temperature: float | None = None  # τ; None: the model's, as it is evaluated
    gradient_steps: int = 0  # of stochastic ascent from the grid's best
    seed: int = 0
    epoch: int = 0  # of the noise
    batch_size: int = 16

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise UsageError(f"unknown objective {self.objective!r}; give {' or '.join(OBJECTIVES)}")
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"the chain has {self.steps} steps; give at least 1")
        if self.temperature is not None and not (0 <= self.temperature < math.inf):
            raise UsageError(f"the temperature is {self.temperature}; give 0 or more")


def tune(
    method: Method, split: Split, examples: NDArray[np.int64], tuning: Tuning, report: Report | None = None
) -> Tuned:
    """Measure schedules on these sentences, with the same starts and noise for each, and choose one.

    Args:
        method: With a chain.
        split: Where the sentences are.
        examples: Their indices. Shape [sentences], int64.
        tuning: What to try, and how to measure it.
        report: Is told of each part of the work.

    Raises:
        UsageError: The method has no chain, the grid cannot be, or there are too few chains for a covariance.
        NumericalError: Every schedule's chains diverge.
    """
    began = time.monotonic()
    sampler = sampler_of(method)
    if tuning.objective == "entropy" and tuning.chains <= method.latent:
        raise UsageError(
            f"{tuning.chains} chains have no covariance in {method.latent} dimensions; "
            f"give --chains of at least {method.latent + 1}, better 200, or --objective given-noise"
        )
    base = dataclasses.replace(sampler, steps=tuning.steps or sampler.steps).schedule()
    family = Family(tuning.shape, len(base), tuple(base))
    temperature = sampler.evaluation_temperature if tuning.temperature is None else tuning.temperature
    bench = _Bench(method, split, examples, tuning, temperature, report or (lambda *_: None))
    grid = _grids(sampler)[family.shape] if tuning.grid is None else tuning.grid
    candidates = _candidates(family, grid)
    ascent = 2 * tuning.gradient_steps * len(_names(family))
    bench.expect(len(candidates) + bool(ascent), ascent)
    sides = bench.measure([candidate.schedule for candidate in candidates])
    if tuning.gradient_steps:
        found = _ascended(bench, family, candidates, sides)
        candidates.append(found)
        sides += bench.measure([found.schedule])
    choice, notes = _choice(candidates, sides, tuning)
    rows = rows_of(candidates, sides, choice.position, tuple(base))
    notes += remarks(rows, tuning.objective)
    chosen = (rows, _names(family), tuning.objective, temperature, len(examples), tuning.chains)
    return Tuned(*chosen, notes, time.monotonic() - began)


def sampler_of(method: Method) -> SamplerConfig:
    """Return the chain's settings.

    Raises:
        UsageError: The method has no chain.
    """
    if not isinstance(method, ShortRunInference):
        raise UsageError(f"method {method.name} has no chain whose steps could be tuned; give an sri run")
    return method.sampler


def retune(method: Method, split: Split, progress: float, epoch: int, report: Report | None = None) -> Tuned:
    """A small search around the present schedule at the temperature of training, without dropout.

    8 sentences × 64 chains × 4 schedules × 21 are 43,000 evaluations of a sentence, beside 640 Hessians: little
    against the 5 × 42,000 × 21 = 4.4 million of five epochs of PTB.

    Args:
        method: With a chain.
        split: Where the sentences are taken from.
        progress: Epochs done / epochs planned.
        epoch: Of the noise.
        report: Is told of each part of the work.
    """
    sampler, seed = sampler_of(method), method.config.training.seed
    chosen = seeded_choice(len(split), RETUNE_SENTENCES)
    objective, sizes = method.config.training.tune_objective, {*sampler.schedule()}
    constant = len(sizes) == 1
    tuning = Tuning(
        shape="constant" if constant else "checkpoint",
        # One s for all steps is searched among all sizes, as in the paper, so that no choice is for ever.
        grid=(*_grids(sampler)["constant"], *sizes) if constant else RETUNE_FACTORS,
        objective=objective,
        # Means are taken from few chains, a covariance is not.
        chains=max(RETUNE_CHAINS, 2 * method.latent) if objective == "entropy" else RETUNE_CHAINS // 4,
        density_chains=1,
        temperature=sampler.temperature.at(progress),
        # Its large steps fold for most sentences, which training does not mind: it needs no density.
        allow_folded=sampler.preconditioned,
        seed=seed,
        epoch=epoch,
    )
    return tune(method, split, np.sort(chosen), tuning, report)


def adopt(method: Method, tuned: Tuned) -> RunConfig:
    """Give the method the chosen schedule; returns its configuration."""
    if isinstance(method, ShortRunInference) and not tuned.chosen.present:
        method.config = with_schedule(method.config, tuned.chosen.schedule)
        method.sampler = method.config.sampler
    return method.config


def with_schedule(config: RunConfig, schedule: Sequence[float]) -> RunConfig:
    """The configuration with other step sizes; a sampler that is no longer the one it is named after says so."""
    sizes = list(schedule)
    while len(sizes) > 1 and sizes[-1] == sizes[-2]:
        sizes.pop()  # the last one goes on
    sampler = dataclasses.replace(config.sampler, steps=len(schedule), step_sizes=tuple(sizes))
    return named_truly(dataclasses.replace(config, sampler=sampler))


def check_target(target: Path, source: Path, force: bool) -> None:
    """Check before the work whether the tuned checkpoint can be written there.

    Raises:
        UsageError: It cannot.
    """
    if target.resolve() == source.resolve():
        raise UsageError(f"--write {target} is the checkpoint itself; give another file")
    if target.is_dir():
        raise UsageError(f"--write {target} is a folder; give a file, like {target / 'tuned.pt'}")
    if target.exists() and not force:
        raise UsageError(f"{target} exists; give another file, or --force to replace it")
    if not target.parent.is_dir():
        raise UsageError(f"--write {target}: there is no folder {target.parent}; make it first")


def hold_target(target: Path | None) -> contextlib.AbstractContextManager[object]:
    """Keep a training away where the file is a run's own best.pt or last.pt.

    Raises:
        UsageError: It is in use.
    """
    if target is None or target.resolve().name not in (BEST, LAST):
        return contextlib.nullcontext()
    return hold(target.resolve().parent)


def write_tuned(model: TrainedModel, schedule: Sequence[float], target: Path) -> None:
    """The model's checkpoint with these step sizes and all else as it was, written atomically."""
    config = with_schedule(model.checkpoint.config, schedule)
    save_checkpoint(dataclasses.replace(model.checkpoint, config=config), target.resolve())


class _Bench:
    """The sentences and noise on which schedules are measured."""

    def __init__(
        self,
        method: Method,
        split: Split,
        examples: NDArray[np.int64],
        tuning: Tuning,
        temperature: float,
        report: Report,
    ) -> None:
        self.method, self.split, self.examples, self.tuning = method, split, examples, tuning
        self.temperature, self.report = temperature, report
        self.batches = evaluation_batches(split.lengths[examples], tuning.batch_size)
        self.done = self.total = 0  # chains
        # An ascent takes many measurements, each with noise of its own: a few chains are enough.
        least = 2 * method.latent if tuning.objective == "entropy" else 8
        self.few = min(tuning.chains, max(least, tuning.chains // 4))

    def expect(self, schedules: int, ascent: int) -> None:
        self.total = len(self.examples) * (schedules * self.tuning.chains + ascent * self.few)

    def measure(self, schedules: Sequence[Values], ascent: int | None = None) -> list[Sides]:
        """Sides of each schedule, sentence by sentence [examples] in float64, on common random numbers."""
        tuning, dtype = self.tuning, self.method.generator.output.dtype
        chains = tuning.chains if ascent is None else self.few
        stream = Stream(tuning.seed, "tune", tuning.epoch)
        if ascent is not None:
            stream = Stream(tuning.seed, "tune by gradient", ascent)
        steps, latent = max(map(len, schedules)), self.method.latent
        tables = torch.full((len(schedules), len(Sides._fields), len(self.examples)), math.nan).double()
        for part in self.batches:
            batch = collate(self.split, self.examples[part]).to(self.method.generator.output.device)
            conditional = self.method.conditional(batch)
            averaged = sampler_of(self.method).averaged_noise
            noise = draw_noise(stream, batch.examples, range(chains), steps, latent, dtype, averaged)
            for table, schedule in zip(tables, schedules, strict=True):
                self.report("chains", self.done, self.total)
                sides = measure_schedule(
                    conditional,
                    noise,
                    schedule,
                    self.temperature,
                    density_chains=tuning.density_chains,
                    root=self.method.root,
                )
                table[:, torch.from_numpy(part)] = torch.stack(sides).double().cpu()
                self.done += len(part) * chains
        self.report("chains", self.done, self.total)
        return [Sides(*table) for table in tables]


def _grids(sampler: SamplerConfig) -> dict[str, Values]:
    return PRECONDITIONED_GRIDS if sampler.preconditioned else DEFAULT_GRIDS


def _names(family: Family) -> tuple[str, ...]:
    return {"checkpoint": ("factor",), "constant": ("s",), "geometric": ("s_0", "s_K")}[family.shape]


def _candidates(family: Family, grid: Sequence[float]) -> list[Candidate]:
    """Those of the grid, and the present schedule to compare with if it is not among them."""
    found = [Candidate(values, family.schedule(values), family.label(values)) for values in family.grid(grid)]
    if any(same_schedule(candidate.schedule, family.base) for candidate in found):
        return found
    return [*found, Candidate(None, family.base, "checkpoint")]


def _objective(sides: Sides, tuning: Tuning) -> torch.Tensor:
    return sides.upper if tuning.objective == "entropy" else sides.lower


def _choice(
    candidates: Sequence[Candidate], sides: Sequence[Sides], tuning: Tuning
) -> tuple[Choice, list[str]]:
    eligible = [k for k, candidate in enumerate(candidates) if candidate.values is not None]
    found = choose(
        [float(_objective(sides[k], tuning).mean()) for k in eligible],
        [float(sides[k].folded.mean()) for k in eligible],
        tuning.allow_folded,
    )
    if found is None:
        raise NumericalError("the chains of every schedule diverge; try smaller steps with --range or --grid")
    notes = []
    if found.folds:
        notes.append("every schedule folds; the one that folds least is marked: try smaller steps")
    return found._replace(position=eligible[found.position]), notes


def _ascended(
    bench: _Bench, family: Family, candidates: Sequence[Candidate], sides: Sequence[Sides]
) -> Candidate:
    """Where stochastic gradient ascent arrives from the grid's best."""
    tuning = bench.tuning
    choice, _ = _choice(candidates, sides, tuning)
    start = candidates[choice.position].values
    assert start is not None

    def objective(values: Values, index: int) -> float:
        measured = bench.measure([family.schedule(values)], ascent=index)[0]
        folds = float(measured.folded.mean()) > 0 and not tuning.allow_folded
        return -math.inf if folds else float(_objective(measured, tuning).mean())

    values = ascend(objective, start, tuning.gradient_steps)
    return Candidate(values, family.schedule(values), f"{family.label(values)} by gradient")
