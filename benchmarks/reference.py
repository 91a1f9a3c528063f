"""The plain way to train by short-run inference, on `torch.nn` and autograd, in two forms.

The authors' loop, rewritten, uses float32. Every Langevin step runs `nn.LSTM` on [word, z], materialises the
log-softmax of all positions, and computes the gradients of all parameters as well as of z, whether they are needed or
not. The frugal loop is the fastest that plain PyTorch allows: parameters are frozen in a chain that needs no
gradient for them, and the products of the output layer may run in bfloat16.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.shapes import Shape
from benchmarks.timing import alternate, spread
from sritool.config.settings import GeneratorConfig, SamplerConfig
from sritool.data.batches import Batch
from sritool.data.tokenizer import FIRST_PREDICTED, PAD
from sritool.model.generator import Generator

_TO_TORCH = (1, 2, 3, 0)  # of gates output, input, forget, candidate: input, forget, candidate, output

Factors = tuple[Tensor, Tensor]
"""Dropout factors of the embedded words [time, batch, embedding] and of the LSTM's outputs [time, batch, hidden]."""

_RATE = 0.05  # update rate of the running mean of the Fisher information
_TRIALS = 5


class Output(nn.Linear):
    """The output layer: logits in float32, or in bfloat16 by PyTorch's autocast or by a cast of its operands.

    Attributes:
        form: "float32", "autocast" or "cast".
    """

    form = "float32"

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the logits: [n, hidden] → [n, vocabulary]."""
        if self.form == "autocast":
            with torch.autocast(hidden.device.type, torch.bfloat16):
                return super().forward(hidden)
        if self.form == "cast":
            kind = torch.bfloat16
            return F.linear(hidden.to(kind), self.weight.to(kind), self.bias.to(kind))
        return super().forward(hidden)


@lru_cache
def fastest_form(shape: Shape, precision: str, device: torch.device) -> str:
    """Return the form of `Output` that is fastest on this machine, forward and backward, at this precision."""
    if precision != "bfloat16":
        return "float32"
    hidden = torch.rand(shape.tokens, shape.hidden, device=device, requires_grad=True)
    targets = torch.randint(0, shape.vocabulary - FIRST_PREDICTED, (shape.tokens,), device=device)
    runs = {}
    for form in ("autocast", "cast"):
        output = Output(shape.hidden, shape.vocabulary - FIRST_PREDICTED).to(device)
        output.form = form
        runs[form] = lambda layer=output: F.cross_entropy(layer(hidden), targets).backward()
    times = alternate(runs, _TRIALS, device)
    return min(times, key=lambda form: spread(times[form]).median)


class Reference(nn.Module):
    """p(x|z) of `sritool.model.generator`, built from PyTorch's modules; `latent = 0` is a language model."""

    def __init__(self, config: GeneratorConfig, vocabulary: int) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(vocabulary, config.embedding)
        self.lstm = nn.LSTM(config.embedding + config.latent, config.hidden)
        self.initial_weight = nn.Parameter(torch.empty(config.hidden, config.latent))
        self.initial_bias = nn.Parameter(torch.empty(config.hidden))
        self.output = Output(config.hidden, vocabulary - FIRST_PREDICTED)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)

    def nll(self, batch: Batch, z: Tensor, factors: Factors | None = None, dropout: bool = False) -> Tensor:
        """Return −log p(x|z) in nats: z [batch, latent] → [batch].

        Args:
            batch: Sentences.
            z: One code per sentence.
            factors: Dropout factors, for comparisons; None to draw them here if `dropout`.
            dropout: Draw dropout factors.
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
        return lost.to(z.dtype).view(batch.targets.shape).sum(0)


def gates_in_torchs_order(tensor: Tensor) -> Tensor:
    """Reorder the rows of gates from the generator's order to that of `nn.LSTM`."""
    return torch.cat([tensor.chunk(4)[i] for i in _TO_TORCH])


