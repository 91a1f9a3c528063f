"""The generator p(x|z): a one-layer LSTM that sees z in its initial state and beside every word.

Sources: Pang et al. 2021, section 4; the sizes are those of Li et al. 2019. Tied embeddings: Press and Wolf 2017,
"Using the output embedding to improve language models", and Inan, Khosravi and Socher 2017.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sritool.config.settings import GeneratorConfig
from sritool.data.tokenizer import FIRST_PREDICTED
from sritool.model.dropout import Masks, dropped
from sritool.model.random import draw_uniform
from sritool.model.recurrence import lstm


class Generator(nn.Module):
    """Parameters of p_θ(x|z), and the plain, differentiable form of its likelihood.

    The output layer has a row for every token that can be predicted: all but padding and <s>, which are the
    first `FIRST_PREDICTED` ids. `latent = 0` makes it a language model. Where embeddings are tied, the output layer's
    rows are the words' embeddings, and a linear map brings a hidden state to their width, if its own is another.
    """

    def __init__(self, config: GeneratorConfig, vocabulary_size: int) -> None:
        super().__init__()
        embedding, hidden, latent = config.embedding, config.hidden, config.latent
        self.config = config
        self.vocabulary_size = vocabulary_size
        self.embedding = nn.Parameter(torch.empty(vocabulary_size, embedding))
        self.words_to_gates = nn.Parameter(torch.empty(4 * hidden, embedding))  # gates: o, i, f, g
        self.latent_to_gates = nn.Parameter(torch.empty(4 * hidden, latent))
        self.recurrent = nn.Parameter(torch.empty(4 * hidden, hidden))
        self.gate_bias = nn.Parameter(torch.empty(4 * hidden))
        self.latent_to_initial = nn.Parameter(torch.empty(hidden, latent))
        self.initial_bias = nn.Parameter(torch.empty(hidden))
        self.hidden_to_embedding: nn.Parameter | None
        self.register_parameter("hidden_to_embedding", None)
        if not config.tied_embeddings:
            self.output = nn.Parameter(torch.empty(vocabulary_size - FIRST_PREDICTED, hidden))
        elif hidden != embedding:
            self.hidden_to_embedding = nn.Parameter(torch.empty(embedding, hidden))
        self.output_bias = nn.Parameter(torch.empty(vocabulary_size - FIRST_PREDICTED))

    @property
    def products(self) -> int:
        """Multiply-adds of the matrix products for one word: recurrence and output layer."""
        between = self.hidden_to_embedding
        output = self.output_weight.numel() + (0 if between is None else between.numel())
        return 4 * self.config.hidden**2 + output

    @property
    def output_weight(self) -> Tensor:
        """A row for each word that can be predicted: [V, hidden], or [V, embedding] where it is tied."""
        return self.embedding[FIRST_PREDICTED:] if self.config.tied_embeddings else self.output

    def before_output(self, hidden: Tensor) -> Tensor:
        """What the output layer multiplies with its weight: hidden [..., hidden] → [..., width of the weight]."""
        return hidden if self.hidden_to_embedding is None else hidden @ self.hidden_to_embedding.t()

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of all words that can be predicted: hidden [..., hidden] → [..., V]."""
        return self.before_output(hidden) @ self.output_weight.t() + self.output_bias

    def initialise(self, scale: float, seed: int, purpose: str = "", embedding_scale: float = 0.0) -> None:
        """Draw every parameter from U(−scale, scale), as `draw_uniform` does."""
        draw_uniform(self, scale, seed, purpose, embedding_scale)

    def initial_hidden(self, z: Tensor) -> Tensor:
        """Initial hidden state: z [batch, latent] → [batch, hidden]."""
        return z @ self.latent_to_initial.t() + self.initial_bias

    def hidden_states(self, inputs: Tensor, z: Tensor, masks: Masks | None = None) -> Tensor:
        """Return the hidden states under teacher forcing, differentiable to any order.

        Args:
            inputs: <s> and the words. Shape [time, batch], int64.
            z: Codes. Shape [batch, latent].
            masks: Dropout factors of the embeddings and of the states that are returned.

        Returns:
            Shape [time, batch, hidden].
        """
        masks = masks or Masks()
        embedded = dropped(self.embedding[masks.inputs(inputs)], masks.embedding)
        words = embedded @ self.words_to_gates.t() + self.gate_bias  # [time, batch, 4·hidden]
        projected = words + z @ self.latent_to_gates.t()
        hidden = lstm(projected, self.initial_hidden(z), dropped(self.recurrent, masks.recurrent))
        return dropped(hidden, masks.hidden)

    def log_likelihood(self, inputs: Tensor, targets: Tensor, z: Tensor) -> Tensor:
        """Return log p(x|z) by plain autograd operations, without dropout: the oracle of the fast path.

        Args:
            inputs: <s> and the words. Shape [time, batch], int64.
            targets: Words and </s>, then padding (0). Shape [time, batch], int64.
            z: Codes. Shape [batch, latent].

        Returns:
            Nats, summed over words and </s>. Shape [batch].
        """
        logits = self.logits(self.hidden_states(inputs, z))
        rows = (targets - FIRST_PREDICTED).clamp_min(0).unsqueeze(-1)
        chosen = torch.log_softmax(logits, dim=-1).gather(-1, rows).squeeze(-1)
        return (chosen * (targets >= FIRST_PREDICTED)).sum(0)
