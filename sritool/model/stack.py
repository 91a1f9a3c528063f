"""All layers of the LSTM, forward and backward, without an autograd graph."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sritool.model.dropout import Masks, dropped, of_layer
from sritool.model.generator import Layer
from sritool.model.recurrence import Recurrence, RecurrentWeight
from sritool.model.theta_gradient import LayerGradient


class Stack:
    """Runs of one shape through all layers, in buffers that each run overwrites.

    Fill `gates` with the first layer's projected inputs, bias included, then call `run`; `backward` differentiates
    the last run. Layers are ordered from the words upwards; `rows` sentences run in parallel.
    """

    def __init__(self, layers: Sequence[Layer], time: int, rows: int) -> None:
        self._layers = layers
        self.rows = rows
        self.runs = [
            Recurrence(time, rows, layer.recurrent.shape[1], layer.recurrent.detach()) for layer in layers
        ]

    @property
    def gates(self) -> Tensor:
        """Gates of the first layer: [time, rows, 4·hidden]."""
        return self.runs[0].gates

    def outputs(self, number: int = -1) -> Tensor:
        """A layer's hidden states after the last run, under dropout: [time, rows, hidden]."""
        of_hidden = of_layer(self._masks.hidden, number)
        return dropped(self.runs[number].hidden[1:], of_hidden)

    def run(self, z: Tensor, recurrent: Sequence[RecurrentWeight], masks: Masks) -> None:
        """Run all layers from codes [rows, latent]; their recurrent weights are given with the masks applied."""
        self._z, self._recurrent, self._masks = z, recurrent, masks
        for number, (layer, run) in enumerate(zip(self._layers, self.runs, strict=True)):
            if number:
                gates, weight = run.gates.flatten(0, 1), layer.inputs_to_gates.t()
                torch.addmm(layer.gate_bias, self.outputs(number - 1).flatten(0, 1), weight, out=gates)
            run.run(layer.initial_hidden(z), recurrent[number])

    def backward(self, grad: Tensor, embedded: Tensor) -> list[LayerGradient]:
        """Return the gradients through each layer in the last run, from the words upwards.

        Args:
            grad: Gradient of log p in `outputs()`; overwritten.
            embedded: The words as they entered. Shape [time, batch, embedding].
        """
        found: list[LayerGradient] = []
        for number in reversed(range(len(self.runs))):
            run, of_hidden = self.runs[number], of_layer(self._masks.hidden, number)
            if of_hidden is not None:
                grad.mul_(of_hidden)
            gates, initial = run.backward(grad, self._recurrent[number])  # [time, rows, 4·hidden], …
            inputs = self.outputs(number - 1) if number else embedded
            mask = of_layer(self._masks.recurrent, number)
            found.append(LayerGradient(self._z, inputs, run.hidden[:-1], mask, gates, gates.sum(0), initial))
            if number:
                grad = gates @ self._layers[number].inputs_to_gates
        return found[::-1]
