"""Rate-distortion curves of runs, each from one annealing run: what each nat in z buys in reconstruction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch

from sritool.data.batches import collate
from sritool.data.sampling import Indices
from sritool.errors import UsageError
from sritool.evaluation.batches import Work, measured_batches
from sritool.evaluation.evaluate import require_one_corpus
from sritool.evaluation.evaluations_on_record import key_of, load_hashed
from sritool.evaluation.likelihood_estimators import fitting_batches
from sritool.evaluation.metrics import Array, mean_and_error
from sritool.evaluation.record import FinishedBatches
from sritool.evaluation.sentences import Chosen, choose_sentences
from sritool.evaluation.settings import EvaluationSettings
from sritool.likelihood.rate_distortion import curve_betas, rate_distortion
from sritool.runs.model import Report, TrainedModel
from sritool.runs.names import each_once, run_names

_ROWS = 512  # chains annealed at a time
_BATCH = 8  # sentences per batch: small, so that progress moves and an interruption loses little
_EVEN = 0.5  # effective sample size per chain, below which the weights count as uneven


class Point(NamedTuple):
    """A point of a run's curve: means over sentences, in nats, with standard errors."""

    run: str
    method: str
    beta: float  # 0: the prior; 1: the model's posterior
    rate: float  # upper bound, in the mean, on the rate of a q(z|x) with this distortion; 0 without z
    rate_se: float
    distortion: float  # −log p(x|z)
    distortion_se: float
    nll: float | None  # rate + distortion, at β = 1 only: NLL by annealing, an upper bound in the mean
    sentences: int
    chains: int  # of annealing, per sentence; 0 if the figures are exact


class Curves(NamedTuple):
    """All points, run by run, what they were measured on, and notes."""

    points: list[Point]
    data: str
    notes: list[str]


def rate_distortion_curves(
    checkpoints: Sequence[Path], request: EvaluationSettings, largest: float, device: str, report: Report
) -> Curves:
    """Anneal each run on the same sentences with the same noise, up to β = `largest`.

    Batches finished by an interrupted measurement are reused. `likelihood.samples` is the number of chains.

    Raises:
        UsageError: `largest` is not a positive number.
        DataError: The corpora differ.
        NumericalError: A figure is not finite.
    """
    if not 0 < largest < float("inf"):
        raise UsageError(f"the largest β is {largest}; give more than 0, like 1, the model's posterior")
    checkpoints, notes = each_once(checkpoints)
    models = [load_hashed(path, device) for path in checkpoints]
    require_one_corpus(models, "draw them one by one")
    points: list[Point] = []
    records: list[FinishedBatches] = []
    data = ""
    for name in run_names(checkpoints):
        model = models.pop(0)  # a measured model is freed
        chosen = choose_sentences(model, request.split, None, request.limit, request.data_dir)
        given = (request.rungs, request.likelihood.samples, request.batch_size, largest)
        key = key_of(model, chosen, request)
        records.append(FinishedBatches(model.path, "rate-distortion", key, *given))
        label = f"{name}: annealing" if len(checkpoints) > 1 else "annealing"
        size = min(request.batch_size, _BATCH, max(1, _ROWS // request.likelihood.samples))
        lengths = chosen.split.lengths[chosen.examples]
        batches = list(fitting_batches(model.method, request, lengths, size))
        work = _annealing(model, chosen, request, largest)
        figures = measured_batches(label, batches, work, report, records[-1])
        own = list(_points(name, model, figures, request, largest))
        points += own
        said = (*on_order(own), *_on_weights(figures, request), *records[-1].notes())
        notes += [f"{name}: {note}" for note in said]
        data = f"{chosen.data}, {len(chosen.examples)} of {len(chosen.split)} sentences"
    # Removed only now, so that an interruption at a later model keeps the batches of the earlier ones.
    for finished in records:
        finished.remove()
    return Curves(points, data, notes)


def on_order(points: Sequence[Point]) -> list[str]:
    """Return a note if rate falls or distortion rises along a run's points, given by rising β.

    On a model's true curve, rate never falls and distortion never rises; a violation is Monte Carlo error.
    """
    steps = list(pairwise(points))
    back = sum(after.rate < before.rate or after.distortion > before.distortion for before, after in steps)
    wrong = f"{back} of {len(steps)} steps along the curve go back in rate or distortion, which no true curve does"
    return [f"{wrong}: that is Monte Carlo error; take more --chains and --rungs"] if back else []


def _annealing(model: TrainedModel, chosen: Chosen, request: EvaluationSettings, largest: float) -> Work:
    """Return a function that measures a batch: figures by name, [batch, points] each; one point without z."""
    method, latent = model.method, model.latent
    dtype = method.generator.output_bias.dtype

    def work(part: Indices) -> Mapping[str, torch.Tensor]:
        batch = collate(chosen.split, chosen.examples[part]).to(model.device)
        conditional = method.conditional(batch)
        if not latent:
            exact = -conditional.log_likelihood(torch.zeros(len(part), 0, dtype=dtype, device=model.device))
            return {"rate": torch.zeros_like(exact).unsqueeze(1), "distortion": exact.unsqueeze(1)}
        sizes = request.rungs, request.likelihood.samples
        curve = rate_distortion(conditional, batch.examples, latent, dtype, *sizes, request.seed, largest)
        return {name: values.t() for name, values in curve._asdict().items()}

    return work


def _points(
    name: str, model: TrainedModel, figures: Mapping[str, Array], request: EvaluationSettings, largest: float
) -> Iterator[Point]:
    betas = curve_betas(largest).tolist() if model.latent else [1.0]
    chains = request.likelihood.samples if model.latent else 0
    for beta, rates, distortions in zip(betas, figures["rate"].T, figures["distortion"].T, strict=True):
        rate, distortion = mean_and_error(rates), mean_and_error(distortions)
        nll = rate[0] + distortion[0] if beta == 1 else None
        yield Point(name, model.method.name, beta, *rate, *distortion, nll, len(rates), chains)


def _on_weights(figures: Mapping[str, Array], request: EvaluationSettings) -> Iterator[str]:
    """Yield a note if few chains carry the weight, so that the curve lies above the model's."""
    if "effective_sample_size" not in figures:
        return
    size, chains = float(figures["effective_sample_size"][:, -1].mean()), request.likelihood.samples
    if size < _EVEN * chains:
        uneven = f"effective sample size {size:.1f} of {chains} chains at the largest β"
        yield f"{uneven}, so that the curve lies above the model's; --rungs higher brings it down"
