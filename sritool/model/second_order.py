"""Second derivatives of log p(x|z) along a direction, by automatic differentiation of its gradient.

Written by hand, this would take 0.7 to 0.8 times as long and five times as many lines; only `sa-vae` needs it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sritool.data.batches import Batch
from sritool.data.tokenizer import FIRST_PREDICTED
from sritool.model.dropout import Masks
from sritool.model.generator import Generator

_LOGITS = 1 << 24  # logits held at a time, in a few copies: 64 MB each in float32


class HessianVectorProduct(NamedTuple):
    """Derivatives of the slope D = Σ_batch ⟨∇_z log p(x|z), u⟩."""

    of_code: Tensor  # ∇²_z log p(x|z) · u  [batch, latent]
    of_parameters: dict[str, Tensor]  # by the generator's names


def hessian_vector_product(
    generator: Generator, batch: Batch, masks: Masks | None, z: Tensor, u: Tensor
) -> HessianVectorProduct:
    """Differentiate the slope of log p(x|z) at z along u, both [batch, latent]; leaves every `.grad` as it is."""
    names, parameters = zip(*generator.named_parameters(), strict=True)
    of_code = torch.empty_like(z)
    of_parameters = [torch.zeros_like(parameter) for parameter in parameters]
    sentences = torch.arange(len(z), device=z.device)
    fitting = max(1, _LOGITS // (len(batch.targets) * len(generator.output_bias)))
    for part in sentences.split(fitting):
        with torch.enable_grad():
            code = z[part].detach().requires_grad_()
            own = None if masks is None else masks.part(part)
            slope = _slope(generator, batch.part(part), own, code, u[part])
            found = torch.autograd.grad(slope, (code, *parameters), materialize_grads=True)
        of_code[part] = found[0]
        for total, gradient in zip(of_parameters, found[1:], strict=True):
            total += gradient
    return HessianVectorProduct(of_code, dict(zip(names, of_parameters, strict=True)))


def _slope(generator: Generator, batch: Batch, masks: Masks | None, z: Tensor, u: Tensor) -> Tensor:
    """D, differentiable in z and θ: a scalar."""
    features = generator.output_features(batch.inputs, z, masks)  # [time, batch, width]
    rows = (batch.targets - FIRST_PREDICTED).clamp_min(0)
    # The gradient in the features, W_target − Σ_v p_v W_v, is written out: this saves one differentiation through the
    # logits.
    weight = generator.output_weight  # [V, width]
    p = torch.softmax(features @ weight.t() + generator.output_bias, -1)  # [time, batch, V]
    of_features = weight[rows] - p @ weight  # [time, batch, width]
    of_features = of_features * (batch.targets >= FIRST_PREDICTED).unsqueeze(-1)
    (of_code,) = torch.autograd.grad(features, z, of_features, create_graph=True)
    return (of_code * u).sum()
