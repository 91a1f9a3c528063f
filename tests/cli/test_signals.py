"""Signals while training: everything saved, the right exit code, and a run that goes on as if never stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import sritool
from sritool.cli.signals import StopRequest
from sritool.cli.training_progress import Watch
from sritool.errors import Interrupted
from support.tables import Run, same

Starter = Callable[..., subprocess.Popen[str]]

ENDLESS = ["--epochs", "1000000", "--patience", "0"]


@pytest.fixture
def start(train_small: Run) -> Iterator[Starter]:
    """Begin `sritool train mine` with the small settings as a process of its own."""
    processes: list[subprocess.Popen[str]] = []

    def begin(*args: str) -> subprocess.Popen[str]:
        command = [
            "-m",
            "sritool",
            "train",
            "mine",
            "--config",
            "small.toml",
            "--threads",
            "1",
            "--no-summary",
        ]
        root = str(Path(sritool.__file__).parents[1])
        process = subprocess.Popen(
            [sys.executable, *command, *args],
            env=os.environ | {"PYTHONPATH": root},
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.wait()


def read_until(process: subprocess.Popen[str], word: str) -> str:
    """The first line of its stderr that holds a word; waits for it."""
    assert process.stderr is not None
    for line in process.stderr:
        if word in line:
            return line
    raise AssertionError(f"it ended with {process.wait()} and never said {word!r}")


def last(run: str) -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(f"runs/{run}/last.pt", weights_only=True)
    loaded["trainer"]["position"].pop("seconds")
    return loaded


@pytest.mark.parametrize(
    ("number", "code", "method"),
    [("SIGTERM", 143, "sri"), pytest.param("SIGINT", 130, "lm", marks=pytest.mark.at_length)],
)
@pytest.mark.slow
def test_signal_saves_and_the_run_goes_on_bit_for_bit(
    start: Starter, train_small: Run, number: str, code: int, method: str
) -> None:
    process = start("--method", method, "--name", "stopped", *ENDLESS)
    read_until(process, "1000000  1/")  # the first step is done
    process.send_signal(getattr(signal, number))
    rest = process.communicate(timeout=60)
    assert (process.returncode, rest[0]) == (code, "")
    said = rest[1].splitlines()[-1]
    step = last("stopped")["trainer"]["position"]["step"]
    saved = "saved in runs/stopped/last.pt; go on with the same command and --resume"
    assert said == f"stopped at step {step}, {saved}"
    more = ["--method", method, *ENDLESS, "--max-steps", step + 5]
    assert train_small(*more, "--name", "stopped", "--resume").exit_code == 0
    assert train_small(*more, "--name", "whole").exit_code == 0
    assert same(last("stopped")["weights"], last("whole")["weights"])
    assert same(last("stopped")["trainer"], last("whole")["trainer"])


def test_first_signal_is_noted_and_the_second_ends() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest() as stop:
        assert stop() is None
        signal.raise_signal(signal.SIGTERM)
        assert stop() == signal.SIGTERM
        with pytest.raises(Interrupted) as ended:
            signal.raise_signal(signal.SIGTERM)
    assert ended.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_signal_while_measuring_tells_what_is_kept() -> None:
    with Watch(quiet=True) as watch:
        report = watch.report(lambda: signal.SIGINT, "the run is saved")
        with pytest.raises(Interrupted, match="the run is saved") as ended:
            report("measuring", 1, 2)
    assert ended.value.exit_code == 130
