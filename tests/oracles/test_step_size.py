"""The objective for step sizes, against closed forms where the chain is affine and its marginal Gaussian."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from sritool.inference.langevin import Dynamics, Noise, draw_noise
from sritool.inference.step_search import ascend
from sritool.inference.step_size import Sides, gaussian_entropy, geometric, measure_schedule
from sritool.model.random import Stream

STEPS = 20
CONSTANT = math.log(2 * math.pi * math.e)


class Exact(NamedTuple):
    """A dimension's share of the objective in nats, up to a constant that does not depend on the schedule."""

    marginal: float  # Q̃
    given_noise: float


def exact(curvature: float, schedule: Sequence[float], temperature: float = 1.0) -> Exact:
    """For the posterior N(1, 1/curvature): z_K is Gaussian, and so is z_K given the noise."""
    mean, variance, stretched = 0.0, 1.0, 0.0
    for size in schedule:
        factor = 1 - size * curvature
        mean += size * curvature * (1 - mean)
        variance = factor**2 * variance + 2 * size * temperature**2
        stretched += math.log(abs(factor))
    misfit = -0.5 * curvature * ((mean - 1) ** 2 + variance)
    return Exact(
        misfit + 0.5 * (CONSTANT + math.log(variance)),
        misfit + 0.5 * CONSTANT + stretched,
    )


def noise_for(target: Any, chains: int, steps: int = STEPS, seed: int = 0) -> Noise:
    batch, latent = target.posterior.mean.shape
    return draw_noise(Stream(seed, "tune"), torch.arange(batch), range(chains), steps, latent, torch.float64)


def mean_and_error(values: Tensor) -> tuple[float, float]:
    return float(values.mean()), float(values.std()) / math.sqrt(len(values))


SCHEDULES = {
    "small": (0.002,) * STEPS,
    "best": (0.02,) * STEPS,
    "large": (0.09,) * STEPS,
    "falling": geometric(0.08, 0.01, STEPS),
}


@pytest.mark.parametrize("temperature", [1.0, 0.4])
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())
def test_both_sides_match_the_closed_form(
    equal_curvature: Callable[..., Any], schedule: tuple[float, ...], temperature: float
) -> None:
    """The Gaussian entropy is exact, as z_K is Gaussian; the change of variables is exact given the noise."""
    curvature, latent, batch = 10.0, 4, 24
    target = equal_curvature(curvature, latent, batch)
    sides = measure_schedule(target, noise_for(target, 200), Dynamics(schedule, temperature))
    want = exact(curvature, schedule, temperature)
    # log p(x, z) = log p(x, mode) − curvature/2 ‖z − mode‖²
    mode = target.posterior.mean
    at_mode = target.log_likelihood(mode) - 0.5 * (mode.square().sum(-1) + latent * math.log(2 * math.pi))
    for side, value in ((sides.upper, want.marginal), (sides.lower, want.given_noise)):
        found, error = mean_and_error((side - at_mode) / latent)
        assert error < 0.05
        assert abs(found - value) < 4 * error
    assert float((sides.upper - sides.lower).mean()) > 0
    assert want.marginal > want.given_noise
    torch.testing.assert_close(-sides.recon - sides.kl, sides.lower)
    evidence = float(target.evidence.mean())
    assert float(sides.upper.mean()) < evidence + 4 * mean_and_error(sides.upper)[1]


