"""Run records in CSV, TensorBoard and Weights & Biases: what is written, and what a resumed run removes."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from sritool.errors import SritoolError, UsageError
from sritool.runs.checkpoint import load_checkpoint
from sritool.runs.folder import LAST, METRICS, remove_unsaved
from sritool.runs.folder import new_run as new_run_folder
from sritool.runs.live_logs import CSV, EVENTS, WANDB, LiveLogs, check_live_logs, figures_of
from sritool.runs.metrics_log import read_metrics
from sritool.training.loop import Limits, Trainer

NewRun = Callable[..., Any]


def train(run: Any, *kinds: str, max_steps: int | None = None) -> None:
    """Start or resume a run with live logs."""
    last, live = run.folder / LAST, LiveLogs(kinds, run.folder)
    resume = load_checkpoint(last) if last.is_file() else None
    where = torch.device("cpu")
    try:
        Trainer(
            run.corpus, run.config, run.folder, where, Limits(max_steps), lambda _: None, resume, live
        ).run()
    finally:
        live.close()


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / CSV).open(encoding="utf-8", newline="") as file:
        return [*csv.DictReader(file)]


def test_csv_matches_the_metrics_log(new_run: NewRun) -> None:
    whole, cut = new_run("vae-fb", "whole"), new_run("vae-fb", "cut")
    train(whole, "csv")
    train(cut, "csv", max_steps=4)
    kept = len(rows_of(cut.folder))
    (cut.folder / CSV).open("a", encoding="utf-8").write("step,99,of a process that was killed\n")
    train(cut)  # one part without the log
    train(cut, "csv")
    assert kept < len(rows_of(whole.folder)) == len(rows_of(cut.folder))
    for run in (whole, cut):
        records = read_metrics(run.folder / METRICS)
        for record, row in zip(records, rows_of(run.folder), strict=True):
            assert {name for name, value in row.items() if value} <= {*record}
            assert {name: row[name] for name in record} == {
                name: {True: "true", False: "false", None: ""}.get(value, str(value))
                if isinstance(value, bool | None)
                else str(value)
                for name, value in record.items()
            }


class Writer:
    """Stands in for TensorBoard's SummaryWriter."""

    made: list[Writer] = []  # noqa: RUF012

    def __init__(self, folder: str) -> None:
        self.scalars: list[tuple[str, float, int]] = []
        self.closed = False
        Path(folder).mkdir(exist_ok=True)
        (Path(folder) / f"events.out.tfevents.{len(Writer.made)}").write_text("")
        Writer.made.append(self)

    def add_scalar(self, name: str, value: float, step: int, walltime: float) -> None:
        self.scalars.append((name, value, step))

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def scalars_of(folder: Path) -> list[tuple[str, float, int]]:
    records = read_metrics(folder / METRICS)
    return [(n.replace(" ", "_"), value, one["step"]) for one in records for n, value in figures_of(one)]


def test_tensorboard_gets_each_figure_once(new_run: NewRun, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = ModuleType("torch.utils.tensorboard")
    stub.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", stub)
    run = new_run("sri")
    train(run, "tensorboard", max_steps=4)
    train(run, "tensorboard")
    assert Writer.made[-1].scalars == scalars_of(run.folder)
    assert {"step/recon", "epoch/recon", "epoch/nll_se", "epoch/au"} <= {
        one[0] for one in Writer.made[-1].scalars
    }
    assert all(one.closed for one in Writer.made)
    assert len([*(run.folder / EVENTS).iterdir()]) == 1


def test_event_file_round_trip(new_run: NewRun) -> None:
    reading = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs the package tensorboard"
    )
    run = new_run("vae-anneal")
    train(run, "tensorboard", max_steps=4)
    train(run, "tensorboard")
    events = reading.EventAccumulator(str(run.folder / EVENTS)).Reload()
    found = {(n, e.step): e.value for n in events.Tags()["scalars"] for e in events.Scalars(n)}
    wanted = {(name, step): value for name, value, step in scalars_of(run.folder)}
    assert found == pytest.approx(wanted, rel=1e-6)
    assert sum(len(events.Scalars(name)) for name in events.Tags()["scalars"]) == len(scalars_of(run.folder))


class Wandb(ModuleType):
    """Stands in for the package wandb."""

    Error = RuntimeError

    def __init__(self) -> None:
        super().__init__("wandb")
        self.sent: list[tuple[str, int, dict[str, float]]] = []
        self.ended = 0
        self.refuses = False

    def init(self, *, id: str, resume: str, **_: Any) -> Any:
        if self.refuses:
            raise RuntimeError("no API key\nconfigured")
        package = self

        class Run:
            def __init__(self) -> None:
                self.id = id

            def log(self, figures: dict[str, float], step: int) -> None:
                package.sent.append((id, step, figures))

            def finish(self) -> None:
                package.ended += 1

        return Run()


def test_wandb_resumes_under_one_id(new_run: NewRun, monkeypatch: pytest.MonkeyPatch) -> None:
    package = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", package)
    run = new_run("sri")
    train(run, "wandb", max_steps=4)
    before = len(package.sent)
    train(run, "wandb")
    assert package.ended == 2
    assert len({name for name, _, _ in package.sent}) == 1
    steps = [step for _, step, _ in package.sent]
    assert steps == sorted(steps)
    assert steps[before] >= steps[before - 1]
    sent = {(step, name): value for _, step, figures in package.sent for name, value in figures.items()}
    assert sent == {
        (record["step"], name): value
        for record in read_metrics(run.folder / METRICS)
        for name, value in figures_of(record)
    }
    package.refuses = True
    other = new_run("sri", "other")
    with pytest.raises(UsageError, match="no API key configured; log in"):
        train(other, "wandb")


def test_unknown_kind_or_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_live_logs(["csv", "csv"]) == ("csv",)
    with pytest.raises(UsageError, match="did you mean tensorboard"):
        check_live_logs(["tensorbord"])
    for package in ("tensorboard", "wandb"):
        monkeypatch.setitem(sys.modules, package, None)  # which makes its import fail
        with pytest.raises(UsageError, match=f"pip install {package}"):
            check_live_logs([package])


def test_unwritable_csv(tmp_path: Path) -> None:
    (tmp_path / CSV).mkdir()
    with pytest.raises(SritoolError, match="cannot write"):
        LiveLogs(["csv"], tmp_path).begin([])


def test_command_accepts_comma_separated_kinds(invoke: Callable[..., Any]) -> None:
    result = invoke("train", "tiny", "--log", "csv,nonsense", "--log", "csv")
    assert result.exit_code == 2
    assert "--log 'nonsense'" in result.stderr


def test_unsaved_run_leaves_no_logs(tmp_path: Path) -> None:
    folder, lock = new_run_folder(tmp_path / "run")
    LiveLogs(["csv"], folder).begin([])
    for name in (EVENTS, WANDB):
        (folder / name).mkdir()
        (folder / name / "file").write_text("")
    assert remove_unsaved(folder, lock)
    assert not folder.exists()
