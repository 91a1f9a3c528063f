"""The plain way to train by short-run inference: the loop of the authors' code, written anew on `torch.nn`.

Float32, autograd throughout: every Langevin step runs `nn.LSTM` on [word, z], materialises the log-softmax of
all positions, and goes backward into every parameter's `.grad` as well as into z.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sritool.core.config import GeneratorConfig
from sritool.core.generator import Generator
from sritool.corpus.batches import Batch
from sritool.corpus.tokenizer import FIRST_PREDICTED, PAD

_TO_TORCH = (1, 2, 3, 0)  # of gates output, input, forget, candidate: input, forget, candidate, output

Factors = tuple[Tensor, Tensor]
"""Dropout factors of the embedded words [time, batch, embedding] and of the LSTM's outputs [time, batch, hidden]."""


class Reference(nn.Module):
    """p(x|z) of `sritool.core.generator`, from the modules of PyTorch; `latent = 0` is a language model."""

    def __init__(self, config: GeneratorConfig, vocabulary: int) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(vocabulary, config.embedding)
        self.lstm = nn.LSTM(config.embedding + config.latent, config.hidden)
        self.initial_weight = nn.Parameter(torch.empty(config.hidden, config.latent))
        self.initial_bias = nn.Parameter(torch.empty(config.hidden))
        self.output = nn.Linear(config.hidden, vocabulary - FIRST_PREDICTED)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)

    def nll(self, batch: Batch, z: Tensor, factors: Factors | None = None, dropout: bool = False) -> Tensor:
        """−log p(x|z) in nats: z [batch, latent] → [batch].

        Args: factors: dropout as given, for comparisons; else it is drawn here, if `dropout`.
        """
        words = self.embedding(batch.inputs)  # [time, batch, embedding]
        words = words * factors[0] if factors else F.dropout(words, self.config.dropout, dropout)
        inputs = torch.cat((words, z.expand(words.shape[0], -1, -1)), -1)
        initial = F.linear(z, self.initial_weight, self.initial_bias).unsqueeze(0)
        hidden, _ = self.lstm(inputs, (initial, torch.zeros_like(initial)))
        hidden = hidden * factors[1] if factors else F.dropout(hidden, self.config.dropout, dropout)
        scores = F.log_softmax(self.output(hidden.flatten(0, 1)), -1)  # [time·batch, vocabulary]
        targets = batch.targets.flatten() - FIRST_PREDICTED
        lost = F.nll_loss(scores, targets, ignore_index=PAD - FIRST_PREDICTED, reduction="none")
        return lost.view(batch.targets.shape).sum(0)


def gates_in_torchs_order(tensor: Tensor) -> Tensor:
    """Rows of gates from the generator's order to that of `nn.LSTM`."""
    return torch.cat([tensor.chunk(4)[i] for i in _TO_TORCH])


def translated(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A `Generator`'s weights, or gradients of them, by the names and in the layout of `Reference`.

    The two biases of `nn.LSTM` add up: the first is the generator's and the second 0, so the second's gradient,
    which equals the first's, is left out of the comparison by who compares.
    """
    bias = gates_in_torchs_order(tensors["gate_bias"])
    words = torch.cat((tensors["words_to_gates"], tensors["latent_to_gates"]), 1)
    return {
        "embedding.weight": tensors["embedding"],
        "lstm.weight_ih_l0": gates_in_torchs_order(words),
        "lstm.weight_hh_l0": gates_in_torchs_order(tensors["recurrent"]),
        "lstm.bias_ih_l0": bias,
        "lstm.bias_hh_l0": torch.zeros_like(bias),
        "initial_weight": tensors["latent_to_initial"],
        "initial_bias": tensors["initial_bias"],
        "output.weight": tensors["output"],
        "output.bias": tensors["output_bias"],
    }


def reference_of(generator: Generator) -> Reference:
    """The same function of z and θ, with a copy of the generator's weights."""
    reference = Reference(generator.config, generator.vocabulary_size)
    reference = reference.to(generator.output.device, generator.output.dtype)
    reference.load_state_dict(translated({name: p.detach() for name, p in generator.named_parameters()}))
    return reference


def langevin_chain(
    model: Reference,
    batch: Batch,
    start: Tensor,
    step_sizes: Sequence[float],
    noise: Tensor,
    temperature: float,
    dropout: bool,
) -> Tensor:
    """z_K; every step leaves batch sums of its gradient in the parameters' `.grad`, on top of what is there.

    Args: start [batch, latent]; noise [steps, batch, latent].
    """
    z = start
    for step_size, draw in zip(step_sizes, noise, strict=True):
        z = z.detach().requires_grad_()
        energy = model.nll(batch, z, dropout=dropout).sum() + 0.5 * z.square().sum()
        energy.backward()
        assert z.grad is not None
        z = z.detach() - step_size * z.grad + temperature * math.sqrt(2 * step_size) * draw
    return z


def train_step(
    model: Reference,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    step_sizes: Sequence[float],
    theta_gradient: str,
    chain_dropout: bool,
    clip: float = 5.0,
) -> float:
    """One update of θ by short-run inference; returns the mean −log p(x|z_K).

    Args: theta_gradient: "end", where what the chain left in `.grad` is thrown away, or "path", where the batch
          mean at z_K is added to it.
    """
    like, steps = model.output.weight, len(step_sizes)
    draws = torch.randn(steps + 1, len(batch.examples), model.config.latent, device=like.device)
    optimizer.zero_grad()
    z = langevin_chain(model, batch, draws[0], step_sizes, draws[1:], 0.2, chain_dropout)
    if theta_gradient == "end":
        optimizer.zero_grad()
    return update(model, optimizer, model.nll(batch, z, dropout=True).mean(), clip)


def train_step_lm(
    model: Reference, optimizer: torch.optim.Optimizer, batch: Batch, clip: float = 5.0
) -> float:
    """One update of a language model's θ; returns the mean −log p(x)."""
    optimizer.zero_grad()
    no_code = model.output.weight.new_zeros(len(batch.examples), 0)
    return update(model, optimizer, model.nll(batch, no_code, dropout=True).mean(), clip)


def update(model: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, clip: float) -> float:
    """Backward, clip, step; returns the loss."""
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    return float(loss.detach())
