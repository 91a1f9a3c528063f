"""The language model: its gradient against autograd, and an empty posterior."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sritool.data.batches import Batch
from sritool.methods.base import Clock, Method

EXAMPLES = [0, 1, 2, 4, 11]
Gradients = Callable[[Method, Batch, Clock], dict[str, Tensor]]


def test_gradient_is_that_of_the_mean_nll(
    make_method: Callable[..., Method], batch_of: Callable[..., Batch], clock: Clock, gradients: Gradients
) -> None:
    method, batch = make_method("lm"), batch_of(EXAMPLES)
    found = gradients(method, batch, clock)
    nothing = torch.zeros(5, 0, dtype=torch.float64)
    nll = -method.generator.log_likelihood(batch.inputs, batch.targets, nothing)
    parameters = {name: p for name, p in method.generator.named_parameters() if p.numel()}
    slopes = torch.autograd.grad(nll.mean(), list(parameters.values()))
    for name, slope in zip(parameters, slopes, strict=True):
        torch.testing.assert_close(found[name], slope, rtol=1e-9, atol=1e-11)
    assert method.gradients(batch, clock)["recon"] == pytest.approx(float(nll.sum().detach()))


def test_dropout_changes_with_the_epoch(
    make_method: Callable[..., Method], batch_of: Callable[..., Batch], clock: Clock, gradients: Gradients
) -> None:
    method, batch = make_method("lm", dropout=0.5), batch_of(EXAMPLES)
    first = gradients(method, batch, clock)
    assert torch.equal(gradients(method, batch, clock)["output"], first["output"])
    assert not torch.equal(gradients(method, batch, clock._replace(epoch=9))["output"], first["output"])


def test_posterior_is_empty(make_method: Callable[..., Method], batch_of: Callable[..., Batch]) -> None:
    method = make_method("lm")
    conditional = method.conditional(batch_of(EXAMPLES))
    draws = method.posterior(conditional, 0, 3)
    assert draws.shape == (3, 5, 0)
    found = method.kl_to_prior(conditional, 0)
    assert found.kl.tolist() == found.folded.tolist() == [0.0] * 5
    assert conditional.log_likelihood(draws).shape == (3, 5)
