"""The KL weight: where it is 0, where it is 1, and how it goes between."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sritool.methods.kl_schedules import Cycles, rise

SHAPES = st.sampled_from(["linear", "sigmoid"])


@given(share=st.floats(0, 1), shape=SHAPES, long=st.floats(0.01, 1), start=st.floats(0, 1))
def test_a_rise_goes_from_its_start_to_one_and_is_the_same_seen_from_its_end(
    share: float, shape: Literal["linear", "sigmoid"], long: float, start: float
) -> None:
    once = rise(0.0, 1.0, shape)
    value = once.at(share)
    assert 0 <= value <= 1
    assert value == pytest.approx(1 - once.at(1 - share), abs=1e-9)
    assert once.at(min(1.0, share + 0.01)) >= value
    assert (once.at(0), once.at(1)) == (pytest.approx(0), 1)
    if shape == "linear":
        assert value == share
    stretched = rise(start, long, shape)
    assert stretched.at(share * long) == pytest.approx(start + (1 - start) * value, abs=1e-6)
    assert stretched.at(1.5 * long) == 1


def test_a_rise_that_takes_no_time_is_over() -> None:
    at_once = rise(0.0, 0.0)
    assert at_once.at(0.0) == 1
    assert at_once.settled_at == 0


def test_a_sigmoid_is_late_and_then_steep() -> None:
    once = rise(0.0, 1.0, "sigmoid")
    assert once.at(0.25) < 0.1 < 0.25
    assert once.at(0.55) - once.at(0.45) > 2 * 0.1


@pytest.mark.parametrize(
    ("progress", "weight"),
    [
        (0, 0),
        (0.0625, 0.5),
        (0.125, 1),
        (0.2, 1),
        (0.25, 0),
        (0.3125, 0.5),
        (0.375, 1),
        (0.75, 0),
        (0.9, 1),
        (1, 1),
    ],
)
def test_four_cycles_rise_in_their_first_halves(progress: float, weight: float) -> None:
    cycles = Cycles(0.0, 4, 0.5)
    assert cycles.at(progress) == pytest.approx(weight)
    assert cycles.settled_at == 0.875


def test_cycles_without_a_ramp_are_flat() -> None:
    for flat in (Cycles(0.0, 3, 0.0), Cycles(1.0, 3, 0.5)):
        assert {flat.at(step / 10) for step in range(11)} == {1.0}
        assert flat.settled_at == 0
