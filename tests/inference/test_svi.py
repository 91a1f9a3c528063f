"""Refinement of q(z|x) and its backward pass, against a plain unrolled form and finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sritool.config.settings import RefinementConfig
from sritool.data.batches import Batch
from sritool.inference.svi import Refined, refine, refine_backward
from sritool.model.conditional import Conditional, Weights
from sritool.model.gaussian import DiagonalGaussian
from sritool.model.generator import Generator
from sritool.model.second_order import hessian_vector_product
from sritool.model.theta_gradient import ThetaGradient

LENGTHS, STEPS, WEIGHT = (6, 3, 1, 5), 4, 0.7
CLIPPED = {"clipped": 0.2, "some": 1.0, "free": 0.0}
MakeGenerator = Callable[..., Generator]
MakeBatch = Callable[..., Batch]


def settings(clip: float, over: Any = "sentence") -> RefinementConfig:
    return RefinementConfig(rate=0.3, momentum=0.5, clip=clip, clip_over=over)


def start() -> DiagonalGaussian:
    random = torch.Generator().manual_seed(3)
    mean, log_variance = torch.randn(2, len(LENGTHS), 3, generator=random, dtype=torch.float64)
    return DiagonalGaussian(mean, 0.5 * log_variance)


def noises(steps: int = STEPS + 1) -> Tensor:
    """ε of each step, and of the final bound."""
    random = torch.Generator().manual_seed(4)
    return torch.randn(steps, len(LENGTHS), 3, generator=random, dtype=torch.float64)


def bound(generator: Generator, batch: Batch, q: DiagonalGaussian, noise: Tensor) -> Tensor:
    """The ELBO by plain operations: [batch]."""
    log_p = generator.log_likelihood(batch.inputs, batch.targets, q.at(noise))
    return log_p - WEIGHT * q.kl_to_prior()


def unrolled(
    generator: Generator,
    batch: Batch,
    q: DiagonalGaussian,
    noise: Tensor,
    config: RefinementConfig,
    factors: list[Tensor] | None = None,
) -> tuple[DiagonalGaussian, list[Tensor]]:
    """Plain differentiable refinement, and φ of each step [parts, batch, 1]; `factors` replace φ."""
    velocity = [torch.zeros_like(part) for part in q]
    used = []
    for step, epsilon in enumerate(noise):
        slopes = torch.autograd.grad(bound(generator, batch, q, epsilon).sum(), q, create_graph=True)
        norm = torch.cat(slopes, -1).detach().norm(dim=-1, keepdim=True).expand(2, -1, 1)
        if config.clip_over == "batch":
            mean = [slope.detach() / len(slope) for slope in slopes]  # the gradient of the batch's mean
            norm = torch.stack([part.norm().expand(len(part), 1) for part in mean])
        factor = torch.where(norm > config.clip, config.clip / norm, 1.0) if config.clip else 0 * norm + 1
        used.append(factors[step] if factors else factor)
        parts = zip(velocity, used[-1], slopes, strict=True)
        velocity = [config.momentum * v + phi * g for v, phi, g in parts]
        q = DiagonalGaussian(*(part + config.rate * v for part, v in zip(q, velocity, strict=True)))
    return q, used


def forward_and_backward(
    generator: Generator, batch: Batch, config: RefinementConfig
) -> tuple[Refined, DiagonalGaussian, dict[str, Tensor]]:
    """q_K, and the gradients of Σ log p(x|z_K) − w·KL in q_0 and θ."""
    noise, conditional = noises(), Conditional(Weights(generator), batch)
    refined = refine(conditional.evaluate, start(), noise[:STEPS], config, WEIGHT)
    theta = ThetaGradient(generator)
    theta.weight = -1.0
    value = conditional.evaluate(refined.q.at(noise[-1]), None, theta)
    of_kl, spread = refined.q.kl_gradient(), 0.5 * (0.5 * refined.q.log_variance).exp() * noise[-1]
    last = DiagonalGaussian(
        value.gradient - WEIGHT * of_kl.mean, spread * value.gradient - WEIGHT * of_kl.log_variance
    )

    def curvature(z: Tensor, u: Tensor) -> Tensor:
        slope = hessian_vector_product(generator, batch, None, z, u)
        for name, gradient in slope.of_parameters.items():
            theta.sums[name] += gradient
        return slope.of_code

    first = refine_backward(curvature, refined, noise[:STEPS], last, config, WEIGHT)
    return refined, first, theta.sums


@pytest.mark.parametrize("over", ["sentence", "batch"])
@pytest.mark.parametrize("clip", CLIPPED.values(), ids=CLIPPED.keys())
def test_backward_matches_autograd(
    make_generator: MakeGenerator, make_batch: MakeBatch, clip: float, over: str
) -> None:
    generator, batch = make_generator(), make_batch(LENGTHS)
    if over == "batch":
        clip *= 0.4  # the gradient of a mean is smaller
    config = settings(clip, over)
    refined, of_start, of_theta = forward_and_backward(generator, batch, config)

    q = DiagonalGaussian(*(part.requires_grad_() for part in start()))
    last, factors = unrolled(generator, batch, q, noises()[:STEPS], config)
    share = float((torch.stack(factors) < 1).double().mean())
    assert (share == 0) if clip == 0 else (share > 0), share
    if over == "sentence":
        assert {0.2: share == 1, 1.0: 0 < share < 1, 0.0: share == 0}[clip], share
    torch.testing.assert_close(refined.q, DiagonalGaussian(*(part.detach() for part in last)))

    names, parameters = zip(*generator.named_parameters(), strict=True)
    total = bound(generator, batch, last, noises()[-1]).sum()
    mean, log_variance, *rest = torch.autograd.grad(total, [*q, *parameters])
    found = {"mean": of_start.mean, "log-variance": of_start.log_variance} | of_theta
    expected = {"mean": mean, "log-variance": log_variance} | dict(zip(names, rest, strict=True))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name], value, rtol=1e-9, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_backward_matches_finite_differences(make_generator: MakeGenerator, make_batch: MakeBatch) -> None:
    generator, batch, config, size = make_generator(), make_batch(LENGTHS), settings(1.0), 1e-5
    _, of_start, of_theta = forward_and_backward(generator, batch, config)
    _, factors = unrolled(generator, batch, _tracked(start()), noises()[:STEPS], config)
    random = torch.Generator().manual_seed(8)
    shift = [torch.randn(part.shape, generator=random, dtype=torch.float64) for part in start()]
    shifts = {
        name: torch.randn(p.shape, generator=random, dtype=torch.float64)
        for name, p in generator.named_parameters()
    }

    def whole(sign: int) -> float:
        """The final bound with q_0 and θ moved and φ unchanged, as no derivative goes through it."""
        moved = make_generator()
        with torch.no_grad():
            for name, parameter in moved.named_parameters():
                parameter += sign * size * shifts[name]
        q = DiagonalGaussian(*(p + sign * size * s for p, s in zip(start(), shift, strict=True)))
        last, _ = unrolled(moved, batch, _tracked(q), noises()[:STEPS], config, factors)
        return float(bound(moved, batch, last, noises()[-1]).detach().sum())

    expected = sum(float((part * s).sum()) for part, s in zip(of_start, shift, strict=True))
    expected += sum(float((of_theta[name] * s).sum()) for name, s in shifts.items())
    assert (whole(1) - whole(-1)) / (2 * size) == pytest.approx(expected, rel=1e-6)


def _tracked(q: DiagonalGaussian) -> DiagonalGaussian:
    return DiagonalGaussian(*(part.requires_grad_() for part in q))


def test_other_sentences_do_not_matter(make_generator: MakeGenerator, make_batch: MakeBatch) -> None:
    generator, q, noise = make_generator(), start(), noises()
    together = Conditional(Weights(generator), make_batch(LENGTHS))
    whole = refine(together.evaluate, q, noise, settings(0.5))
    # The fixture's batches all begin with the same sentence.
    alone = DiagonalGaussian(*(part[:1] for part in q))
    lonely = Conditional(Weights(generator), make_batch(LENGTHS[:1]))
    found = refine(lonely.evaluate, alone, noise[:, :1], settings(0.5))
    for one, two in zip(found.q, whole.q, strict=True):
        torch.testing.assert_close(one, two[:1], rtol=1e-11, atol=1e-12)


def test_only_the_mean_climbs_without_noise_and_kl(
    make_generator: MakeGenerator, make_batch: MakeBatch
) -> None:
    q, conditional = start(), Conditional(Weights(make_generator()), make_batch(LENGTHS))
    config = RefinementConfig(rate=0.02, momentum=0.5, clip=5.0)
    found = refine(
        conditional.evaluate, q, torch.zeros(20, len(LENGTHS), 3, dtype=torch.float64), config, kl_weight=0.0
    )
    assert torch.equal(found.q.log_variance, q.log_variance)
    before, after = (conditional.evaluate(code).log_likelihood for code in (q.mean, found.q.mean))
    assert bool((after > before).all())


class Linear:
    """log p(x|z) = ½ − ½‖x − a∘z‖²/s² + …: the best q has a closed form, with variance 1/(1 + a²/s²)."""

    def __init__(self, slope: Tensor, deviation: float, x: Tensor) -> None:
        self.slope, self.variance, self.x = slope, deviation**2, x

    def evaluate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        missing = self.x - self.slope * z
        value = -0.5 * missing.square().sum(-1) / self.variance
        return value, self.slope * missing / self.variance


def test_refinement_finds_the_posterior_of_a_linear_model() -> None:
    slope = torch.tensor([1.0, 0.5, 2.0], dtype=torch.float64)
    x = torch.randn(400, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    noise = torch.randn(800, 400, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    away = DiagonalGaussian(torch.full_like(x, 1.5), torch.full_like(x, 1.0))
    config = RefinementConfig(rate=0.02, momentum=0.5, clip=0.0)
    found = refine(Linear(slope, 0.8, x).evaluate, away, noise, config)
    precision = 1 + slope.square() / 0.64
    expected = slope * x / 0.64 / precision
    off = (found.q.mean - expected).mean(0), (found.q.log_variance + precision.log()).mean(0)
    # Fresh noise in each step keeps q moving around its optimum; over 400 sentences that averages out.
    assert float(off[0].abs().max()) < 0.03
    assert float(off[1].abs().max()) < 0.05


def test_clip_of_a_sentence_by_itself() -> None:
    published = RefinementConfig(clip=5.0, clip_over="batch")
    assert published.alone(32) == RefinementConfig(clip=5.0 * 32**0.5, clip_over="sentence")
    assert settings(1.0).alone(32) == settings(1.0)
