"""Proposals for importance sampling: mixtures of multivariate Student distributions, one mixture a sentence.

Source: Laplace and moment-matching proposals as in Cappé et al. 2008, "Adaptive importance sampling in general
mixture classes"; tempered weights as in Neal 2001.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from sritool.core.random import Stream

FLATTENINGS = (1.0, 0.3)
_LEAST_LOG_WEIGHT = math.log(0.01)


class StudentMixture(NamedTuple):
    """Σ_c weight_c · t_ν(z; location_c, root_c root_cᵀ) for each sentence."""

    location: Tensor  # [components, batch, latent]
    root: Tensor  # lower triangular scale  [components, batch, latent, latent]
    log_weight: Tensor  # [components, batch]
    degrees: int  # ν

    def sample(self, stream: Stream, examples: Tensor, draws: int) -> Tensor:
        """z [draws, batch, latent]; a draw depends on (stream, example, index of the draw) alone."""
        batch, latent = self.location.shape[1:]
        dtype = self.location.dtype
        normal = stream.normal(examples, draws * (latent + self.degrees), dtype=dtype)
        normal = normal.view(batch, draws, latent + self.degrees).transpose(0, 1)
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
        centred = (z.unsqueeze(0) - self.location.unsqueeze(1)).permute(
            0, 2, 3, 1
        )  # [c, batch, latent, draws]
        whitened = torch.linalg.solve_triangular(self.root, centred, upper=False)
        distance = whitened.square().sum(2).transpose(1, 2)  # [components, draws, batch]
        log_root = self.root.diagonal(dim1=-2, dim2=-1).log().sum(-1).unsqueeze(1)
        constant = (
            math.lgamma((degrees + latent) / 2)
            - math.lgamma(degrees / 2)
            - latent / 2 * math.log(degrees * math.pi)
        )
        tails = -(degrees + latent) / 2 * torch.log1p(distance / degrees)
        return self.log_weight.unsqueeze(1) + constant - log_root + tails


def laplace(modes: Tensor, hessians: Tensor, log_joint: Tensor, degrees: int) -> StudentMixture:
    """Components at each mode, one for each of `FLATTENINGS`: precision I + β(H − I), weight the Laplace evidence.

    With β = 1 it is the Laplace approximation, right for a sharp posterior; a flatter one covers the skirts of a
    posterior that is wider than the curvature at its modes says, as it is where z says little.

    Args: modes [modes, batch, latent]; hessians H of U there [modes, batch, latent, latent]; log_joint log p(x, z)
          there [modes, batch].
    """
    eigenvalues, vectors = torch.linalg.eigh(hessians)
    # −∇² log p(z) is I, so a direction flatter than the prior is a saddle or a sum of modes: trust the prior.
    eigenvalues = eigenvalues.clamp_min(1.0)
    roots = []
    for flattening in FLATTENINGS:
        precisions = 1.0 + flattening * (eigenvalues - 1.0)
        roots.append(torch.linalg.cholesky((vectors / precisions.unsqueeze(-2)) @ vectors.mT))
    evidence = (log_joint - 0.5 * eigenvalues.log().sum(-1)).repeat(len(FLATTENINGS), 1)
    location = modes.repeat(len(FLATTENINGS), 1, 1)
    return StudentMixture(location, torch.cat(roots), torch.log_softmax(evidence, 0), degrees)


def with_prior(mixture: StudentMixture, share: float = 0.5) -> StudentMixture:
    """The mixture with one more component that has the location and scale of the prior N(0, I), and `share`.

    Where z says little, the posterior is wide and skewed: the curvature at its modes misses most of it, and the
    prior is the better place to start from.
    """
    _, batch, latent = mixture.location.shape
    like = mixture.location
    root = torch.eye(latent, dtype=like.dtype, device=like.device).expand(1, batch, latent, latent)
    log_weight = torch.cat(
        (mixture.log_weight + math.log1p(-share), torch.full_like(like[:1, :, 0], math.log(share)))
    )
    location = torch.cat((like, torch.zeros_like(like[:1])))
    return StudentMixture(location, torch.cat((mixture.root, root)), log_weight, mixture.degrees)


def tempered_weights(log_weights: Tensor, effective: float) -> tuple[Tensor, Tensor]:
    """Self-normalised weights w^β with the largest β ≤ 1 whose effective sample size reaches `effective`.

    Args:    log_weights [draws, batch]; effective: at most the number of draws.
    Returns: weights summing to 1 over draws [draws, batch]; their effective sample sizes [batch].
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
    """(Σ w)² / Σ w² over draws: [draws, batch] → [batch]."""
    return torch.exp(2 * torch.logsumexp(log_weights, 0) - torch.logsumexp(2 * log_weights, 0))


