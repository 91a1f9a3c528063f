"""Codes on the way from one code to another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_Doubles = NDArray[np.float64]


def shares(points: int) -> _Doubles:
    """How far along each point is, from 0 to 1: [points]."""
    return np.linspace(0.0, 1.0, points)


def between(first: Floats, last: Floats, points: int, spherical: bool = False) -> Floats:
    """Codes on the line from one to the other, or on the arc, both ends included and exact.

    The arc turns the direction at an even rate (Shoemake 1985, slerp) and goes evenly from the one norm to the other,
    so that the codes on the way are as far from 0 as the ends are, as draws of the prior are. A zero has no
    direction: the other's is taken. Opposite directions have no shortest arc: one through the coordinate axis that
    is nearest to a right angle is taken, or, in one dimension, the line.

    Args:    first, last [latent]; points: at least 2.
    Returns: float32 [points, latent].
    """
    a, b, t = first.astype(np.float64), last.astype(np.float64), shares(points)[:, None]
    codes = _arc(a, b, t) if spherical else (1 - t) * a + t * b
    codes[0], codes[-1] = a, b
    return codes.astype(np.float32)


def _arc(a: _Doubles, b: _Doubles, t: _Doubles) -> _Doubles:
    norms = np.linalg.norm(a), np.linalg.norm(b)
    if not norms[0] or not norms[1]:
        return (1 - t) * a + t * b
    u, v = a / norms[0], b / norms[1]
    across = v - (u @ v) * u
    angle = np.arctan2(np.linalg.norm(across), u @ v)
    if np.linalg.norm(across) < 1e-7:  # the same direction, or the opposite one
        axis = np.zeros_like(u)
        axis[np.abs(u).argmin()] = 1.0
        across = axis - (u @ axis) * u
        if np.linalg.norm(across) < 1e-7:
            return (1 - t) * a + t * b
    across /= np.linalg.norm(across)
    directions: _Doubles = np.cos(t * angle) * u + np.sin(t * angle) * across
    return ((1 - t) * norms[0] + t * norms[1]) * directions
