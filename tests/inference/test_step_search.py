"""Which schedules are tried and chosen, and ascent on functions whose maximum is known."""

from __future__ import annotations

import math
import random

import pytest

from sritool.errors import UsageError
from sritool.inference.step_search import DEFAULT_GRIDS, NAMES, Family, Values, ascend, choose

BASE = (0.3, 0.2, 0.05)


def schedules(family: Family, numbers: list[float]) -> dict[Values | None, Values]:
    return {each.values: each.schedule for each in family.candidates(numbers)}


def test_checkpoint_shape_scales_the_schedule() -> None:
    family = Family("checkpoint", BASE)
    assert list(schedules(family, [2, 0.5, 2])) == [(0.5,), (2.0,), None]
    assert family.candidate((0.5,)).schedule == (0.15, 0.1, 0.025)
    assert schedules(family, [1.0]) == {(1.0,): BASE}, "the present schedule is measured once"
    assert family.candidate((0.5,)).label == "× 0.5"


def test_constant_shape_is_one_number() -> None:
    family = Family("constant", (*BASE, 0.05))
    assert list(schedules(family, [0.1, 0.01])) == [(0.01,), (0.1,), None]
    assert family.candidate((0.01,)).schedule == (0.01,) * 4
    assert family.candidate((0.01,), " by gradient").label == "0.01 by gradient"


def test_geometric_shape_is_every_non_increasing_pair() -> None:
    family = Family("geometric", BASE)
    pairs = {(a, b) for a in (0.01, 0.04, 0.16) for b in (0.01, 0.04, 0.16) if b <= a}
    assert set(schedules(family, [0.04, 0.01, 0.16])) == {*pairs, None}
    assert family.candidate((0.16, 0.01)).schedule == (0.16, 0.04, 0.01)
    assert family.candidate((0.16, 0.01)).label == "0.16 to 0.01"
    assert list(schedules(Family("geometric", (0.1,)), [0.1, 0.2])) == [(0.1, 0.1), (0.2, 0.2)]


def test_default_grids() -> None:
    assert set(DEFAULT_GRIDS) == set(NAMES)
    assert 1.0 in DEFAULT_GRIDS["checkpoint"]
    assert max(DEFAULT_GRIDS["constant"]) / min(DEFAULT_GRIDS["constant"]) > 100


@pytest.mark.parametrize("numbers", [[], [0.0, 1.0], [-1.0], [1.0, math.inf], [1.0, math.nan]])
def test_invalid_step_sizes_are_refused(numbers: list[float]) -> None:
    with pytest.raises(UsageError, match="give positive numbers"):
        Family("constant", BASE).candidates(numbers)


def test_unknown_shape_is_refused() -> None:
    with pytest.raises(UsageError, match="'round'; give checkpoint, constant or geometric"):
        Family("round", BASE)


def test_choice_is_the_highest_without_folds() -> None:
    values, folded = [-5.0, -3.0, -1.0, math.nan], [0.0, 0.0, 0.2, 0.0]
    assert choose(values, folded) == (1, False)
    assert choose(values, folded, allow_folded=True) == (2, False)
    assert choose(values[2:], folded[2:]) == (0, True)
    assert choose([-1.0, -2.0, -3.0], [0.3, 0.1, 0.1]) == (1, True)
    assert choose([math.nan, -math.inf], [0.0, 0.0]) is None


def test_ascent_climbs_noisy_hills() -> None:
    """The noise is shared by both sides of the difference, and the top is far from the start."""

    def hill(values: Values, index: int) -> float:
        tilt = random.Random(index).gauss(0, 2.0)
        offsets = [math.log(value / top) for value, top in zip(values, (0.02, 0.5), strict=False)]
        return sum(-30 * offset**2 + tilt * offset for offset in offsets)

    assert ascend(hill, (0.05,), 40)[0] == pytest.approx(0.02, rel=0.1)
    assert ascend(hill, (0.05, 0.2), 40) == pytest.approx((0.02, 0.5), rel=0.15)


def test_ascent_leaves_a_forbidden_region() -> None:
    """Where both sides fold, smaller steps do not; the ascent ends at the border, not beyond."""

    def rising(values: Values, index: int) -> float:
        return -math.inf if values[0] > 0.1 else math.log(values[0])

    for start in (0.4, 0.01):
        assert 0.07 < ascend(rising, (start,), 60)[0] <= 0.1
