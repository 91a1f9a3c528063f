"""The plain way to train a variational autoencoder of text: `torch.nn` and autograd, in float32."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from benchmarks.reference import Factors, Reference, gates_in_torchs_order, translated, update
from sritool.config.settings import GeneratorConfig
from sritool.data.batches import Batch


class ReferenceVae(nn.Module):
    """`sritool.model.encoder` and `sritool.model.generator`, built from PyTorch's modules."""

    def __init__(self, config: GeneratorConfig, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, config.embedding)
        self.lstm = nn.LSTM(config.embedding, config.hidden)
        self.to_code = nn.Linear(config.hidden, 2 * config.latent, bias=False)
        self.decoder = Reference(config, vocabulary)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)

    def loss(
        self,
        batch: Batch,
        kl_weight: float,
        noise: Tensor | None = None,
        factors: Factors | None = None,
        dropout: bool = False,
    ) -> Tensor:
        """Return the batch mean of −log p(x|z) + kl_weight · KL(q(z|x) ‖ N(0, I)) in nats, at one z per sentence.

        Args:
            batch: Sentences.
            kl_weight: Weight of the KL term.
            noise: Noise of z, for comparisons; None to draw it here. Shape [batch, latent].
            factors: Dropout factors, for comparisons; None to draw them here if `dropout`.
            dropout: Draw dropout factors.
        """
        hidden, _ = self.lstm(self.embedding(batch.targets))  # [time, batch, hidden]
        last = hidden[batch.lengths - 1, torch.arange(len(batch.lengths), device=hidden.device)]
        mean, log_variance = self.to_code(last).chunk(2, dim=-1)
        z = mean + (0.5 * log_variance).exp() * (torch.randn_like(mean) if noise is None else noise)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(-1)
        objective: Tensor = self.decoder.nll(batch, z, factors, dropout) + kl_weight * kl
        return objective.mean()


def translated_vae(generator: Mapping[str, Tensor], encoder: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return both modules' weights, or their gradients, under the names and in the layout of `ReferenceVae`."""
    bias = gates_in_torchs_order(encoder["gate_bias"])
    own = {
        "embedding.weight": encoder["embedding"],
        "lstm.weight_ih_l0": gates_in_torchs_order(encoder["words_to_gates"]),
        "lstm.weight_hh_l0": gates_in_torchs_order(encoder["recurrent"]),
        "lstm.bias_ih_l0": bias,
        "lstm.bias_hh_l0": torch.zeros_like(bias),
        "to_code.weight": encoder["to_code"],
    }
    return own | {f"decoder.{name}": tensor for name, tensor in translated(generator).items()}


def train_step_vae(
    model: ReferenceVae, optimizer: torch.optim.Optimizer, batch: Batch, kl_weight: float, clip: float = 5.0
) -> float:
    """Update encoder and decoder once; returns the mean of the objective."""
    optimizer.zero_grad()
    return update(model, optimizer, model.loss(batch, kl_weight, dropout=True), clip)