def adapted(
    proposal: StudentMixture, known: StudentMixture, z: Tensor, log_weights: Tensor, effective: float
) -> StudentMixture:
    """The mixture after one round: every component matched to the draws that it answers for.

    Args: proposal: the mixture that gave the draws z [draws, batch, latent]; known: the Laplace mixture, to which
          each component's moments are shrunk; log_weights [draws, batch]; effective: wanted effective sample size.
    """
    shares = torch.log_softmax(proposal.log_components(z), 0)  # of each component in a draw
    answered = log_weights + shares  # [components, draws, batch]
    log_weight = torch.log_softmax(torch.logsumexp(answered, 1), 0)
    # No component dies: a mode that no pilot found heavy may still matter to the fresh draws.
    log_weight = torch.log_softmax(log_weight.clamp_min(_LEAST_LOG_WEIGHT), 0)
    moments = [
        moment_match(z, part, centre, root, effective)
        for part, centre, root in zip(answered, known.location, known.root, strict=True)
    ]
    location, root = (torch.stack(parts) for parts in zip(*moments, strict=True))
    return StudentMixture(location, root, log_weight, proposal.degrees)


def moment_match(
    z: Tensor, log_weights: Tensor, centre: Tensor, root: Tensor, effective: float
) -> tuple[Tensor, Tensor]:
    """Weighted mean [batch, latent] and root of the covariance of the draws, shrunk to a known centre and root.

    In 32 dimensions a covariance from 60 effective draws is worse than a good Laplace approximation, so both
    moments give way to it as far as their own sampling noise explains the difference: the mean by the
    positive-part rule of James and Stein 1961, the covariance by that of Ledoit and Wolf 2004.

    Args: z [draws, batch, latent]; log_weights [draws, batch]; centre [batch, latent] and root
          [batch, latent, latent]: the Laplace approximation; effective: wanted effective sample size.
    """
    weights, size = tempered_weights(log_weights, effective)
    white = torch.linalg.solve_triangular(
        root, (z - centre).permute(1, 2, 0), upper=False
    )  # [b, latent, draws]
    share = weights.t().unsqueeze(1)  # [batch, 1, draws]
    mean = (white * share).sum(-1)
    centred = white - mean.unsqueeze(-1)
    covariance = (centred * share) @ centred.mT
    identity = torch.eye(z.shape[-1], dtype=z.dtype, device=z.device)
    # Noise of the weighted mean of x xᵀ: Σ_m w_m² ‖x_m x_mᵀ − S‖², with ‖x xᵀ‖² = ‖x‖⁴.
    lengths = centred.square().sum(1)  # [batch, draws]
    cross = (centred * (covariance @ centred)).sum(1)
    squares = covariance.square().sum((-2, -1), keepdim=True)
    noise = (weights.t().square() * (lengths.square() - 2 * cross + squares.squeeze(-1))).sum(-1)
    distance = (covariance - identity).square().sum((-2, -1))
    trust = (1 - noise / distance.clamp_min(1e-12)).clamp(0, 1).view(-1, 1, 1)
    trace = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    kept = (1 - trace / size / mean.square().sum(-1).clamp_min(1e-12)).clamp(0, 1).unsqueeze(-1)
    scale = torch.linalg.cholesky(trust * covariance + (1 - trust) * identity)
    return centre + (root @ (kept * mean).unsqueeze(-1)).squeeze(-1), root @ scale
