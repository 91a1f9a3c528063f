"""Figures of each sentence: the stages measure them, estimates and notes are computed from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from sritool.data.sampling import Indices
from sritool.data.text_size import TextSize
from sritool.evaluation.metrics import Array
from sritool.likelihood.importance import CURVE


@dataclass
class SentenceFigures:
    """Figures of n sentences, in nats unless said otherwise; NaN where a sentence, or all, were not measured.

    All but the curves, draws and codes have the shape [n]. A curve has a column per part of `CURVE`: the figures from
    the first M/8, M/4, M/2 and all M draws.
    """

    predictions: Array  # number of predicted tokens, including </s>
    words: Array  # number of words of the text, including </s>
    size: TextSize | None = None  # of the text, where the tokenizer is known
    unit_chains: int = 0  # draws of q(z|x) per sentence behind `half_means`
    recon: Array = field(init=False)  # mean −log p(x|z) over the draws of q(z|x)
    recon_permuted: Array = field(init=False)  # the same with the draws of another sentence
    kl: Array = field(init=False)  # KL(q(z|x) ‖ p(z))
    folded: Array = field(init=False)  # share of the steps of the chain behind `kl` that fold
    encoder_recon: Array = field(init=False)  # `recon` and `kl` of an encoder before its refinement
    encoder_kl: Array = field(init=False)
    log_likelihood_curve: Array = field(init=False)  # log p̂(x)  [n, 4]
    posterior_kl_curve: Array = field(init=False)  # KL(p(z|x) ‖ p(z))  [n, 4]
    effective_sample_size: Array = field(init=False)  # of the weights behind the curves, a number of draws
    pareto_k: Array = field(init=False)  # k̂ of these weights, dimensionless
    log_likelihood_signed: Array = field(init=False)  # log p̂(x) by weights with signs
    sign_ratio: Array = field(init=False)  # signed over absolute weights
    folded_share: Array = field(init=False)  # of the steps of the chains that were weighed
    posterior_kl_correction: Array = field(init=False)  # included in `posterior_kl`, for uneven weights
    mi: Array = field(init=False)  # term of the mutual information of x and z ~ p(z|x)
    kl_aggregate: Array = field(init=False)  # term of the KL of the aggregate posterior to the prior
    kl_information: Array = field(init=False)  # term of the mutual information of x and z ~ q(z|x)
    draws: Array = field(init=False)  # of q(z|x)  [n, chains, latent]
    mean_code: Array = field(init=False)  # E_q[z], where it has a closed form  [n, latent]
    half_means: Array = field(init=False)  # else means over two halves of `unit_chains` draws  [n, 2, latent]
    own_code: Array = field(init=False)  # the first of the draws  [n, latent]
    own_conditional: Array = field(init=False)  # log p(x|z) of it
    posterior_code: Array = field(init=False)  # nearly a draw from p(z|x)  [n, latent]
    posterior_conditional: Array = field(init=False)  # log p(x|z) of it

    def __post_init__(self) -> None:
        count = len(self.predictions)
        for name, its_field in self.__dataclass_fields__.items():
            if not its_field.init:
                shape = (count, len(CURVE)) if name.endswith("_curve") else (count,)
                setattr(self, name, np.full(shape, np.nan))

    @property
    def log_likelihood(self) -> Array:
        """log p̂(x) from all draws."""
        return self.log_likelihood_curve[:, -1]

    @property
    def posterior_kl(self) -> Array:
        """KL(p(z|x) ‖ p(z)) from all draws."""
        return self.posterior_kl_curve[:, -1]

    def fill(self, chosen: Indices, found: Mapping[str, Array]) -> None:
        """Write figures of the chosen sentences, by name; shapes [chosen, …]."""
        for name, values in found.items():
            if getattr(self, name).shape[1:] != values.shape[1:]:
                setattr(self, name, np.full((len(self.predictions), *values.shape[1:]), np.nan))
            getattr(self, name)[chosen] = values


def is_measured(values: Array) -> bool:
    """Whether a figure is known for any sentence."""
    return not bool(np.isnan(values).all())