@pytest.mark.parametrize(
    ("curvature", "best", "given_noise"),
    [(2.0, 0.086, 0.013), (10.0, 0.020, 0.007), (50.0, 0.0046, 0.0022)],
)
@pytest.mark.slow
def test_only_the_upper_side_picks_the_best_step(
    equal_curvature: Callable[..., Any], curvature: float, best: float, given_noise: float
) -> None:
    fine = [best * 1.005**k for k in range(-800, 200)]
    objective = [exact(curvature, (size,) * STEPS) for size in fine]
    by_marginal = max(range(len(fine)), key=lambda k: objective[k].marginal)
    by_noise = max(range(len(fine)), key=lambda k: objective[k].given_noise)
    assert fine[by_marginal] == pytest.approx(best, rel=0.02)
    assert fine[by_noise] == pytest.approx(given_noise, rel=0.05)

    target = equal_curvature(curvature, latent=4, batch=16)
    noise = noise_for(target, 200)
    grid = [given_noise / 3, given_noise, math.sqrt(given_noise * best), best, 1.5 * best]
    measured = [measure_schedule(target, noise, Dynamics((size,) * STEPS)) for size in grid]
    upper = [float(sides.upper.mean()) for sides in measured]
    lower = [float(sides.lower.mean()) for sides in measured]
    assert upper.index(max(upper)) == 3
    assert lower.index(max(lower)) == 1
    assert [float(sides.folded.max()) for sides in measured[:4]] == [0.0] * 4


def test_common_random_numbers_reduce_the_error(equal_curvature: Callable[..., Any]) -> None:
    """The difference of two steps has a much smaller error than with independent noise."""
    target = equal_curvature(10.0, batch=32)
    one, other = ((size,) * STEPS for size in (0.02, 0.03))
    shared = noise_for(target, 40)
    here = measure_schedule(target, shared, Dynamics(one)).upper
    paired = here - measure_schedule(target, shared, Dynamics(other)).upper
    unpaired = here - measure_schedule(target, noise_for(target, 40, seed=1), Dynamics(other)).upper
    assert float(paired.std()) < 0.5 * float(unpaired.std())
    want = 4 * (exact(10.0, one).marginal - exact(10.0, other).marginal)
    found, error = mean_and_error(paired)
    assert abs(found - want) < 4 * error


@pytest.mark.parametrize(
    ("size", "folded", "unstable"), [(0.05, 0.0, 0.0), (0.15, 1.0, 0.0), (0.25, 1.0, 1.0)]
)
def test_large_steps_fold_and_then_diverge(
    equal_curvature: Callable[..., Any], size: float, folded: float, unstable: float
) -> None:
    """A step folds where s·curvature > 1, and its noiseless part raises U where s·curvature > 2."""
    target = equal_curvature(10.0)
    sides = measure_schedule(target, noise_for(target, 8, steps=5), Dynamics((size,) * 5))
    assert sides.folded.tolist() == [folded] * 8
    assert sides.unstable.tolist() == [unstable] * 8


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_acceptance_matches_a_metropolis_test(
    equal_curvature: Callable[..., Any], temperature: float
) -> None:
    """The proposals' densities are written out along one chain."""
    target = equal_curvature(10.0, latent=3, batch=2)
    schedule = (0.1, 0.05)
    noise = noise_for(target, 1, steps=2)
    sides = measure_schedule(target, noise, Dynamics(schedule, temperature))

    def proposal(z: Tensor, size: float) -> torch.distributions.Normal:
        mode = target.posterior.mean
        return torch.distributions.Normal(z - size * 10.0 * (z - mode), temperature * math.sqrt(2 * size))

    z, accepted = noise.start[0], []
    for k, size in enumerate(schedule):
        new = proposal(z, size).mean + temperature * math.sqrt(2 * size) * noise.steps[k, 0]
        ratio = target.posterior.log_prob(new) - target.posterior.log_prob(z)
        ratio = ratio / temperature**2 + proposal(new, size).log_prob(z).sum(-1)
        accepted.append((ratio - proposal(z, size).log_prob(new).sum(-1)).clamp_max(0).exp())
        z = new
    torch.testing.assert_close(sides.acceptance, torch.stack(accepted).mean(0))
    assert 0 < float(sides.acceptance.min()) < 1
    tiny = measure_schedule(target, noise, Dynamics((1e-6, 1e-6), temperature))
    assert float(tiny.acceptance.min()) > 0.99
    cold = measure_schedule(target, noise, Dynamics(schedule, 0.0))
    assert cold.acceptance.isnan().all()


