"""Mutual information of sentence and code, from below and from above.

From below, every code is scored against every sentence:

    I ≥ E_i [ log f(x_i, z_i) − log mean_j f(x_j, z_i) ],   f(x, z) = p(x|z) / p̂(x),   z_i of sentence i

where the mean over j runs over the same N sentences, including i. The bound holds however the z_i are drawn. If they
are drawn from p(z|x), f is optimal and the right side estimates I itself. No sentence can contribute more than log N.

From above, and without that ceiling, I = E_x KL(p(z|x) ‖ p(z)) − KL(p̄ ‖ p(z)), with p̄ the aggregate posterior. In
expectation, a fitted density underestimates the divergence of p̄, so the difference is an upper bound.

Source: the lower bound is that of van den Oord et al. 2018 as in Poole et al. 2019, "On variational bounds of mutual
information", eq. (10); f in place of a learned critic.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sritool.inference.target import Target
from sritool.likelihood.proposal import moment_match
from sritool.model.gaussian import DiagonalGaussian
from sritool.model.random import Stream

Array = NDArray[np.float64]

_FOLDS = 5
_ROWS = 1024  # codes scored at a time against every sentence


def log_sum_over_sentences(target: Target, codes: Tensor, log_likelihood: Tensor) -> Tensor:
    """Compute log Σ_j p(x_j|z_i) / p̂(x_j) over the sentences x_j of one batch, for every code z_i.

    Sum over several batches with logaddexp.

    Args:
        target: p(x|·) of the batch.
        codes: z_i, of any sentences. Shape [codes, latent].
        log_likelihood: log p̂(x_j), nats. Shape [batch].

    Returns:
        Shape [codes], float64.
    """
    every = codes.unsqueeze(1).expand(-1, len(log_likelihood), -1)
    return torch.logsumexp(target.log_likelihood(every).double() - log_likelihood.double(), 1)


def information(log_conditional: Array, log_likelihood: Array, log_sum: Array) -> Array:
    """Compute each sentence's term of the lower bound, in nats; the bound is the mean of the terms.

    Args:
        log_conditional: log p(x_i|z_i). Shape [sentences].
        log_likelihood: log p̂(x_i). Shape [sentences].
        log_sum: log Σ_j p(x_j|z_i) / p̂(x_j), over all sentences. Shape [sentences].

    Returns:
        Shape [sentences].
    """
    terms: Array = log_conditional - log_likelihood - (log_sum - np.log(len(log_sum)))
    return terms


FEWEST = 2 * _FOLDS
"""Fewest sentences for the divergence of their aggregate posterior."""


def aggregate_terms(codes: Array, seed: int) -> Array:
    """Compute each code's term of the KL divergence of the codes' distribution to the prior, the mean of the terms.

        log r(z_i) − log p(z_i)

    r is a Gaussian fitted to the other four fifths of the codes, shrunk to the prior as far as sampling noise
    explains the difference. It was not fitted to z_i, so in expectation the mean is at most the divergence, and close
    to it if the distribution is close to a Gaussian.

    Args:
        codes: One z ~ p(z|x) of each of at least `FEWEST` sentences. Shape [sentences, latent].
        seed: Of the choice of folds.

    Returns:
        Terms in nats. Shape [sentences].

    Source: the cross-entropy bound of Barber and Agakov 2003.
    """
    z = torch.from_numpy(codes).double()
    terms = torch.zeros(len(z), dtype=torch.float64)
    for fold in np.array_split(np.random.default_rng(seed).permutation(len(z)), _FOLDS):
        others = z[np.setdiff1d(np.arange(len(z)), fold)].unsqueeze(1)
        even = z.new_zeros(len(others), 1)
        location, root = moment_match(others, even, len(others))
        white = torch.linalg.solve_triangular(root[0], (z[fold] - location).t(), upper=False)
        log_root = root[0].diagonal().log().sum()
        terms[fold] = 0.5 * (z[fold].square().sum(1) - white.square().sum(0)) - log_root
    return terms.numpy()


@torch.no_grad()
def encoder_information(q: DiagonalGaussian, examples: Tensor, stream: Stream) -> float:
    """Estimate the mutual information of sentence and code under q(z|x), from one draw z_i of each of N sentences.

        E_i [ log q(z_i|x_i) − log mean_j q(z_i|x_j) ]

    The inner mean is over all N sentences, so the estimate, in nats, is at most log N.

    Source: Hoffman and Johnson 2016, as used by He et al. 2019.
    """
    q = DiagonalGaussian(q.mean.double(), q.log_variance.double())
    z = q.sample(stream, examples, 1)[0]
    precision = (-q.log_variance).exp()
    # −2 log q(z_i|x_j) up to a common constant, as two products in place of N² differences.
    own = (q.mean.square() * precision + q.log_variance).sum(-1)  # of each j  [N]
    by_sentence = []
    for part in z.split(_ROWS):
        distance = part.square() @ precision.t() - 2.0 * part @ (q.mean * precision).t() + own
        by_sentence.append(torch.logsumexp(-0.5 * distance, 1))
    log_mean = torch.cat(by_sentence) - math.log(len(z))
    log_own = -0.5 * ((z - q.mean).square() * precision + q.log_variance).sum(-1)
    return float((log_own - log_mean).mean())
