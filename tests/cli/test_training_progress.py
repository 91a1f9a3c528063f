"""Plain lines of a training run: steps, validations and the time left, with a fake clock."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sritool.cli.progress import task_progress
from sritool.cli.training_progress import Watch, ending
from sritool.evaluation.metrics import Estimate
from sritool.training.events import Epoch, Measuring, Note, Step
from sritool.training.loop import Outcome


def step(number: int, epoch: int = 1) -> Step:
    columns = {"moved": 3.0, "unstable": 0.025}
    return Step(epoch, 3, number, 90, 1234.5, 41.25, 2.5, columns, validations=4 - epoch)


def estimate(metric: str, value: float, draws: int) -> Estimate:
    return Estimate(metric, value, 0.5, "", 20, draws, "")


def test_time_left_includes_remaining_validations(capsys: pytest.CaptureFixture[str]) -> None:
    clock = SimpleNamespace(now=0.0)
    with Watch(False, lambda: clock.now) as watch:
        for number in range(1, 31):
            clock.now = float(number)
            watch(step(number))
        watch(Measuring("validation: x", 0, 20))
        clock.now += 40
        watch(Measuring("validation: x", 20, 20))
        watch(Epoch(1, 3, [estimate("nll", 30.0, 4), estimate("au", 5.0, 2)], True, 70.0, "a heron"))
        clock.now += 1
        watch(step(31, 2))
        clock.now += 10
        watch(step(41, 2))
    lines = capsys.readouterr().err.splitlines()
    shown = "recon 41.25 · ‖z_K−z_0‖ 3.000 · unstable 2.5 % · gradient 2.500 · tokens/s 1234"
    assert lines[0] == f"epoch 1/3  1/90 steps  {shown}"
    assert lines[1] == f"epoch 1/3  11/90 steps · 1.000/s · 1:19 left  {shown}"
    assert lines[-4:-1] == [
        "validation: x  20/20 sentences · 0.5000/s · 0:00 left",
        "epoch 1/3: nll 30.00 ± 0.50 · au 5 · best so far · after 1:10",
        "  sample: a heron",
    ]
    # 49 steps at one per second and two validations of 40 seconds each
    assert lines[-1] == f"epoch 2/3  41/90 steps · 1.000/s · 2:09 left  {shown}"


def test_epoch_line_without_z_shows_only_the_likelihood(capsys: pytest.CaptureFixture[str]) -> None:
    estimates = [estimate("nll", 30.0, 0), estimate("posterior-kl", 0.0, 0)]
    with Watch(False) as watch:
        watch(Epoch(2, 3, estimates, False, 5.0, "a heron"))
    assert capsys.readouterr().err == "epoch 2/3: nll 30.00 ± 0.50 · after 0:05\n  sample: a heron\n"


def test_unfinished_epoch_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    with Watch(False) as watch:
        watch(Epoch(1, 3, [estimate("nll", 30.0, 0)], True, 5.0, "a heron", ended=False))
    assert capsys.readouterr().err.startswith("epoch 1/3, before its end: nll 30.00")


@pytest.mark.parametrize(
    ("reason", "advice"),
    [("done", "--epochs"), ("early stop", "--patience"), ("halvings", "--set optimizer.halvings")],
)
def test_resuming_a_finished_run_says_what_limits_it(reason: str, advice: str) -> None:
    resumed: Any = SimpleNamespace(progress=SimpleNamespace(step=8))
    line = ending(Outcome(Path("runs/x"), reason, 8, 1.0, 0.0), resumed, "--max-time")
    assert advice in line
    assert ("--patience" in line) == (reason != "halvings")
    assert "--resume" not in line


def test_quiet_shows_only_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    with Watch(True) as watch:
        watch(step(1))
        watch(Measuring("validation: x", 0, 20))
        watch(Epoch(1, 3, [estimate("nll", 30.0, 4)], True, 70.0, "a heron"))
        watch(Note("a remark"))
        watch(Note("posterior collapse", warning=True))
    assert capsys.readouterr().err == "warning: posterior collapse\n"


@pytest.mark.parametrize("kept", ["it is kept", ""])
def test_saved_work_is_mentioned_after_the_progress(kept: str, capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        with task_progress(False, kept) as report:
            report("recon", 1, 9)
            report("recon", 2, 9)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    lines = capsys.readouterr().err.splitlines()
    assert lines[1].startswith("recon  2/9 sentences")
    assert lines[2:] == [kept] * bool(kept)
