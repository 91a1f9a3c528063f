"""The generator p(x|z): an LSTM that sees z in the initial state of each layer and with every word.

Sources: Pang et al. 2021, section 4; the sizes are those of Li et al. 2019. Tied embeddings: Press and Wolf 2017,
"Using the output embedding to improve language models", and Inan, Khosravi and Socher 2017. Layers with dropout
between them: Zaremba, Sutskever and Vinyals 2014, "Recurrent neural network regularization". The residual connection:
Bengio, Ducharme, Vincent and Jauvin 2003, "A neural probabilistic language model", whose words go to the output both
directly and through the hidden layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sritool.config.settings import GeneratorConfig
from sritool.data.tokenizer import FIRST_PREDICTED
from sritool.model.dropout import Masks, dropped, of_layer
from sritool.model.random import draw_uniform
from sritool.model.recurrence import lstm

LATENT_MAPS = ("latent_to_gates", "latent_to_initial")
"""Endings of the names of the parameters that multiply z."""


class Layer(NamedTuple):
    """Parameters of one layer of the LSTM, or other tensors of their shapes; gates are in the order o, i, f, g."""

    inputs_to_gates: Tensor  # [4·hidden, embedding]; above the first layer [4·hidden, hidden]
    recurrent: Tensor  # [4·hidden, hidden]
    gate_bias: Tensor  # [4·hidden]
    latent_to_initial: Tensor  # [hidden, latent]
    initial_bias: Tensor  # [hidden]

    def initial_hidden(self, z: Tensor) -> Tensor:
        """Hidden state before the first word: z [batch, latent] → [batch, hidden]."""
        return z @ self.latent_to_initial.t() + self.initial_bias


def layers_of(tensors: Mapping[str, Tensor], count: int) -> list[Layer]:
    """Arrange tensors, by the names of a generator's parameters, into `count` layers from the words upwards."""
    names = ("words_to_gates", *Layer._fields[1:])
    above = ([f"upper.{number}.{name}" for name in Layer._fields] for number in range(count - 1))
    return [Layer(*(tensors[name] for name in of_layer)) for of_layer in (names, *above)]


class Generator(nn.Module):
    """Parameters of p_θ(x|z), and the plain, differentiable form of its likelihood.

    The output layer has a row for every token that can be predicted: all but padding and <s>, which are the
    first `FIRST_PREDICTED` ids. `latent = 0` makes it a language model. With tied embeddings, the output layer's rows
    are the words' embeddings, and a linear map brings a hidden state to their width if its own differs. A residual
    connection adds a linear map of the previous word to the output layer's input.
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
        self.embedding_to_output: nn.Parameter | None
        self.register_parameter("embedding_to_output", None)
        if not config.tied_embeddings:
            self.output = nn.Parameter(torch.empty(vocabulary_size - FIRST_PREDICTED, hidden))
        elif hidden != embedding:
            self.hidden_to_embedding = nn.Parameter(torch.empty(embedding, hidden))
        self.output_bias = nn.Parameter(torch.empty(vocabulary_size - FIRST_PREDICTED))
        if config.residual:
            self.embedding_to_output = nn.Parameter(torch.empty(self.output_weight.shape[1], embedding))
        gates = 4 * hidden
        shapes = (gates, hidden), (gates, hidden), (gates,), (hidden, latent), (hidden,)
        self.upper = nn.ModuleList(
            nn.ParameterDict(dict(zip(Layer._fields, map(torch.empty, shapes), strict=True)))
            for _ in range(config.layers - 1)
        )

    @property
    def layers(self) -> list[Layer]:
        """The parameters of each layer of the LSTM, from the words upwards."""
        return layers_of(dict(self.named_parameters()), self.config.layers)

    def latent_maps(self) -> dict[str, nn.Parameter]:
        """The parameters that multiply z, by name; where all are zero, p(x|z) ignores z."""
        return {name: p for name, p in self.named_parameters() if name.endswith(LATENT_MAPS)}

    @property
    def products(self) -> int:
        """Multiply-adds per word of the matrix products that change with z: recurrence and output layer."""
        between = self.hidden_to_embedding
        output = self.output_weight.numel() + (0 if between is None else between.numel())
        return 4 * self.config.hidden**2 * (2 * self.config.layers - 1) + output

    @property
    def output_weight(self) -> Tensor:
        """A row for each word that can be predicted: [V, hidden], or [V, embedding] if tied."""
        return self.embedding[FIRST_PREDICTED:] if self.config.tied_embeddings else self.output

    def before_output(self, hidden: Tensor) -> Tensor:
        """Map states to the width of the output layer's rows: [..., hidden] → [..., width]."""
        return hidden if self.hidden_to_embedding is None else hidden @ self.hidden_to_embedding.t()

    def initialise(self, scale: float, seed: int, purpose: str = "", embedding_scale: float = 0.0) -> None:
        """Draw every parameter from U(−scale, scale), as `draw_uniform` does."""
        draw_uniform(self, scale, seed, purpose, embedding_scale)

    def embedded(self, inputs: Tensor, masks: Masks | None = None) -> Tensor:
        """The words' embeddings under dropout: ids [time, batch] → [time, batch, embedding]."""
        masks = masks or Masks()
        return dropped(self.embedding[masks.inputs(inputs)], masks.embedding)

    def hidden_states(self, inputs: Tensor, z: Tensor, masks: Masks | None = None) -> Tensor:
        """Return the last layer's hidden states under teacher forcing, differentiable to any order.

        Args:
            inputs: <s> and the words. Shape [time, batch].
            z: Codes. Shape [batch, latent].
            masks: Dropout factors.

        Returns:
            Shape [time, batch, hidden].
        """
        masks = masks or Masks()
        from_below, latent = self.embedded(inputs, masks), z @ self.latent_to_gates.t()
        for number, layer in enumerate(self.layers):
            gates = from_below @ layer.inputs_to_gates.t() + layer.gate_bias  # [time, batch, 4·hidden]
            if number == 0:
                gates = gates + latent
            recurrent = dropped(layer.recurrent, of_layer(masks.recurrent, number))
            hidden = lstm(gates, layer.initial_hidden(z), recurrent)
            from_below = dropped(hidden, of_layer(masks.hidden, number))
        return from_below

    def output_features(self, inputs: Tensor, z: Tensor, masks: Masks | None = None) -> Tensor:
        """Return the output layer's input, differentiable to any order: [time, batch, width]."""
        features = self.before_output(self.hidden_states(inputs, z, masks))
        residual = self.embedding_to_output
        return features if residual is None else features + self.embedded(inputs, masks) @ residual.t()

    def log_likelihood(self, inputs: Tensor, targets: Tensor, z: Tensor) -> Tensor:
        """Return log p(x|z) by plain autograd operations, without dropout: the reference for the fast path.

        Args:
            inputs: <s> and the words. Shape [time, batch].
            targets: Words and </s>, then padding (0). Shape [time, batch].
            z: Codes. Shape [batch, latent].

        Returns:
            Nats. Shape [batch].
        """
        logits = self.output_features(inputs, z) @ self.output_weight.t() + self.output_bias
        rows = (targets - FIRST_PREDICTED).clamp_min(0).unsqueeze(-1)
        chosen = torch.log_softmax(logits, dim=-1).gather(-1, rows).squeeze(-1)
        return (chosen * (targets >= FIRST_PREDICTED)).sum(0)
