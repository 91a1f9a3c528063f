"""The encoder q_φ(z|x): a one-layer LSTM of the generator's size over the words and </s>.

Its last hidden state gives mean and log-variance. Forward and backward run without an autograd graph, with the
generator's recurrence.

Source: Bowman et al. 2016; the sizes, and by default no bias in the last map, as in Li et al. 2019.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sritool.config.settings import GeneratorConfig
from sritool.data.batches import Batch
from sritool.model.gaussian import DiagonalGaussian
from sritool.model.random import draw_uniform
from sritool.model.recurrence import Recurrence, RecurrentWeight
from sritool.model.workspace import Workspace


class Encoder(nn.Module):
    """Parameters of q_φ(z|x) = N(mean, diag exp(log_variance))."""

    def __init__(self, config: GeneratorConfig, vocabulary_size: int) -> None:
        super().__init__()
        embedding, hidden = config.embedding, config.hidden
        self.config = config
        self.embedding = nn.Parameter(torch.empty(vocabulary_size, embedding))
        self.words_to_gates = nn.Parameter(torch.empty(4 * hidden, embedding))  # gates: o, i, f, g
        self.recurrent = nn.Parameter(torch.empty(4 * hidden, hidden))
        self.gate_bias = nn.Parameter(torch.empty(4 * hidden))
        self.to_code = nn.Parameter(torch.empty(2 * config.latent, hidden))  # rows of mean, then log-variance
        self.code_bias: nn.Parameter | None
        self.register_parameter("code_bias", None)
        if config.code_bias:
            self.code_bias = nn.Parameter(torch.empty(2 * config.latent))

    def initialise(self, scale: float, seed: int, embedding_scale: float = 0.0) -> None:
        """Draw every parameter from U(−scale, scale), with random numbers other than the generator's."""
        draw_uniform(self, scale, seed, "encoder", embedding_scale)

    @torch.no_grad()
    def run(self, batch: Batch, workspace: Workspace | None = None) -> EncoderRun:
        """Compute q(z|x) of each sentence, and what its gradients need; their memory comes from the workspace."""
        return EncoderRun(self, batch, workspace or Workspace())


class EncoderRun:
    """One forward pass over a batch.

    Attributes:
        q: q(z|x). Mean and log-variance have the shape [batch, latent].
    """

    def __init__(self, encoder: Encoder, batch: Batch, workspace: Workspace) -> None:
        self._encoder, self._words, self._workspace = encoder, batch.targets, workspace
        time, size = batch.targets.shape
        self._embedded = encoder.embedding.detach()[batch.targets]  # [time, batch, embedding]
        self._recurrence = Recurrence(time, size, encoder.config.hidden, encoder.embedding)
        flat = self._recurrence.gates.flatten(0, 1)
        bias, weight = encoder.gate_bias.detach(), encoder.words_to_gates.detach().t()
        torch.addmm(bias, self._embedded.flatten(0, 1), weight, out=flat)
        start = flat.new_zeros(size, encoder.config.hidden)
        self._recurrent = RecurrentWeight(encoder.recurrent)
        self._recurrence.run(start, self._recurrent)
        # Padding after a sentence's end never reaches its last state.
        self._ends = batch.lengths, torch.arange(size, device=flat.device)
        self._last = self._recurrence.hidden[self._ends]  # [batch, hidden]
        code = self._last @ encoder.to_code.detach().t()
        if encoder.code_bias is not None:
            code = code + encoder.code_bias.detach()
        self.q = DiagonalGaussian(*code.chunk(2, dim=-1))

    @torch.no_grad()
    def gradients(self, grad_mean: Tensor, grad_log_variance: Tensor) -> dict[str, Tensor]:
        """Return the parameters' gradients by name, from those of mean and log-variance, both [batch, latent]."""
        encoder = self._encoder
        grad_code = torch.cat((grad_mean, grad_log_variance), dim=-1)  # [batch, 2·latent]
        # The state after t words is row t of `hidden`. Row 0 is the start, which gets no gradient.
        grad_hidden = torch.zeros_like(self._recurrence.hidden)
        grad_hidden[self._ends] = grad_code @ encoder.to_code
        grad_gates, _ = self._recurrence.backward(grad_hidden[1:], self._recurrent)  # [time, batch, 4·hidden]
        flat = grad_gates.flatten(0, 1)
        grad_words = flat @ encoder.words_to_gates
        weight = encoder.embedding.detach()
        embedding = self._workspace.take("gradient of the encoder's embedding", weight.shape, weight).zero_()
        embedding.index_add_(0, self._words.flatten(), grad_words)
        bias = {} if encoder.code_bias is None else {"code_bias": grad_code.sum(0)}
        return {
            **bias,
            "embedding": embedding,
            "words_to_gates": flat.t() @ self._embedded.flatten(0, 1),
            "recurrent": flat.t() @ self._recurrence.hidden[:-1].flatten(0, 1),
            "gate_bias": flat.sum(0),
            "to_code": grad_code.t() @ self._last,
        }
