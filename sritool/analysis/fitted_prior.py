"""Fits a Gaussian prior N(b, A Aᵀ) to the codes of training sentences, and folds it into the model's weights.

With z = A u + b and u ~ N(0, I), the generator reads u in place of z, so that only weights change. The codes are
draws of p(z|x): this is the expectation-maximisation step for the prior, with p(x|z) fixed.

Source: Dempster, Laird and Rubin 1977 for the step; Tomczak and Welling 2018, "VAE with a VampPrior", for the
aggregated posterior as the best prior.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from sritool.data.batches import collate, evaluation_batches
from sritool.data.sampling import Indices, seeded_choice
from sritool.data.split import Split
from sritool.evaluation.batches import measured_batches
from sritool.evaluation.evaluations_on_record import HashedModel
from sritool.evaluation.likelihood_estimators import weighted_draws
from sritool.evaluation.metrics import Estimate, mean_estimate
from sritool.evaluation.paired import ERRORS
from sritool.evaluation.sentences import prepared_corpus
from sritool.evaluation.settings import EvaluationSettings
from sritool.inference.langevin import log_prior
from sritool.likelihood.importance import resample
from sritool.likelihood.proposal import effective_sample_size
from sritool.methods.encoder_method import EncoderMethod
from sritool.runs.checkpoint import Checkpoint, save_checkpoint
from sritool.runs.model import Report, TrainedModel
from sritool.training.new_method import training_split

BATCH = 32
REPEATS = 4
"""Draws of p(z|x) per training sentence."""


class Draws(NamedTuple):
    """Weighted draws z of each sentence, and codes resampled from them by weight; all in float64."""

    z: Tensor  # [draws, n, latent]
    log_weights: Tensor  # log p(x, z) − log q(z), nats  [draws, n]
    codes: Tensor  # approximate draws of p(z|x)  [repeats, n, latent]


class Gaussian(NamedTuple):
    """N(shift, scale scaleᵀ), the density of scale u + shift for u ~ N(0, I); in float64."""

    shift: Tensor  # b  [latent]
    scale: Tensor  # A, lower triangular with a positive diagonal  [latent, latent]

    def log_density(self, z: Tensor) -> Tensor:
        """Return log densities [n], in nats, of z [n, latent]."""
        u = torch.linalg.solve_triangular(self.scale, (z - self.shift).t(), upper=False).t()
        return log_prior(u) - self.scale.diagonal().log().sum()


class FittedPrior(NamedTuple):
    """A fitted Gaussian, and its nll compared with that of N(0, I) on held-out sentences."""

    gaussian: Gaussian
    trained: int  # sentences that it was fitted to
    before: Estimate  # nll under N(0, I)
    after: Estimate  # nll under the Gaussian
    change: Estimate  # after − before, paired by sentence
    size_before: float  # effective sample size, mean over sentences
    size_after: float

    @property
    def is_better(self) -> bool:
        """Whether the nll falls by more than two standard errors."""
        return self.change.value < -ERRORS * self.change.standard_error

    @property
    def is_standard(self) -> bool:
        """Whether the fit is N(0, I): the codes' moments differ from those of N(0, I) by no more than noise."""
        identity = torch.eye(len(self.gaussian.shift), dtype=self.gaussian.scale.dtype)
        return not self.gaussian.shift.any() and torch.equal(self.gaussian.scale, identity)


def posterior_draws(
    model: TrainedModel,
    split: Split,
    chosen: Indices,
    seed: int = 0,
    repeats: int = 1,
    report: Report = lambda *_: None,
    label: str = "drawing",
) -> Draws:
    """Draw from the posteriors p(z|x) of the chosen sentences [n], as the estimator `adaptive` does.

    The seed sets all noise; each sentence gets `repeats` codes; `label` names the progress messages.
    Raises: NumericalError if a draw or a weight is not finite.
    """
    settings, method = EvaluationSettings(seed=seed), model.method

    def work(part: Indices) -> dict[str, Tensor]:
        batch = collate(split, chosen[part]).to(model.device)
        conditional, examples = method.conditional(batch), batch.examples
        starts = method.posterior(conditional, seed, settings.likelihood.modes)
        drawn = weighted_draws(method, conditional, starts, settings)
        codes = [resample(drawn, seed + repeat, examples)[0] for repeat in range(repeats)]
        return {
            "z": drawn.z.transpose(0, 1),
            "log_weights": drawn.log_weights.t(),
            "codes": torch.stack(codes, 1),
        }

    found = measured_batches(label, evaluation_batches(split.lengths[chosen], BATCH), work, report)
    return Draws(*(torch.from_numpy(found[name]).transpose(0, 1) for name in Draws._fields))


def fit_gaussian(codes: Tensor, diagonal: bool = False) -> Gaussian:
    """Fit a Gaussian to codes [repeats, n, latent] by moments, shrunk towards N(0, I) by as much as noise explains.

    The noise is the variation between sentences, as the codes of one sentence are close together. `diagonal` leaves
    out the covariances between dimensions.

    Source: as `moment_match`.
    """
    repeats, count, latent = codes.shape
    mean = codes.mean((0, 1))
    centred = codes - mean
    covariance = torch.einsum("rni,rnj->ij", centred, centred) / (repeats * count)
    identity = torch.eye(latent, dtype=codes.dtype)
    # Σ_n ‖S_n − S‖² of the sentences' own S_n = Σ_r x_r x_rᵀ / repeats, by ‖S_n‖² = Σ_rs (x_r · x_s)² / repeats².
    products = torch.einsum("rni,sni->nrs", centred, centred) / repeats
    noise = (products.square().sum() - count * covariance.square().sum()) / count**2
    trust = (1 - noise / (covariance - identity).square().sum().clamp_min(1e-12)).clamp(0, 0.999)
    noise_of_mean = centred.mean(0).square().sum() / count**2
    trust_of_mean = (1 - noise_of_mean / mean.square().sum().clamp_min(1e-12)).clamp(0, 1)
    scale = torch.linalg.cholesky(trust * covariance + (1 - trust) * identity)
    return Gaussian(trust_of_mean * mean, scale.square().sum(1).sqrt().diag() if diagonal else scale)


