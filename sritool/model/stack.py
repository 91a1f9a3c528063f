"""The layers of the LSTM one on the other, forward and backward, without an autograd graph."""

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

    Fill `gates` with what enters the first layer, bias included, then `run`; `backward` goes through the last run.
    The layers come from the words upwards; `rows` sentences stand side by side.
    """

    def __init__(self, layers: Sequence[Layer], time: int, rows: int) -> None:
        self._layers = layers
        self.rows = rows
        self.runs = [
            Recurrence(time, rows, layer.recurrent.shape[1], layer.recurrent.detach()) for layer in layers
        ]

    @property
    def gates(self) -> Tensor:
        """Of the first layer: [time, rows, 4·hidden]."""
        return self.runs[0].gates

    def outputs(self, number: int = -1) -> Tensor:
        """A layer's hidden states after the last run, under dropout; of the last layer: [time, rows, hidden]."""
        of_hidden = of_layer(self._masks.hidden, number)
        return dropped(self.runs[number].hidden[1:], of_hidden)

    def run(self, z: Tensor, recurrent: Sequence[RecurrentWeight], masks: Masks) -> None:
        """Run all layers from codes [rows, latent], with their recurrent weights as they are under the masks."""
        self._z, self._recurrent, self._masks = z, recurrent, masks
        for number, (layer, run) in enumerate(zip(self._layers, self.runs, strict=True)):
            if number:
                gates, weight = run.gates.flatten(0, 1), layer.inputs_to_gates.t()
                torch.addmm(layer.gate_bias, self.outputs(number - 1).flatten(0, 1), weight, out=gates)
            run.run(layer.initial_hidden(z), recurrent[number])

    def backward(self, grad: Tensor, embedded: Tensor) -> list[LayerGradient]:
        """Return the gradients through each layer in the last run, from the words upwards.

        Args: that of log p in `outputs()`, which is overwritten; the words as they entered [time, batch, embedding].
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
