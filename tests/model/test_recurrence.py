"""The hand-written LSTM against `torch.nn.LSTM` and autograd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sritool.model import recurrence
from sritool.model.recurrence import Recurrence, RecurrentWeight, lstm

TIME, BATCH, EMBEDDING, HIDDEN = 6, 4, 5, 3


def ours_from_torch(matrix: Tensor) -> Tensor:
    """Reorder rows of gates from torch's i, f, g, o to ours: o, i, f, g."""
    in_gate, forget, candidate, out_gate = matrix.chunk(4)
    return torch.cat([out_gate, in_gate, forget, candidate])


@pytest.fixture
def problem() -> tuple[torch.nn.LSTM, Tensor, Tensor]:
    """A torch LSTM with its inputs [time, batch, embedding] and initial hidden state, in float64."""
    generator = torch.Generator().manual_seed(1)
    reference = torch.nn.LSTM(EMBEDDING, HIDDEN).double()
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator).double())
    inputs = torch.randn(TIME, BATCH, EMBEDDING, generator=generator).double()
    initial = torch.randn(BATCH, HIDDEN, generator=generator).double()
    return reference, inputs, initial


def projected(reference: torch.nn.LSTM, inputs: Tensor) -> Tensor:
    bias = reference.bias_ih_l0 + reference.bias_hh_l0
    return inputs @ ours_from_torch(reference.weight_ih_l0).t() + ours_from_torch(bias)


@torch.no_grad()
def buffered(gates: Tensor, initial: Tensor, recurrent: Tensor) -> Recurrence:
    """Run the buffered form on these projections."""
    found = Recurrence(*gates.shape[:2], initial.shape[1], initial)
    found.gates.copy_(gates)
    found.run(initial, RecurrentWeight(recurrent))
    return found


def test_plain_form_agrees_with_torch(problem: tuple[torch.nn.LSTM, Tensor, Tensor]) -> None:
    reference, inputs, initial = problem
    expected, _ = reference(inputs, (initial[None], torch.zeros_like(initial)[None]))
    found = lstm(projected(reference, inputs), initial, ours_from_torch(reference.weight_hh_l0))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("time", [1, 2, TIME])
def test_buffered_run_agrees_with_torch(problem: tuple[torch.nn.LSTM, Tensor, Tensor], time: int) -> None:
    reference, inputs, initial = problem
    expected, (_, cell) = reference(inputs[:time], (initial[None], torch.zeros_like(initial)[None]))
    with torch.no_grad():
        recurrent = ours_from_torch(reference.weight_hh_l0)
        states = buffered(projected(reference, inputs[:time]), initial, recurrent)
    torch.testing.assert_close(states.hidden[1:], expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(states.hidden[0], initial)
    torch.testing.assert_close(states.cells[-1], cell[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(states.tanh_cells, states.cells.tanh())


@pytest.mark.parametrize("time", [1, 2, TIME])
def test_backward_agrees_with_autograd(problem: tuple[torch.nn.LSTM, Tensor, Tensor], time: int) -> None:
    reference, inputs, initial = problem
    recurrent = ours_from_torch(reference.weight_hh_l0).detach()
    gates = projected(reference, inputs[:time]).detach().requires_grad_()
    start = initial.clone().requires_grad_()
    incoming = torch.randn(time, BATCH, HIDDEN, generator=torch.Generator().manual_seed(2)).double()
    expected = torch.autograd.grad(lstm(gates, start, recurrent), (gates, start), incoming)
    states = buffered(gates.detach(), initial, recurrent)
    for _ in range(2):  # a second run in the same buffers is not affected by the first
        found = states.backward(incoming.clone(), RecurrentWeight(recurrent))
        torch.testing.assert_close(found[0], expected[0], rtol=1e-11, atol=1e-12)
        torch.testing.assert_close(found[1], expected[1], rtol=1e-11, atol=1e-12)
        states.gates.copy_(gates.detach())
        states.run(initial, RecurrentWeight(recurrent))


def test_blocks_of_a_large_weight_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, wide, narrow = (torch.randn(*size).double() for size in ((12, 3), (5, 12), (5, 3)))
    monkeypatch.setattr(recurrence, "_LARGE", 0)
    monkeypatch.setattr(recurrence, "_COLUMNS", 2)
    blocks, gates, hidden = RecurrentWeight(weight), wide.clone(), narrow.clone()
    blocks.add_to_gates(gates, narrow)
    torch.testing.assert_close(gates, wide + narrow @ weight.t())
    blocks.add_to_hidden(hidden, wide)
    torch.testing.assert_close(hidden, narrow + wide @ weight)


def test_plain_form_has_second_derivatives(problem: tuple[torch.nn.LSTM, Tensor, Tensor]) -> None:
    reference, inputs, initial = problem
    recurrent = ours_from_torch(reference.weight_hh_l0).detach()
    gates = projected(reference, inputs).detach()

    def total(start: Tensor) -> Tensor:
        return lstm(gates, start, recurrent).sum()

    assert torch.autograd.gradgradcheck(total, (initial.clone().requires_grad_(),))
