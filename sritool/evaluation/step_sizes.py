"""Chooses the step sizes of a model's chain: measures schedules on common random numbers, and writes the best."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from sritool.config.samplers import with_schedule
from sritool.config.settings import SamplerConfig, TuneObjective
from sritool.data.batches import collate, evaluation_batches
from sritool.data.sampling import Indices
from sritool.data.split import Split
from sritool.errors import NumericalError, UsageError
from sritool.evaluation.schedule_rows import Figure, Row, remarks, rows_of
from sritool.inference import step_search as search
from sritool.inference.langevin import draw_noise, evaluated
from sritool.inference.step_size import DENSITY_CHAINS, Sides, measure_schedule
from sritool.methods.base import Method
from sritool.methods.sri import ShortRunInference
from sritool.model.random import Stream
from sritool.runs.checkpoint import save_checkpoint
from sritool.runs.model import Report, TrainedModel


@dataclass(frozen=True)
class Tuning:
    """What to try, and how to measure it."""

    shape: str = "checkpoint"
    grid: tuple[float, ...] | None = None  # numbers that define schedules; None: the shape's default grid
    objective: TuneObjective = "entropy"  # the upper side of Q̃; given-noise: the lower side
    allow_folded: bool = False
    chains: int = 200  # per sentence
    density_chains: int = DENSITY_CHAINS  # of these, those with Hessians
    steps: int | None = None  # K; None: the model's
    temperature: float | None = None  # τ; None: the model's in evaluation
    gradient_steps: int = 0  # of stochastic ascent from the best of the grid
    seed: int = 0
    epoch: int = 0  # key of the noise
    batch_size: int = 16

    def __post_init__(self) -> None:
        if self.temperature is not None and not (0 <= self.temperature < math.inf):
            raise UsageError(f"the temperature is {self.temperature}; give 0 or more")


class Tuned(NamedTuple):
    """The measured schedules and the choice among them."""

    rows: list[Row]
    names: tuple[str, ...]  # of the numbers that define a schedule
    objective: str
    temperature: float
    sentences: int
    chains: int
    notes: list[str]
    seconds: float

    @property
    def chosen(self) -> Row:
        return next(row for row in self.rows if row.chosen)

    def record(self) -> dict[str, object]:
        """The choice and its cost as plain values, for a log."""
        chosen, gain = self.chosen, self._lost()
        return {
            "step_sizes": list(chosen.schedule),
            "choice": chosen.label,
            "upper": chosen.upper.value,
            "lower": chosen.lower.value,
            "gain": -gain.value,  # over the previous schedule
            "gain se": gain.error,
            "folded": chosen.folded,
            "temperature": self.temperature,
            "tuning_seconds": round(self.seconds, 2),
        }

    def summary_line(self) -> str:
        """Return the choice, and its gain over the previous schedule, in one line."""
        chosen, gain = self.chosen, self._lost()
        first, last = chosen.schedule[0], chosen.schedule[-1]
        sizes = f"{first:.4g}" if first == last else f"{first:.4g} to {last:.4g}"
        sizes += f" ({chosen.label})" if chosen.label != sizes else ""
        if chosen.present:
            return f"step sizes stay {sizes}"
        if not math.isfinite(gain.value):
            return f"step sizes are now {sizes}: the chains of the previous ones diverge"
        return f"step sizes are now {sizes}: {gain._replace(value=-gain.value)} nats a sentence"

    def _lost(self) -> Figure:
        """Gain of the previous schedule over the chosen one."""
        return next(row for row in self.rows if row.present).gain(self.objective)


def tune(
    method: Method, split: Split, examples: Indices, tuning: Tuning, report: Report | None = None
) -> Tuned:
    """Measure schedules on these sentences of a split, with the same starts and noise for each, and choose one.

    Raises:
        UsageError: The method has no chain, the grid is invalid, or there are too few chains for a covariance.
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
    family = search.Family(tuning.shape, tuple(base))
    temperature = sampler.evaluation_temperature if tuning.temperature is None else tuning.temperature
    bench = _Bench(method, split, examples, tuning, temperature, report or (lambda *_: None))
    candidates = family.candidates(grids_of(sampler)[family.shape] if tuning.grid is None else tuning.grid)
    too_large = [each for each in candidates if max(each.schedule) > sampler.largest_step]
    if too_large and tuning.grid is not None:
        raise UsageError(
            f"{too_large[0].label} has a step of {max(too_large[0].schedule):g}, and the chain's integrator "
            f"takes {sampler.largest_step:g} at most; give smaller numbers"
        )
    candidates = [each for each in candidates if each not in too_large]
    names = search.NAMES[family.shape]
    ascent = 2 * tuning.gradient_steps * len(names)
    bench.total = len(examples) * ((len(candidates) + bool(ascent)) * tuning.chains + ascent * bench.few)
    sides = bench.measure(candidates)
    if ascent:
        candidates.append(_ascended(bench, family, candidates, sides))
        sides += bench.measure(candidates[-1:])
    choice = _choice(candidates, sides, tuning)
    rows = rows_of(candidates, sides, choice.position, family.base)
    folds = "every schedule folds; the one that folds least is marked: try smaller steps"
    notes = [*([folds] if choice.folds else []), *remarks(rows, tuning.objective)]
    settings = (tuning.objective, temperature, len(examples), tuning.chains)
    return Tuned(rows, names, *settings, notes, time.monotonic() - began)


