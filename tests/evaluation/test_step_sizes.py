"""Choosing a schedule for a trained model: what is compared, chosen, noted and written."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sritool.config.values import plain
from sritool.errors import NumericalError, UsageError
from sritool.evaluation import step_sizes
from sritool.evaluation.schedule_rows import Row
from sritool.evaluation.step_sizes import Tuned, Tuning, tune, write_tuned
from sritool.inference import step_size
from sritool.inference.step_search import PRECONDITIONED_GRIDS
from sritool.methods.base import Method
from sritool.methods.registry import build_method
from sritool.runs.checkpoint import load_checkpoint
from sritool.runs.folder import BEST, LAST
from sritool.runs.model import TrainedModel

EXAMPLES = np.array([0, 2, 3, 6])


@pytest.fixture(scope="module")
def method(corpus: Any, settings: Callable[..., Any]) -> Method:
    """Random parameters large enough for z to matter; three steps of 0.2, 0.1 and 0.1, three latent dimensions."""
    made = build_method(settings("sri"), len(corpus.tokenizer))
    made.generator.initialise(1.5, seed=4)
    return made


@pytest.fixture(scope="module")
def tuned_with(corpus: Any, method: Method) -> Callable[..., Tuned]:
    def run(examples: Any = EXAMPLES, **given: Any) -> Tuned:
        return tune(method, corpus.split("valid"), examples, Tuning(**{"chains": 12, **given}))

    return run


def figures(row: Row) -> list[float]:
    pairs = [row.upper, row.lower, row.upper_gain, row.lower_gain, row.recon, row.kl]
    return [*(number for pair in pairs for number in pair), row.folded, row.unstable, row.acceptance]


def test_default_scales_the_models_schedule(tuned_with: Callable[..., Tuned]) -> None:
    tuned = tuned_with()
    assert tuned.names == ("factor",)
    assert [row.values for row in tuned.rows] == [(f,) for f in PRECONDITIONED_GRIDS["checkpoint"]]
    assert [row.schedule for row in tuned.rows if row.present] == [(0.2, 0.1, 0.1)]
    assert tuned.rows[-1].schedule == (0.25, 0.125, 0.125)
    assert (tuned.temperature, tuned.sentences, tuned.chains) == (1.0, 4, 12)
    assert all(math.isfinite(number) for row in tuned.rows for number in figures(row))


def test_gains_are_paired_differences_to_the_choice(tuned_with: Callable[..., Tuned]) -> None:
    tuned = tuned_with(grid=(0.02, 0.1), shape="constant")
    assert [row.values for row in tuned.rows] == [(0.02,), (0.1,), None]
    chosen = tuned.chosen
    assert [*chosen.upper_gain] == [0, 0]
    for row in tuned.rows:
        assert row.upper_gain.value == pytest.approx(row.upper.value - chosen.upper.value, abs=1e-6)
        assert row.lower_gain.value == pytest.approx(row.lower.value - chosen.lower.value, abs=1e-6)
        assert row.upper_gain.error < 0.5 * row.upper.error  # sentences differ more than schedules do
        assert row.lower.value == pytest.approx(-row.recon.value - row.kl.value, abs=1e-4)


def test_choice_by_each_objective(tuned_with: Callable[..., Tuned]) -> None:
    """The lower side falls as steps grow; the highest schedule without folds is chosen on each side."""
    grid = {"shape": "constant", "grid": (0.001, 0.01, 0.05, 0.2), "chains": 40}
    for objective, side in (("entropy", "upper"), ("given-noise", "lower")):
        tuned = tuned_with(objective=objective, **grid)
        unfolded = [row for row in tuned.rows if row.values and row.folded == 0]
        assert tuned.chosen is max(unfolded, key=lambda row: getattr(row, side).value)
    few = tuned_with(objective="given-noise", **{**grid, "chains": 3})
    assert math.isnan(few.chosen.upper.value)
    assert math.isfinite(few.chosen.lower.value)


def test_present_schedule_is_never_chosen(tuned_with: Callable[..., Tuned]) -> None:
    tuned = tuned_with(shape="constant", grid=(3.0, 5.0))
    assert tuned.chosen.values is not None
    (present,) = (row for row in tuned.rows if row.present)
    assert present.upper.value > tuned.chosen.upper.value
    assert any("the checkpoint's own schedule: +" in note for note in tuned.notes)


def test_folding_schedules_are_avoided(
    tuned_with: Callable[..., Tuned], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = step_size.measure_schedule

    def folding(target: Any, noise: Any, dynamics: Any, *rest: Any) -> Any:
        sides, is_large = measured(target, noise, dynamics, *rest), dynamics.step_sizes[0] > 0.05
        high = sides.recon - (10.0 if is_large else 0.0)
        return sides._replace(recon=high, folded=torch.full_like(high, 0.25 if is_large else 0.0))

    monkeypatch.setattr(step_sizes, "measure_schedule", folding)
    grid = {"shape": "constant", "grid": (0.01, 0.02, 0.1)}
    tuned = tuned_with(**grid)
    assert tuned.chosen.folded == 0
    assert any("0.1 has +" in note and "--allow-folded" in note for note in tuned.notes)
    assert tuned_with(**grid, allow_folded=True).chosen.values == (0.1,)
    worst = tuned_with(shape="constant", grid=(0.1, 0.2))
    assert worst.notes[0].startswith("every schedule folds")
    ascended = tuned_with(shape="constant", grid=(0.04,), gradient_steps=2)
    assert ascended.rows[-1].folded == 0 or not ascended.rows[-1].chosen


def test_choice_at_the_edge_of_the_grid_is_noted(tuned_with: Callable[..., Tuned]) -> None:
    tuned = tuned_with(grid=(30.0, 60.0))
    assert "the choice is the smallest that was tried: widen --range or --grid" in tuned.notes


@pytest.mark.slow
def test_batch_size_and_other_schedules_do_not_matter(tuned_with: Callable[..., Tuned]) -> None:
    usual = tuned_with(shape="constant", grid=(0.02, 0.1)).rows
    for given in ({"batch_size": 1}, {"grid": (0.005, 0.02, 0.1)}):
        other = tuned_with(**{"shape": "constant", "grid": (0.02, 0.1), **given}).rows
        for row in usual[:2]:
            (same,) = (one for one in other if one.values == row.values)
            for side in ("upper", "lower", "recon", "kl"):
                assert getattr(same, side) == pytest.approx(getattr(row, side), abs=1e-3)
    assert tuned_with(seed=1).chosen.upper != tuned_with(seed=0).chosen.upper
    assert tuned_with(epoch=1).chosen.upper != tuned_with(seed=0).chosen.upper


def test_steps_and_temperature(tuned_with: Callable[..., Tuned]) -> None:
    tuned = tuned_with(steps=5, temperature=0.0, grid=(1.0,))
    assert tuned.rows[0].schedule == (0.2, 0.1, 0.1, 0.1, 0.1)
    assert tuned.temperature == 0
    assert math.isnan(tuned.rows[0].acceptance)
    assert tuned.rows[0].recon != tuned_with(steps=5, grid=(1.0,)).rows[0].recon


def test_ascent_adds_a_candidate(tuned_with: Callable[..., Tuned]) -> None:
    tuned = tuned_with(shape="geometric", grid=(0.02, 0.2), gradient_steps=2)
    found = tuned.rows[-1]
    assert found.label.endswith("by gradient")
    assert found.values is not None
    assert len(found.values) == 2
    best = max((row for row in tuned.rows if row.values and row.folded == 0), key=lambda row: row.upper.value)
    assert tuned.chosen is best


@pytest.mark.parametrize("gradient_steps", [0, 2])
def test_progress_ends_at_its_total(corpus: Any, method: Method, gradient_steps: int) -> None:
    reported: list[tuple[str, int, int]] = []
    tuning = Tuning(chains=8, shape="geometric", grid=(0.05, 0.1), gradient_steps=gradient_steps)
    tune(method, corpus.split("valid"), EXAMPLES, tuning, lambda *event: reported.append(event))
    totals = {total for _, _, total in reported}
    assert len(totals) == 1
    assert reported[0][1] == 0
    assert reported[-1][1] == totals.pop()
    assert [done for _, done, _ in reported] == sorted(done for _, done, _ in reported)


def test_invalid_requests_raise(
    corpus: Any, settings: Callable[..., Any], tuned_with: Callable[..., Tuned]
) -> None:
    language_model = build_method(settings("lm"), len(corpus.tokenizer))
    with pytest.raises(UsageError, match="method lm has no chain"):
        tune(language_model, corpus.split("valid"), EXAMPLES, Tuning())
    with pytest.raises(UsageError, match="--chains of at least 4"):
        tuned_with(chains=3)
    with pytest.raises(NumericalError, match="every schedule diverge"):
        tuned_with(grid=(1e30,))
    for wrong in ({"temperature": -1.0}, {"temperature": math.nan}):
        with pytest.raises(UsageError, match="give"):
            Tuning(**wrong)


def test_steps_stay_within_the_integrators_limit(corpus: Any, settings: Callable[..., Any]) -> None:
    sampler = {"step_sizes": [1.5, 0.5], "exponential": True}
    exponential = build_method(settings("sri", sampler=sampler), len(corpus.tokenizer))
    exponential.initialise()
    valid = corpus.split("valid")
    with pytest.raises(UsageError, match=r"2\.5 .*takes 2 at most"):
        tune(exponential, valid, EXAMPLES, Tuning("constant", grid=(0.5, 2.5), chains=12))
    climbed = tune(exponential, valid, EXAMPLES, Tuning(grid=(1.3,), chains=12, gradient_steps=3))
    assert all(max(row.schedule) <= 2 for row in climbed.rows)


def test_written_schedule_changes_nothing_else(new_run: Callable[..., Any], tmp_path: Path) -> None:
    run = new_run("sri")
    run.train()
    for name in (BEST, LAST):
        source = load_checkpoint(run.folder / name)
        target = tmp_path / f"tuned-{name}"
        schedule = (0.05, 0.02, 0.01, 0.01, 0.01)
        write_tuned(TrainedModel(source, run.folder / name, torch.device("cpu")), schedule, target)
        found = load_checkpoint(target)
        assert found.config.sampler.step_sizes == (0.05, 0.02, 0.01)
        assert tuple(found.config.sampler.schedule()) == schedule
        before, after = plain(source.config), plain(found.config)
        for key in ("steps", "step_sizes", "name"):
            before["sampler"].pop(key), after["sampler"].pop(key)
        assert before == after
        for part in ("corpus", "progress", "metrics"):
            assert getattr(found, part) == getattr(source, part)
        assert (found.trainer is None) == (source.trainer is None)
        assert source.tokenizer.state() == found.tokenizer.state()
        assert all(torch.equal(found.weights[key], value) for key, value in source.weights.items())
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".tmp"]
