"""Pareto k̂ of importance weights: how heavy their tail is, and so whether their mean can be trusted.

Below 0.5, the variance of the weights is finite. Up to 0.7, the estimate is still usable. Above 0.7, the largest
weights decide, and no feasible number of draws is enough.

Source: Vehtari, Simpson, Gelman, Yao and Gabry 2024, "Pareto smoothed importance sampling" (here nothing is
smoothed: k̂ is a diagnostic only); the fit is that of Zhang and Stephens 2009, "A new and efficient estimation method
for the generalized Pareto distribution".
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

FEWEST_TAIL = 5  # fewest draws in a tail that can be fitted
_GRID = 30  # values of b, plus √n
_PRIOR_DRAWS, _PRIOR_SHAPE = 10, 0.5  # of the weakly informative prior on k̂, in draws of the tail


def tail_size(draws: int) -> int:
    """Number of the largest weights that count as the tail: min(M/5, 3√M)."""
    return math.ceil(min(draws / 5, 3 * math.sqrt(draws)))


def pareto_k(log_weights: Tensor) -> Tensor:
    """Fit k̂ [batch], the shape of the tail of each sentence's weights, from log-weights [draws, batch].

    Above 0.7 the mean weight cannot be trusted. k̂ is NaN with fewer than 25 draws, whose tail is too short, or if a
    weight is NaN; 0, a bounded tail, if the largest weights are all equal.

    Source: Vehtari et al. 2024, appendix C for the prior on k̂.
    """
    draws, batch = log_weights.shape
    size = tail_size(draws)
    if size < FEWEST_TAIL:
        return torch.full((batch,), math.nan, dtype=log_weights.dtype, device=log_weights.device)
    highest = log_weights.double().topk(size + 1, dim=0).values.flip(0)  # ascending
    weights = (highest - highest[-1]).exp()
    exceedances = weights[1:] - weights[0]
    spread = exceedances[-1] > 0
    shape, _ = fit_generalised_pareto(torch.where(spread, exceedances, torch.ones_like(exceedances)))
    regularised = (size * shape + _PRIOR_DRAWS * _PRIOR_SHAPE) / (size + _PRIOR_DRAWS)
    known = torch.where(spread, regularised, torch.zeros_like(shape))
    return known.masked_fill(log_weights.isnan().any(0), math.nan).to(log_weights.dtype)


def fit_generalised_pareto(exceedances: Tensor) -> tuple[Tensor, Tensor]:
    """Fit shape k, positive for a heavy tail, and scale σ of a generalised Pareto distribution, both float64 [batch].

    The exceedances [n, batch] are sorted and at least 0; the largest is above 0. Source: Zhang and Stephens 2009.
    """
    x = exceedances.double()
    n = len(x)
    grid = _GRID + int(math.sqrt(n))
    points = torch.arange(1, grid + 1, dtype=x.dtype, device=x.device).unsqueeze(1) - 0.5
    # With equal weights in the tail, the lower quartile may be 0, which cannot divide.
    quartile = x[int(n / 4 + 0.5) - 1].clamp_min(1e-12 * x[-1])
    b = 1 / x[-1] + (1 - (grid / points).sqrt()) / (3 * quartile)  # [grid, batch]
    k = torch.log1p(-b.unsqueeze(1) * x).mean(1)
    profile = n * (torch.log(-b / k) - k - 1)
    weights = torch.softmax(torch.nan_to_num(profile, nan=-torch.inf), 0)
    chosen = (b * weights).sum(0)
    shape = torch.log1p(-chosen * x).mean(0)
    return shape, -shape / chosen
