"""Random subsets of the vocabulary: unbiased sums by enumeration, gradients against autograd, fixed sizes."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from model.reference import word_subset
from sritool.data.batches import Batch
from sritool.model.conditional import Conditional, Weights
from sritool.model.generator import Generator
from sritool.model.random import Stream
from sritool.model.theta_gradient import ThetaGradient
from sritool.model.word_subset import (
    WordMass,
    WordSubset,
    draw_subsets,
    inclusion,
    stacked,
    unstacked,
    worthwhile,
)

Q = torch.tensor([0.5, 0.2, 0.1, 0.1, 0.04, 0.03, 0.02, 0.01], dtype=torch.float64)
TARGETS = torch.tensor([4, 1, 1, 7])


def every_subset(pi: Tensor, targets: Tensor) -> list[tuple[float, WordSubset]]:
    """All outcomes of the draw with their probabilities; a uniform of 0 takes a word, one of 1 does not."""
    free = [v for v in range(len(pi)) if v not in set(targets.tolist()) and pi[v] < 1]
    outcomes = []
    for taken in itertools.product([True, False], repeat=len(free)):
        uniforms = torch.zeros(1, len(pi), dtype=pi.dtype)
        probability = 1.0
        for word, is_taken in zip(free, taken, strict=True):
            uniforms[0, word] = 0.0 if is_taken else 1.0
            probability *= float(pi[word]) if is_taken else 1 - float(pi[word])
        outcomes.append((probability, draw_subsets(pi, targets, uniforms)[0]))
    return outcomes


def test_sum_over_words_is_unbiased() -> None:
    pi, logits = inclusion(Q, 3), torch.linspace(-2, 3, 8, dtype=torch.float64)
    outcomes = every_subset(pi, TARGETS)
    assert len(outcomes) > 8
    assert sum(probability for probability, _ in outcomes) == pytest.approx(1)
    mean = sum(p * (logits[s.words] - s.log_inclusion).exp().sum() for p, s in outcomes)
    assert float(mean) == pytest.approx(float(logits.exp().sum()), rel=1e-12)


@given(
    masses=st.lists(st.floats(1e-6, 1), min_size=2, max_size=40),
    share=st.floats(0.05, 1),
)
def test_inclusion_is_proportional_and_sums_to_the_count(masses: list[float], share: float) -> None:
    q = torch.tensor(masses, dtype=torch.float64)
    count = max(1, int(share * len(masses)))
    pi = inclusion(q, count)
    assert float(pi.sum()) == pytest.approx(count)
    assert float(pi.min()) > 0
    assert float(pi.max()) <= 1
    ratios = (pi / q)[pi < 1 - 1e-9]
    if len(ratios):
        torch.testing.assert_close(ratios, ratios[:1].expand_as(ratios))
        assert bool((q[pi >= 1 - 1e-9] * ratios[0] >= 1 - 1e-6).all()), (
            "a word is included with certainty without need"
        )


def test_words_are_drawn_with_probability_pi() -> None:
    pi, draws = inclusion(Q, 3), 4000
    uniforms = Stream(0, "words").uniform(torch.arange(draws), len(pi))
    subsets = draw_subsets(pi, TARGETS, uniforms)
    counts = torch.zeros(len(pi), dtype=torch.float64)
    for subset in subsets:
        assert len(set(subset.words.tolist())) == len(subset.words)
        assert torch.equal(subset.words[subset.targets], TARGETS)
        counts[subset.words] += 1
    expected = pi.index_fill(0, TARGETS, 1.0)
    error = (expected * (1 - expected) / draws).sqrt()
    assert bool(((counts / draws - expected).abs() <= 5 * error).all())


def test_fixed_size_changes_only_the_size(
    make_generator: Callable[..., Generator], make_batch: Callable[..., Batch]
) -> None:
    generator, batch = make_generator(vocabulary=40), make_batch((4, 4, 4), vocabulary=40)
    rows = (batch.targets.flatten() - 2).clamp_min(0)
    pi = inclusion(torch.full((38,), 1 / 38, dtype=torch.float64), 9)
    uniforms = Stream(0, "words").uniform(torch.arange(5), 38)
    free, fixed = draw_subsets(pi, rows, uniforms), draw_subsets(pi, rows, uniforms, fixed_size=True)
    assert len({len(subset.words) for subset in fixed}) == 1
    z = torch.linspace(-1, 1, 9, dtype=torch.float64).view(3, 3)
    for one, other in zip(free, unstacked(*stacked(fixed)), strict=True):
        found = []
        for subset, static in ((one, False), (other, True)):
            theta = ThetaGradient(generator)
            conditional = Conditional(Weights(generator), batch, static)
            value = conditional.evaluate(z, None, theta, subset)
            found.append({**theta.sums, "z": value.gradient, "log p": value.log_likelihood})
        for name, expected in found[0].items():
            torch.testing.assert_close(
                found[1][name], expected, msg=lambda text, name=name: f"{name}: {text}"
            )


@pytest.mark.parametrize(
    ("dtype", "precision", "bound"), [("float64", "float32", 1e-9), ("float32", "bfloat16", 0.03)]
)
def test_subset_equals_a_softmax_with_raised_logits(
    make_generator: Callable[..., Generator],
    make_batch: Callable[..., Batch],
    dtype: str,
    precision: str,
    bound: float,
) -> None:
    """The logits are b − log π + h·W for the words drawn and −∞ for the others."""
    generator = make_generator(vocabulary=40, dtype=getattr(torch, dtype))
    batch, kind = make_batch((6, 3, 1, 5), vocabulary=40), generator.output.dtype
    z = torch.linspace(-1, 1, 12, dtype=kind).view(4, 3)
    subset, raised = word_subset(batch, 38, 12, kind)
    theta = ThetaGradient(generator)
    theta.weight = 0.5
    found = Conditional(Weights(generator, precision), batch).evaluate(z, None, theta, subset)

    code = z.clone().requires_grad_()
    logits = (
        generator.hidden_states(batch.inputs, code) @ generator.output.t() + generator.output_bias + raised
    )
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), batch.targets.flatten() - 2, ignore_index=-2, reduction="sum"
    )
    names, parameters = zip(*generator.named_parameters(), strict=True)
    of_code, *slopes = torch.autograd.grad(losses, (code, *parameters))
    assert float(found.log_likelihood.sum()) == pytest.approx(-losses.item(), rel=bound)
    for name, expected, value in [
        ("z", -of_code, found.gradient),
        *((name, 0.5 * slope, theta.sums[name]) for name, slope in zip(names, slopes, strict=True)),
    ]:
        assert float((value - expected).norm()) <= bound * float(expected.norm()), name


def test_word_mass_is_the_sum_of_the_softmax(
    make_generator: Callable[..., Generator], make_batch: Callable[..., Batch]
) -> None:
    """A subset evaluated before contributes too, so the check takes the difference."""
    generator, batch = make_generator(), make_batch((6, 3, 1, 5))
    z = torch.linspace(-1, 1, 12, dtype=torch.float64).view(4, 3)
    rows = (batch.targets.flatten() - 2).clamp_min(0)
    subset = draw_subsets(inclusion(torch.full((9,), 1 / 9).double(), 4), rows, torch.full((1, 9), 0.4))[0]
    theta, conditional = ThetaGradient(generator), Conditional(Weights(generator), batch)
    conditional.evaluate(z, None, theta, subset)
    before, theta.weight = theta.word_mass.clone(), 0.25
    conditional.evaluate(z, None, theta)
    logits = generator.hidden_states(batch.inputs, z) @ generator.output.t() + generator.output_bias
    p = torch.softmax(logits, -1)[batch.targets >= 2].sum(0)
    torch.testing.assert_close((theta.word_mass - before) / 0.25, p.detach())

    mass = WordMass(9).double()
    for _ in range(300):
        mass.update(7 * p.detach())
    torch.testing.assert_close(mass.mass, p.detach() / p.detach().sum(), rtol=1e-5, atol=1e-6)
    assert float(mass.inclusion(4).sum()) == pytest.approx(4)
    assert float(mass.inclusion(4).min()) >= 0.1 / 9 * 4 * 0.9, "the π of a word is too small"


def test_small_vocabularies_are_not_subsampled() -> None:
    assert not worthwhile(0, 10**6)
    assert not worthwhile(1000, 2999)
    assert worthwhile(1000, 3000)
