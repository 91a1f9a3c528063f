"""A fitted Gaussian prior: folding it into the weights is exact, and it is recovered from codes drawn from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from sritool.analysis.fitted_prior import (
    Draws,
    Gaussian,
    fit_gaussian,
    folded_weights,
    judged,
)
from sritool.data.batches import Batch
from sritool.inference.langevin import log_prior
from sritool.methods.base import Method
from sritool.methods.encoder_method import EncoderMethod
from sritool.methods.registry import build_method
from support.methods import VOCABULARY

LATENT = 3
SHIFT = torch.tensor([0.7, -1.2, 0.3]).double()
SCALE = torch.tensor([[0.5, 0, 0], [0.3, 1.7, 0], [-0.4, 0.2, 0.8]]).double()
FULL, DIAGONAL = Gaussian(SHIFT, SCALE), Gaussian(SHIFT, SCALE.diagonal().diag())
Make = Callable[..., Method]


def folded(method: Method, gaussian: Gaussian) -> Method:
    """The method that reads u instead of z, still in float64."""
    weights = folded_weights(method.modules.state_dict(), gaussian)
    biased = "encoder.code_bias" in weights
    config = replace(method.config, generator=replace(method.config.generator, code_bias=biased))
    new = build_method(config, VOCABULARY)
    new.modules.double()
    new.modules.load_state_dict(weights)
    return new


def codes(count: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((count, LATENT)))


@pytest.mark.parametrize(
    ("name", "gaussian"), [("sri", FULL), ("ae", FULL), ("ae", DIAGONAL), ("vae-fb", DIAGONAL)]
)
@pytest.mark.parametrize("layers", [1, 2])
def test_folded_generator_matches_the_original(
    make_method: Make, batch_of: Callable[[Sequence[int]], Batch], name: str, gaussian: Gaussian, layers: int
) -> None:
    method, batch = make_method(name, generator={"layers": layers}), batch_of(range(6))
    u = codes(6)
    z = u @ gaussian.scale.t() + gaussian.shift
    after = folded(method, gaussian).conditional(batch).log_likelihood(u)
    torch.testing.assert_close(after, method.conditional(batch).log_likelihood(z), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("gaussian", [FULL, DIAGONAL])
@pytest.mark.parametrize("again", [False, True], ids=["once", "twice"])
def test_folded_encoder_maps_points(
    make_method: Make, batch_of: Callable[[Sequence[int]], Batch], gaussian: Gaussian, again: bool
) -> None:
    method = make_method("ae")
    method = folded(method, DIAGONAL) if again else method
    new, batch = folded(method, gaussian), batch_of(range(6))
    assert isinstance(method, EncoderMethod)
    assert isinstance(new, EncoderMethod)
    u = new.encoder.run(batch).q.mean
    torch.testing.assert_close(u @ gaussian.scale.t() + gaussian.shift, method.encoder.run(batch).q.mean)


def test_folded_encoder_maps_diagonal_variances(
    make_method: Make, batch_of: Callable[[Sequence[int]], Batch]
) -> None:
    method, batch = make_method("vae-fb"), batch_of(range(6))
    new = folded(method, DIAGONAL)
    assert isinstance(method, EncoderMethod)
    assert isinstance(new, EncoderMethod)
    old, of_u = method.encoder.run(batch).q, new.encoder.run(batch).q
    spread = DIAGONAL.scale.diagonal()
    torch.testing.assert_close(spread * of_u.mean + SHIFT, old.mean)
    torch.testing.assert_close(spread.square() * of_u.log_variance.exp(), old.log_variance.exp())


def test_folded_fisher_information(make_method: Make) -> None:
    method = make_method("sri", preconditioned=True)
    root = codes(LATENT)
    method.modules.load_state_dict({"preconditioner.fisher": root @ root.t()}, strict=False)
    found = folded(method, FULL).modules.state_dict()["preconditioner.fisher"]
    torch.testing.assert_close(found, SCALE.t() @ root @ root.t() @ SCALE)


def test_density_is_multivariate_normal() -> None:
    z = codes(5)
    expected = torch.distributions.MultivariateNormal(SHIFT, scale_tril=SCALE).log_prob(z)
    torch.testing.assert_close(FULL.log_density(z), expected)


def drawn_from(gaussian: Gaussian, sentences: int) -> Draws:
    """Weighted draws of sentences with narrow posteriors around codes of the Gaussian."""
    z = codes(sentences, 1) @ gaussian.scale.t() + gaussian.shift
    near = z + 0.1 * codes(20 * sentences, 2).view(20, sentences, LATENT)
    return Draws(near, log_prior(near), near[:1])


@pytest.mark.parametrize("diagonal", [False, True])
def test_shifted_and_scaled_codes_are_recovered(diagonal: bool) -> None:
    truth = DIAGONAL if diagonal else FULL
    found = fit_gaussian(codes(4000).unsqueeze(0) @ truth.scale.t() + truth.shift, diagonal)
    assert not diagonal or torch.equal(found.scale, found.scale.diagonal().diag())
    torch.testing.assert_close(found.shift, truth.shift, rtol=0, atol=0.1)
    torch.testing.assert_close(found.scale, truth.scale, rtol=0, atol=0.1)
    fitted = judged(found, 4000, drawn_from(truth, 200))
    assert fitted.is_better
    assert fitted.change.value == pytest.approx(fitted.after.value - fitted.before.value)


def test_repeated_codes_do_not_count_as_sentences() -> None:
    """Four equal codes per sentence say no more than one."""
    once = fit_gaussian(codes(200).unsqueeze(0) + SHIFT)
    often = fit_gaussian(codes(200).expand(4, -1, -1) + SHIFT)
    torch.testing.assert_close(often.shift, once.shift)
    torch.testing.assert_close(often.scale, once.scale)


def test_standard_normal_codes_need_no_fit() -> None:
    identity = Gaussian(torch.zeros(LATENT).double(), torch.eye(LATENT).double())
    fitted = judged(fit_gaussian(codes(200).unsqueeze(0)), 200, drawn_from(identity, 200))
    assert not fitted.is_better
    assert judged(identity, 200, drawn_from(identity, 20)).change.value == pytest.approx(0, abs=1e-12)
