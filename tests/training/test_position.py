"""When the learning rate is halved, against the rules of two released implementations, written as loops."""

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
    """Number of halvings so far after each validation."""
    position, counts = Position(), []
    for loss in losses:
        position.epoch += every - 1
        position.compare(loss, plan, PLANNED, every)
        position.begin_epoch()
        counts.append(position.halvings)
    return counts


def as_he(losses: list[float], after: int, first: int) -> list[int]:
    """He et al.: halve after `after` losses above the reference, not before epoch `first`; reset the reference."""
    reference, worse, done, counts = 1e4, 0, 0, []
    for epoch, loss in enumerate(losses):
        if loss >= reference:  # theirs is >, as no loss occurs twice there
            worse += 1
            if worse >= after and epoch >= first:
                reference, worse, done = loss, 0, done + 1
        else:
            worse, reference = 0, loss
        counts.append(done)
    return counts


def as_kim(losses: list[float], first: int) -> list[int]:
    """Kim et al.: halve at every epoch, beginning with the earliest one from `first` on that is no new best."""
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
def test_halvings_match_he_et_al(losses: list[float], after: int, first: int) -> None:
    plan = OptimizerConfig(halve_after=after, halve_from=(first + 1) / PLANNED)
    assert halvings(losses, plan) == as_he(losses, after, first)


@given(losses=LOSSES, first=st.integers(1, 12))
def test_halvings_match_kim_et_al(losses: list[float], first: int) -> None:
    plan = OptimizerConfig(halve_after=1, halve_from=first / PLANNED, keep_halving=True)
    assert halvings(losses, plan) == as_kim(losses, first)


@given(losses=LOSSES, every=st.integers(1, 4), after=st.integers(1, 8))
def test_halving_counts_epochs_not_validations(losses: list[float], every: int, after: int) -> None:
    plan = OptimizerConfig(halve_after=after)
    assert halvings(losses, plan, every) == as_he(losses, -(-after // every), 0)


def test_no_halving_by_default() -> None:
    assert halvings([1.0] * 20, OptimizerConfig()) == [0] * 20


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_losses_that_are_not_finite_do_not_count(loss: float) -> None:
    assert halvings([1.0, loss, loss, loss], OptimizerConfig(halve_after=1)) == [0] * 4