def fit_prior(
    model: TrainedModel, sentences: int, limit: int | None, seed: int, data_dir: Path, report: Report
) -> FittedPrior:
    """Fit a prior to `sentences` training sentences, and judge it on `limit` validation sentences (None: on all).

    The seed sets all draws; the sentences are chosen by a fixed seed.

    Raises:
        UsageError: The model has no z.
        DataError: Its corpus is missing.
        NumericalError: A draw or a weight is not finite.
    """
    model.require_latent("fit a prior")
    corpus = prepared_corpus(model, data_dir)
    train, valid = training_split(corpus, model.checkpoint.config), corpus.split("valid")
    chosen = seeded_choice(len(train), sentences)
    codes = posterior_draws(model, train, chosen, seed, REPEATS, report, "fitting").codes
    # Only a diagonal scale keeps the covariance of an encoder's q(z|x) diagonal.
    diagonal = isinstance(model.method, EncoderMethod) and not model.method.is_point
    gaussian = fit_gaussian(codes, diagonal)
    draws = posterior_draws(model, valid, seeded_choice(len(valid), limit), seed, 1, report, "measuring")
    return judged(gaussian, len(chosen), draws)


def judged(gaussian: Gaussian, trained: int, draws: Draws) -> FittedPrior:
    """Compare a Gaussian with N(0, I) as the prior, by weighting the same draws for held-out sentences.

    `trained` is the number of sentences that the Gaussian was fitted to.
    """
    density = gaussian.log_density(draws.z.flatten(0, 1)).view_as(draws.log_weights)
    moved, count = draws.log_weights + density - log_prior(draws.z), len(draws.z)
    before, after = (math.log(count) - torch.logsumexp(one, 0) for one in (draws.log_weights, moved))
    made = ("nats/sentence", count, "adaptive")
    old, new, change = (mean_estimate("nll", one.numpy(), *made) for one in (before, after, after - before))
    sizes = [float(effective_sample_size(one).mean()) for one in (draws.log_weights, moved)]
    return FittedPrior(gaussian, trained, old, new, change, *sizes)


def folded_weights(weights: Mapping[str, Tensor], gaussian: Gaussian) -> dict[str, Tensor]:
    """Return the weights of the same model with u in place of z = A u + b, by name.

    The generator's maps absorb A and b. An encoder's maps give q(u|x): mean and variances if A is diagonal, else the
    mean alone is right. The Fisher information of a chain's preconditioner becomes Aᵀ F A.
    """
    shift, scale = gaussian
    old = {name: value.double().cpu() for name, value in weights.items()}
    new: dict[str, Tensor] = {}
    maps = {"generator.latent_to_gates": "generator.gate_bias"}
    ending = "latent_to_initial"  # one map per layer
    maps |= {name: name.replace(ending, "initial_bias") for name in old if name.endswith(ending)}
    for matrix, bias in maps.items():
        new[matrix] = old[matrix] @ scale
        new[bias] = old[bias] + old[matrix] @ shift
    if "encoder.to_code" in old:
        rows = old["encoder.to_code"]
        mean, log_variance = rows.chunk(2)
        bias_of_mean, bias_of_log = old.get("encoder.code_bias", rows.new_zeros(len(rows))).chunk(2)
        whole = torch.cat((mean, (bias_of_mean - shift).unsqueeze(1)), 1)
        whole = torch.linalg.solve_triangular(scale, whole, upper=False)
        new["encoder.to_code"] = torch.cat((whole[:, :-1], log_variance))
        narrower = bias_of_log - 2 * scale.diagonal().log()
        new["encoder.code_bias"] = torch.cat((whole[:, -1], narrower))
    if "preconditioner.fisher" in old:
        new["preconditioner.fisher"] = scale.t() @ old["preconditioner.fisher"] @ scale
    like = weights["generator.gate_bias"]
    return {**weights, **{name: value.to(like) for name, value in new.items()}}


def folded(checkpoint: Checkpoint, gaussian: Gaussian, source: str) -> Checkpoint:
    """Return the model's checkpoint with the Gaussian folded into its weights; its training cannot be resumed.

    `source` is the SHA-256 of the checkpoint file that the Gaussian was fitted to.
    """
    config = checkpoint.config
    weights = folded_weights(checkpoint.weights, gaussian)
    if "encoder.code_bias" in weights:
        config = replace(config, generator=replace(config.generator, code_bias=True))
    progress = replace(checkpoint.progress, prior_fitted_from=source)
    return replace(checkpoint, config=config, weights=weights, progress=progress, trainer=None)


def write_fitted(model: HashedModel, fitted: FittedPrior, target: Path) -> None:
    """Write the `folded` checkpoint of a model atomically."""
    save_checkpoint(folded(model.checkpoint, fitted.gaussian, model.content), target.resolve())
