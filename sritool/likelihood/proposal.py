"""Proposals for importance sampling: mixtures of multivariate Student distributions, one per sentence.

Source: moment-matching proposals as in Cappé et al. 2008, "Adaptive importance sampling in general mixture classes";
score matching as in Cai et al. 2024, "Batch and match: black-box variational inference with a score-based
divergence"; tempered weights as in Neal 2001.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from sritool.model.random import Stream

_LARGEST_VARIANCE = 4.0  # of a matched Gaussian in any direction: the prior's is 1
_DRAWS_A_DIMENSION = 0.2  # draws per latent dimension at which a match and the known Gaussian count equally


class StudentMixture(NamedTuple):
    """Σ_c weight_c · t_ν(z; location_c, root_c root_cᵀ) for each sentence."""

    location: Tensor  # [components, batch, latent]
    root: Tensor  # lower triangular scale  [components, batch, latent, latent]
    log_weight: Tensor  # [components, batch]
    degrees: int  # ν

    def sample(self, stream: Stream, examples: Tensor, draws: int) -> Tensor:
        """Draw z [draws, batch, latent]; a draw depends only on (stream, example, index of the draw)."""
        batch, latent = self.location.shape[1:]
        dtype = self.location.dtype
        normal = stream.codes(examples, draws, latent + self.degrees, dtype)
        chi_square = normal[..., latent:].square().sum(-1, keepdim=True)
        standard = normal[..., :latent] * torch.sqrt(self.degrees / chi_square)
        share = Stream(stream.seed, stream.purpose + " component", stream.epoch).uniform(examples, draws)
        bounds = self.log_weight.exp().cumsum(0)[:-1].unsqueeze(-1)  # [components − 1, batch, 1]
        chosen = (share.to(dtype).unsqueeze(0) > bounds).sum(0).t()  # [draws, batch]
        which = torch.arange(batch, device=chosen.device).expand_as(chosen)
        return self.location[chosen, which] + (self.root[chosen, which] @ standard.unsqueeze(-1)).squeeze(-1)

    def log_density(self, z: Tensor) -> Tensor:
        """log q(z) in nats: [draws, batch, latent] → [draws, batch]."""
        return torch.logsumexp(self.log_components(z), 0)

    def log_components(self, z: Tensor) -> Tensor:
        """log (weight_c · density_c(z)): [draws, batch, latent] → [components, draws, batch]."""
        latent, degrees = z.shape[-1], self.degrees
        centred = (z.unsqueeze(0) - self.location.unsqueeze(1)).permute(0, 2, 3, 1)
        whitened = torch.linalg.solve_triangular(self.root, centred, upper=False)  # [c, batch, latent, draws]
        distance = whitened.square().sum(2).transpose(1, 2)  # [components, draws, batch]
        log_root = self.root.diagonal(dim1=-2, dim2=-1).log().sum(-1).unsqueeze(1)
        constant = math.lgamma((degrees + latent) / 2) - math.lgamma(degrees / 2)
        constant -= latent / 2 * math.log(degrees * math.pi)
        tails = -(degrees + latent) / 2 * torch.log1p(distance / degrees)
        return self.log_weight.unsqueeze(1) + constant - log_root + tails


def tempered_weights(log_weights: Tensor, effective: float) -> tuple[Tensor, Tensor]:
    """Return weights w^β that sum to 1 over the draws, for log w [draws, batch], and effective sample sizes [batch].

    β is the largest value up to 1 whose effective sample size reaches `effective`, at most the number of draws.
    """
    low, high = torch.zeros_like(log_weights[0]), torch.ones_like(log_weights[0])
    if bool((effective_sample_size(log_weights) >= effective).all()):
        low = high
    else:
        for _ in range(20):
            middle = 0.5 * (low + high)
            enough = effective_sample_size(middle * log_weights) >= effective
            low, high = torch.where(enough, middle, low), torch.where(enough, high, middle)
        low = torch.where(effective_sample_size(log_weights) >= effective, torch.ones_like(low), low)
    tempered = low * log_weights
    return torch.softmax(tempered, 0), effective_sample_size(tempered)


def effective_sample_size(log_weights: Tensor) -> Tensor:
    """Effective sample size (Σ w)² / Σ w² over draws: [draws, batch] → [batch]."""
    return torch.exp(2 * torch.logsumexp(log_weights, 0) - torch.logsumexp(2 * log_weights, 0))


def moment_match(z: Tensor, log_weights: Tensor, effective: float) -> tuple[Tensor, Tensor]:
    """Compute the weighted mean of the draws and the root of their covariance, shrunk to those of N(0, I).

    In 32 dimensions a covariance from 60 effective draws is worse than a good guess. So both moments are shrunk to
    those of the prior as far as their own sampling noise explains the difference.

    Args:
        z: Draws. Shape [draws, batch, latent].
        log_weights: log w, tempered until the weights reach `effective`. Shape [draws, batch].
        effective: Wanted effective sample size.

    Returns:
        Mean [batch, latent] and root of the covariance, lower triangular [batch, latent, latent].

    Source: James and Stein 1961 (positive part) for the mean, Ledoit and Wolf 2004 for the covariance.
    """
    weights, size = tempered_weights(log_weights, effective)
    columns = z.permute(1, 2, 0)  # [batch, latent, draws]
    share = weights.t().unsqueeze(1)  # [batch, 1, draws]
    mean = (columns * share).sum(-1)
    centred = columns - mean.unsqueeze(-1)
    covariance = (centred * share) @ centred.mT
    identity = torch.eye(z.shape[-1], dtype=z.dtype, device=z.device)
    # Noise of the weighted mean of x xᵀ: Σ_m w_m² ‖x_m x_mᵀ − S‖², with ‖x xᵀ‖² = ‖x‖⁴.
    lengths = centred.square().sum(1)  # [batch, draws]
    cross = (centred * (covariance @ centred)).sum(1)
    squares = covariance.square().sum((-2, -1), keepdim=True)
    noise = (weights.t().square() * (lengths.square() - 2 * cross + squares.squeeze(-1))).sum(-1)
    distance = (covariance - identity).square().sum((-2, -1))
    # A part of the identity stays, so that a covariance from fewer draws than dimensions has a root.
    trust = (1 - noise / distance.clamp_min(1e-12)).clamp(0, 0.999).view(-1, 1, 1)
    trace = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    kept = (1 - trace / size / mean.square().sum(-1).clamp_min(1e-12)).clamp(0, 1).unsqueeze(-1)
    return kept * mean, torch.linalg.cholesky(trust * covariance + (1 - trust) * identity)


def score_match(
    z: Tensor, scores: Tensor, shares: Tensor, centre: Tensor, covariance: Tensor
) -> tuple[Tensor, Tensor]:
    """Fit a Gaussian whose ∇ log density is near the scores ∇ log p(x, z) of the draws, and keep it near a known one.

    A gradient carries `latent` numbers, a weight only one. For a Gaussian posterior the match is exact with
    latent + 1 draws, wherever they lie; for a rough one it averages the slopes over the draws. With C and Γ the
    covariances of draws and scores, Σ minimises λ (tr ΓΣ + tr CΣ⁻¹) / 2 + KL(N(0, known) ‖ N(0, Σ)), and the mean
    goes λ / (1 + λ) of the way to z̄ + Σ ḡ; λ grows with the draws.

    Args:
        z: Draws. Shape [draws, batch, latent].
        scores: ∇ log p(x, z) at the draws. Shape [draws, batch, latent].
        shares: Weight of each draw. Shape [draws, batch].
        centre: Mean of the known Gaussian. Shape [batch, latent].
        covariance: Its covariance. Shape [batch, latent, latent].

    Returns:
        Mean and covariance of the fitted Gaussian, with the same shapes, float64.

    Source: Cai et al. 2024, algorithm 1, without the distance of the means in the equation of Σ: far from a sharp
        posterior, that term makes Σ so narrow along the distance that the mean hardly moves.
    """
    z, scores, centre, covariance = (part.double() for part in (z, scores, centre, covariance))
    total = shares.double().sum(0).clamp_min(1e-300)
    weights = shares.double() / total
    # A component with few draws of its own learns little, even if it is responsible for draws of others.
    draws = torch.minimum(total, 1 / weights.square().sum(0).clamp_min(1e-300))
    gain = (draws / (z.shape[-1] * _DRAWS_A_DIMENSION)).view(-1, 1, 1)
    mean, spread = _moments(z, weights)
    slope, slopes = _moments(scores, weights)
    # λ Σ Γ Σ + Σ = known + λ C has the solution L X Lᵀ with L Lᵀ its right side and X (λ Lᵀ Γ L) X + X = I.
    left = torch.linalg.cholesky(covariance + gain * spread)
    eigenvalues, vectors = torch.linalg.eigh(gain * left.mT @ slopes @ left)
    inner = 2 / (1 + (1 + 4 * eigenvalues.clamp_min(0)).sqrt())  # (√(1 + 4a) − 1) / 2a, without cancellation
    matched = left @ (vectors * inner.unsqueeze(-2)) @ vectors.mT @ left.mT
    eigenvalues, vectors = torch.linalg.eigh(0.5 * (matched + matched.mT))
    eigenvalues = eigenvalues.clamp(_LARGEST_VARIANCE * 1e-12, _LARGEST_VARIANCE)
    matched = (vectors * eigenvalues.unsqueeze(-2)) @ vectors.mT
    moved = (matched @ slope.unsqueeze(-1)).squeeze(-1) + mean
    pull = (gain / (1 + gain)).squeeze(-1)
    return (1 - pull) * centre + pull * moved, matched


def _moments(values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean [batch, latent] and covariance of values [draws, batch, latent]; weights [draws, batch]."""
    mean = (weights.unsqueeze(-1) * values).sum(0)
    centred = (values - mean).transpose(0, 1)
    return mean, centred.mT @ (weights.t().unsqueeze(-1) * centred)


def flattened(covariance: Tensor, share: float) -> Tensor:
    """Mix the precision of Σ [batch, latent, latent] with the prior's: ((1 − share) Σ⁻¹ + share I)⁻¹."""
    eigenvalues, vectors = torch.linalg.eigh(covariance)
    wider = 1 / ((1 - share) / eigenvalues + share)
    mixed: Tensor = (vectors * wider.unsqueeze(-2)) @ vectors.mT
    return mixed
