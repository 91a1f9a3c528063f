"""The simulation of several devices, against cases worked out by hand."""

import pytest

from benchmarks.scale import Cluster, ring_seconds, step_seconds

FREE = Cluster(fixed=0.0, each=0.01, reduced=0.0, bandwidth=1.0, latency=0.0, jitter=0.0)


def test_free_links_and_even_shares_scale_linearly() -> None:
    assert step_seconds(1, 64, FREE) / step_seconds(16, 64, FREE) == pytest.approx(16)


def test_step_waits_for_the_largest_share() -> None:
    assert step_seconds(4, 33, FREE) == pytest.approx(9 * 0.01)


def test_ring_of_four_devices() -> None:
    """It passes 1.5 times the bytes in six messages."""
    cluster = Cluster(fixed=0.0, each=0.0, reduced=8e6, bandwidth=1e9, latency=1e-5, jitter=0.0)
    assert ring_seconds(4, cluster) == pytest.approx(1.5 * 8e-3 + 6e-5)


def test_jitter_of_two_devices() -> None:
    """The mean of the larger of two normals is σ/√π above theirs; with so small a σ a gamma is nearly normal."""
    cluster = Cluster(fixed=1.0, each=0.0, reduced=0.0, bandwidth=1.0, latency=0.0, jitter=0.05)
    assert step_seconds(2, 2, cluster) == pytest.approx(1 + 0.05 / 3.14159**0.5, abs=0.003)
