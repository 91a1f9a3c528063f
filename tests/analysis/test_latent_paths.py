"""Lines and arcs between codes against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sritool.analysis.latent_paths import between


def code(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_a_line_by_hand() -> None:
    found = between(code(0, 2), code(4, -2), 5)
    np.testing.assert_allclose(found, [[0, 2], [1, 1], [2, 0], [3, -1], [4, -2]])
    assert found.dtype == np.float32


@pytest.mark.parametrize("spherical", [False, True])
def test_both_ends_are_exact(spherical: bool) -> None:
    random = np.random.default_rng(0)
    for latent in (1, 2, 32):
        first, last = random.normal(size=(2, latent)).astype(np.float32)
        found = between(first, last, 2, spherical)
        np.testing.assert_array_equal(found, [first, last])


def test_an_arc_is_shoemakers_slerp_with_norms_between() -> None:
    """slerp(u, v, t) = (sin((1 − t) ω) u + sin(t ω) v) / sin ω."""
    random = np.random.default_rng(1)
    for _ in range(20):
        first, last = random.normal(size=(2, 8)) * random.uniform(0.1, 5, (2, 1))
        found = between(first.astype(np.float32), last.astype(np.float32), 9, spherical=True)
        norms = np.linalg.norm(first), np.linalg.norm(last)
        u, v = first / norms[0], last / norms[1]
        angle = math.acos(u @ v)
        for share, point in zip(np.linspace(0, 1, 9), found, strict=True):
            turned = (math.sin((1 - share) * angle) * u + math.sin(share * angle) * v) / math.sin(angle)
            np.testing.assert_allclose(point, ((1 - share) * norms[0] + share * norms[1]) * turned, atol=2e-6)


def test_an_arc_between_ends_without_one() -> None:
    """Opposite ends, equal directions, zeros: finite, with the norms between, and at an even rate."""
    opposite = between(code(0, 2, 0), code(0, -2, 0), 5, spherical=True)
    np.testing.assert_allclose(np.linalg.norm(opposite, axis=1), 2, rtol=1e-6)
    steps = np.linalg.norm(np.diff(opposite, axis=0), axis=1)
    np.testing.assert_allclose(steps, 2 * 2 * math.sin(math.pi / 8), rtol=1e-5)
    same = between(code(1, 1), code(3, 3), 3, spherical=True)
    np.testing.assert_allclose(same, [[1, 1], [2, 2], [3, 3]], rtol=1e-6)
    nearly = between(code(1, 0), code(1, 1e-9), 3, spherical=True)
    np.testing.assert_allclose(nearly, [[1, 0]] * 3, atol=1e-6)
    zero = between(code(0, 0), code(0, 4), 3, spherical=True)
    np.testing.assert_allclose(zero, [[0, 0], [0, 2], [0, 4]])
    np.testing.assert_array_equal(between(code(0, 0), code(0, 0), 3, spherical=True), np.zeros((3, 2)))
    np.testing.assert_allclose(between(code(-1), code(1), 3, spherical=True)[:, 0], [-1, 0, 1], atol=1e-7)
