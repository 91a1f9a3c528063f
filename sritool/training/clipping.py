"""Bounding the norm of a gradient."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn


def clip_gradients(parameters: Iterable[nn.Parameter], bound: float) -> float:
    """Scale `.grad` of all parameters by one factor so that their joint norm is at most `bound`; 0: no bound.

    The factor is that of `torch.nn.utils.clip_grad_norm_`; but where it is 1, nothing is multiplied.

    Returns: the norm before; where it is not finite, the gradients are of no use.
    """
    parameters = list(parameters)
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if bound and bool(norm + 1e-6 > bound):
        nn.utils.clip_grads_with_norm_(parameters, bound, norm)
    return float(norm)