def translated(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a `Generator`'s weights, or their gradients, under the names and in the layout of `Reference`.

    `nn.LSTM` adds two biases: the first is the generator's and the second is 0. The second's gradient equals the
    first's; comparisons of gradients must leave it out.
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
    """Make a reference that is the same function of z and θ, with a copy of the generator's weights."""
    reference = Reference(generator.config, generator.vocabulary_size)
    reference = reference.to(generator.output_bias.device, generator.output_bias.dtype)
    reference.load_state_dict(translated({name: p.detach() for name, p in generator.named_parameters()}))
    return reference


def root_of(fisher: Tensor) -> Tensor:
    """Return the symmetric L of the preconditioner P = (I + F)⁻¹ = L Lᵀ, for F [latent, latent]."""
    eigenvalues, vectors = torch.linalg.eigh(fisher)
    root: Tensor = (vectors * (1.0 + eigenvalues).rsqrt()) @ vectors.t()
    return root


def langevin_chain(
    model: Reference,
    batch: Batch,
    start: Tensor,
    step_sizes: Sequence[float],
    noise: Tensor,
    temperature: float,
    dropout: bool,
    root: Tensor | None = None,
    exponential: bool = False,
) -> Tensor:
    """Return z_K; every step adds its gradient, summed over the batch, to the `.grad` of unfrozen parameters.

    Args:
        model: p(x|z).
        batch: Sentences.
        start: z_0. Shape [batch, latent].
        step_sizes: Step size of each step.
        noise: Noise of each step. Shape [steps, batch, latent].
        temperature: Factor on the noise.
        dropout: Draw dropout factors at each step.
        root: L of the preconditioner; None for the identity.
        exponential: Use the noise of the exponential integrator instead of Euler's.
    """
    z = start
    for step_size, draw in zip(step_sizes, noise, strict=True):
        z = z.detach().requires_grad_()
        energy = model.nll(batch, z, dropout=dropout).sum() + 0.5 * z.square().sum()
        energy.backward()
        slope = z.grad
        assert slope is not None
        if root is not None:
            slope, draw = slope @ root @ root.t(), draw @ root.t()
        variance = 1 - (1 - step_size) ** 2 if exponential else 2 * step_size
        z = z.detach() - step_size * slope + temperature * math.sqrt(variance) * draw
    return z


def train_step(
    model: Reference,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    sampler: SamplerConfig,
    fisher: Tensor | None = None,
    frugal: bool = False,
    draws: Tensor | None = None,
    clip: float = 5.0,
) -> float:
    """Update θ once by short-run inference, at the evaluation temperature and with all words; returns the loss.

    Args:
        model: p(x|z).
        optimizer: Optimiser of the model's parameters.
        batch: Sentences.
        sampler: Settings of the chain.
        fisher: Running Fisher information of a preconditioned sampler, updated in place. Shape [latent, latent].
        frugal: Freeze the parameters in a chain whose gradient for θ is not needed.
        draws: z_0 and the noise, for comparisons; None to draw them here. Shape [steps + 1, batch, latent].
        clip: Bound on the norm of the gradient.
    """
    like, steps, size = model.output.weight, sampler.schedule(), len(batch.examples)
    if draws is None:
        draws = torch.randn(sampler.steps + 1, size, model.config.latent, device=like.device)
    at_end = sampler.theta_gradient == "end"
    root = None if fisher is None else root_of(fisher)
    optimizer.zero_grad()
    model.requires_grad_(not (frugal and at_end))
    tau, dropout = sampler.evaluation_temperature, sampler.chain_dropout
    z = langevin_chain(model, batch, draws[0], steps, draws[1:], tau, dropout, root, sampler.exponential)
    model.requires_grad_(True)
    if at_end:
        optimizer.zero_grad()
    z.requires_grad_(fisher is not None)
    weight = 1.0 / size if at_end else sampler.weight_at_end(size)
    loss = update(model, optimizer, weight * model.nll(batch, z, dropout=True).sum(), clip)
    if fisher is not None and z.grad is not None:
        scores = z.grad / weight
        fisher.lerp_(scores.t() @ scores / size, _RATE)
    return loss


def train_step_lm(
    model: Reference, optimizer: torch.optim.Optimizer, batch: Batch, clip: float = 5.0
) -> float:
    """Update a language model's θ once; returns the mean −log p(x)."""
    optimizer.zero_grad()
    no_code = model.output.weight.new_zeros(len(batch.examples), 0)
    return update(model, optimizer, model.nll(batch, no_code, dropout=True).mean(), clip)


def update(model: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, clip: float) -> float:
    """Run the backward pass, clip the gradient and make an optimiser step; returns the loss."""
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    return float(loss.detach())
