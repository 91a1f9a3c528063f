"""Training curves against hand-written metrics.jsonl files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sritool.analysis.training_curves import (
    Point,
    metrics_file,
    points_of,
    read_curves,
    read_records,
)
from sritool.errors import CheckpointError, DataError


def epoch(number: int, step: int, **more: Any) -> dict[str, Any]:
    return {"kind": "epoch", "epoch": number, "step": step, "seconds": 1.0, **more}


def step(number: int, epoch: int, recon: float) -> dict[str, Any]:
    return {"kind": "step", "step": number, "epoch": epoch, "recon": recon, "gradient_norm": 9.0}


def write(folder: Path, *records: dict[str, Any], more: str = "") -> Path:
    folder.mkdir(parents=True)
    path = folder / "metrics.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records) + more, encoding="utf-8")
    return path


AUTOENCODER_FIRST = [
    step(1, 1, 90.0),
    step(5, 1, 80.0),
    epoch(1, 10, stage="autoencoder", recon=50.0, **{"recon se": 0.5}),
    epoch(2, 20, stage="autoencoder", recon=40.0),
    step(25, 1, 70.0),
    epoch(1, 40, nll=33.0, au=3, **{"nll se": 0.25, "posterior-kl": 2.0, "kl": 7.0}),
    {"kind": "tune", "step": 40, "epoch": 2, "recon": 1.0},
    step(50, 2, 60.0),
]


def test_positions_of_epochs_and_steps() -> None:
    """Two epochs of ten steps before 0, then one of twenty; the next is assumed to be as long."""
    found = points_of("r", AUTOENCODER_FIRST)
    assert found == [
        Point("r", "recon", -1.0, 10, 50.0, 0.5),
        Point("r", "recon", 0.0, 20, 40.0, None),
        Point("r", "nll", 1.0, 40, 33.0, 0.25),
        Point("r", "posterior-kl", 1.0, 40, 2.0, None),
        Point("r", "au", 1.0, 40, 3.0, None),
        Point("r", "train recon", -1.9, 1, 90.0, None),
        Point("r", "train recon", -1.5, 5, 80.0, None),
        Point("r", "train recon", 0.25, 25, 70.0, None),
        Point("r", "train recon", 1.5, 50, 60.0, None),
    ]


def places(*records: dict[str, Any]) -> list[tuple[int, float]]:
    return [(point.step, point.epoch) for point in points_of("r", records) if point.metric == "train recon"]


def test_steps_before_the_first_validation() -> None:
    first = [step(1, 1, 9.0), step(50, 1, 8.0)]
    assert places(*first) == [(1, 0.02), (50, 1.0)]  # the length of the epoch is unknown
    assert places(*first, step(75, 2, 7.0), step(100, 2, 6.0)) == [(1, 0.02), (50, 1), (75, 1.5), (100, 2)]
    early = [dict(record, stage="autoencoder") for record in first]
    assert places(*early) == [(1, -0.98), (50, 0)]
    assert places(*early, step(75, 1, 7.0)) == [(1, -0.98), (50, 0), (75, 0.5)]
    assert places() == []


def test_steps_after_validations_of_some_epochs() -> None:
    found = places(epoch(2, 20, nll=5.0), epoch(5, 50, nll=4.0), step(35, 4, 7.0), step(75, 8, 7.0))
    assert found == [(35, 3.5), (75, 7.5)]


def test_damaged_lines_are_counted_except_an_unfinished_one(tmp_path: Path) -> None:
    good = epoch(1, 4, nll=5.0)
    bad = ['{"kind": "epoch", "ep', "5", '"text"', "[]", "null", '{"kind": "step"}', '{"kind":1,"step":[]}']
    path = write(tmp_path / "run", good, more="\n".join(bad) + '\n{"kind": "epoch", "epo')
    path.write_bytes(path.read_bytes().replace(b"null", b"\xff\xfe"))
    assert read_records(path) == ([good], len(bad))


def test_runs_by_folder_file_and_name(tmp_path: Path) -> None:
    path = write(tmp_path / "runs" / "mine", epoch(1, 4, nll=5.0))
    for given in (path.parent, path, Path("mine")):
        assert metrics_file(given, tmp_path / "runs").resolve() == path
    again = read_curves([path, path.parent], tmp_path)
    assert len(again.points) == 1
    assert again.notes == ["mine was given more than once; it is drawn once"]
    other = write(tmp_path / "elsewhere" / "mine", epoch(1, 4, nll=6.0))
    both = read_curves([path, other], tmp_path)
    assert [point.run for point in both.points] == [str(path.parent), str(other.parent)]
    with pytest.raises(CheckpointError, match="no checkpoint none"):
        metrics_file(Path("none"), tmp_path)
    lone = tmp_path / "model.pt"
    lone.touch()
    with pytest.raises(DataError, match=r"there is no metrics\.jsonl beside .*model\.pt"):
        metrics_file(lone, tmp_path)


def test_runs_without_validation_yet(tmp_path: Path) -> None:
    empty = write(tmp_path / "empty")
    young = write(tmp_path / "young", step(1, 1, 9.0))
    old = write(tmp_path / "old", epoch(1, 4, nll=5.0), more="{\n")
    with pytest.raises(DataError, match=r"empty has no figure on record yet; wait, or train on"):
        read_curves([empty], tmp_path)
    found = read_curves([empty, young, old], tmp_path)
    assert [(point.run, point.metric, point.value) for point in found.points] == [
        ("young", "train recon", 9.0),
        ("old", "nll", 5.0),
    ]
    assert found.notes == [
        "empty has no figure on record yet",
        "young has no validation yet: only its training recon is drawn, with its first epoch drawn as if complete",
        f"1 damaged lines of {old} are left out",
    ]
    later = write(tmp_path / "later", step(4, 1, 9.0), step(6, 2, 8.0))
    assert read_curves([later], tmp_path).notes == [
        "later has no validation yet: only its training recon is drawn"
    ]


@pytest.mark.parametrize(
    ("config", "metrics"),
    [
        ("[generator]\nlatent = 0\n", {"nll", "recon"}),
        ("[generator]\nlatent = 8\n", {"nll", "recon", "au", "posterior-kl", "permuted"}),
        ("[generator\n", {"nll", "recon", "au", "posterior-kl", "permuted"}),
        (None, {"nll", "recon", "au", "posterior-kl", "permuted"}),
    ],
)
def test_run_without_z_has_no_curves_of_z(config: str | None, metrics: set[str], tmp_path: Path) -> None:
    values = {"nll": 9.0, "recon": 9.0, "au": 0, "posterior-kl": 0.0, "permuted": 0.0}
    path = write(tmp_path / "run", epoch(1, 10, **values))
    if config is not None:
        path.with_name("config.toml").write_text(config)
    assert {point.metric for point in read_curves([path.parent], tmp_path).points} == metrics
