"""Mutual information of sentence and code, from every code scored against every sentence.

    I ≥ E_i [ log f(x_i, z_i) − log mean_j f(x_j, z_i) ],   f(x, z) = p(x|z) / p̂(x),   z_i of sentence i

with the mean over the same N sentences, i's own among them. It holds for any way in which the z_i are drawn; where
they are draws of p(z|x), f is the best there is and the difference estimates I itself. No sentence can give more
than log N.

Source: the bound is that of van den Oord et al. 2018 as in Poole et al. 2019, "On variational bounds of mutual
information", eq. (10); f in place of a learned critic.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sritool.core.importance import Scored

Array = NDArray[np.float64]


def log_sum_over_sentences(target: Scored, codes: Tensor, log_likelihood: Tensor) -> Tensor:
    """log Σ_j p(x_j|z_i) / p̂(x_j) over the sentences of one batch, for every code.

    Args:    codes z_i [codes, latent], of any sentences; log_likelihood log p̂(x_j) [batch], nats.
    Returns: [codes] float64: batches add up by logaddexp.
    """
    every = codes.unsqueeze(1).expand(-1, len(log_likelihood), -1)
    return torch.logsumexp(target.log_likelihood(every).double() - log_likelihood.double(), 1)


def information(log_conditional: Array, log_likelihood: Array, log_sum: Array) -> Array:
    """Each sentence's term of the bound above, nats: their mean estimates it.

    Args: log p(x_i|z_i), log p̂(x_i) and log Σ_j p(x_j|z_i) / p̂(x_j), all [sentences].
    """
    terms: Array = log_conditional - log_likelihood - (log_sum - np.log(len(log_sum)))
    return terms
