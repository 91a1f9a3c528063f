"""Signals while training: all is saved, the exit code is right, and the run resumes as if never stopped."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import torch

from sritool.cli.signals import StopRequest
from sritool.cli.training_progress import Watch
from sritool.errors import Interrupted
from support.tables import Run, same

ENDLESS = ["--epochs", "1000000", "--patience", "0"]


TRAIN = ["train", "mine", "--config", "small.toml", "--threads", "1", "--no-summary"]


def wait_for(process: subprocess.Popen[str], word: str) -> None:
    """Wait for a line of stderr that contains a word."""
    assert process.stderr is not None
    for line in process.stderr:
        if word in line:
            return
    raise AssertionError(f"exit code {process.wait()} without {word!r} on stderr")


def last(run: str) -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(f"runs/{run}/last.pt", weights_only=True)
    loaded["trainer"]["position"].pop("seconds")
    return loaded


@pytest.mark.parametrize(
    ("number", "code", "method"),
    [("SIGTERM", 143, "sri"), pytest.param("SIGINT", 130, "lm", marks=pytest.mark.at_length)],
)
@pytest.mark.slow
def test_run_stopped_by_a_signal_resumes_bit_for_bit(
    start_program: Callable[..., subprocess.Popen[str]],
    train_small: Run,
    number: str,
    code: int,
    method: str,
) -> None:
    process = start_program("-m", "sritool", *TRAIN, "--method", method, "--name", "stopped", *ENDLESS)
    wait_for(process, "1000000  1/")  # the first step is done
    process.send_signal(getattr(signal, number))
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (code, "")
    step = last("stopped")["trainer"]["position"]["step"]
    message = stderr.splitlines()[-1]
    assert message.startswith(f"stopped at step {step}, saved in runs/stopped/last.pt; ")
    assert "--resume" in message
    more = ["--method", method, *ENDLESS, "--max-steps", step + 5]
    assert train_small(*more, "--name", "stopped", "--resume").exit_code == 0
    assert train_small(*more, "--name", "whole").exit_code == 0
    assert same(last("stopped")["weights"], last("whole")["weights"])
    assert same(last("stopped")["trainer"], last("whole")["trainer"])


def test_first_signal_is_noted_and_second_interrupts() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest() as stop:
        assert stop() is None
        signal.raise_signal(signal.SIGTERM)
        assert stop() == signal.SIGTERM
        with pytest.raises(Interrupted) as interrupted:
            signal.raise_signal(signal.SIGTERM)
    assert interrupted.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_signal_while_measuring_says_what_is_saved() -> None:
    with Watch(quiet=True) as watch:
        report = watch.report(lambda: signal.SIGINT, "the run is saved")
        with pytest.raises(Interrupted, match="the run is saved") as interrupted:
            report("measuring", 1, 2)
    assert interrupted.value.exit_code == 130
