"""∇²_z (−log p(x|z)) of every sentence of a batch, exact.

Gauss-Newton part of the output layer, Σ_n A_nᵀ (diag p_n − p_n p_nᵀ) A_n with A_n = W ∂h_n/∂z, plus the curvature
of the recurrence under the output layer's gradient: one forward-mode tangent a latent dimension for the whole
batch, and one [V, hidden] product a tangent in place of two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sritool.core import recurrence

if TYPE_CHECKING:
    from sritool.core.conditional import Conditional

_BUFFER_ELEMENTS = 1 << 23  # numbers of the size of logits held at a time
_TANGENT_ELEMENTS = 1 << 27  # numbers held at a time by forward-mode tangents


def hessian(conditional: Conditional, z: Tensor) -> Tensor:
    """z [..., batch, latent], several draws of each sentence → [..., batch, latent, latent], symmetric."""
    draws = z.reshape(-1, conditional.size, z.shape[-1])
    return _hessian(conditional, draws).view(*z.shape, z.shape[-1])


def _hessian(conditional: Conditional, z: Tensor) -> Tensor:
    """z [draws, batch, latent] → [draws·batch, latent, latent]."""
    generator = conditional.weights.generator
    words = conditional.gate_inputs(torch.zeros_like(z), None)
    states = conditional.run(z, None).hidden[1:]
    _, grad_hidden = conditional.through_output(states, z.shape[:-1])
    codes = z.flatten(0, 1)

    def hidden_states(code: Tensor) -> Tensor:
        inputs = words + code @ generator.latent_to_gates.t()
        return recurrence.lstm(inputs, generator.initial_hidden(code), generator.recurrent)

    def with_pullback(code: Tensor) -> tuple[Tensor, Tensor]:
        hidden, pull, *_ = torch.func.vjp(hidden_states, code)
        return hidden, pull(grad_hidden)[0]

    def along(direction: Tensor) -> tuple[Tensor, Tensor]:
        _, tangents, *_ = torch.func.jvp(with_pullback, (codes,), (direction.expand_as(codes),))
        along_hidden, along_gradient = tangents
        return along_hidden, along_gradient

    axes = torch.eye(codes.shape[1], dtype=z.dtype, device=z.device)
    per_tangent = conditional.time * codes.shape[0] * 20 * generator.config.hidden
    together = max(1, _TANGENT_ELEMENTS // per_tangent)
    # [latent, time, draws·batch, hidden] and [latent, draws·batch, latent]
    jacobian, curvature = torch.func.vmap(along, chunk_size=together)(axes)
    total = _gauss_newton(conditional, states, jacobian) - curvature.transpose(0, 1)
    return 0.5 * (total + total.mT)


def _gauss_newton(conditional: Conditional, states: Tensor, jacobian: Tensor) -> Tensor:
    """Σ_n A_nᵀ (diag p_n − p_n p_nᵀ) A_n of each draw of each sentence: [draws·batch, latent, latent]."""
    generator = conditional.weights.generator
    output, bias = generator.output, generator.output_bias
    latent, hidden = jacobian.shape[0], states.flatten(0, 1)
    tangents = jacobian.flatten(1, 2).transpose(0, 1)  # [time·draws·batch, latent, hidden]
    valid, _ = conditional.positions(states.shape[1] // conditional.size)
    if valid is not None:
        hidden, tangents = hidden[valid], tangents[valid]
    parts = []
    step = max(1, _BUFFER_ELEMENTS // (output.shape[0] * latent))
    for begin in range(0, hidden.shape[0], step):
        here = slice(begin, begin + step)
        root = torch.softmax(hidden[here] @ output.t() + bias, -1).sqrt_().unsqueeze(1)  # [n, 1, V]
        flat = tangents[here].reshape(-1, output.shape[1])
        scaled = (flat @ output.t()).view(-1, latent, output.shape[0]).mul_(root)
        mean = scaled @ root.mT  # [n, latent, 1]
        parts.append(scaled @ scaled.mT - mean @ mean.mT)
    per_position = torch.cat(parts)
    if valid is not None:
        full = per_position.new_zeros(states.shape[:2].numel(), latent, latent)
        per_position = full.index_copy_(0, valid, per_position)
    return per_position.view(*states.shape[:2], latent, latent).sum(0)
