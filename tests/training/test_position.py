"""When the learning rate is halved, against the rules of the released code, told step by step."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sritool.config.settings import OptimizerConfig
from sritool.training.position import Position

LOSSES = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=40)
PLANNED = 40


def halvings(losses: list[float], plan: OptimizerConfig, every: int = 1) -> list[int]:
    """How often it was halved after each epoch that has a validation."""
    position, counts = Position(), []
    for loss in losses:
        position.epoch += every - 1
        position.compare(loss, plan, PLANNED, every)
        position.begin_epoch()
        counts.append(position.halvings)
    return counts


def as_he(losses: list[float], after: int, first: int) -> list[int]:
    """He et al.: worse than the reference so many times, and not in the first epochs; then the reference is reset."""
    reference, worse, done, counts = 1e4, 0, 0, []
    for epoch, loss in enumerate(losses):
        if loss >= reference:  # theirs is >: no loss comes twice
            worse += 1
            if worse >= after and epoch >= first:
                reference, worse, done = loss, 0, done + 1
        else:
            worse, reference = 0, loss
        counts.append(done)
    return counts


def as_kim(losses: list[float], first: int) -> list[int]:
    """Kim et al.: at every epoch from the first on that is not better, though not in the first ones."""
    best, decaying, done, counts = 1e5, False, 0, []
    for epoch, loss in enumerate(losses, 1):
        if loss < best:
            best = loss
        elif epoch >= first:
            decaying = True
        done += decaying
        counts.append(done)
    return counts


@given(losses=LOSSES, after=st.integers(1, 4), first=st.integers(0, 12))
def test_halved_as_he_et_al_do(losses: list[float], after: int, first: int) -> None:
    plan = OptimizerConfig(halve_after=after, halve_from=(first + 1) / PLANNED)
    assert halvings(losses, plan) == as_he(losses, after, first)


@given(losses=LOSSES, first=st.integers(1, 12))
def test_halved_as_kim_et_al_do(losses: list[float], first: int) -> None:
    plan = OptimizerConfig(halve_after=1, halve_from=first / PLANNED, keep_halving=True)
    assert halvings(losses, plan) == as_kim(losses, first)


@given(losses=LOSSES, every=st.integers(1, 4), after=st.integers(1, 8))
def test_epochs_count_and_not_validations(losses: list[float], every: int, after: int) -> None:
    plan = OptimizerConfig(halve_after=after)
    assert halvings(losses, plan, every) == as_he(losses, -(-after // every), 0)


def test_never_halved_unless_asked() -> None:
    assert halvings([1.0] * 20, OptimizerConfig()) == [0] * 20


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_what_is_not_finite_does_not_count(loss: float) -> None:
    assert halvings([1.0, loss, loss, loss], OptimizerConfig(halve_after=1)) == [0] * 4
