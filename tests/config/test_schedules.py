"""Ramps against closed forms, and the published schedules epoch by epoch."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sritool.config.presets import PRESETS, layered
from sritool.config.recipes import read_recipe
from sritool.config.samplers import SAMPLERS, with_schedule
from sritool.config.schedules import Ramp, constant, rise
from sritool.config.settings import RunConfig
from sritool.config.values import build
from sritool.errors import UsageError

SHARES = st.floats(0, 1)
VALUES = st.floats(0, 10)


@given(start=VALUES, end=VALUES, begin=SHARES, finish=SHARES, progress=SHARES)
def test_ramp_is_flat_then_linear_then_flat(
    start: float, end: float, begin: float, finish: float, progress: float
) -> None:
    begin, finish = sorted((begin, finish))
    value = Ramp(start, end, begin, finish).at(progress)
    if progress <= begin:
        assert value == start
    elif progress >= finish:
        assert value == end
    else:
        share = (progress - begin) / (finish - begin)
        assert value == pytest.approx((1 - share) * start + share * end, abs=1e-9)


@pytest.mark.parametrize("ends", [{"finish": 2.0}, {"begin": -0.5}, {"begin": 0.6, "finish": 0.5}])
def test_ramp_must_lie_within_the_plan(ends: dict[str, float]) -> None:
    values: dict[str, Any] = {"start": 0.3, "end": 0.9, **ends}
    with pytest.raises(UsageError, match=r"begin|finish"):
        Ramp(**values)
    with pytest.raises(UsageError, match="temperature"):
        build(RunConfig, {"sampler": {"temperature": values}})


@given(stairs=st.integers(1, 40), quantum=st.floats(1e-3, 3.0), falling=st.booleans())
def test_quantised_ramp_follows_the_line(stairs: int, quantum: float, falling: bool) -> None:
    top = stairs * quantum
    ramp = Ramp(top, 0.0, quantum=quantum) if falling else Ramp(0.0, top, quantum=quantum)
    for k in range(stairs):
        for inside in (0.0, 0.5, 0.999):
            expected = top - k * quantum if falling else k * quantum
            assert ramp.at((k + inside) / stairs) == pytest.approx(expected, abs=1e-6)


DOWN = {
    "linear": lambda within: 1 - within,
    "cosine": lambda within: 0.5 * (1 + math.cos(math.pi * within)),
    # A logistic curve from -6 to 6, as a tanh rescaled to run from 1 to 0.
    "sigmoid": lambda within: 0.5 * (1 - math.tanh(6 * within - 3) / math.tanh(3)),
}


@pytest.mark.parametrize("shape", DOWN)
@pytest.mark.parametrize("cycles", [1, 4])
def test_ramp_shapes_and_cycles(shape: Any, cycles: int) -> None:
    ramp = Ramp(1.0, 0.2, begin=0.2, finish=0.8, shape=shape, cycles=cycles)
    for k in range(101):
        progress = k / 100
        turns = (progress - 0.2) / 0.6 * cycles
        if progress <= 0.2 or progress >= 0.8:
            expected = 1.0 if progress <= 0.2 else 0.2
        else:
            within = turns - math.floor(turns + 1e-12)
            expected = 0.2 + 0.8 * DOWN[shape](within)
            if within < 1e-9:
                continue  # at the jump from one cycle to the next
        assert ramp.at(progress) == pytest.approx(expected), progress
    assert ramp.last_begin == pytest.approx(0.2 + 0.6 * (cycles - 1) / cycles)
    assert ramp.settled_at == 0.8


def test_constant_never_changes() -> None:
    assert {constant(0.3).at(k / 10) for k in range(11)} == {0.3}
    assert constant(0.3).settled_at == 0


SHAPES = st.sampled_from(["linear", "sigmoid"])


@given(share=st.floats(0, 1), shape=SHAPES, length=st.floats(0.01, 1), start=st.floats(0, 1))
def test_rise_is_monotonic_and_symmetric(
    share: float, shape: Literal["linear", "sigmoid"], length: float, start: float
) -> None:
    once = rise(0.0, 1.0, shape)
    value = once.at(share)
    assert 0 <= value <= 1
    assert value == pytest.approx(1 - once.at(1 - share), abs=1e-9)
    assert once.at(min(1.0, share + 0.01)) >= value
    assert (once.at(0), once.at(1)) == (pytest.approx(0), 1)
    if shape == "linear":
        assert value == share
    stretched = rise(start, length, shape)
    assert stretched.at(share * length) == pytest.approx(start + (1 - start) * value, abs=1e-6)
    assert stretched.at(1.5 * length) == 1


def test_rise_of_zero_length_is_complete() -> None:
    at_once = rise(0.0, 0.0)
    assert at_once.at(0.0) == 1
    assert at_once.settled_at == 0


def test_sigmoid_starts_slowly_and_steepens() -> None:
    once = rise(0.0, 1.0, "sigmoid")
    assert once.at(0.25) < 0.1 < 0.25
    assert once.at(0.55) - once.at(0.45) > 2 * 0.1


def sampled(name: str) -> RunConfig:
    return build(RunConfig, layered("captions", name, "sri"))


def test_authors_temperature_over_sixty_epochs() -> None:
    ramp = sampled("authors").sampler.temperature
    expected = [0.05] * 15 + [0.10, 0.15] + [0.20] * 43
    for epoch, value in enumerate(expected):
        # Constant within an epoch: their code sets it once per epoch.
        for inside in (0.0, 0.3, 0.6, 0.99):
            assert ramp.at((epoch + inside) / 60) == pytest.approx(value), f"epoch {epoch} + {inside}"


def test_authors_temperature_scales_with_a_short_plan() -> None:
    ramp = sampled("authors").sampler.temperature
    values = [ramp.at(step / 600) for step in range(601)]  # 6 epochs of 100 steps
    assert values[:150] == [pytest.approx(0.05)] * 150  # a quarter of the plan
    assert values == sorted(values)
    assert sorted({round(value, 9) for value in values}) == [0.05, 0.1, 0.15, 0.2]
    assert values[200:] == [pytest.approx(0.2)] * 401


def test_authors_step_sizes_match_their_noise() -> None:
    schedule = sampled("authors").sampler.schedule()
    sigmas = [0.8, 0.7, 0.6, 0.5, 0.2, 0.2, 0.1, 0.1] + [0.05] * 12
    assert [(2 * step) ** 0.5 for step in schedule] == pytest.approx(sigmas)


def test_authors_other_settings() -> None:
    sampler = sampled("authors").sampler
    assert (sampler.evaluation_temperature, sampler.chain_dropout) == (0.2, True)
    assert (sampler.theta_gradient, sampler.end_weight) == ("path", "1/batch")
    assert sampler.weight_at_end(32) == 1 / 32


def test_paper_settings() -> None:
    sampler = sampled("paper").sampler
    assert sampler.schedule() == [0.01] * 20
    assert {sampler.temperature.at(k / 10) for k in range(11)} == {1.0}
    assert (sampler.evaluation_temperature, sampler.chain_dropout) == (1.0, False)
    assert sampler.theta_gradient == "end"
    training = sampled("paper").training
    assert (training.tune_step_every, training.tune_objective) == (1, "given-noise")


def test_authors_settings_for_yelp() -> None:
    sampler = sampled("yelp").sampler
    assert [(2 * step) ** 0.5 for step in sampler.schedule()] == pytest.approx([0.4] * 40)
    assert {sampler.temperature.at(k / 10) for k in range(11)} == {sampler.evaluation_temperature} == {0.0}
    batches, weight = 50, 0.1
    for update in range(12 * batches):  # their code adds before each update
        assert sampler.prior_weight.at(update / (12 * batches)) == pytest.approx(weight, abs=0.004), update
        weight = min(1.0, weight + 1 / (6 * batches))


def test_tempered_warms_over_the_second_half() -> None:
    config = sampled("tempered")
    for progress, tau in ((0.0, 0.2), (0.5, 0.2), (0.75, 0.35), (1.0, 0.5)):
        assert config.sampler.temperature.at(progress) == pytest.approx(tau)
    assert config.sampler.evaluation_temperature == 0.5
    assert config.sampler.schedule() == sampled("authors").sampler.schedule()


@pytest.mark.parametrize(
    ("preset", "embedding", "hidden"),
    [("ptb", 256, 256), ("snli", 128, 512), ("captions", 128, 512), ("yelp", 128, 512), ("yahoo", 512, 1024)],
)
def test_published_sizes(preset: str, embedding: int, hidden: int) -> None:
    published = read_recipe("published")
    generator = build(RunConfig, layered(preset, "authors", "sri", published)).generator
    assert (generator.embedding, generator.hidden, generator.latent) == (embedding, hidden, 32)
    assert generator.dropout == 0.5


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_preset_builds(preset: str, sampler: str) -> None:
    config = build(RunConfig, layered(preset, sampler, "sri"))
    steps = {"preconditioned": 6, "exponential": 6, "yelp": 40}.get(sampler, 20)
    assert (config.sampler.name, config.sampler.steps) == (sampler, steps)
    plan = config.optimizer.learning_rate, config.optimizer.clip, config.training.batch_size
    assert plan == (4e-3, 5, 64)
    assert build(RunConfig, layered(preset, sampler, "lm")).generator.latent == 0


def test_changed_sampler_is_named_custom() -> None:
    authors = build(RunConfig, {"sampler": SAMPLERS["authors"]["sampler"]})
    changed = with_schedule(authors, (0.1,) * 20)
    assert changed.sampler.name == "custom (authors)"
    assert changed.sampler.step_sizes == (0.1,)
    assert with_schedule(changed, authors.sampler.schedule()).sampler.name == "authors"
    assert replace(changed, sampler=authors.sampler) == authors
