"""Maps of codes against the groups that they were made from."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sritool.analysis.embedding import embed
from sritool.errors import NumericalError, ShapeError, SritoolError, UsageError


def test_neighbours_on_the_map_are_of_one_group_and_a_second_map_is_the_same() -> None:
    rng = np.random.default_rng(0)
    group = np.arange(90) % 3
    centres = 8 * np.eye(5)[:3]
    codes = (centres[group] + rng.normal(size=(90, 5))).astype(np.float32)
    found = embed(codes, seed=1)
    assert found.shape == (90, 2)
    assert found.dtype == np.float64
    apart = np.linalg.norm(found[:, None] - found[None], axis=-1) + np.where(np.eye(90), np.inf, 0)
    assert_array_equal(group[apart.argmin(axis=1)], group)
    assert_array_equal(embed(codes, seed=1), found)


def test_equal_codes_have_one_place() -> None:
    rng = np.random.default_rng(1)
    few = rng.normal(size=(12, 4))
    which = rng.integers(0, 12, 60)
    found = embed(few[which])
    assert np.isfinite(found).all()
    for a in range(12):
        assert len(np.unique(found[which == a], axis=0)) == 1
    assert len(np.unique(found, axis=0)) == 12


@pytest.mark.parametrize("distinct", [1, 2])
def test_one_or_two_distinct_codes(distinct: int) -> None:
    codes = np.arange(6)[:, None] % distinct * np.ones((6, 3))
    found = embed(codes)
    assert np.isfinite(found).all()
    assert len(np.unique(found, axis=0)) == distinct


@pytest.mark.parametrize("shape", [(3, 2), (4, 1), (5, 32)])
def test_few_codes_and_one_dimension(shape: tuple[int, int]) -> None:
    codes = np.random.default_rng(2).normal(size=shape)
    found = embed(codes)
    assert np.isfinite(found).all()
    assert len(np.unique(found, axis=0)) == len(codes)


@pytest.mark.parametrize(
    ("codes", "options", "error", "message"),
    [
        (np.zeros((2, 4)), {}, UsageError, "3 codes or more, not 2"),
        (np.zeros(7), {}, ShapeError, r"\[n, latent\], not \[7\]"),
        (np.full((5, 4), np.nan), {}, NumericalError, "5 of 5 codes"),
        (np.eye(5), {"perplexity": 0.0}, UsageError, "perplexity"),
    ],
)
def test_what_has_no_map(
    codes: np.ndarray, options: dict[str, float], error: type[SritoolError], message: str
) -> None:
    with pytest.raises(error, match=message):
        embed(codes, **options)
