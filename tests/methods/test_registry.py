"""Methods by name, and what the trainer requires of all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from sritool.config.settings import RunConfig
from sritool.data.batches import Batch
from sritool.errors import UsageError
from sritool.methods.base import Clock, Method
from sritool.methods.registry import METHODS, build_method


@pytest.mark.parametrize(
    ("name", "hint"), [("sry", "did you mean sri?"), ("wake-sleep", "known: sri, lm, ae, ")]
)
def test_unknown_method_is_refused(name: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        build_method(RunConfig(method=name), 10)
    assert hint in str(caught.value)


@pytest.mark.parametrize("name", METHODS)
def test_every_parameter_gets_a_gradient(
    make_method: Callable[..., Method], batch_of: Callable[..., Batch], clock: Clock, name: str
) -> None:
    method = make_method(name, dropout=0.5)
    filled = set()
    for _ in range(3):  # a method that updates some parameters at a time needs several steps
        sums = method.gradients(batch_of([3, 7]), clock)
        method.after_update()
        assert sums["recon"] > 0
        for key, parameter in method.modules.named_parameters():
            if parameter.grad is not None:
                filled.add(key)
                assert parameter.grad.shape == parameter.shape
                assert bool(torch.isfinite(parameter.grad).all()), key
    assert filled == {key for key, _ in method.modules.named_parameters()}


@pytest.mark.parametrize("name", METHODS)
def test_initial_parameters_depend_on_the_seed(make_method: Callable[..., Method], name: str) -> None:
    config = make_method(name).config

    def weights(seed: int) -> torch.Tensor:
        method = build_method(replace(config, training=replace(config.training, seed=seed)), 9)
        method.initialise()
        return torch.cat([parameter.detach().flatten() for parameter in method.modules.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


@pytest.mark.parametrize("name", METHODS)
def test_draws_do_not_depend_on_the_batch(
    make_method: Callable[..., Method], batch_of: Callable[..., Batch], name: str
) -> None:
    method = make_method(name)
    together = method.posterior(method.conditional(batch_of([5, 0, 9])), 1, 2)
    alone = method.posterior(method.conditional(batch_of([9])), 1, 2)
    torch.testing.assert_close(alone[:, 0], together[:, 2], rtol=1e-9, atol=1e-9)
    assert together.shape == (2, 3, method.latent)