def test_entropy_of_few_gaussian_draws_is_unbiased() -> None:
    """40 draws in 32 dimensions: the plain log-determinant of their covariance is far too low."""
    latent, batch = 32, 600
    draws = torch.randn(40, batch, latent, generator=torch.Generator().manual_seed(2)).double()
    scales = torch.linspace(0.1, 3.0, latent, dtype=torch.float64)
    truth = 0.5 * latent * CONSTANT + float(scales.log().sum())
    found, error = mean_and_error(gaussian_entropy(draws * scales))
    assert error < 0.1
    assert abs(found - truth) < 4 * error
    centred = (draws - draws.mean(0)).transpose(0, 1)
    plain = 0.5 * torch.linalg.slogdet(centred.mT @ centred / 39)[1].mean()
    assert float(plain) + 0.5 * latent * CONSTANT < truth - float(scales.log().sum()) - 10


def test_entropy_of_a_mixture_is_overestimated() -> None:
    """The upper side remains an upper bound where q is not Gaussian: two distant modes of known entropy."""
    generator = torch.Generator().manual_seed(3)
    sign = torch.randint(0, 2, (20_000, 1, 1), generator=generator) * 2.0 - 1
    draws = 0.1 * torch.randn(20_000, 1, 1, generator=generator) + sign
    truth = 0.5 * CONSTANT + math.log(0.1) + math.log(2)
    assert float(gaussian_entropy(draws.double())) > truth + 1


def test_rows_at_a_time_do_not_matter(
    equal_curvature: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = equal_curvature(10.0, latent=2, batch=3)
    noise, schedule = noise_for(target, 11, steps=3), (0.05, 0.04, 0.03)
    whole = measure_schedule(target, noise, Dynamics(schedule))
    monkeypatch.setattr("sritool.inference.step_size._ROWS_AT_ONCE", 6)
    for ours, theirs in zip(measure_schedule(target, noise, Dynamics(schedule)), whole, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_divergent_chains_give_nan(equal_curvature: Callable[..., Any]) -> None:
    target = equal_curvature(50.0, latent=2, batch=3)
    noise = noise_for(target, 6, steps=200)
    sides = measure_schedule(target, noise, Dynamics((10.0,) * 200))
    assert isinstance(sides, Sides)
    assert all(values.isnan().all() for values in sides)


def test_noise_depends_on_sentence_and_chain_only() -> None:
    stream, some = Stream(5, "tune"), torch.tensor([7, 2])
    noise = draw_noise(stream, some, range(3), 4, 2)
    more = draw_noise(stream, torch.tensor([2, 9]), range(5), 6, 2)
    assert torch.equal(noise.start[:, 1], more.start[:3, 0])
    assert torch.equal(noise.steps[:, :, 1], more.steps[:4, :3, 0])


def test_geometric_schedule() -> None:
    schedule = geometric(0.4, 0.1, 5)
    assert schedule[0] == 0.4
    assert schedule[-1] == pytest.approx(0.1)
    ratios = [after / before for before, after in itertools.pairwise(schedule)]
    assert ratios == pytest.approx([ratios[0]] * 4)
    assert geometric(0.3, 0.1, 1) == (0.3,)


@pytest.mark.parametrize(("side", "best"), [("upper", 0.0203), ("lower", 0.0071)])
@pytest.mark.slow
def test_ascent_reaches_the_best_step(equal_curvature: Callable[..., Any], side: str, best: float) -> None:
    """With new noise at each step; the best steps are those of the closed form at curvature 10."""
    target = equal_curvature(10.0, latent=2, batch=8)

    def objective(values: tuple[float, ...], index: int) -> float:
        noise = noise_for(target, 24, seed=index)
        sides = measure_schedule(target, noise, Dynamics(values * STEPS), density_chains=1)
        return float(getattr(sides, side).mean())

    (found,) = ascend(objective, (0.012,), 16)
    assert found == pytest.approx(best, rel=0.15)
