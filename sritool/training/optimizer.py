"""Updates of θ along its gradient: learning rate, weight decay, Adam or SGD."""

from __future__ import annotations

import torch
from torch import nn

from sritool.config.settings import OptimizerConfig
from sritool.training.freezing import trained_parameters


def make_optimizer(
    modules: nn.Module, settings: OptimizerConfig, device: torch.device
) -> torch.optim.Optimizer:
    """Return a new optimiser of all parameters that are not frozen."""
    parameters = trained_parameters(modules, settings.freeze)
    if settings.name == "sgd":
        return torch.optim.SGD(parameters, lr=settings.learning_rate)
    fused = device.type in ("cpu", "cuda")
    return torch.optim.Adam(parameters, lr=settings.learning_rate, fused=fused)


def learning_rate(settings: OptimizerConfig, progress: float, after: float, halvings: int) -> float:
    """Return the learning rate of an update.

    Args:
        settings: The optimiser's settings.
        progress: Share of the planned epochs done before the update.
        after: Share done after it; the warm-up follows it, so that the first update has a rate above 0.
        halvings: How often the rate has been halved.
    """
    warm = min(1.0, after / settings.warmup) if settings.warmup else 1.0
    return settings.learning_rate * warm * settings.decay.at(progress) * 0.5**halvings


@torch.no_grad()
def update(modules: nn.Module, optimizer: torch.optim.Optimizer, rate: float, weight_decay: float) -> None:
    """Move the parameters along their gradients; those without a gradient stay as they are.

    Weight decay λ is decoupled from the gradient (Loshchilov and Hutter 2019): every weight is first multiplied
    by 1 − rate · λ. Biases are not decayed.
    """
    if weight_decay:
        for name, parameter in modules.named_parameters():
            if parameter.grad is not None and not name.endswith("bias"):
                parameter.mul_(1.0 - rate * weight_decay)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
