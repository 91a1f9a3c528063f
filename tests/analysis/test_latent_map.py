"""The latent map: statistics against their formulas, codes against the posterior's own draws."""

from __future__ import annotations

from collections.abc import Callable
from math import erf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import kstwobign

from sritool.analysis.latent_map import (
    Point,
    aggregate,
    control_of,
    density,
    dimension_of,
    embed,
    grid_of,
    largest_distance,
    names_of,
)
from sritool.data.batches import collate
from sritool.data.split import Split
from sritool.data.store import Corpus
from sritool.data.tokenizer import EOS
from sritool.errors import UsageError
from sritool.runs.model import TrainedModel, load_model

NewRun = Callable[..., Any]


def quiet(*_: object) -> None:
    pass


@pytest.fixture(scope="module")
def model(begin_run: NewRun, tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    run = begin_run(tmp_path_factory.mktemp("vae"), "vae-anneal", optimizer={"initial_scale": 1.0})
    run.train(max_steps=2)
    return load_model(Path(run.folder))


def test_codes_are_single_draws_with_equal_controls(model: TrainedModel, corpus: Corpus) -> None:
    split, chosen = corpus.split("train"), np.random.default_rng(5).permutation(22)[:20]
    labels: list[str] = []
    found = aggregate(model, split, chosen, 7, lambda label, *_: labels.append(label))
    conditional = model.method.conditional(collate(split, chosen))
    assert_allclose(found.codes, model.method.posterior(conditional, 7, 1)[0].numpy(), rtol=1e-5)
    assert_array_equal(found.codes_map, embed(found.codes, 7))
    assert_array_equal(found.control_map, embed(control_of(20, 3, 7), 7))
    assert found.names == [str(len(split.targets(index)) - 1) for index in chosen]
    assert list(dict.fromkeys(labels)) == ["encoding", "map of the codes", "map of the control"]


def test_control_is_drawn_from_the_prior() -> None:
    found = control_of(4000, 3, 0)
    for column in found.T:
        assert dimension_of(1, column).ks < 1.95 / np.sqrt(4000)  # the 0.1% bound
    assert_allclose(np.corrcoef(found.T), np.eye(3), atol=0.06)
    assert_array_equal(control_of(10, 3, 0), found[:10])


def test_dimension_statistics() -> None:
    values = np.random.default_rng(1).gamma(2.0, size=60) - 1.5
    found = dimension_of(4, values)
    centred = values - values.mean()
    assert found.dimension == 4
    assert found.mean == pytest.approx(values.mean())
    assert found.deviation == pytest.approx(np.sqrt((centred**2).sum() / 59))
    ordered = np.sort(values)
    normal = np.array([0.5 * (1 + erf(value / np.sqrt(2))) for value in ordered])
    steps = np.arange(61) / 60
    distance = max((steps[1:] - normal).max(), (normal - steps[:-1]).max())
    assert found.ks == pytest.approx(distance)


def test_density_is_a_mean_of_normals() -> None:
    values = np.random.default_rng(2).normal(0.5, 2.0, size=50)
    grid = grid_of(values[:, None])
    width = values.std(ddof=1) * 50**-0.2  # Scott's
    normals = np.exp(-0.5 * ((grid[:, None] - values) / width) ** 2) / (width * np.sqrt(2 * np.pi))
    assert_allclose(density(values, grid), normals.mean(1), rtol=1e-6)
    assert grid[0] == -grid[-1] < -4.0
    assert grid_of(np.zeros((3, 2)))[-1] == 4.0


def test_largest_distance_matches_scipy_and_simulation() -> None:
    for count, dimensions in ((2000, 32), (500, 1)):
        expected = kstwobign.isf(1 - 0.95 ** (1 / dimensions)) / np.sqrt(count)
        assert largest_distance(count, dimensions) == pytest.approx(expected, rel=1e-5)
    uniform = np.sort(np.random.default_rng(3).random((400, 8, 1000)), axis=2)
    steps = np.arange(1001) / 1000
    distances = np.maximum(steps[1:] - uniform, uniform - steps[:-1]).max(axis=(1, 2))
    share = (distances > largest_distance(1000, 8)).mean()
    assert 0.02 < share < 0.085  # 0.05 within three standard errors


def test_constant_dimension_has_no_density(model: TrainedModel, corpus: Corpus) -> None:
    found = aggregate(model, corpus.split("train"), np.arange(20), 0, quiet)
    codes = found.codes.copy()
    codes[:, 1] = 0.25
    columns = list(codes.T)
    flat = found._replace(
        codes=codes,
        densities=np.stack([density(column, found.grid) for column in columns]),
        dimensions=[dimension_of(number, column) for number, column in enumerate(columns, 1)],
    )
    assert {row.name for row in flat.rows() if row.part == "density"} == {"1", "3"}
    assert flat.notes[-1] == "without a density, as they are constant: dimensions 2"
    assert len(found.notes) == 1


def test_rows_hold_everything_plotted(model: TrainedModel, corpus: Corpus) -> None:
    found = aggregate(model, corpus.split("train"), np.arange(20), 0, quiet)
    rows = found.rows()
    parts = {
        part: [row for row in rows if row.part == part]
        for part in ("posterior", "control", "density", "deviation", "prior")
    }
    assert sum(map(len, parts.values())) == len(rows)
    assert [row[2:] for row in parts["posterior"]] == [tuple(place) for place in found.codes_map.tolist()]
    assert [row[2:] for row in parts["control"]] == [tuple(place) for place in found.control_map.tolist()]
    assert [len(parts[part]) for part in ("density", "prior")] == [3 * 201, 201]
    assert [row.x for row in parts["deviation"]] == pytest.approx(list(found.codes.std(0, ddof=1)))
    middle = parts["prior"][100]
    assert middle == Point("prior", "N(0, 1)", pytest.approx(0.0, abs=1e-12), pytest.approx(0.3989423))


def test_names_are_labels_or_lengths() -> None:
    ids = np.array([5, EOS, 6, 7, EOS, 8, 9, 5], dtype=np.int32)
    split = Split(ids, np.array([0, 2, 5, 8]), np.array([1, 0, 1]), np.array([2, 3, 3]))
    chosen = np.array([1, 0, 2])
    assert names_of(split, chosen, ("bad", "good")) == ["bad", "good", "good"]
    assert names_of(split, chosen, ("1", "2"))[:2] == ["label 1", "label 2"]  # not to be read as lengths
    assert names_of(split, chosen, ()) == ["2", "1", "3"]  # the third was cut, so it has no </s>


def test_refused_maps(model: TrainedModel, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"20 sentences or more, not 19.*--limit"):
        aggregate(model, corpus.split("train"), np.arange(19), 0, quiet)
    monkeypatch.setattr(type(model), "latent", 0)
    with pytest.raises(UsageError, match="cannot draw the aggregate posterior"):
        aggregate(model, corpus.split("train"), np.arange(20), 0, quiet)


def test_map_keeps_groups_and_is_deterministic() -> None:
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


def test_equal_codes_share_a_place() -> None:
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
