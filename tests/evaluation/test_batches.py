"""Measurements shared by several processes: the same figures as in one process, each batch measured once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sritool.errors import NumericalError
from sritool.evaluation.batches import Indices, over_batches
from sritool.evaluation.record import FinishedBatches
from sritool.processes import ALONE, Processes, sharing_measurements
from support.group import in_group

BATCHES = [np.arange(0, 3), np.arange(3, 5), np.arange(5, 9), np.arange(9, 10), np.arange(10, 12)]


def squares(processes: Processes, folder: Path, stop_after: int = 99) -> tuple[list[float], int, list[int]]:
    """Return the squares, how many batches this process measured, and the progress reported."""
    measured, reported = 0, []
    squared = np.full(12, np.nan)

    def work(part: Indices) -> dict[str, torch.Tensor]:
        nonlocal measured
        measured += 1
        return {"square": torch.from_numpy(part**2).float()}

    with sharing_measurements(processes):
        finished = FinishedBatches(folder / "best.pt", "a key")
        for turn, (part, figures) in enumerate(
            over_batches("squares", BATCHES, work, lambda _, done, total: reported.append(done), finished)
        ):
            squared[part] = figures["square"]
            if turn + 1 == stop_after:
                break
    return squared.tolist(), measured, reported


def test_one_process_measures_every_batch(tmp_path: Path) -> None:
    squared, measured, reported = squares(ALONE, tmp_path)
    assert (squared, measured, reported) == ([float(n**2) for n in range(12)], 5, [0, 3, 5, 9, 10, 12])


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.slow
def test_several_processes_give_the_same_figures(tmp_path: Path, size: int) -> None:
    results = in_group(tmp_path, squares, tmp_path, size=size)
    assert all(squared == [float(n**2) for n in range(12)] for squared, _, _ in results)
    assert sum(measured for _, measured, _ in results) == 5
    assert len(next(tmp_path.glob(".evaluate-*")).read_text().splitlines()) == 5


@pytest.mark.slow
def test_finished_batches_are_not_measured_again(tmp_path: Path) -> None:
    squares(ALONE, tmp_path, stop_after=2)
    (tmp_path / "group").mkdir()
    results = in_group(tmp_path / "group", squares, tmp_path)
    assert all(squared == [float(n**2) for n in range(12)] for squared, _, _ in results)
    assert sum(measured for _, measured, _ in results) == 3


def test_non_finite_figure_raises() -> None:
    with pytest.raises(NumericalError, match="recon is not finite for 1 of 2"):
        list(
            over_batches(
                "a", [np.arange(2)], lambda _: {"recon": torch.tensor([1.0, np.inf])}, lambda *_: None
            )
        )
