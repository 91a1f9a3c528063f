"""A vocabulary of 100,000 words: exact results, and never a tensor of all tokens by all words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sritool.data.batches import Batch
from sritool.data.tokenizer import FIRST_PREDICTED
from sritool.model.conditional import Conditional, Weights
from sritool.model.generator import Generator
from sritool.model.output_layer import _LEAST, _LOGITS, OutputLayer
from sritool.model.theta_gradient import ThetaGradient
from sritool.model.workspace import Workspace

WORDS = 100_000
TOKENS = 300  # their logits would take 120 MB in float32


class Largest(TorchDispatchMode):
    """Records the size of the largest tensor that any operation returns."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for value in found if isinstance(found, tuple | list) else (found,):
            if isinstance(value, torch.Tensor):
                self.elements = max(self.elements, value.untyped_storage().nbytes() // value.element_size())
        return found


BOUND = max(_LOGITS, _LEAST * WORDS)  # a chunk of logits


@pytest.fixture
def generator(make_generator: Callable[..., Generator]) -> Generator:
    return make_generator(WORDS + FIRST_PREDICTED, hidden=8, scale=0.5, dtype=torch.float32)


@pytest.mark.parametrize(("precision", "bound"), [("float32", 1e-5), ("bfloat16", 0.02)])
def test_output_layer_is_exact(generator: Generator, precision: str, bound: float) -> None:
    random = torch.Generator().manual_seed(1)
    states = torch.randn(TOKENS, 8, generator=random)
    rows = torch.randint(WORDS, (TOKENS,), generator=random)
    theta = ThetaGradient(generator)
    with torch.no_grad(), Largest() as mode:
        log_p, gradient = OutputLayer(generator, precision, Workspace()).gradient(states, rows, theta)
        again = OutputLayer(generator, precision, Workspace()).log_likelihood(states, rows)
    assert WORDS < mode.elements <= BOUND < TOKENS * WORDS
    double = [
        value.detach().double().requires_grad_()
        for value in (states, generator.output, generator.output_bias)
    ]
    logits = double[0] @ double[1].t() + double[2]
    plain = torch.log_softmax(logits, -1).gather(1, rows.unsqueeze(1)).squeeze(1)
    expected = torch.autograd.grad(plain.sum(), double)
    found = (log_p, again, gradient, -theta.sums["output"], -theta.sums["output_bias"])
    for ours, theirs in zip(found, (plain, plain, *expected), strict=True):
        torch.testing.assert_close(ours, theirs.detach(), rtol=bound, atol=bound, check_dtype=False)


def test_many_draws_and_hessian_stay_within_the_bound(
    generator: Generator, make_batch: Callable[..., Batch]
) -> None:
    conditional = Conditional(Weights(generator), make_batch((5, 4, 5), vocabulary=WORDS))
    draws = torch.randn(20, 3, 3)
    with torch.no_grad(), Largest() as mode:
        log_p = conditional.log_likelihood(draws)
        assert conditional.hessian(draws[:2]).shape == (2, 3, 3, 3)
    assert WORDS < mode.elements <= BOUND < 20 * 14 * WORDS
    torch.testing.assert_close(conditional.evaluate(draws).log_likelihood, log_p, rtol=1e-5, atol=1e-5)