def sampler_of(method: Method) -> SamplerConfig:
    """Return the chain's settings. Raises: UsageError if the method has no chain."""
    if not isinstance(method, ShortRunInference):
        raise UsageError(f"method {method.name} has no chain whose steps could be tuned; give an sri run")
    return method.sampler


def write_tuned(model: TrainedModel, schedule: Sequence[float], target: Path) -> None:
    """Write the model's checkpoint with these step sizes, and all else unchanged, atomically."""
    config = with_schedule(model.checkpoint.config, schedule)
    save_checkpoint(dataclasses.replace(model.checkpoint, config=config), target.resolve())


@dataclass
class _Bench:
    """The sentences and noise on which schedules are measured."""

    method: Method
    split: Split
    examples: Indices
    tuning: Tuning
    temperature: float
    report: Report
    done: int = 0  # chains
    total: int = 0

    @property
    def few(self) -> int:
        """Fewer chains, enough for a measurement of an ascent, which takes many of them, each with its own noise."""
        least = 2 * self.method.latent if self.tuning.objective == "entropy" else 8
        return min(self.tuning.chains, max(least, self.tuning.chains // 4))

    def measure(self, candidates: Sequence[search.Candidate], ascent: int | None = None) -> list[Sides]:
        """Measure both sides of each schedule, all of one length, on common random numbers: [examples], float64.

        Each step of an ascent, whose index is `ascent`, has its own noise.
        """
        tuning, method, sampler = self.tuning, self.method, sampler_of(self.method)
        chains = tuning.chains if ascent is None else self.few
        purpose = ("tune", tuning.epoch) if ascent is None else ("tune by gradient", ascent)
        stream, output = Stream(tuning.seed, *purpose), method.generator.output_bias
        steps, dynamics = len(candidates[0].schedule), evaluated(sampler, method.root)
        tables = torch.full((len(candidates), len(Sides._fields), len(self.examples)), math.nan).double()
        for part in evaluation_batches(self.split.lengths[self.examples], tuning.batch_size):
            conditional = method.conditional(collate(self.split, self.examples[part]).to(output.device))
            examples = conditional.batch.examples
            noise = draw_noise(stream, examples, range(chains), steps, method.latent, output.dtype)
            for table, candidate in zip(tables, candidates, strict=True):
                self.report("chains", self.done, self.total)
                moved = dynamics._replace(step_sizes=candidate.schedule, temperature=self.temperature)
                sides = measure_schedule(conditional, noise, moved, tuning.density_chains)
                table[:, torch.from_numpy(part)] = torch.stack(sides).double().cpu()
                self.done += len(part) * chains
        self.report("chains", self.done, self.total)
        return [Sides(*table) for table in tables]


def grids_of(sampler: SamplerConfig) -> dict[str, search.Values]:
    """Return the default grids of a search, by the shape of the schedule."""
    return search.PRECONDITIONED_GRIDS if sampler.preconditioned else search.DEFAULT_GRIDS


def _objective(sides: Sides, tuning: Tuning) -> float:
    return float((sides.upper if tuning.objective == "entropy" else sides.lower).mean())


def _choice(candidates: Sequence[search.Candidate], sides: Sequence[Sides], tuning: Tuning) -> search.Choice:
    eligible = [k for k, candidate in enumerate(candidates) if candidate.values is not None]
    values = [_objective(sides[k], tuning) for k in eligible]
    found = search.choose(values, [float(sides[k].folded.mean()) for k in eligible], tuning.allow_folded)
    if found is None:
        raise NumericalError("the chains of every schedule diverge; try smaller steps with --range or --grid")
    return found._replace(position=eligible[found.position])


def _ascended(
    bench: _Bench, family: search.Family, candidates: Sequence[search.Candidate], sides: Sequence[Sides]
) -> search.Candidate:
    """The schedule that stochastic gradient ascent reaches from the best of the grid."""
    tuning = bench.tuning
    start = candidates[_choice(candidates, sides, tuning).position].values
    assert start is not None

    def objective(values: search.Values, index: int) -> float:
        candidate = family.candidate(values)
        if max(candidate.schedule) > sampler_of(bench.method).largest_step:
            return -math.inf
        (measured,) = bench.measure([candidate], ascent=index)
        folds = float(measured.folded.mean()) > 0 and not tuning.allow_folded
        return -math.inf if folds else _objective(measured, tuning)

    return family.candidate(search.ascend(objective, start, tuning.gradient_steps), " by gradient")
