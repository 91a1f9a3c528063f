"""The hinge of free bits: where KL(q ‖ prior) lies at or below its target, its gradient is left out.

The hinge keeps the objective from pushing a KL below the target; nothing in it makes the KL reach the target.
Source: Kingma et al. 2016, a dimension at a time; Li et al. 2019, a sentence at a time.
"""

from __future__ import annotations

from torch import Tensor


def per_sentence(kl: Tensor, target: float) -> Tensor:
    """1 where a sentence's whole KL is above the target, else 0: kl [batch, latent] in nats → [batch, latent]."""
    return (kl.sum(-1, keepdim=True) > target).to(kl.dtype).expand_as(kl)


def per_dimension(kl: Tensor, target: float) -> Tensor:
    """1 where a dimension's KL is above its equal part of the target: kl [batch, latent] → [batch, latent]."""
    return (kl > target / kl.shape[-1]).to(kl.dtype)
